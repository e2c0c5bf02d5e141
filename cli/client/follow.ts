/**
 * The mode `--follow`: sends what the flags give, and prints what comes.
 *
 * @module
 */

import { Failure } from "../failure.ts";
import { fill } from "../sentences.ts";
import { Stopped, unlessStopped } from "../signals.ts";
import { NO_ANSWER } from "./awaitable_socket.ts";
import { Conversation } from "./conversation.ts";
import { messagesOf, type OwnMessage } from "./messages.ts";
import { exitCodeOf, type Mode, reportFailure, type Run } from "./mode.ts";
import { reconnecting } from "./reconnect.ts";
import type { Step } from "./report.ts";

/** Ends with `--count`, `--duration`, the server's close, or a signal. */
export const follow: Mode = async (run) => {
  const { options, sentences, report } = run;
  const messages = await messagesOf(options, sentences);
  const over = new AbortController();
  const ms = options.duration * 1000;
  const timer = ms > 0 ? setTimeout(() => over.abort(new Stopped("duration", 0)), ms) : undefined;
  const stop = AbortSignal.any([run.stop, over.signal]);
  const following = new Following(messages, { ...run, stop });
  try {
    await reconnecting({ ...run, stop }, {
      attempt: () => following.attempt(),
      failed: (failure) => following.fail(failure),
    });
    return 0;
  } catch (error) {
    if (error !== over.signal.reason || following.hasEnough) return exitCodeOf(error, options);
    const { received } = following;
    const details = { received, count: options.count, ms };
    const failure = new Failure(fill(sentences.failure.fewMessages, details), NO_ANSWER);
    report.failed("readFailed", failure);
    return failure.exitCode;
  } finally {
    clearTimeout(timer);
  }
};

/** One run of the mode, over as many connections as it needs. */
class Following {
  /** How many messages have come. */
  received = 0;
  /** How many of them before the current attempt. */
  #receivedBefore = 0;
  #step: Step = "connectFailed";
  readonly #messages: OwnMessage[];
  readonly #run: Run;

  constructor(messages: OwnMessage[], run: Run) {
    this.#messages = messages;
    this.#run = run;
  }

  /** Whether as many messages have come as `--count` says, if it says anything. */
  get hasEnough(): boolean {
    return this.received >= this.#run.options.count;
  }

  /** Connects, sends all messages, and prints what comes. */
  async attempt(): Promise<void> {
    const { connector, report, statistics, options, stop } = this.#run;
    this.#step = "connectFailed";
    this.#receivedBefore = this.received;
    using opened = await connector.open(stop);
    const { socket, connection } = opened;
    this.#step = "readFailed";
    for (const message of this.#messages) {
      socket.send(message);
      statistics?.sent();
      report.sent(message);
    }
    const conversation = new Conversation(opened, this.#run);
    try {
      const most = options.count === 0 ? Infinity : options.count - this.received;
      const count = () => void this.received++;
      const closing = await unlessStopped(conversation.receive(most, count), stop);
      if (closing !== undefined) connection.checkEnding(closing, !this.hasEnough);
      else this.#step = "closeFailed";
      report.closed(closing ?? await connection.close());
    } catch (error) {
      if (error instanceof Stopped) {
        const closing = await conversation.leave();
        if (closing !== undefined) report.closed(closing);
      }
      throw error;
    }
  }

  /**
   * Reports a failure.
   *
   * @returns Whether something was received before it: so the server works.
   */
  fail(failure: Failure): boolean {
    reportFailure(this.#run, this.#step, failure);
    return this.received > this.#receivedBefore;
  }
}
