/**
 * What is on its way to the network: one write at a time, and what is added meanwhile goes out with the
 * next.
 *
 * @module
 */

import { GrowingBuffer } from "../protocol/buffer.ts";
import type { Connection } from "./connection.ts";
import type { Protocol } from "../protocol/protocol.ts";

/** Writes a protocol's output to its connection. */
export class Writer {
  /** How often the peer has taken some of what was too much for one write. */
  takenInParts = 0;
  readonly #connection: Connection;
  readonly #protocol: Protocol;
  /** Called when all has been written. */
  readonly #onDrained: () => void;
  /** Called when a write has failed: none follows. */
  readonly #onFailed: (error: unknown) => void;

  /** Bytes of messages in the protocol's output, and in the write that is under way. */
  #queued = 0;
  #inFlight = 0;
  /** What is being written, and how much of it has been; empty when nothing is. */
  #current = new GrowingBuffer();
  #at = 0;
  #failed = false;
  #flushed: PromiseWithResolvers<void> | undefined;

  constructor(
    connection: Connection,
    protocol: Protocol,
    onDrained: () => void,
    onFailed: (error: unknown) => void,
  ) {
    this.#connection = connection;
    this.#protocol = protocol;
    this.#onDrained = onDrained;
    this.#onFailed = onFailed;
  }

  /** Bytes of messages that the network has not taken. */
  get bufferedAmount(): number {
    return this.#queued + this.#inFlight;
  }

  /** Bytes of frames that the network has not taken. */
  get unsent(): number {
    return this.#protocol.output.length + this.#current.length;
  }

  /** Whether a write is under way. */
  get busy(): boolean {
    return this.#current.length > 0;
  }

  /** Notes that a message of `size` bytes is in the output. */
  queued(size: number): void {
    this.#queued += size;
  }

  /** Writes the output, if there is any and no write is under way. */
  flush(): void {
    const { output } = this.#protocol;
    if (this.busy || output.length === 0 || this.#failed) return;
    this.#protocol.output = this.#current;
    this.#current = output;
    this.#inFlight = this.#queued;
    this.#queued = 0;
    this.#write();
  }

  /** Resolves when no more than `most` bytes are unsent, or a write has failed. */
  async flushed(most = 0): Promise<void> {
    while (this.unsent > most && !this.#failed) {
      // Also what has been added since, and nobody has flushed.
      this.flush();
      this.#flushed ??= Promise.withResolvers();
      await this.#flushed.promise;
    }
  }

  // Promises with callbacks, not an async function: a write is a message, and each await of one costs.
  #write(): void {
    const { bytes, length } = this.#current;
    this.#connection.write(bytes.subarray(this.#at, length)).then(this.#taken, this.#fail);
  }

  readonly #taken = (count: number): void => {
    this.#at += count;
    if (this.#at < this.#current.length) {
      this.takenInParts++;
      return this.#write();
    }
    this.#at = this.#inFlight = 0;
    this.#current.release();
    this.flush();
    this.#resolve();
    if (!this.busy) this.#onDrained();
  };

  readonly #fail = (error: unknown): void => {
    this.#failed = true;
    this.#onFailed(error);
    this.#resolve();
  };

  #resolve(): void {
    this.#flushed?.resolve();
    this.#flushed = undefined;
  }
}
