/**
 * Frames made by hand, of kinds that a `FrameStream` has none of: empty ones, pings, fragments, bombs.
 *
 * @module
 */

import { constants, deflateRawSync } from "node:zlib";
import { concat } from "./answers.ts";

/** The opcodes of RFC 6455 section 11.8 that attacks use. */
export const CONTINUATION = 0;
export const TEXT = 1;
export const BINARY = 2;
export const PING = 9;

/** For {@linkcode wireFrame}. */
export interface WireOptions {
  /** Whether this is the message's last frame. @default {true} */
  fin?: boolean;
  /** Whether the payload is compressed. @default {false} */
  compressed?: boolean;
  /** Whether it is a client's frame. @default {true} */
  masked?: boolean;
}

/** One frame (RFC 6455 section 5.2). A mask of zeros leaves the payload as it is. */
export function wireFrame(
  opcode: number,
  payload: Uint8Array | string = "",
  { fin = true, compressed = false, masked = true }: WireOptions = {},
): Uint8Array {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  const { length } = bytes;
  const short = length < 126 ? length : length < 65_536 ? 126 : 127;
  const head = [(fin ? 0x80 : 0) | (compressed ? 0x40 : 0) | opcode, (masked ? 0x80 : 0) | short];
  const lengthBytes = short < 126 ? 0 : short === 126 ? 2 : 8;
  for (let i = lengthBytes - 1; i >= 0; i--) head.push(Math.floor(length / 256 ** i) % 256);
  return concat([new Uint8Array(masked ? [...head, 0, 0, 0, 0] : head), bytes]);
}

/** `frames` over and over, in at least `size` bytes. */
export function repeated(frames: Uint8Array, size: number): Uint8Array {
  return concat(Array(Math.ceil(size / frames.length)).fill(frames));
}

/** A payload as permessage-deflate sends it (RFC 7692 section 7.2.1). */
export function compressedPayload(payload: Uint8Array): Uint8Array {
  const deflated = deflateRawSync(payload, { level: 9, finishFlush: constants.Z_SYNC_FLUSH });
  return new Uint8Array(deflated).subarray(0, deflated.length - 4);
}
