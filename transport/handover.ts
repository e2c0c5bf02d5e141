/**
 * A socket that changes hands: from a server of `node:http`, which has read a request from it, to a connection
 * of ours.
 *
 * @module
 */

import type { Connection } from "./connection.ts";
import { hasReadEnd } from "./native_handle.ts";
import { buffer } from "./node.ts";
import { connectionOf, decideWay, holdNetwork, type OpenSocket } from "./sockets.ts";

/** Bytes that are read before the new owner is ready: a peer that speaks first has little to say. */
const MAX_WAITING = 64 * 1024;

/** A connection with what has come before anybody took it. */
export interface TakenOver {
  /** Paused. */
  connection: Connection;
  rest: Uint8Array<ArrayBuffer>;
  /** Whether the peer has ended its side behind that. */
  peerEnded: boolean;
}

/** A socket that nobody owns, until it is taken. Meanwhile it is read, so that a peer that leaves is noticed. */
export class Handover {
  readonly socket: OpenSocket;
  readonly #waiting: Uint8Array[];
  #length: number;
  #peerEnded = false;

  /** @param head What the owner before has read and not taken. */
  constructor(socket: OpenSocket, head: Uint8Array) {
    this.socket = socket;
    this.#waiting = [head];
    this.#length = head.length;
    socket.socket.on("data", this.#onData);
    socket.socket.once("end", this.#onEnd);
    socket.socket.resume();
  }

  readonly #onData = (bytes: Uint8Array): void => {
    this.#waiting.push(bytes);
    this.#length += bytes.length;
    if (this.#length < MAX_WAITING) return;
    this.socket.socket.pause();
    holdNetwork(this.socket, true);
  };

  readonly #onEnd = (): void => {
    this.#peerEnded = true;
  };

  /**
   * Takes the socket over, and sends `response` by it.
   *
   * @throws {Error} If the connection ends before that is sent.
   */
  async take(response: Uint8Array): Promise<TakenOver> {
    await decideWay();
    const { socket, source } = this.socket;
    if (socket.destroyed) throw new Error("Connection lost");
    socket.off("data", this.#onData);
    socket.off("end", this.#onEnd);
    // The event may be yet to come, and no handle tells of it again.
    const hasEnded = hasReadEnd(socket);
    const written = Promise.withResolvers<void>();
    const connection = connectionOf(socket, {
      onBytes() {},
      onEnd() {},
      onWritten: () => written.resolve(),
      onBroken: () => connection.destroy(),
      onClose: (error) => written.reject(error ?? new Error("Connection lost")),
    }, source);
    if (!connection.write(response)) await written.promise;
    const rest = new Uint8Array(buffer().Buffer.concat(this.#waiting));
    return { connection, rest, peerEnded: this.#peerEnded || hasEnded };
  }
}
