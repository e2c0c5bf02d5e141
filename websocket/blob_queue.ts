/**
 * Order where a Blob is sent: it has to be read first, and what comes after it waits.
 *
 * @module
 */

import { bytesOf, isBytes, type SendData, sizeOf } from "./data.ts";
import { type Session, State } from "./session.ts";

/** What waits for a Blob to be read, and the Blobs. */
export class BlobQueue {
  readonly #session: Session;
  /** Resolves when the last that was queued is done. */
  #last: Promise<void> | undefined;
  /** Bytes of messages that wait. */
  #bytes = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Bytes of messages that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Resolves when nothing waits any more; `undefined` if nothing does. */
  get done(): Promise<void> | undefined {
    return this.#last;
  }

  /** Sends a message after those before it. */
  send(data: SendData, compress: boolean): void {
    const message = isBytes(data) ? bytesOf(data).slice() : data;
    const size = sizeOf(message);
    this.#bytes += size;
    this.run(async () => {
      // A Blob whose source has gone cannot be read; there is nothing to send in its place.
      const read = message instanceof Blob
        ? await message.bytes().catch((error) => this.#session.fail(error))
        : message;
      this.#bytes -= size;
      if (read !== undefined) this.#session.send(read, compress);
    });
  }

  /** Runs `action` once what came before is done. What it throws fails the connection. */
  run(action: () => void | Promise<void>): void {
    const mine = (this.#last ?? Promise.resolve()).then(async () => {
      try {
        if (this.#session.state !== State.CLOSED) await action();
      } catch (error) {
        this.#session.fail(error);
      }
      if (this.#last === mine) this.#last = undefined;
    });
    this.#last = mine;
  }
}
