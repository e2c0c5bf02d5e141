/**
 * A slice of what `deno task fuzz` runs: always the same inputs, so that it fails for a reason.
 */

import { assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { fuzz, GrowthLimit } from "./fuzz.ts";
import { Random } from "./random.ts";

Deno.test("Random gives the same for the same seed: faults are told by it", () => {
  assertEquals([...new Random("a").bytes(8)], [...new Random("a").bytes(8)]);
  assertNotEquals([...new Random("a").bytes(8)], [...new Random("b").bytes(8)]);
});

const MIB = 1024 * 1024;

/** Stands for the process's memory, which other tests running at the same time use too. */
const steady = () => 64 * MIB;

Deno.test("mod.ts withstands 20,000 broken and whole inputs of every kind", async () => {
  const { inputs } = await fuzz("ordinary", 20_000, steady);
  assertEquals(
    Object.keys(inputs),
    ["heads", "frames", "extensions", "deflate", "events", "proxies"],
  );
});

Deno.test("GrowthLimit allows any growth in the first inputs of a kind, and little after", () => {
  const limit = new GrowthLimit(100_000);
  for (let done = 0; done <= 20_000; done += 500) limit.check(done, done * 20_000);
  for (let done = 20_500; done < 100_000; done += 500) limit.check(done, 400 * MIB + done * 300);
});

Deno.test("GrowthLimit does not count again what a collection gave back", () => {
  const limit = new GrowthLimit(100_000);
  limit.check(10_000, 400 * MIB);
  limit.check(20_000, 200 * MIB);
  limit.check(30_000, 400 * MIB);
});

Deno.test("GrowthLimit finds a leak of 1,500 bytes an input", () => {
  const limit = new GrowthLimit(100_000);
  for (let done = 0; done < 80_000; done += 500) limit.check(done, 64 * MIB + done * 1500);
  assertThrows(
    () => {
      for (let done = 80_000; done < 100_000; done += 500) {
        limit.check(done, 64 * MIB + done * 1500);
      }
    },
    Error,
    "The process grew by",
  );
});

Deno.test("fuzz() stops at a kind that grows, and names it", async () => {
  let looks = 0;
  // Memory leaks in the second kind, `frames`: each kind is looked at each 500 inputs, 0 included.
  const memory = () => (looks++ < 12 ? 64 : looks * 32) * MIB;
  await assertRejects(() => fuzz("ordinary", 20_000, memory), Error, "Fault of frames");
});
