import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { CrashHistory } from "../../../cli/server/crash_history.ts";

const MINUTE = 60_000;

Deno.test("CrashHistory.record() does not wait after the first crash of a worker that worked", () => {
  assertEquals(new CrashHistory().record(10_000), 0);
  assert(new CrashHistory().record(9_999) > 0);
});

Deno.test("CrashHistory.record() waits longer with each crash of the last hour", () => {
  const history = new CrashHistory();
  const waits = [0, 20, 40, 59].map((minutes) => history.record(10 * MINUTE, minutes * MINUTE, 1));
  assertEquals(waits, [0, 1000, 2000, 4000]);
  // By now the first two crashes are too old to count.
  assertEquals(history.record(10 * MINUTE, 80 * MINUTE, 1), 2000);
  assertEquals(history.record(3600_000, 200 * MINUTE, 1), 0);
});

Deno.test("CrashHistory.record() slows down a crash loop of any period", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 7 * MINUTE }), fc.float(), (period, random) => {
    const history = new CrashHistory();
    let now = 0;
    let wait = 0;
    for (let crash = 0; crash < 12; crash++) {
      now += wait + period;
      wait = history.record(period, now, Math.abs(random) % 1 || 0);
    }
    assert(wait >= 15_000 || now >= 3_600_000, `${wait} ms`);
    return true;
  }));
});
