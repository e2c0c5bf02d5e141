/**
 * A line on the terminal that shows how far a load is.
 *
 * @module
 */

import { numberTexts } from "../../number_text.ts";
import { fill, type Sentences } from "../../sentences.ts";
import type { Generator, Plan } from "./generator.ts";
import { rate, type Tally } from "./tally.ts";

/** How often the line is written, in milliseconds. */
const INTERVAL_MS = 250;

/** The width of the bar, in characters. */
const BAR = 10;

/** To the start of the line, which is erased. */
const ERASE = "\r\x1b[K";

/** Shows the line on standard error, if that is a terminal, until it is disposed of. */
export function showProgress(
  generator: Generator,
  plan: Plan,
  tally: Tally,
  sentences: Sentences,
): Disposable | undefined {
  if (!Deno.stderr.isTerminal()) return undefined;
  const write = (text: string) => void Deno.stderr.writeSync(new TextEncoder().encode(text));
  let answers = 0;
  const timer = setInterval(() => {
    const answersNow = tally.latency.count;
    const perSecond = rate(answersNow - answers, INTERVAL_MS);
    answers = answersNow;
    const line = progressLine({
      phase: generator.phase,
      done: doneShare(generator, plan),
      open: generator.open,
      connections: plan.connections,
      answers: perSecond,
      p99: tally.latency.percentile(99),
      errors: tally.errorCount,
    }, sentences);
    // A longer line would wrap, and could not be erased. Some terminals do not know their width.
    write(ERASE + line.slice(0, (Deno.consoleSize().columns || 80) - 1));
  }, INTERVAL_MS);
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      write(ERASE);
    },
  };
}

/** How much of the current phase is done, from 0 to 1. */
function doneShare(generator: Generator, plan: Plan): number {
  switch (generator.phase) {
    case "connecting":
      return generator.open / plan.connections;
    case "loading":
      return Math.min((plan.now() - generator.start) / plan.duration, 1);
    case "finishing":
      return 1;
  }
}

/** What the line shows. */
export interface ProgressState {
  phase: Generator["phase"];
  /** How much of the phase is done, from 0 to 1. */
  done: number;
  open: number;
  connections: number;
  /** Answers a second. */
  answers: number;
  p99: number;
  errors: number;
}

/** The line. */
export function progressLine(
  { phase, done, p99, ...numbers }: ProgressState,
  sentences: Sentences,
): string {
  const { progress } = sentences.client.load;
  const bar = "#".repeat(Math.round(done * BAR)).padEnd(BAR);
  const words = { phase: progress[phase], ...numbers, ...numberTexts({ p99 }, sentences) };
  return `[${bar}] ${fill(progress.line, words)}`;
}
