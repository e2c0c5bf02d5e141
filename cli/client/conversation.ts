/**
 * One connection of the modes that print whatever comes: it is printed no faster than its reader takes it.
 *
 * @module
 */

import { deadline } from "@std/async/deadline";
import type { AwaitableSocket, Closing } from "./awaitable_socket.ts";
import type { Opened } from "./connector.ts";
import type { Run } from "./mode.ts";

/** Longest wait for the close of a client that was told to stop, in milliseconds. */
const LEAVING_MS = 1000;

/** Prints the messages of a connection. */
export class Conversation {
  /** How many messages have come. */
  received = 0;
  /** When the last one came, or the connection was opened; in milliseconds. */
  lastAt: number = performance.now();
  readonly #connection: AwaitableSocket;
  readonly #run: Run;

  constructor({ connection }: Opened, run: Run) {
    this.#connection = connection;
    this.#run = run;
  }

  /**
   * Prints each message.
   *
   * @param most How many to print: the others are left unread.
   * @param onMessage Called after each.
   * @returns How the connection has ended; undefined if it has not.
   */
  async receive(most: number, onMessage: () => void = () => {}): Promise<Closing | undefined> {
    const { report, statistics, paced } = this.#run;
    while (this.received < most) {
      const message = await this.#connection.takeMessage();
      if (message === undefined) return await this.#connection.ended;
      this.received++;
      this.lastAt = performance.now();
      statistics?.received();
      report.received(message);
      onMessage();
      if (paced?.isFull) await paced.room();
    }
    return undefined;
  }

  /**
   * Closes the connection because the client must stop: a server that does not answer is not waited for.
   *
   * @returns How it has ended; undefined if it has not, or not in order.
   */
  async leave(): Promise<Closing | undefined> {
    return await deadline(this.#connection.close(), LEAVING_MS).catch(() => undefined);
  }
}
