/**
 * A million inputs, or as many as `FUZZ_INPUTS` says, from `FUZZ_SEED` or a new seed. `FUZZ_ONLY` is
 * one input of that seed, as a fault names it.
 *
 * @module
 */

import { fuzz, fuzzOne, newSeed } from "./fuzz.ts";

const seed = Deno.env.get("FUZZ_SEED") ?? newSeed();
const only = Deno.env.get("FUZZ_ONLY");
const count = Number(Deno.env.get("FUZZ_INPUTS") ?? 1_000_000);
// Also a process that is stuck tells what it was at.
console.log(`FUZZ_SEED=${seed} ${only === undefined ? `FUZZ_INPUTS=${count}` : only}`);
if (only !== undefined) {
  await fuzzOne(seed, only);
  console.log("No fault");
} else {
  const start = performance.now();
  const { inputs, slowest } = await fuzz(seed, count);
  for (const [name, number] of Object.entries(inputs)) console.log(`${number} ${name}`);
  const seconds = Math.round((performance.now() - start) / 1000);
  console.log(`No fault in ${seconds} s; the slowest input took ${slowest.toFixed(1)} ms`);
}
