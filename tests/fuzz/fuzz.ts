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
import { proxies } from "./proxies.ts";

/** Makes one input, and throws when something does not hold of it. */
type Kind = (random: Random) => void | Promise<void>;

/** Each kind, and how many of a hundred inputs are of it. */
const KINDS: Record<string, { share: number; kind: Kind }> = {
  heads: { share: 27, kind: heads },
  frames: { share: 30, kind: frameStreams },
  extensions: { share: 25, kind: extensionParameters },
  deflate: { share: 10, kind: deflateStreams },
  events: { share: 3, kind: events },
  proxies: { share: 5, kind: proxies },
};

/** One input takes no longer, in milliseconds, however busy the machine: more is a hang. */
const LONGEST_MS = 5000;

/** The event loop gets a turn, and memory is looked at, after so many inputs. */
const BATCH = 500;

/**
 * The first inputs of a kind fill caches and make the heap as large as its garbage needs: 20 to 60 MB
 * by the kind, with more for the next kind. A fifth of them is the warm-up, which is not judged.
 */
const WARM_UP_SHARE = 0.2;

/**
 * How many bytes the process may grow by after the warm-up of a kind: three times what was seen with
 * a million inputs. A leak of 420 bytes an input is found in `frames`, of 4,200 in `events`.
 */
const MOST_GROWTH = 96 * 1024 * 1024;

/** Tells a leak from a warm-up, in one kind of inputs. */
export class GrowthLimit {
  readonly #warmUp: number;
  /** The most that was held during the warm-up, in bytes. */
  #warm = 0;

  /** @param inputs How many inputs of the kind there are. */
  constructor(inputs: number) {
    this.#warmUp = inputs * WARM_UP_SHARE;
  }

  /**
   * Checks the memory in use after `done` inputs.
   *
   * @throws {Error} If it has grown too much since the warm-up.
   */
  check(done: number, used: number): void {
    if (done <= this.#warmUp) {
      this.#warm = Math.max(this.#warm, used);
      return;
    }
    const growth = used - this.#warm;
    assert(growth < MOST_GROWTH, `The process grew by ${growth} bytes after the warm-up`);
  }
}

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
 * @param memory Tells how many bytes the process uses.
 * @throws {Error} At the first fault, with what makes its input again.
 */
export async function fuzz(
  seed: string,
  count: number,
  memory: () => number = () => Deno.memoryUsage().rss,
): Promise<Outcome> {
  const outcome: Outcome = { inputs: {}, slowest: 0 };
  for (const [name, { share, kind }] of Object.entries(KINDS)) {
    const inputs = Math.ceil(count * share / 100);
    const limit = new GrowthLimit(inputs);
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
      if (number % BATCH === 0) {
        // What node:zlib has closed is let go of in a turn of the event loop.
        await new Promise((resolve) => setTimeout(resolve, 0));
        try {
          limit.check(number, memory());
        } catch (error) {
          throw new Error(`Fault of ${name}, FUZZ_SEED=${seed}: ${error}`, { cause: error });
        }
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
