/**
 * The start of a response's body (RFC 9112 section 6): as much as tells a person why a handshake was refused.
 *
 * @module
 */

import { GrowingBuffer } from "./buffer.ts";
import type { HeaderLines } from "./http.ts";

/** A size line of a chunk, with its extensions, has no reason to be longer, in bytes. */
const MAX_LINE = 256;

const LF = 0x0a;

/** Takes a body's bytes as they come, up to a limit, its length, its last chunk, or the connection's end. */
export class BodyReader {
  readonly #bytes = new GrowingBuffer();
  /** Most bytes that are kept. */
  readonly #most: number;
  /** Bytes until the end of the body, or of the chunk. */
  #left: number;
  readonly #chunked: boolean;
  /** The size line of the next chunk so far, with the line end before it; undefined within a chunk. */
  #line: string | undefined;

  /** @param headers Of the response: they say how its body ends. */
  constructor(headers: HeaderLines, most: number) {
    this.#most = most;
    const values = (name: string) =>
      headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value.toLowerCase());
    const codings = values("transfer-encoding");
    const [length] = values("content-length");
    this.#chunked = codings.length > 0 && /(^|[\s,])chunked$/.test(codings.at(-1)!);
    if (this.#chunked) this.#line = "\r\n";
    this.#left = this.#chunked
      ? 0
      : codings.length === 0 && length !== undefined && /^\d+$/.test(length)
      ? Number(length)
      : Infinity;
  }

  /**
   * Takes bytes.
   *
   * @returns How many of them were taken, once there is nothing more to take.
   */
  push(bytes: Uint8Array): number | undefined {
    for (let at = 0;;) {
      if (this.#line === undefined) {
        const kept = Math.min(this.#left, this.#most - this.#bytes.length, bytes.length - at);
        this.#bytes.append(bytes.subarray(at, at + kept));
        this.#left -= kept;
        at += kept;
        if (this.#bytes.length === this.#most || this.#left === 0 && !this.#chunked) return at;
        if (this.#left === 0) this.#line = "";
      }
      if (at === bytes.length) return undefined;
      if (this.#line !== undefined && !this.#takeLine(bytes[at++]!)) return at;
    }
  }

  /** Takes a byte of a size line. Returns whether a chunk may follow. */
  #takeLine(byte: number): boolean {
    const line = this.#line! + String.fromCharCode(byte);
    this.#line = line;
    // Behind a chunk there is a line end first.
    if (byte !== LF || line === "\r\n") return line.length <= MAX_LINE;
    const size = /^(?:\r\n)([0-9a-f]{1,8})\s*(?:;.*)?\r\n$/i.exec(line)?.[1];
    this.#left = size === undefined ? 0 : parseInt(size, 16);
    this.#line = undefined;
    return this.#left > 0;
  }

  /** What was taken, as UTF-8; a character that is cut off at the end is left out. */
  text(): string {
    const { bytes, length } = this.#bytes;
    const text = new TextDecoder().decode(bytes.subarray(0, length), { stream: true });
    this.#bytes.release();
    return text;
  }
}
