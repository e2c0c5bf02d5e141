/**
 * What a mode of the client works with. Each mode is a file of its own, loaded when it is asked for.
 *
 * @module
 */

import type { Sentences } from "../sentences.ts";
import type { Connector } from "./connector.ts";
import type { Options } from "./flags.ts";
import type { Report } from "./report.ts";

/** One run of the client. */
export interface Run {
  options: Options;
  sentences: Sentences;
  report: Report;
  /** Makes connections as the flags say. */
  connector: Connector;
  /** Aborts with {@linkcode Stopped} when the client must stop. */
  stop: AbortSignal;
}

/**
 * Does what the mode is for.
 *
 * @returns The exit code.
 * @throws {Failure} With the sentence that the user is told, and the exit code.
 */
export type Mode = (run: Run) => Promise<number>;
