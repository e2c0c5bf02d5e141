/**
 * The mode `--load`: measures how a server fares with many connections and messages.
 *
 * @module
 */

import { UsageError } from "../flags.ts";
import { fill, type Sentences } from "../sentences.ts";
import { Stopped } from "../signals.ts";
import { dial } from "./dial.ts";
import type { Options } from "./flags.ts";
import { Generator } from "./load/generator.ts";
import { payloads } from "./load/payloads.ts";
import { showProgress } from "./load/progress.ts";
import { brokenLimits, summary } from "./load/summary.ts";
import { Tally } from "./load/tally.ts";
import { DEFAULT_MESSAGE, messagesOf, type OwnMessage, ownMessage } from "./messages.ts";
import type { Mode } from "./mode.ts";

/** For how long messages are sent unless the flags say otherwise, in seconds. */
const DEFAULT_DURATION = 10;

/** Ends by itself, or with a signal; then says what came of it. */
export const load: Mode = async ({ options, sentences, report, connector, stop }) => {
  const { connections, ramp, rate, timeout, skip, expect } = options;
  checkFlags(options, sentences);
  const messages = await messagesToSend(options, sentences);
  connector.announce(connector.url);
  const dialOptions = { ...await connector.dialOptions(connector.url), alwaysOwn: true };
  const tally = new Tally();
  const plan = {
    connections,
    ramp: ramp * 1000,
    rate,
    duration: (options.duration || DEFAULT_DURATION) * 1000,
    timeout,
    skip,
    messages,
    isAnswered: expect !== "none",
    isWanted: expectation(options),
    now: () => performance.now(),
    dial: () => dial(connector.url, dialOptions, sentences),
  };
  const generator = new Generator(plan, tally);
  {
    using _ = options.json ? undefined : showProgress(generator, plan, tally, sentences);
    await generator.run(stop);
  }
  const broken = brokenLimits(options, tally, sentences);
  report.json({ event: "load", ...tally.toJSON() });
  for (const line of summary(connections, tally, sentences)) report.tell(line);
  for (const { line, ...event } of broken) report.err(line, { event: "limit", ...event });
  if (stop.aborted && stop.reason instanceof Stopped) return stop.reason.exitCode;
  return broken.length > 0 || tally.connects.count === 0 ? 1 : 0;
};

/** Refuses what has no meaning where no answer is awaited: to send with the next one, and its latency. */
function checkFlags(options: Options, { usage }: Sentences): void {
  if (options.expect !== "none") return;
  const flag = "--expect=none";
  if (options.rate === undefined) {
    throw new UsageError(fill(usage.incomplete, { flag, other: "--rate" }));
  }
  if (options["max-p99"] !== undefined) {
    throw new UsageError(fill(usage.excluded, { flag, other: "--max-p99" }));
  }
}

/** The messages that the flags give, those of the size that they give, or the demo's. */
async function messagesToSend(options: Options, sentences: Sentences): Promise<OwnMessage[]> {
  if (options.size !== undefined) return payloads(options.size, options.binary);
  const given = await messagesOf(options, sentences);
  return given.length > 0 ? given : [ownMessage(DEFAULT_MESSAGE, options)];
}

/** Whether an answer is the one that the flags ask for: of the type that is sent. */
function expectation({ expect, binary }: Options): (data: string | ArrayBuffer) => boolean {
  if (expect === undefined || expect === "none") return () => true;
  if (!binary) return (data) => data === expect;
  const bytes = new TextEncoder().encode(expect);
  return (data) => {
    if (typeof data === "string" || data.byteLength !== bytes.length) return false;
    return new Uint8Array(data).every((byte, index) => byte === bytes[index]);
  };
}
