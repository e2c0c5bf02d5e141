/**
 * A WebSocket whose steps can be awaited: opening, each message, closing. A step that fails or takes too long
 * rejects with a sentence for the user.
 *
 * @module
 */

import { deadline } from "@std/async/deadline";
import { ProtocolError } from "../../protocol/protocol_error.ts";
import { WebSocket as CompressingWebSocket } from "../../websocket/websocket.ts";
import { fill, type Sentences } from "../sentences.ts";
import { Failure } from "../failure.ts";
import { printable } from "../printable.ts";

/** How a connection ended. */
export interface Closing {
  code: number;
  reason: string;
  wasClean: boolean;
}

/** The exit code when an answer did not come in time. */
export const NO_ANSWER = 3;

/** The server closed the connection. */
export class ClosedByServer extends Failure {
  override name = "ClosedByServer";
  constructor(message: string, readonly closing: Closing, exitCode: number = 1) {
    super(message, exitCode);
  }
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
  /** Reads the messages once {@linkcode takeMessage} is used; of Deno's own WebSocket there is none. */
  #reader: ReadableStreamDefaultReader<string | Uint8Array<ArrayBuffer>> | undefined;
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
      if (this.#reader !== undefined) return;
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
      await this.#within(this.#arrival.promise, timeoutSentence, NO_ANSWER);
    }
    const message = this.#arrived.shift();
    if (message === undefined) throw this.#failureOf(await this.#closed.promise);
    return message;
  }

  /**
   * Waits for the next message, however long it takes. While nobody waits, no more is read from the network; Deno's
   * own WebSocket reads all the same, and keeps what it has read.
   *
   * @returns Undefined at the connection's end.
   */
  async takeMessage(): Promise<string | Uint8Array<ArrayBuffer> | undefined> {
    if (this.#socket instanceof CompressingWebSocket) {
      this.#reader ??= this.#socket.readable.getReader();
    }
    if (this.#arrived.length > 0) return this.#arrived.shift();
    if (this.#reader !== undefined) {
      try {
        return (await this.#reader.read()).value;
      } catch {
        // How it ended, `ended()` tells.
        return undefined;
      }
    }
    if (this.#socket.readyState === WebSocket.CLOSED) return undefined;
    this.#arrival = Promise.withResolvers();
    await this.#arrival.promise;
    return this.#arrived.shift();
  }

  /** How the connection ended, once it has. */
  get ended(): Promise<Closing> {
    return this.#closed.promise;
  }

  /**
   * Checks how the connection has ended.
   *
   * @param isEarly Whether something was still awaited.
   * @throws {Failure} If the connection was lost, closed with another code than 1000, or early.
   */
  checkEnding(closing: Closing, isEarly: boolean): void {
    if (isEarly || !closing.wasClean) throw this.#failureOf(closing);
    // 1005 is for a Close frame without a code.
    if (closing.code === 1000 || closing.code === 1005) return;
    const sentence = this.#told(closing, this.#sentences.failure.closedByServer);
    throw new ClosedByServer(sentence, closing, 0);
  }

  /**
   * Closes with code 1000 and waits until the connection is closed.
   *
   * @throws {Failure} If the connection does not end cleanly, or the close takes too long.
   */
  async close(): Promise<Closing> {
    this.#socket.close(1000);
    // What has come and was not read would keep the Close frame behind it from being read.
    this.#reader?.cancel().catch(() => {});
    const timeoutSentence = fill(this.#sentences.failure.noClose, { ms: this.#timeout });
    const closing = await this.#within(this.#closed.promise, timeoutSentence);
    if (!closing.wasClean) throw this.#failureOf(closing);
    return closing;
  }

  #failureOf(closing: Closing): Failure {
    const { failure } = this.#sentences;
    const { code, wasClean } = closing;
    if (this.#error instanceof ProtocolError) {
      const { violation, code, message: cause } = this.#error;
      const sentence = violation === "MESSAGE_TOO_BIG" ? failure.tooLong : failure.violation;
      return new Failure(fill(sentence, { code, cause }));
    }
    if (!wasClean) return new Failure(fill(failure.lost, { code }));
    return new ClosedByServer(this.#told(closing, failure.closedEarly), closing);
  }

  #told({ code, reason }: Closing, sentence: string): string {
    return fill(sentence, { code, reason: reason && `, "${printable(reason)}"` });
  }

  async #within<T>(promise: Promise<T>, timeoutSentence: string, exitCode = 1): Promise<T> {
    try {
      return await deadline(promise, this.#timeout);
    } catch (error) {
      if (error instanceof DOMException && error.name === "TimeoutError") {
        throw new Failure(timeoutSentence, exitCode);
      }
      throw error;
    }
  }
}
