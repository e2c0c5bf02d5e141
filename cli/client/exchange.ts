/**
 * The client's exchange with a server: each message is sent, and its answer awaited.
 *
 * @module
 */

import { Failure } from "../failure.ts";
import { printable } from "../printable.ts";
import { fill } from "../sentences.ts";
import { Stopped, unlessStopped } from "../signals.ts";
import type { Opened } from "./connector.ts";
import type { Run } from "./mode.ts";
import { reconnecting } from "./reconnect.ts";
import { Refusal } from "./refusal.ts";

/** What the demo's client sends. */
const DEFAULT_MESSAGE = "Olá, servidor WebSocket!";

/** Sends each message of the command line, awaits each answer, and closes. */
export async function exchange(run: Run): Promise<number> {
  const { options } = run;
  const texts = options.message.length > 0 ? options.message : [DEFAULT_MESSAGE];
  const exchange = new Exchange(texts, run);
  try {
    await reconnecting(run, {
      attempt: () => exchange.attempt(),
      failed: (failure) => exchange.fail(failure),
    });
    return 0;
  } catch (error) {
    const isTold = error instanceof Failure;
    if (!isTold && !(error instanceof Stopped)) throw error;
    if (!isTold || options.reconnect > 0) exchange.summarize();
    return error.exitCode;
  }
}

/** The messages of one run of the client, over as many connections as they need. */
class Exchange {
  readonly #texts: string[];
  readonly #run: Run;
  /** How many messages have been answered. */
  #answered = 0;
  /** How many of them before the current attempt. */
  #answeredBefore = 0;
  /** How many have been sent. */
  #sent = 0;
  /** The sentence for a failure in the current step. */
  #step: "connectFailed" | "sendFailed" | "readFailed" | "closeFailed" = "connectFailed";

  constructor(texts: string[], run: Run) {
    this.#texts = texts;
    this.#run = run;
  }

  /** Connects, sends each message that has no answer yet and waits for one, then closes. */
  async attempt(): Promise<void> {
    const { connector, stop } = this.#run;
    this.#step = "connectFailed";
    this.#answeredBefore = this.#answered;
    using opened = await connector.open(stop);
    await unlessStopped(this.#exchange(opened), stop);
  }

  async #exchange({ socket, connection }: Opened): Promise<void> {
    const { report, options, sentences: { client } } = this.#run;
    while (this.#answered < this.#texts.length) {
      this.#step = "sendFailed";
      const text = this.#texts[this.#answered]!;
      const message = options.binary ? new TextEncoder().encode(text) : text;
      const data = printable(message);
      if (this.#sent > this.#answered) {
        report.err(fill(client.resending, { data }), { event: "resending", data });
      }
      socket.send(message);
      this.#sent = this.#answered + 1;
      report.err(fill(client.sent, { data }), dataEvent("sent", message));
      this.#step = "readFailed";
      const answer = await connection.nextMessage();
      this.#answered++;
      const line = fill(client.received, { data: printable(answer) });
      report.out(line, dataEvent("received", answer));
    }
    this.#step = "closeFailed";
    const closing = await connection.close();
    report.err(client.closed, { event: "closed", ...closing });
  }

  /**
   * Reports a failure; of a response that refuses, what it tells besides.
   *
   * @returns Whether there was an answer before it: so the server works.
   */
  fail(failure: Failure): boolean {
    const { message } = failure;
    const { report, sentences: { client } } = this.#run;
    const { status, told: headers = {}, body = "" } = failure instanceof Refusal ? failure : {};
    const details = Object.entries(headers).map(([name, value]) => `${name}: ${printable(value)}`);
    const reason = [message, ...details].join("; ");
    report.err(fill(client[this.#step], { reason }), {
      event: "error",
      step: this.#step,
      message,
      ...status !== undefined && { status, headers, body },
    });
    if (body !== "") report.remark(fill(client.refusalBody, { body: printable(body.trim()) }));
    return this.#answered > this.#answeredBefore;
  }

  /** Reports how many messages were answered, not answered, and not sent. */
  summarize(): void {
    const { report, sentences } = this.#run;
    const counts = {
      answered: this.#answered,
      unanswered: this.#sent - this.#answered,
      unsent: this.#texts.length - this.#sent,
    };
    report.err(fill(sentences.client.summary, counts), { event: "summary", ...counts });
  }
}

/** The JSON of a message. */
function dataEvent(event: string, data: string | Uint8Array): Record<string, unknown> {
  return typeof data === "string"
    ? { event, type: "text", data }
    : { event, type: "binary", base64: data.toBase64() };
}
