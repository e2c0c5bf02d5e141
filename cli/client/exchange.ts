/**
 * The client's exchange with a server: each message is sent, and its answer awaited.
 *
 * @module
 */

import { withoutToken } from "../bearer_subprotocol.ts";
import type { Failure } from "../failure.ts";
import { printable } from "../printable.ts";
import { fill, type Sentences } from "../sentences.ts";
import type { AwaitableSocket } from "./awaitable_socket.ts";
import type { Dialled } from "./dial.ts";
import { Refusal } from "./refusal.ts";
import type { Report } from "./report.ts";

/** The messages of one run of the client, over as many connections as they need. */
export class Exchange {
  /** How many messages have been answered. */
  answered = 0;
  /** How many have been sent. */
  #sent = 0;
  /** The sentence for a failure in the current step. */
  #step: "connectFailed" | "sendFailed" | "readFailed" | "closeFailed" = "connectFailed";

  constructor(
    readonly texts: string[],
    readonly binary: boolean,
    readonly report: Report,
    readonly sentences: Sentences,
  ) {}

  /** Sends each message that has no answer yet and waits for one, then closes. */
  async run(
    host: string,
    { socket, explain }: Dialled,
    connection: AwaitableSocket,
  ): Promise<void> {
    const { report, texts, sentences: { client } } = this;
    this.#step = "connectFailed";
    await connection.opened(host, explain);
    const { protocol, extensions } = socket;
    report.json({ event: "open", protocol: withoutToken(protocol), extensions });

    while (this.answered < texts.length) {
      this.#step = "sendFailed";
      const text = texts[this.answered]!;
      const message = this.binary ? new TextEncoder().encode(text) : text;
      const data = printable(message);
      if (this.#sent > this.answered) {
        report.err(fill(client.resending, { data }), { event: "resending", data });
      }
      socket.send(message);
      this.#sent = this.answered + 1;
      report.err(fill(client.sent, { data }), dataEvent("sent", message));
      this.#step = "readFailed";
      const answer = await connection.nextMessage();
      this.answered++;
      const line = fill(client.received, { data: printable(answer) });
      report.out(line, dataEvent("received", answer));
    }
    this.#step = "closeFailed";
    const closing = await connection.close();
    report.err(client.closed, { event: "closed", ...closing });
  }

  /** Reports a failure; of a response that refuses, what it tells besides. */
  fail(failure: Failure): void {
    const { message } = failure;
    const { client } = this.sentences;
    const { status, told: headers = {}, body = "" } = failure instanceof Refusal ? failure : {};
    const details = Object.entries(headers).map(([name, value]) => `${name}: ${printable(value)}`);
    const reason = [message, ...details].join("; ");
    this.report.err(fill(client[this.#step], { reason }), {
      event: "error",
      step: this.#step,
      message,
      ...status !== undefined && { status, headers, body },
    });
    if (body !== "") this.report.remark(fill(client.refusalBody, { body: printable(body.trim()) }));
  }

  /** Reports how many messages were answered, not answered, and not sent. */
  summarize(): void {
    const counts = {
      answered: this.answered,
      unanswered: this.#sent - this.answered,
      unsent: this.texts.length - this.#sent,
    };
    const line = fill(this.sentences.client.summary, counts);
    this.report.err(line, { event: "summary", ...counts });
  }
}

/** The JSON of a message. */
function dataEvent(event: string, data: string | Uint8Array): Record<string, unknown> {
  return typeof data === "string"
    ? { event, type: "text", data }
    : { event, type: "binary", base64: data.toBase64() };
}
