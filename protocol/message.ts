/**
 * A message that is being received (RFC 6455 section 5.4): its bytes are put together as they come, and
 * checked to be UTF-8 if it is text.
 *
 * @module
 */

import { GrowingBuffer } from "./buffer.ts";
import { CloseCode, Opcode } from "./frame.ts";
import { ProtocolError } from "./protocol_error.ts";
import { checkUtf8, decodeUtf8, isContinuation } from "./utf8.ts";

/** A whole message. */
export type Message = string | Uint8Array<ArrayBuffer>;

/** Memory for a message grows with the bytes that have come. A header's claim alone takes no memory. */
const FIRST_SIZE = 64 * 1024;
const GROWTH = 4;

/**
 * The longest text that is decoded at once: 1 MiB outside Latin-1 takes 2 ms. A longer text is decoded in
 * steps of this size. V8 joins the parts when the program first reads the text.
 */
export const DECODE_STEP: number = 512 * 1024;

/** Collects the pieces of a message; used for one message after the other. */
export class MessageAssembly {
  /** `Opcode.TEXT` or `Opcode.BINARY` while a message is being received, otherwise 0. */
  opcode: number = Opcode.CONTINUATION;
  /** Bytes of the message so far. */
  size = 0;
  readonly #bytes = new GrowingBuffer();
  /** How many of the bytes are known to be UTF-8. */
  #checked = 0;
  /** How much of a whole text has been decoded, and what it gave; `undefined` unless it is long. */
  #decoded: { text: string; length: number } | undefined;

  /** Whether there is a whole text to be decoded by {@linkcode decode}. */
  get decoding(): boolean {
    return this.#decoded !== undefined;
  }

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
   * @throws {ProtocolError} With code 1007, at the first byte that proves that the text is not UTF-8.
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
   * @returns The message, which is then its only copy; nothing when it is a long text, which
   * {@linkcode decode} gives.
   * @throws {ProtocolError} With code 1007, if it is text, and not UTF-8.
   */
  end(piece: Uint8Array, from: number, to: number): Message | undefined {
    const text = this.opcode === Opcode.TEXT;
    if (this.size === 0) {
      this.size = to - from;
      this.opcode = Opcode.CONTINUATION;
      return text
        ? decode(piece.subarray(from, to))
        : piece.slice(from, to) as Uint8Array<ArrayBuffer>;
    }
    this.add(piece, from, to, 0);
    if (!text) {
      this.opcode = Opcode.CONTINUATION;
      return this.#bytes.take();
    }
    // The last character is incomplete.
    if (this.#checked < this.size) throw notUtf8();
    this.#decoded = { text: "", length: 0 };
    return this.size > DECODE_STEP ? undefined : this.decode();
  }

  /**
   * Decodes the next part of the whole text.
   *
   * @returns The text, once all of it is decoded.
   */
  decode(): string | undefined {
    const { bytes, length } = this.#bytes;
    const decoded = this.#decoded!;
    let to = Math.min(length, decoded.length + DECODE_STEP);
    while (to < length && isContinuation(bytes[to]!)) to++;
    decoded.text += decodeUtf8(bytes.subarray(decoded.length, to));
    decoded.length = to;
    if (to < length) return undefined;
    this.release();
    return decoded.text;
  }

  /** Forgets the message. */
  release(): void {
    this.#bytes.release();
    this.#decoded = undefined;
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
