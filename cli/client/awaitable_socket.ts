/**
 * A WebSocket whose steps can be awaited: opening, each message, closing. A step that fails or takes too long
 * rejects with a sentence for the user.
 *
 * @module
 */

import { deadline } from "@std/async/deadline";
import { fill, type Sentences } from "../sentences.ts";
import { Failure } from "../failure.ts";
import { printable } from "../printable.ts";

/** How a connection ended. */
export interface Closing {
  code: number;
  reason: string;
  wasClean: boolean;
}

/** One connection, whose steps are awaited in the order in which the program takes them. */
export class AwaitableSocket {
  readonly #socket: WebSocket;
  readonly #sentences: Sentences;
  readonly #timeout: number;
  /** Messages that arrived and were not asked for yet. */
  readonly #arrived: (string | Uint8Array<ArrayBuffer>)[] = [];
  readonly #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<Closing>();
  /** Resolves when a message arrives or the connection closes; undefined until `nextMessage()` waits. */
  #arrival: PromiseWithResolvers<void> | undefined;
  /** What the socket's error event told. */
  #error: unknown = "";

  /**
   * @param socket A socket that is connecting.
   * @param timeout Longest wait for a step, in milliseconds.
   */
  constructor(socket: WebSocket, timeout: number, sentences: Sentences) {
    this.#socket = socket;
    this.#timeout = timeout;
    this.#sentences = sentences;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened.resolve();
    socket.onerror = (event) => {
      if (event instanceof ErrorEvent) this.#error = event.error ?? event.message;
    };
    socket.onmessage = ({ data }) => {
      this.#arrived.push(typeof data === "string" ? data : new Uint8Array(data));
      this.#arrival?.resolve();
    };
    socket.onclose = ({ code, reason, wasClean }) => {
      this.#opened.reject(this.#error);
      // Deno's own WebSocket reports a lost connection as 0, the web as 1006 (RFC 6455 section 7.1.5).
      this.#closed.resolve({ code: code || 1006, reason, wasClean });
      this.#arrival?.resolve();
    };
    // A caller that never calls `opened()` must not get an unhandled rejection.
    this.#opened.promise.catch(() => {});
  }

  /**
   * Waits for the opening handshake.
   *
   * @param host The server, named in the sentence about a timeout.
   * @param explain Turns the socket's error into a failure that says why.
   * @throws {Failure} If the connection fails, or takes too long.
   */
  async opened(host: string, explain: (error: unknown) => Promise<Failure>): Promise<void> {
    const timeoutSentence = fill(this.#sentences.failure.timeout, { host, ms: this.#timeout });
    try {
      await this.#within(this.#opened.promise, timeoutSentence);
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw await explain(error);
    }
  }

  /**
   * Waits for the next message.
   *
   * @throws {Failure} If the connection ends first, or the message takes too long.
   */
  async nextMessage(): Promise<string | Uint8Array<ArrayBuffer>> {
    if (this.#arrived.length === 0 && this.#socket.readyState !== WebSocket.CLOSED) {
      this.#arrival = Promise.withResolvers();
      const timeoutSentence = fill(this.#sentences.failure.noAnswer, { ms: this.#timeout });
      await this.#within(this.#arrival.promise, timeoutSentence);
    }
    const message = this.#arrived.shift();
    if (message === undefined) throw new Failure(this.#ending(await this.#closed.promise));
    return message;
  }

  /**
   * Closes with code 1000 and waits until the connection is closed.
   *
   * @throws {Failure} If the connection does not end cleanly, or the close takes too long.
   */
  async close(): Promise<Closing> {
    this.#socket.close(1000);
    const timeoutSentence = fill(this.#sentences.failure.noClose, { ms: this.#timeout });
    const closing = await this.#within(this.#closed.promise, timeoutSentence);
    if (!closing.wasClean) throw new Failure(this.#ending(closing));
    return closing;
  }

  #ending({ code, reason, wasClean }: Closing): string {
    const { failure } = this.#sentences;
    if (!wasClean) return fill(failure.lost, { code });
    return fill(failure.closedEarly, { code, reason: reason && `, "${printable(reason)}"` });
  }

  async #within<T>(promise: Promise<T>, timeoutSentence: string): Promise<T> {
    try {
      return await deadline(promise, this.#timeout);
    } catch (error) {
      if (error instanceof DOMException && error.name === "TimeoutError") {
        throw new Failure(timeoutSentence);
      }
      throw error;
    }
  }
}
