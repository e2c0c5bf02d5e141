/**
 * What the client prints: lines for a person, the payloads alone for another program, or JSON.
 *
 * @module
 */

import type { Failure } from "../failure.ts";
import type { Output } from "../output.ts";
import { printable } from "../printable.ts";
import { fill, type Sentences } from "../sentences.ts";
import type { Closing } from "./awaitable_socket.ts";
import { Refusal } from "./refusal.ts";

/** What the client was doing: the name of the sentence for a failure in it. */
export type Step = "connectFailed" | "sendFailed" | "readFailed" | "closeFailed";

/** What binary messages are printed as, where the payloads alone are. */
export type BinaryFormat = "raw" | "hex" | "base64";

/** What a {@linkcode Report} prints. */
export interface ReportOptions {
  /** Lines for a person, the payloads alone, or an object for each event. */
  form: "told" | "raw" | "json";
  /** Whether all is left out but what was received. */
  quiet: boolean;
  /** Whether each line begins with date and time, and each object has them. */
  timestamps: boolean;
  /** For the form `raw`. */
  binaryFormat: BinaryFormat;
  /** What ends a text, in the form `raw`. */
  terminator: "\n" | "\0";
}

/** Reports what happened in the form that was asked for. */
export class Report {
  readonly #options: ReportOptions;
  readonly #output: Output;
  readonly #sentences: Sentences;

  constructor(options: ReportOptions, output: Output, sentences: Sentences) {
    this.#options = options;
    this.#output = output;
    this.#sentences = sentences;
  }

  /** Whether each message sent is told of: not beside the payloads of a stream. */
  get tellsSent(): boolean {
    return this.#options.form !== "raw" && !(this.#options.quiet && this.#options.form === "told");
  }

  /** Reports what the client does, as a line on standard output. */
  out(line: string, event: Record<string, unknown>): void {
    const { form, quiet } = this.#options;
    if (form === "told" && !quiet) this.#output.out(this.#stamped(line));
    else this.err(line, event);
  }

  /** Reports what only programs need. */
  json(event: Record<string, unknown>): void {
    const { form, timestamps } = this.#options;
    if (form !== "json") return;
    const time = timestamps && { time: new Date().toISOString() };
    this.#output.out(JSON.stringify({ ...time, ...event }));
  }

  /** Reports a remark on standard error. As JSON it goes to standard output, in order with the other events. */
  err(line: string, event: Record<string, unknown>): void {
    this.json(event);
    this.remark(line);
  }

  /** Reports to a person what an event has told a program already. */
  remark(line: string): void {
    const { form, quiet } = this.#options;
    if (form !== "json" && !quiet) this.#output.err(this.#stamped(line));
  }

  /** Likewise, on standard output. */
  tell(line: string): void {
    if (this.#options.form === "told") this.#output.out(this.#stamped(line));
  }

  /** Reports a message that was sent. */
  sent(message: string | Uint8Array): void {
    const line = fill(this.#sentences.client.sent, { data: printable(message) });
    this.err(line, dataEvent("sent", message));
  }

  /** Reports a message that was received. */
  received(message: string | Uint8Array): void {
    switch (this.#options.form) {
      case "told": {
        const line = fill(this.#sentences.client.received, { data: printable(message) });
        return this.#output.out(this.#stamped(line));
      }
      case "json":
        return this.json(dataEvent("received", message));
      case "raw":
        return this.#payload(message);
    }
  }

  /** Reports a failure in a step; of a response that refuses, what it tells besides. */
  failed(step: Step, failure: Failure): void {
    const { client } = this.#sentences;
    const { message } = failure;
    const { status, told: headers = {}, body = "" } = failure instanceof Refusal ? failure : {};
    const details = Object.entries(headers).map(([name, value]) => `${name}: ${printable(value)}`);
    const reason = [message, ...details].join("; ");
    this.err(fill(client[step], { reason }), {
      event: "error",
      step,
      message,
      ...status !== undefined && { status, headers, body },
    });
    if (body !== "") this.remark(fill(client.refusalBody, { body: printable(body.trim()) }));
  }

  /** Reports how a connection ended: in order, or with a code that means something else. */
  closed(closing: Closing): void {
    const { code } = closing;
    // 1005 is for a Close frame without a code.
    const isPlain = code === 1000 || code === 1005;
    const line = isPlain ? this.#sentences.client.closed : closingText(closing, this.#sentences);
    this.err(line, { event: "closed", ...closing });
  }

  /** Prints a payload whole: a text, and bytes in hexadecimal or Base64, as a line. */
  #payload(message: string | Uint8Array): void {
    const { binaryFormat, terminator } = this.#options;
    if (typeof message !== "string") {
      if (binaryFormat === "raw") return this.#output.bytes?.(message);
      message = binaryFormat === "hex" ? message.toHex() : message.toBase64();
    }
    if (terminator === "\n") return this.#output.out(message);
    this.#output.bytes?.(new TextEncoder().encode(message + terminator));
  }

  #stamped(line: string): string {
    return this.#options.timestamps ? `${new Date().toISOString()} ${line}` : line;
  }
}

/** How a connection ended, with what the code means. */
export function closingText({ code, reason }: Closing, { prompt }: Sentences): string {
  const { closed, closeCodes } = prompt;
  const meanings: Record<number, string> = closeCodes;
  const meaning = meanings[code] ?? closeCodes.other;
  return fill(closed, { code, meaning, reason: reason && `, "${printable(reason)}"` });
}

/** The JSON of a message. */
function dataEvent(event: string, data: string | Uint8Array): Record<string, unknown> {
  return typeof data === "string"
    ? { event, type: "text", data }
    : { event, type: "binary", base64: data.toBase64() };
}
