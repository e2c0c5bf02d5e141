/**
 * A message that is being received (RFC 6455 section 5.4): its bytes are put together as they come, and
 * checked to be UTF-8 if it is text.
 *
 * @module
 */

import { GrowingBuffer } from "./buffer.ts";
import { CloseCode, Opcode } from "./frame.ts";
import { ProtocolError } from "./protocol_error.ts";
import { checkUtf8, decodeUtf8 } from "./utf8.ts";

/** A whole message. */
export type Message = string | Uint8Array<ArrayBuffer>;

/** Memory for a message grows with what has come of it, never at once to what its header claims. */
const FIRST_SIZE = 64 * 1024;
const GROWTH = 4;

/** Puts one message after the other together. */
export class MessageAssembly {
  /** `Opcode.TEXT` or `Opcode.BINARY` while a message is being received, otherwise 0. */
  opcode: number = Opcode.CONTINUATION;
  /** Bytes of the message so far. */
  size = 0;
  readonly #bytes = new GrowingBuffer();
  /** How many of the bytes are known to be UTF-8. */
  #checked = 0;

  /** Bytes of memory that the message takes. */
  get held(): number {
    return this.#bytes.bytes.length;
  }

  /** Starts a message. */
  begin(opcode: number): void {
    this.opcode = opcode;
    this.size = 0;
    this.#checked = 0;
  }

  /**
   * Adds a piece.
   *
   * @param expected Bytes that will follow at least.
   * @throws {ProtocolError} With code 1007, at the first byte that no UTF-8 continues with.
   */
  add(piece: Uint8Array, from: number, to: number, expected: number): void {
    if (to === from) return;
    const bytes = this.#bytes;
    const { length } = bytes;
    const end = length + to - from;
    if (end > bytes.bytes.length) {
      const more = Math.min(expected, Math.max(FIRST_SIZE, (GROWTH - 1) * length));
      if (more > 0) bytes.grow(end + more);
      else bytes.reserve(to - from);
    }
    bytes.bytes.set(from === 0 && to === piece.length ? piece : piece.subarray(from, to), length);
    bytes.length = end;
    this.size = end;
    if (this.opcode === Opcode.TEXT) {
      try {
        this.#checked = checkUtf8(bytes.bytes, this.#checked, end);
      } catch {
        throw notUtf8();
      }
    }
  }

  /**
   * Ends the message with its last piece.
   *
   * @returns The message, which is then its only copy.
   * @throws {ProtocolError} With code 1007, if it is text, and not UTF-8.
   */
  end(piece: Uint8Array, from: number, to: number): Message {
    const { opcode } = this;
    if (this.size === 0) {
      this.size = to - from;
      this.opcode = Opcode.CONTINUATION;
      return opcode === Opcode.TEXT
        ? decode(piece.subarray(from, to))
        : piece.slice(from, to) as Uint8Array<ArrayBuffer>;
    }
    this.add(piece, from, to, 0);
    this.opcode = Opcode.CONTINUATION;
    if (opcode !== Opcode.TEXT) return this.#bytes.take();
    const text = decode(this.#bytes.bytes.subarray(0, this.#bytes.length));
    this.#bytes.release();
    return text;
  }

  /** Forgets the message. */
  release(): void {
    this.#bytes.release();
    this.opcode = Opcode.CONTINUATION;
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return decodeUtf8(bytes);
  } catch {
    throw notUtf8();
  }
}

function notUtf8(): ProtocolError {
  return new ProtocolError(
    CloseCode.INVALID_PAYLOAD,
    "NOT_UTF8",
    "Cannot receive message: text is not UTF-8",
  );
}
