import { assert, assertEquals } from "@std/assert";
import { DELAY_BOUNDS, EventLoopDelay } from "../../../cli/server/event_loop_delay.ts";

/** A later turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("EventLoopDelay counts how late its timer fires while the thread is busy", async () => {
  using delay = new EventLoopDelay(1);
  assertEquals(delay.histogram.count, 0);
  delay.start();
  const end = performance.now() + 60;
  while (performance.now() < end);
  while (delay.histogram.count < 5) await turn();
  const { count, sum, buckets } = delay.histogram;
  assert(sum > 0.05, `${sum} s`);
  const within = (bound: number) => buckets[DELAY_BOUNDS.indexOf(bound)]!;
  assert(within(0.05) < count);
  assertEquals(within(2.5), count);
  assertEquals(buckets, buckets.toSorted((a, b) => a - b));
});

Deno.test("EventLoopDelay measures no more once it is disposed of", async () => {
  const delay = new EventLoopDelay(1);
  delay.start();
  while (delay.histogram.count === 0) await turn();
  delay[Symbol.dispose]();
  const { count } = delay.histogram;
  for (let turns = 0; turns < 5; turns++) await turn();
  assertEquals(delay.histogram.count, count);
});
