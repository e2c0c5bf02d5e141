/**
 * A client's connection before it is a WebSocket, or when it never is one: one HTTP message out, one in.
 *
 * @module
 */

import type { Connection, Receiver } from "./connection.ts";
import { Unread } from "./patience.ts";

/** What one write gives the network at most. */
const MAX_WRITE = 64 * 1024;

const NO_BYTES = new Uint8Array(0);

/** Takes bytes as they come. */
export interface PartReader {
  /** Returns how many of the bytes it takes, once it is done. */
  push(bytes: Uint8Array): number | undefined;
}

/** Writes a request, and reads the head of the answer. */
export class HttpExchange implements Receiver {
  /** Set once it is there. */
  connection!: Connection;
  /** Bytes that came behind the head. */
  rest: Uint8Array<ArrayBuffer> = NO_BYTES;
  /** Whether the peer has ended its side. */
  peerEnded = false;
  readonly #closed = Promise.withResolvers<void>();
  #isClosed = false;
  #error: Error | undefined;
  #head: { reader: PartReader; read: PromiseWithResolvers<boolean> } | undefined;
  #written: PromiseWithResolvers<void> | undefined;
  readonly #unread = new Unread();

  /** Resolves when the connection has ended. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /**
   * Reads into `reader` until the head is whole; {@linkcode rest} then has what follows it.
   *
   * @returns Whether it is whole; otherwise the connection has ended.
   * @throws {HttpError} At the first byte that no head has.
   */
  async readHead(reader: PartReader): Promise<boolean> {
    if (this.#isClosed) return false;
    const read = Promise.withResolvers<boolean>();
    this.#head = { reader, read };
    const bytes = this.rest;
    this.rest = NO_BYTES;
    this.#push(bytes);
    this.connection.resume();
    return await read.promise;
  }

  /** Has {@linkcode readHead} wait no longer. */
  giveUpHead(): void {
    this.#head?.read.resolve(false);
    this.#head = undefined;
  }

  #push(bytes: Uint8Array<ArrayBuffer>): void {
    const { reader, read } = this.#head!;
    try {
      const taken = reader.push(bytes);
      if (taken === undefined) return;
      this.rest = bytes.slice(taken);
      this.connection.pause();
      read.resolve(true);
    } catch (error) {
      read.reject(error);
    }
    this.#head = undefined;
  }

  onBytes(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#head !== undefined) return this.#push(bytes);
    // Right behind the head; nothing more is read before somebody wants it.
    const rest = new Uint8Array(this.rest.length + bytes.length);
    rest.set(this.rest);
    rest.set(bytes, this.rest.length);
    this.rest = rest;
  }

  onEnd(): void {
    this.peerEnded = true;
    this.giveUpHead();
  }

  onWritten(): void {
    this.#written?.resolve();
    this.#written = undefined;
  }

  onBroken(): void {
    this.connection.destroy();
  }

  onClose(error: Error | undefined): void {
    this.#isClosed = true;
    this.#error = error;
    this.giveUpHead();
    this.#written?.reject(this.#gone());
    this.#written = undefined;
    this.#closed.resolve();
  }

  #gone(): Error {
    return this.#error ?? new Error("Connection lost");
  }

  /**
   * Writes `bytes`, in parts: a slow peer has its time for each, and others are served in between.
   *
   * @param timeout Longest wait until the peer takes a part, in milliseconds, beyond the time in which a slow
   *   peer reads what was written before it.
   * @throws {Error} If the connection ends first.
   */
  async write(bytes: Uint8Array, timeout: number): Promise<void> {
    for (let at = 0; at < bytes.length; at += MAX_WRITE) {
      await this.#writePart(bytes.subarray(at, at + MAX_WRITE), timeout);
    }
  }

  async #writePart(bytes: Uint8Array, timeout: number): Promise<void> {
    if (this.#isClosed) throw this.#gone();
    const wait = timeout + this.#unread.wait();
    this.#unread.wrote(bytes.length);
    if (this.connection.write(bytes)) return;
    const written = this.#written = Promise.withResolvers<void>();
    const timer = setTimeout(() => this.connection.destroy(), wait);
    try {
      await written.promise;
    } finally {
      clearTimeout(timer);
    }
  }
}
