/**
 * What a server answers: counted by its frames' headers while it is measured, and read in full once
 * before, to see that it is right.
 *
 * @module
 */

import { constants, inflateRawSync } from "node:zlib";
import { applyMask, FrameHeader, MAX_HEADER, Opcode } from "../protocol/frame.ts";

/** Counts the messages in a stream of frames, at the cost of reading their headers. */
export class AnswerCounter {
  readonly #header = new Uint8Array(MAX_HEADER);
  /** Bytes of the header that have come. */
  #length = 0;
  /** Bytes of payload that are still to come. */
  #left = 0;
  #endsMessage = false;

  /** Takes the next `count` bytes, and tells how many messages ended in them. */
  push(bytes: Uint8Array, count: number): number {
    let ended = 0;
    for (let at = 0; at < count;) {
      if (this.#left === 0) {
        this.#header[this.#length++] = bytes[at++]!;
        if (!this.#headerIsWhole()) continue;
        this.#length = 0;
      }
      const taken = Math.min(this.#left, count - at);
      at += taken;
      this.#left -= taken;
      if (this.#left === 0 && this.#endsMessage) ended++;
    }
    return ended;
  }

  #headerIsWhole(): boolean {
    const header = this.#header;
    if (this.#length < 2) return false;
    const short = header[1]! & 0x7f;
    const masked = header[1]! > 0x7f;
    const size = (short < 126 ? 2 : short === 126 ? 4 : 10) + (masked ? 4 : 0);
    if (this.#length < size) return false;

    this.#left = short;
    if (short > 125) {
      this.#left = 0;
      for (let i = 2; i < (short === 126 ? 4 : 10); i++) {
        this.#left = this.#left * 256 + header[i]!;
      }
    }
    const opcode = header[0]! & 0x0f;
    if (opcode === Opcode.CLOSE) throw new Error("Cannot measure: the server closed a connection");
    this.#endsMessage = header[0]! > 0x7f && opcode < Opcode.CLOSE;
    return true;
  }
}

/** Reads the message at the start of `bytes`: its payload as it is on the wire, unmasked. */
export function readMessage(bytes: Uint8Array): { payload: Uint8Array; compressed: boolean } {
  const header = new FrameHeader();
  const parts: Uint8Array[] = [];
  let compressed = false;
  for (let at = 0; parts.length === 0 || !header.fin;) {
    at += header.read(bytes, at, bytes.length);
    const part = bytes.slice(at, at + header.length);
    at += header.length;
    if (header.opcode >= Opcode.CLOSE) continue;
    if (header.masked) applyMask(part, 0, part.length, header.mask, 0);
    compressed ||= header.rsv1;
    parts.push(part);
  }
  return { payload: concat(parts), compressed };
}

/** Decompresses the first message of a connection, which no context comes before. */
export function inflateFirst(payload: Uint8Array): Uint8Array {
  return new Uint8Array(inflateRawSync(payload, { finishFlush: constants.Z_SYNC_FLUSH }));
}

/** All of `parts` in one run. */
export function concat(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
