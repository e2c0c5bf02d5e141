/**
 * A message for many sockets: encoded once, compressed once for each set of agreed parameters.
 *
 * @module
 */

import { GrowingBuffer } from "./buffer.ts";
import { firstByte, headerSize, Opcode, writeHeader } from "./frame.ts";
import type { Deflater, PerMessageDeflate } from "./permessage_deflate/codec.ts";

/** A frame that is sent to many. */
interface PreparedFrame {
  /** FIN, RSV1 and opcode. */
  first: number;
  payload: Uint8Array;
  /** The whole frame as a server sends it: without a mask, the same to all. */
  unmasked: Uint8Array<ArrayBuffer>;
}

function frameOf(first: number, payload: Uint8Array): PreparedFrame {
  const size = headerSize(payload.length, false);
  const unmasked = new Uint8Array(size + payload.length);
  writeHeader(unmasked, 0, first, payload.length, undefined);
  unmasked.set(payload, size);
  return { first, payload: unmasked.subarray(size), unmasked };
}

/** A long message that is being compressed. */
interface Compression {
  deflater: Deflater;
  target: GrowingBuffer;
  /** How much of the message has been compressed. */
  done: number;
}

/** Made by {@linkcode prepare}, and sent like any other data. */
export class PreparedMessage {
  /** Bytes of the message. */
  readonly size: number;
  readonly #opcode: number;
  readonly #plain: PreparedFrame;
  readonly #compressed = new Map<string, PreparedFrame>();
  readonly #compressions = new Map<string, Compression>();

  /** @ignore */
  constructor(data: string | BufferSource) {
    this.#opcode = typeof data === "string" ? Opcode.TEXT : Opcode.BINARY;
    const payload = typeof data === "string" ? new TextEncoder().encode(data) : copyOf(data);
    this.size = payload.length;
    this.#plain = frameOf(firstByte(this.#opcode, false), payload);
  }

  /**
   * Whether {@linkcode frameFor} has the frame at hand, and need not compress the message first.
   *
   * @ignore
   */
  isReady(deflate: PerMessageDeflate | undefined): boolean {
    return deflate === undefined || this.size < deflate.threshold ||
      this.#compressed.has(deflate.key);
  }

  /**
   * Compresses a part of the message, for all connections that need the same frame.
   *
   * @param most The most that is compressed.
   * @returns How much was.
   * @ignore
   */
  step(deflate: PerMessageDeflate, most: number): number {
    const { key } = deflate;
    let compression = this.#compressions.get(key);
    if (compression === undefined) {
      compression = { deflater: deflate.beginAlone(), target: new GrowingBuffer(), done: 0 };
      this.#compressions.set(key, compression);
    }
    const { deflater, target, done } = compression;
    const to = Math.min(this.size, done + most);
    try {
      deflater.deflatePart(this.#plain.payload, done, to, to === this.size, target);
    } catch (error) {
      this.#compressions.delete(key);
      deflater.close();
      throw error;
    }
    compression.done = to;
    if (to === this.size) {
      this.#compressions.delete(key);
      deflate.endAlone(deflater);
      this.#keep(key, target);
    }
    return to - done;
  }

  /**
   * The frame for a connection that compresses with `deflate`, or does not.
   *
   * @ignore
   */
  frameFor(deflate: PerMessageDeflate | undefined): PreparedFrame {
    if (deflate === undefined || this.size < deflate.threshold) return this.#plain;
    // The peer's window moves on, but our own compressor does not see this message.
    deflate.forgetSent();
    const { key } = deflate;
    const frame = this.#compressed.get(key);
    if (frame !== undefined) return frame;
    const target = new GrowingBuffer();
    if (this.size === 0) deflate.deflate(this.#plain.payload, target);
    else deflate.deflateAlone(this.#plain.payload, target);
    return this.#keep(key, target);
  }

  /** Keeps the compressed message for the connections that need the same. */
  #keep(key: string, target: GrowingBuffer): PreparedFrame {
    const payload = target.bytes.subarray(0, target.length);
    const frame = frameOf(firstByte(this.#opcode, true), payload);
    target.release();
    this.#compressed.set(key, frame);
    return frame;
  }
}

function copyOf(data: BufferSource): Uint8Array {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice()
    : new Uint8Array(data).slice();
}

/**
 * Prepares a message that is to be sent to many sockets: it is encoded and compressed once, not once
 * for each.
 *
 * A socket that keeps a compression context starts a new one after it.
 *
 * @param data Text, or bytes, of which a copy is made.
 * @returns What `send` takes in place of the data.
 *
 * @example
 * ```ts
 * import { prepare, type WebSocket } from "@permessage/deflate";
 *
 * function broadcast(sockets: Iterable<WebSocket>, text: string) {
 *   const message = prepare(text);
 *   for (const socket of sockets) socket.send(message);
 * }
 * ```
 */
export function prepare(data: string | BufferSource): PreparedMessage {
  return new PreparedMessage(data);
}
