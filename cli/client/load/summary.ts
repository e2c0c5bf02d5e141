/**
 * What is told of a load when it is over.
 *
 * @module
 */

import { numberText, numberTexts } from "../../number_text.ts";
import { fill, type Sentences } from "../../sentences.ts";
import type { Options } from "../flags.ts";
import { sizeText, type Sum } from "../statistics.ts";
import { type ErrorCount, percentiles, rate, type Tally } from "./tally.ts";

/** The lines for a person. */
export function summary(connections: number, tally: Tally, sentences: Sentences): string[] {
  const { load } = sentences.client;
  const { connects, latency, lateness, asked, connecting, loading } = tally;
  const traffic = (sentence: string, sum: Sum) =>
    fill(sentence, {
      ...sum.words(sentences),
      perSecond: sizeText(rate(sum.toJSON().messageBytes, loading), sentences),
    });
  const messages = [
    fill(load.messages, {
      sent: asked,
      answered: latency.count,
      seconds: numberText(loading / 1000, sentences, 1),
      perSecond: rate(latency.count, loading),
    }),
    traffic(load.sent, tally.sent),
    traffic(load.received, tally.received),
    ...latency.count > 0 ? [fill(load.latency, numberTexts(percentiles(latency), sentences))] : [],
    ...lateness.count > 0
      ? [fill(load.lateness, numberTexts(percentiles(lateness), sentences))]
      : [],
  ];
  return [
    fill(load.connections, {
      opened: connects.count,
      connections,
      seconds: numberText(connecting / 1000, sentences, 1),
      perSecond: rate(connects.count, connecting),
      ...numberTexts(percentiles(connects), sentences),
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
  sentences: Sentences,
): BrokenLimit[] {
  const { load } = sentences.client;
  const broken: BrokenLimit[] = [];
  const maxP99 = options["max-p99"];
  const p99 = tally.latency.percentile(99);
  if (maxP99 !== undefined && (p99 > maxP99 || tally.latency.count === 0)) {
    const line = fill(load.slow, numberTexts({ p99, max: maxP99 }, sentences));
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
