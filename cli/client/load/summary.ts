/**
 * What is told of a load when it is over.
 *
 * @module
 */

import { fill, type Sentences } from "../../sentences.ts";
import type { Options } from "../flags.ts";
import { sizeText, type Sum } from "../statistics.ts";
import { type ErrorCount, percentiles, rate, type Tally } from "./tally.ts";

/** The lines for a person. */
export function summary(connections: number, tally: Tally, { client }: Sentences): string[] {
  const { load } = client;
  const { connects, latency, lateness, asked, connecting, loading } = tally;
  const traffic = (sentence: string, sum: Sum) =>
    fill(sentence, {
      ...sum.words(),
      perSecond: sizeText(rate(sum.toJSON().messageBytes, loading)),
    });
  const messages = [
    fill(load.messages, {
      sent: asked,
      answered: latency.count,
      seconds: seconds(loading),
      perSecond: rate(latency.count, loading),
    }),
    traffic(load.sent, tally.sent),
    traffic(load.received, tally.received),
    ...latency.count > 0 ? [fill(load.latency, percentiles(latency))] : [],
    ...lateness.count > 0 ? [fill(load.lateness, percentiles(lateness))] : [],
  ];
  return [
    fill(load.connections, {
      opened: connects.count,
      connections,
      seconds: seconds(connecting),
      perSecond: rate(connects.count, connecting),
      ...percentiles(connects),
    }),
    ...asked > 0 ? messages : [],
    tally.errorCount === 0 ? load.noErrors : fill(load.errors, { count: tally.errorCount }),
    ...tally.errors.map((error) => `  ${errorLine(error, load)}`),
  ];
}

function errorLine(
  { kind, code, count, reason }: ErrorCount,
  { error }: Sentences["client"]["load"],
): string {
  const line = fill(error[kind], { code: code ?? "", count });
  return reason === undefined ? line : `${line} (${reason})`;
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}

/** A limit of the flags that was not kept. */
export interface BrokenLimit {
  /** The flag. */
  flag: "max-p99" | "max-errors";
  value: number;
  limit: number;
  /** For a person. */
  line: string;
}

/** The limits that were not kept. Without any answer, there is no p99 that could be. */
export function brokenLimits(
  options: Pick<Options, "max-p99" | "max-errors">,
  tally: Tally,
  { client: { load } }: Sentences,
): BrokenLimit[] {
  const broken: BrokenLimit[] = [];
  const maxP99 = options["max-p99"];
  const p99 = tally.latency.percentile(99);
  if (maxP99 !== undefined && (p99 > maxP99 || tally.latency.count === 0)) {
    const line = fill(load.slow, { p99, max: maxP99 });
    broken.push({ flag: "max-p99", value: p99, limit: maxP99, line });
  }
  const max = options["max-errors"];
  const count = tally.errorCount;
  if (max !== undefined && count > max) {
    broken.push({
      flag: "max-errors",
      value: count,
      limit: max,
      line: fill(load.faulty, { count, max }),
    });
  }
  return broken;
}
