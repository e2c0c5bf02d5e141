/**
 * One connection of a load.
 *
 * @module
 */

import { deadline } from "@std/async/deadline";
import { WebSocket as CompressingWebSocket } from "../../../mod.ts";
import type { Dialled } from "../dial.ts";
import type { OwnMessage } from "../messages.ts";
import { Refusal } from "../refusal.ts";
import { Pending } from "./pending.ts";
import type { Tally } from "./tally.ts";

/** Most messages of a connection that are unanswered at a time: the times of so many take 8 KiB. */
const MOST_PENDING = 1024;

/** With more bytes than this unsent, a connection is handed no further message. */
const MOST_BUFFERED = 64 * 1024;

/** What a connection does. */
export interface ConnectionOptions {
  /** Longest wait for the connection to be open, in milliseconds. */
  timeout: number;
  /** Messages at the start that are no answers. */
  skip: number;
  /** Whether the server answers each message. */
  isAnswered: boolean;
  /** Whether an answer is the wanted one. */
  isWanted: (data: string | ArrayBuffer) => boolean;
  /** The current time, in milliseconds. */
  now: () => number;
}

/** Told what comes. */
export interface ConnectionListener {
  /** A message was answered. */
  answered(connection: LoadConnection): void;
  /** The connection has ended, after it was open and not by {@linkcode LoadConnection.close}. */
  ended(connection: LoadConnection): void;
}

/** Sends messages, and counts what becomes of them. */
export class LoadConnection {
  /** The place in its owner's list. */
  index = -1;
  readonly #dialled: Dialled;
  readonly #socket: WebSocket;
  readonly #options: ConnectionOptions;
  readonly #tally: Tally;
  readonly #listener: ConnectionListener;
  readonly #pending = new Pending(MOST_PENDING);
  readonly #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  #skip: number;
  /** Whether its end is no error any more. */
  #isClosing = false;
  #isOpen = false;
  /** What the socket's error event told. */
  #error: unknown = "";

  /** @param dialled A socket that is connecting. */
  constructor(
    dialled: Dialled,
    options: ConnectionOptions,
    tally: Tally,
    listener: ConnectionListener,
  ) {
    this.#dialled = dialled;
    this.#options = options;
    this.#tally = tally;
    this.#listener = listener;
    this.#skip = options.skip;
    const socket = this.#socket = dialled.socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened.resolve();
    socket.onerror = (event) => {
      if (event instanceof ErrorEvent) this.#error = event.error ?? event.message;
    };
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = ({ code, wasClean }) => this.#onClose(code, wasClean);
  }

  /**
   * Waits for the opening handshake, and counts how long it took or why it failed.
   *
   * @returns Whether the connection is open.
   */
  async open(): Promise<boolean> {
    const { timeout, now } = this.#options;
    const start = now();
    try {
      await deadline(this.#opened.promise, timeout);
    } catch (error) {
      if (!this.#isClosing) await this.#countFailure(error);
      this.terminate();
      return false;
    }
    this.#isOpen = true;
    this.#tally.connects.record(now() - start);
    return true;
  }

  /** How many messages have no answer yet. */
  get unanswered(): number {
    return this.#pending.length;
  }

  /** Resolves when the connection has ended. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /**
   * Sends a message, unless too much is unanswered or unsent.
   *
   * @param due When the message was to be sent, in milliseconds.
   * @returns Whether an answer is awaited.
   */
  ask(message: OwnMessage, due: number): boolean {
    if (this.#pending.isFull || this.#socket.bufferedAmount > MOST_BUFFERED) {
      this.#tally.fail("unsent");
      return false;
    }
    this.#socket.send(message);
    this.#tally.asked++;
    if (this.#options.isAnswered) this.#pending.push(due);
    return this.#options.isAnswered;
  }

  /** Begins the closing handshake. Messages that are unanswered count as such. */
  close(): void {
    this.#isClosing = true;
    this.#forget();
    this.#socket.close(1000);
  }

  /** Cuts the connection off. */
  terminate(): void {
    this.#isClosing = true;
    this.#dialled[Symbol.dispose]();
  }

  #received(data: string | ArrayBuffer): void {
    if (this.#skip > 0) {
      this.#skip--;
      return;
    }
    if (this.#isClosing) return;
    const due = this.#pending.shift();
    if (due === undefined) return this.#tally.fail("unexpected");
    this.#tally.latency.record(this.#options.now() - due);
    if (!this.#options.isWanted(data)) this.#tally.fail("unexpected");
    this.#listener.answered(this);
  }

  #onClose(code: number, wasClean: boolean): void {
    this.#opened.reject(this.#error);
    if (this.#isOpen) {
      if (this.#socket instanceof CompressingWebSocket) this.#tally.carried(this.#socket.stats);
      if (!this.#isClosing) {
        if (wasClean) this.#tally.fail("closed", { code });
        else this.#tally.fail("lost");
        this.#listener.ended(this);
        this.#forget();
      }
    }
    this.#closed.resolve();
  }

  /** Counts the messages that will not be answered any more. */
  #forget(): void {
    this.#tally.fail("unanswered", { count: this.#pending.length });
    this.#pending.clear();
  }

  async #countFailure(error: unknown): Promise<void> {
    if (error instanceof DOMException && error.name === "TimeoutError") {
      return this.#tally.fail("timeout");
    }
    const failure = await this.#dialled.explain(error);
    if (failure instanceof Refusal) this.#tally.fail("status", { code: failure.status });
    else this.#tally.fail("connect", { reason: failure.message });
  }
}
