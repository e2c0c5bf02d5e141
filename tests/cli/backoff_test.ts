import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { backoff, delay } from "../../cli/backoff.ts";

Deno.test("backoff() doubles up to half a minute, with the upper half random", () => {
  assertEquals([1, 2, 3, 4].map((n) => backoff(n, undefined, 1)), [500, 1000, 2000, 4000]);
  assertEquals(backoff(50, undefined, 1), 30_000);
  assertEquals(backoff(50, undefined, 0), 15_000);
});

Deno.test("backoff() waits at least as long as the server asks, in seconds or to a date", () => {
  const now = Date.UTC(2026, 0, 1);
  assertEquals(backoff(1, "10", 0, now), 10_250);
  assertEquals(backoff(1, new Date(now + 20_000).toUTCString(), 0, now), 20_250);
  assertEquals(backoff(1, new Date(now - 20_000).toUTCString(), 0, now), 250);
  assertEquals(backoff(1, "soon", 0, now), 250);
});

Deno.test("backoff() is always a wait that a timer can take", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 1e6 }), fc.string(), (attempt, retryAfter) => {
    const ms = backoff(attempt, retryAfter);
    assert(Number.isInteger(ms) && ms >= 250 && ms <= 3_630_000, String(ms));
  }));
});

Deno.test("delay() ends when it is stopped, with the reason", async () => {
  const stop = new AbortController();
  const waiting = delay(3_600_000, stop.signal);
  stop.abort(new RangeError("enough"));
  await assertRejects(() => waiting, RangeError, "enough");
  await assertRejects(() => delay(3_600_000, stop.signal), RangeError, "enough");
});
