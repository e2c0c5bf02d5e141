/**
 * The client's exchange with a server: each message is sent, and its answer awaited.
 *
 * @module
 */

import type { Failure } from "../failure.ts";
import { printable } from "../printable.ts";
import { fill } from "../sentences.ts";
import { Stopped, unlessStopped } from "../signals.ts";
import type { Opened } from "./connector.ts";
import { DEFAULT_MESSAGE, messagesOf, type OwnMessage, ownMessage } from "./messages.ts";
import { exitCodeOf, type Mode, type Run } from "./mode.ts";
import { reconnecting } from "./reconnect.ts";
import type { Step } from "./report.ts";

/** Sends each message of the command line, awaits each answer, and closes. */
export const exchange: Mode = async (run) => {
  const { options, sentences } = run;
  const given = await messagesOf(options, sentences);
  const isDemo = given.length === 0 && !options["connect-only"];
  const exchange = new Exchange(isDemo ? [ownMessage(DEFAULT_MESSAGE, options)] : given, run);
  try {
    await reconnecting(run, {
      attempt: () => exchange.attempt(),
      failed: (failure) => exchange.fail(failure),
    });
    return 0;
  } catch (error) {
    const code = exitCodeOf(error, options);
    const wasStopped = error instanceof Stopped && error.exitCode !== 0;
    if (wasStopped || options.reconnect > 0) exchange.summarize();
    return code;
  }
};

/** The messages of one run of the client, over as many connections as they need. */
class Exchange {
  readonly #messages: OwnMessage[];
  readonly #run: Run;
  /** How many messages have been answered. */
  #answered = 0;
  /** How many of them before the current attempt. */
  #answeredBefore = 0;
  /** How many have been sent. */
  #sent = 0;
  #step: Step = "connectFailed";

  constructor(messages: OwnMessage[], run: Run) {
    this.#messages = messages;
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
    const { report, statistics, options, sentences: { client } } = this.#run;
    this.#step = "readFailed";
    for (let left = options.skip; left > 0; left--) report.received(await connection.nextMessage());
    while (this.#answered < this.#messages.length) {
      this.#step = "sendFailed";
      const message = this.#messages[this.#answered]!;
      if (this.#sent > this.#answered) {
        const data = printable(message);
        report.err(fill(client.resending, { data }), { event: "resending", data });
      }
      socket.send(message);
      statistics?.sent();
      this.#sent = this.#answered + 1;
      report.sent(message);
      this.#step = "readFailed";
      const answer = await connection.nextMessage();
      statistics?.received();
      this.#answered++;
      report.received(answer);
    }
    this.#step = "closeFailed";
    report.closed(await connection.close());
  }

  /**
   * Reports a failure.
   *
   * @returns Whether there was an answer before it: so the server works.
   */
  fail(failure: Failure): boolean {
    this.#run.report.failed(this.#step, failure);
    return this.#answered > this.#answeredBefore;
  }

  /** Reports how many messages were answered, not answered, and not sent. */
  summarize(): void {
    const { report, sentences } = this.#run;
    const counts = {
      answered: this.#answered,
      unanswered: this.#sent - this.#answered,
      unsent: this.#messages.length - this.#sent,
    };
    report.err(fill(sentences.client.summary, counts), { event: "summary", ...counts });
  }
}
