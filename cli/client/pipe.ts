/**
 * The mode `--stdin`: what standard input brings is sent, and what comes is printed. It is read no faster than
 * the server takes it.
 *
 * @module
 */

import { Failure } from "../failure.ts";
import { fill } from "../sentences.ts";
import { Stopped, unlessStopped } from "../signals.ts";
import { type Closing, NO_ANSWER } from "./awaitable_socket.ts";
import type { Opened } from "./connector.ts";
import { Conversation } from "./conversation.ts";
import { BadInput, Lines } from "./lines.ts";
import { exitCodeOf, type Mode, reportFailure, type Run } from "./mode.ts";
import { reconnecting } from "./reconnect.ts";
import type { Step } from "./report.ts";

/** With more bytes than this unsent, no more is read: what the library fires `drain` for. */
const HIGH_WATER_MARK = 64 * 1024;

/** Most bytes that are read at once: what a pipe of Linux holds. */
const CHUNK_SIZE = 64 * 1024;

/** How often to look whether Deno's own WebSocket has sent, as it does not tell; in milliseconds. */
const POLL_MS = 5;

/** Sends standard input; at its end, waits for what is still to come, and closes. */
export const pipe: Mode = async (run) => {
  const { options, connector, stop } = run;
  let step: Step = "connectFailed";
  const failed = (failure: Failure) => {
    reportFailure(run, step, failure);
    return false;
  };
  try {
    // Once it is open, a connection is not made again: what was sent and not read by the server would be lost.
    using opened = await reconnecting(run, { attempt: () => connector.open(stop), failed });
    const piping = new Piping(opened, run);
    try {
      await unlessStopped(piping.run(), stop);
    } catch (error) {
      if (error instanceof Stopped) await piping.conversation.leave();
      step = piping.step;
      if (error instanceof Failure) failed(error);
      throw error;
    }
    return 0;
  } catch (error) {
    return exitCodeOf(error, options);
  }
};

/** One connection of the mode. */
class Piping {
  step: Step = "sendFailed";
  readonly conversation: Conversation;
  readonly #opened: Opened;
  readonly #run: Run;
  /** Resolves when as many messages have come as `--count` says. */
  readonly #enough = Promise.withResolvers<void>();

  constructor(opened: Opened, run: Run) {
    this.#opened = opened;
    this.#run = run;
    this.conversation = new Conversation(opened, run);
  }

  async run(): Promise<void> {
    const { report, options: { count } } = this.#run;
    const { connection } = this.#opened;
    const received = this.conversation.receive(Infinity, () => {
      if (this.conversation.received === count) this.#enough.resolve();
    });
    let closing = await Promise.race([received, this.#send()]);
    if (closing !== undefined) connection.checkEnding(closing, true);
    this.step = "readFailed";
    closing = await this.#rest(received);
    if (closing !== undefined) {
      connection.checkEnding(closing, this.conversation.received < count);
    } else {
      this.step = "closeFailed";
      closing = await connection.close();
    }
    report.closed(closing);
  }

  /** Sends all that standard input brings. */
  async #send(): Promise<undefined> {
    const { options } = this.#run;
    const terminator = options.null ? "\0" : "\n";
    const lines = options.binary ? undefined : new Lines(terminator, options["max-message-size"]);
    const buffer = new Uint8Array(CHUNK_SIZE);
    try {
      for (let read; (read = await Deno.stdin.read(buffer)) !== null;) {
        const bytes = buffer.subarray(0, read);
        this.#sendAll(lines?.push(bytes) ?? [bytes]);
        await this.#room();
      }
      this.#sendAll(lines?.end() ?? []);
    } catch (error) {
      if (!(error instanceof BadInput)) throw error;
      const details = { path: "-", max: options["max-message-size"] };
      const { notText, longMessage } = this.#run.sentences.failure;
      throw new Failure(fill(error.problem === "notText" ? notText : longMessage, details));
    }
    return undefined;
  }

  #sendAll(messages: (string | Uint8Array<ArrayBuffer>)[]): void {
    const { report, statistics } = this.#run;
    const { socket } = this.#opened;
    for (const message of messages) {
      socket.send(message);
      statistics?.sent();
      if (report.tellsSent) report.sent(message);
    }
  }

  /** Waits until more may be sent. */
  async #room(): Promise<void> {
    const { socket } = this.#opened;
    while (socket.bufferedAmount > HIGH_WATER_MARK) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = "ondrain" in socket ? undefined : setTimeout(resolve, POLL_MS);
      const events = ["drain", "close"];
      for (const event of events) socket.addEventListener(event, () => resolve(), { once: true });
      await promise;
      clearTimeout(timer);
      // What was given to a socket that has closed stays unsent.
      if (socket.readyState !== WebSocket.OPEN) return await new Promise<never>(() => {});
    }
  }

  /**
   * Waits for what still comes: `--count` messages, the silence of `--wait`, or the connection's end.
   *
   * @returns How the connection has ended; undefined if it has not.
   * @throws {Failure} If there was silence before `--count` messages.
   */
  async #rest(received: Promise<Closing | undefined>): Promise<Closing | undefined> {
    const { options: { count, wait }, sentences: { failure } } = this.#run;
    const { conversation } = this;
    const start = performance.now();
    while (count === 0 || conversation.received < count) {
      const left = Math.max(start, conversation.lastAt) + wait - performance.now();
      if (left <= 0) {
        if (count === 0) return undefined;
        const details = { received: conversation.received, count, ms: wait };
        throw new Failure(fill(failure.fewMessages, details), NO_ANSWER);
      }
      const { promise, resolve } = Promise.withResolvers<"silence">();
      const timer = setTimeout(resolve, left, "silence");
      const enough = this.#enough.promise.then(() => "enough" as const);
      const end = await Promise.race([received, promise, enough]);
      clearTimeout(timer);
      if (typeof end === "object") return end;
    }
    return undefined;
  }
}
