/**
 * Fuzzing: inputs made from a seed, each from its own number, so that any of them can be made again
 * alone, and for each kind what must hold whatever the input is.
 *
 * @module
 */

import { assert } from "@std/assert";
import { Random } from "./random.ts";
import { events } from "./events.ts";
import { deflateStreams } from "./deflate.ts";
import { extensionParameters } from "./extensions.ts";
import { frameStreams } from "./frames.ts";
import { heads } from "./heads.ts";

/** Makes one input, and throws when something does not hold of it. */
type Kind = (random: Random) => void | Promise<void>;

/** Each kind, and how many of a hundred inputs are of it. */
const KINDS: Record<string, { share: number; kind: Kind }> = {
  heads: { share: 32, kind: heads },
  frames: { share: 30, kind: frameStreams },
  extensions: { share: 25, kind: extensionParameters },
  deflate: { share: 10, kind: deflateStreams },
  events: { share: 3, kind: events },
};

/** One input takes no longer, in milliseconds, however busy the machine: more is a hang. */
const LONGEST_MS = 5000;

/** Memory is looked at after so many inputs. */
const BATCH = 10_000;

/** The process grows by no more while inputs come and go, in bytes. */
const MOST_GROWTH = 256 * 1024 * 1024;

/** What a run has done. */
export interface Outcome {
  inputs: Record<string, number>;
  /** The longest that one input took, in milliseconds. */
  slowest: number;
}

/**
 * Runs inputs of every kind.
 *
 * @param seed What they are made from.
 * @param count How many there are.
 * @throws {Error} At the first fault, with what makes its input again.
 */
export async function fuzz(seed: string, count: number): Promise<Outcome> {
  const outcome: Outcome = { inputs: {}, slowest: 0 };
  const before = Deno.memoryUsage().rss;
  for (const [name, { share, kind }] of Object.entries(KINDS)) {
    const inputs = Math.ceil(count * share / 100);
    for (let number = 0; number < inputs; number++) {
      const start = performance.now();
      try {
        await kind(new Random(`${seed} ${name} ${number}`));
        const took = performance.now() - start;
        outcome.slowest = Math.max(outcome.slowest, took);
        assert(took < LONGEST_MS, `It took ${took} ms`);
      } catch (error) {
        const again = `FUZZ_SEED=${seed} FUZZ_ONLY=${name}:${number}`;
        throw new Error(`Fault at ${again}: ${error}`, { cause: error });
      }
      // What node:zlib has closed is let go of in a turn of the event loop.
      if (number % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
      if (number % BATCH === BATCH - 1) {
        const growth = Deno.memoryUsage().rss - before;
        assert(growth < MOST_GROWTH, `The process grew by ${growth} bytes`);
      }
    }
    outcome.inputs[name] = inputs;
  }
  return outcome;
}

/** Runs one input again, as a fault names it: its kind and number. */
export async function fuzzOne(seed: string, which: string): Promise<void> {
  const [name, number] = which.split(":");
  const { kind } = KINDS[name!]!;
  await kind(new Random(`${seed} ${name} ${number}`));
}

/** A seed for a run that has none. */
export function newSeed(): string {
  return crypto.getRandomValues(new Uint8Array(4)).toHex();
}
