/**
 * What a run of the client has sent and received, for `--stats`.
 *
 * @module
 */

import type { Traffic } from "../../mod.ts";
import { WebSocket as CompressingWebSocket } from "../../websocket/websocket.ts";
import { numberText, numberTexts } from "../number_text.ts";
import { fill, type Sentences } from "../sentences.ts";
import type { Report } from "./report.ts";

/** Most answers that are awaited at a time and measured; those of further messages are not. */
const MAX_PENDING = 65_536;

/** How many times of answers are kept: beyond these, a random sample of all. */
const SAMPLES = 65_536;

/** Counts messages and bytes, and measures answers: the nth message received is taken for the answer to the nth. */
export class Statistics {
  /** When the messages that have no answer yet were sent, from `#first` on; in milliseconds. */
  readonly #pending: number[] = [];
  #first = 0;
  readonly #times: number[] = [];
  /** How many times there were. */
  #measured = 0;
  /** Whether there was a connection that does not count what it carries. */
  #isUnknown = false;
  readonly #now: () => number;
  readonly #sent = new Sum();
  readonly #received = new Sum();

  /** @param now The current time, in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A message was sent. */
  sent(): void {
    if (this.#pending.length - this.#first < MAX_PENDING) this.#pending.push(this.#now());
  }

  /** A message was received. */
  received(): void {
    const start = this.#pending[this.#first];
    if (start === undefined) return;
    this.#first++;
    if (this.#first === MAX_PENDING) {
      this.#pending.splice(0, this.#first);
      this.#first = 0;
    }
    const index = this.#measured < SAMPLES
      ? this.#measured
      : Math.floor(Math.random() * this.#measured);
    this.#measured++;
    if (index < SAMPLES) this.#times[index] = this.#now() - start;
  }

  /** Adds what a connection has carried; of Deno's own WebSocket, that is not known. */
  add(socket: WebSocket): void {
    if (!(socket instanceof CompressingWebSocket)) {
      this.#isUnknown = true;
      return;
    }
    const { sent, received } = socket.stats;
    this.#sent.add(sent);
    this.#received.add(received);
  }

  /** Reports all of it. */
  tell(report: Pick<Report, "json" | "remark">, sentences: Sentences): void {
    const { client } = sentences;
    const times = this.#times.toSorted((a, b) => a - b);
    const answers = times.length === 0
      ? undefined
      : { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
    report.json({
      event: "stats",
      ...!this.#isUnknown && { sent: this.#sent.toJSON(), received: this.#received.toJSON() },
      ...answers && { answers },
    });
    for (const line of this.#isUnknown ? [client.statsUnknown] : this.#traffic(sentences)) {
      report.remark(line);
    }
    if (answers !== undefined) {
      report.remark(fill(client.statsAnswers, numberTexts(answers, sentences)));
    }
  }

  /** A line for each way. */
  #traffic(sentences: Sentences): string[] {
    const { statsSent, statsReceived, statsNothingSent, statsNothingReceived } = sentences.client;
    return [
      this.#sent.isEmpty ? statsNothingSent : fill(statsSent, this.#sent.words(sentences)),
      this.#received.isEmpty
        ? statsNothingReceived
        : fill(statsReceived, this.#received.words(sentences)),
    ];
  }
}

/** What all connections have carried one way. */
export class Sum {
  #messages = 0;
  #messageBytes = 0;
  #wireBytes = 0;

  /** Adds what a connection has carried. */
  add(traffic: Traffic): void {
    this.#messages += traffic.messages;
    this.#messageBytes += traffic.messageBytes;
    this.#wireBytes += traffic.wireBytes;
  }

  /** Whether there was no message: what control frames take is no measure of compression. */
  get isEmpty(): boolean {
    return this.#messages === 0;
  }

  /** The numbers, by their names. */
  toJSON(): Record<"messages" | "messageBytes" | "wireBytes", number> {
    return {
      messages: this.#messages,
      messageBytes: this.#messageBytes,
      wireBytes: this.#wireBytes,
    };
  }

  /** What the sentences about it are filled with. */
  words(sentences: Sentences): Record<string, string | number> {
    const share = this.#messageBytes === 0 ? 0 : this.#wireBytes / this.#messageBytes;
    return {
      messages: this.#messages,
      bytes: sizeText(this.#messageBytes, sentences),
      wire: sizeText(this.#wireBytes, sentences),
      percent: Math.round(share * 100),
    };
  }
}

/** The time that a share of sorted times does not exceed, in milliseconds with two decimals. */
function percentile(sorted: number[], share: number): number {
  const time = sorted[Math.ceil(sorted.length * share) - 1]!;
  return Math.round(time * 100) / 100;
}

/**
 * A size in decimal units.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { sentencesIn } from "../sentences.ts";
 * import { sizeText } from "./statistics.ts";
 *
 * assertEquals(sizeText(999, sentencesIn("en")), "999 B");
 * assertEquals(sizeText(4_123_000, sentencesIn("en")), "4.1 MB");
 * ```
 */
export function sizeText(bytes: number, sentences: Sentences): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(bytes) / 3), units.length);
  return `${numberText(bytes / 1000 ** power, sentences, 1)} ${units[power - 1]}`;
}
