/**
 * A WebSocket as two streams.
 *
 * @module
 */

import type { Message } from "../protocol/message.ts";
import type { SendData } from "./data.ts";
import { type Ending, State, STATE_NAMES, type StateValue } from "./session.ts";

/** What the streams ask of their socket. */
export interface StreamedSocket {
  readonly state: StateValue;
  /** How the connection has ended, if it has. */
  readonly ending: Ending | undefined;
  send(data: SendData): void;
  /** Resolves when no more than the high-water mark is unsent; rejects when the connection is lost. */
  drained(): Promise<void>;
  /** The reader wants a message. */
  goOn(): void;
  close(code?: number): void;
  terminate(): void;
}

/** The messages of a socket as a stream. */
export class MessageReader {
  readonly stream: ReadableStream<Message>;
  #controller: ReadableStreamDefaultController<Message> | undefined;
  /** Whether the reader has asked for a message since it got the last. */
  #asked = false;

  constructor(socket: StreamedSocket) {
    this.stream = new ReadableStream<Message>({
      start: (controller) => {
        this.#controller = controller;
        if (socket.ending !== undefined) this.end(socket.ending);
      },
      pull: () => {
        this.#asked = true;
        socket.goOn();
      },
      cancel: () => {
        this.#controller = undefined;
        // First, so that what waits for the reader does not become a `message` event.
        socket.close();
        socket.goOn();
      },
      // Asked for only when it is read: so it is known that what came before is done with.
    }, { highWaterMark: 0 });
  }

  /** Whether messages go to the stream. */
  get isOpen(): boolean {
    return this.#controller !== undefined;
  }

  /** Whether the reader has not asked for the next message. */
  get isBusy(): boolean {
    return this.#controller !== undefined && !this.#asked;
  }

  /** Hands a message over. */
  take(data: Message): void {
    this.#asked = false;
    this.#controller!.enqueue(data);
  }

  /** The connection has ended. */
  end({ wasClean, error }: Ending): void {
    if (wasClean) this.#controller?.close();
    else this.#controller?.error(error);
    this.#controller = undefined;
  }
}

/** What is written to the stream is sent. */
export class MessageWriter {
  readonly stream: WritableStream<SendData>;
  #controller: WritableStreamDefaultController | undefined;
  #ended = Promise.withResolvers<void>();
  #opened = Promise.withResolvers<void>();

  constructor(socket: StreamedSocket) {
    this.#ended.promise.catch(() => {});
    this.#opened.promise.catch(() => {});
    this.stream = new WritableStream<SendData>({
      start: (controller) => {
        this.#controller = controller;
        if (socket.ending !== undefined) this.end(socket.ending);
        // An `abort` method would be called only after the opening, or for the peer to take what is being written.
        controller.signal.addEventListener("abort", () => socket.terminate());
        return socket.state === State.CONNECTING ? this.#opened.promise : undefined;
      },
      write: async (data) => {
        if (socket.state !== State.OPEN) {
          throw new Error(
            `Cannot write message: socket is ${STATE_NAMES[socket.state]}, must be OPEN`,
          );
        }
        socket.send(data);
        await socket.drained();
      },
      close: async () => {
        socket.close(1000);
        await this.#ended.promise;
      },
    });
  }

  /** The connection is open. */
  open(): void {
    this.#opened.resolve();
  }

  /** The connection has ended: nothing more can be written. */
  end({ wasClean, error }: Ending): void {
    const reason = wasClean
      ? new Error("Cannot write message: socket is CLOSED, must be OPEN")
      : error;
    if (wasClean) this.#ended.resolve();
    else this.#ended.reject(reason);
    this.#opened.reject(reason);
    this.#controller?.error(reason);
  }
}
