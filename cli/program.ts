/**
 * What the programs share: the language, the version, and how they fail.
 *
 * @module
 */

import { readEnvironment } from "./flags.ts";
import { denoVersion, isTooOld, OLDEST_DENO } from "../transport/deno_version.ts";
import { fill, languageOf, type Sentences, sentencesIn } from "./sentences.ts";
import { Failure } from "./failure.ts";
import type { Output } from "./output.ts";
import config from "../deno.json" with { type: "json" };

/** The project's version, as in `deno.json`. */
export const VERSION: string = config.version;

/**
 * Runs a program's body in the language that its arguments ask for. A {@linkcode Failure} becomes one line
 * on standard error and an exit code. Any other error is a bug of this project, and keeps its stack.
 *
 * @returns The exit code.
 */
export async function runProgram(
  args: string[],
  output: Output,
  body: (sentences: Sentences) => Promise<number>,
): Promise<number> {
  try {
    const sentences = sentencesIn(languageOf(args, readEnvironment("WSS_LANG")));
    const version = denoVersion();
    if (isTooOld(version)) {
      throw new Failure(
        fill(sentences.tooOldDeno, { version: version!, oldest: OLDEST_DENO }),
      );
    }
    return await body(sentences);
  } catch (error) {
    if (!(error instanceof Failure || error instanceof Deno.errors.NotCapable)) throw error;
    // Deno's own sentence about a permission names the flag that grants it.
    output.err(error.message);
    return error instanceof Failure ? error.exitCode : 1;
  }
}
