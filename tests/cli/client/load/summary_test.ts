import { assertEquals } from "@std/assert";
import { progressLine } from "../../../../cli/client/load/progress.ts";
import { brokenLimits, summary } from "../../../../cli/client/load/summary.ts";
import { Tally } from "../../../../cli/client/load/tally.ts";
import { sentencesIn } from "../../../../cli/sentences.ts";

/** Two connections and 100 answers of 1 to 100 ms in a second. */
function tallied(): Tally {
  const tally = new Tally();
  tally.connecting = 500;
  tally.connects.record(4);
  tally.connects.record(6);
  tally.asked = 101;
  tally.loading = 1000;
  for (let ms = 1; ms <= 100; ms++) tally.latency.record(ms);
  tally.carried({
    sent: { messages: 101, messageBytes: 4_100_000, wireBytes: 900_000 },
    received: { messages: 100, messageBytes: 1000, wireBytes: 1200 },
  });
  return tally;
}

Deno.test("summary() tells connections, messages, bytes and times", () => {
  assertEquals(summary(2, tallied(), sentencesIn("en")), [
    "Connections: 2 of 2 opened in 0.5 s (4/s), p50 4.001 ms, p99 6 ms, max 6 ms",
    "Messages: 101 sent, 100 answered in 1.0 s (100/s)",
    "Sent: 4.1 MB in messages (4.1 MB/s), 900.0 kB on the network (22 %)",
    "Received: 1.0 kB in messages (1.0 kB/s), 1.2 kB on the network (120 %)",
    "Latency: p50 50.015 ms, p90 90.047 ms, p99 99.007 ms, p99.9 100 ms, max 100 ms",
    "Errors: none",
  ]);
});

Deno.test("summary() tells errors by kind, those first of which there are most", () => {
  const tally = new Tally();
  tally.fail("status", { code: 503 });
  tally.fail("connect", { reason: "nobody there" });
  tally.fail("connect", { reason: "nor there" });
  assertEquals(summary(3, tally, sentencesIn("en")).slice(1), [
    "Errors: 3",
    "  no connection: 2 (nobody there)",
    "  refused with HTTP 503: 1",
  ]);
  assertEquals(summary(3, tally, sentencesIn("pt-BR")).slice(1), [
    "Erros: 3",
    "  sem conexão: 2 (nobody there)",
    "  recusadas com HTTP 503: 1",
  ]);
});

Deno.test("brokenLimits() names each limit that was not kept", () => {
  const tally = tallied();
  const broken = (options: { "max-p99"?: number; "max-errors"?: number }) =>
    brokenLimits(
      { "max-p99": undefined, "max-errors": undefined, ...options },
      tally,
      sentencesIn("en"),
    ).map(({ flag, line }) => [flag, line]);
  assertEquals(broken({}), []);
  assertEquals(broken({ "max-p99": 100, "max-errors": 0 }), []);
  tally.fail("unanswered", { count: 2 });
  assertEquals(broken({ "max-errors": 2 }), []);
  assertEquals(broken({ "max-p99": 99, "max-errors": 1 }), [
    ["max-p99", "Limit not kept: p99 is 99.007 ms, must be at most 99 ms (--max-p99)"],
    ["max-errors", "Limit not kept: 2 errors, must be at most 1 (--max-errors)"],
  ]);
});

Deno.test("progressLine() shows how far the phase is", () => {
  const line = progressLine({
    phase: "loading",
    done: 0.3,
    open: 9,
    connections: 10,
    answers: 200,
    p99: 1.5,
    errors: 1,
  }, sentencesIn("en"));
  assertEquals(
    line,
    "[###       ] sending: 9 of 10, 200/s, p99 1.5 ms, errors: 1",
  );
});
