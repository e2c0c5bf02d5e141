import { assert, assertEquals } from "@std/assert";
import { Times } from "../../../../cli/client/load/times.ts";

Deno.test("Times tells percentiles closely, and the longest exactly", () => {
  const times = new Times();
  assertEquals([times.count, times.percentile(50), times.max], [0, 0, 0]);
  for (let ms = 1; ms <= 1000; ms++) times.record(ms);
  assertEquals(times.count, 1000);
  for (const percent of [50, 90, 99, 99.9]) {
    const ms = percent * 10;
    assert(Math.abs(times.percentile(percent) - ms) <= ms / 500, `${percent}`);
  }
  assertEquals(times.percentile(100), 1000);
  assertEquals(times.max, 1000);
});

Deno.test("Times takes durations of no time, of less, and of more than a day", () => {
  const times = new Times();
  for (const ms of [0, -1, 1e9]) times.record(ms);
  assertEquals(times.count, 3);
  assertEquals(times.percentile(50), 0.001);
  assertEquals(times.max, 1e9);
});
