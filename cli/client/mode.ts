/**
 * What a mode of the client works with. Each mode is a file of its own, loaded when it is asked for.
 *
 * @module
 */

import { Failure } from "../failure.ts";
import type { Sentences } from "../sentences.ts";
import { Stopped } from "../signals.ts";
import type { Connector } from "./connector.ts";
import type { Options } from "./flags.ts";
import { ClosedByServer } from "./awaitable_socket.ts";
import type { PacedOutput } from "./paced_output.ts";
import type { Report, Step } from "./report.ts";
import type { Statistics } from "./statistics.ts";

/** One run of the client. */
export interface Run {
  options: Options;
  sentences: Sentences;
  report: Report;
  /** Makes connections as the flags say. */
  connector: Connector;
  /** Counts messages, if that is asked for. */
  statistics: Statistics | undefined;
  /** What standard output is written through, if not at once. */
  paced: PacedOutput | undefined;
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

/** The exit code when the server closed with another code than 1000, where `--fail-on-close` asks for it. */
const CLOSED_BY_SERVER = 4;

/**
 * The exit code for what a mode ended with, after it was reported.
 *
 * @throws What is a bug.
 */
export function exitCodeOf(end: unknown, options: Pick<Options, "fail-on-close">): number {
  if (end instanceof Stopped) return end.exitCode;
  if (!(end instanceof Failure)) throw end;
  const isClose = end instanceof ClosedByServer && end.closing.code !== 1000;
  return isClose && options["fail-on-close"] ? CLOSED_BY_SERVER : end.exitCode;
}

/** Reports a failure. The server's close is none where nothing was awaited, and `--fail-on-close` is not given. */
export function reportFailure(
  { options, report }: Pick<Run, "options" | "report">,
  step: Step,
  failure: Failure,
): void {
  if (failure instanceof ClosedByServer && exitCodeOf(failure, options) === 0) {
    report.closed(failure.closing);
  } else {
    report.failed(step, failure);
  }
}
