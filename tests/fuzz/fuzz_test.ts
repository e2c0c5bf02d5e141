/**
 * A slice of what `deno task fuzz` runs: always the same inputs, so that it fails for a reason.
 */

import { assertEquals, assertNotEquals } from "@std/assert";
import { fuzz } from "./fuzz.ts";
import { Random } from "./random.ts";

Deno.test("Random gives the same for the same seed: faults are told by it", () => {
  assertEquals([...new Random("a").bytes(8)], [...new Random("a").bytes(8)]);
  assertNotEquals([...new Random("a").bytes(8)], [...new Random("b").bytes(8)]);
});

Deno.test("mod.ts withstands 20,000 broken and whole inputs of every kind", async () => {
  const { inputs } = await fuzz("ordinary", 20_000);
  assertEquals(Object.keys(inputs), ["heads", "frames", "extensions", "deflate", "events"]);
});
