/**
 * Frames (RFC 6455 section 5): the header, the mask, and the payload of a Close frame.
 *
 * @module
 */

import { ProtocolError } from "./protocol_error.ts";

/** Opcodes of RFC 6455 section 11.8. */
export const Opcode = {
  CONTINUATION: 0x0,
  TEXT: 0x1,
  BINARY: 0x2,
  CLOSE: 0x8,
  PING: 0x9,
  PONG: 0xa,
} as const;

/** Close codes of RFC 6455 section 7.4.1 and of the IANA registry it founded. */
export const CloseCode = {
  NORMAL: 1000,
  GOING_AWAY: 1001,
  PROTOCOL_ERROR: 1002,
  NO_STATUS: 1005,
  ABNORMAL: 1006,
  INVALID_PAYLOAD: 1007,
  POLICY_VIOLATION: 1008,
  MESSAGE_TOO_BIG: 1009,
  MANDATORY_EXTENSION: 1010,
  INTERNAL_ERROR: 1011,
  SERVICE_RESTART: 1012,
  TRY_AGAIN_LATER: 1013,
} as const;

/** Longest payload of a control frame, in bytes (RFC 6455 section 5.5). */
export const MAX_CONTROL_PAYLOAD = 125;

/** Longest reason of a Close frame, in bytes of UTF-8: a control frame less the code. */
export const MAX_CLOSE_REASON = MAX_CONTROL_PAYLOAD - 2;

/** Longest header: 2 bytes, 8 of length, 4 of mask. */
export const MAX_HEADER = 14;

const FIN = 0x80;
const RSV1 = 0x40;
const RSV23 = 0x30;
const OPCODE = 0x0f;
const MASKED = 0x80;
const LENGTH = 0x7f;

/** The fields of one frame's header (RFC 6455 section 5.2), read over and over into the same object. */
export class FrameHeader {
  fin = false;
  rsv1 = false;
  /** RSV2 or RSV3: no extension that uses them exists here. */
  rsv23 = false;
  opcode = 0;
  masked = false;
  /** Bytes of payload; infinite when the length has its highest bit set. */
  length = 0;
  /** Whether the length is written in the fewest bytes. */
  minimal = true;
  /** The mask as it lies in the frame, first byte highest. */
  mask = 0;

  /**
   * Reads the header at `start`.
   *
   * @returns The bytes it takes, or 0 if it is incomplete. The fields that have come are set even then, so
   * that a fault in them is found at once.
   */
  read(bytes: Uint8Array, start: number, end: number): number {
    if (end === start) return 0;
    const first = bytes[start]!;
    this.fin = (first & FIN) !== 0;
    this.rsv1 = (first & RSV1) !== 0;
    this.rsv23 = (first & RSV23) !== 0;
    this.opcode = first & OPCODE;
    if (end - start === 1) return 0;
    const second = bytes[start + 1]!;
    this.masked = (second & MASKED) !== 0;
    this.length = second & LENGTH;
    this.minimal = true;

    let at = start + 2;
    if (this.length === 126) {
      if (end < at + 2) return 0;
      this.length = bytes[at]! << 8 | bytes[at + 1]!;
      this.minimal = this.length >= 126;
      at += 2;
    } else if (this.length === 127) {
      if (end < at + 8) return 0;
      const high = readUint32(bytes, at);
      this.length = high > 0x7fff_ffff
        ? Infinity
        : high * 0x1_0000_0000 + readUint32(bytes, at + 4);
      this.minimal = this.length >= 0x1_0000;
      at += 8;
    }
    if (this.masked) {
      if (end < at + 4) return 0;
      this.mask = readUint32(bytes, at) | 0;
      at += 4;
    }
    return at - start;
  }
}

function readUint32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0;
}

/** What there is to know of a frame that was sent or received, for `onFrame` of {@linkcode SocketOptions}. */
export interface FrameInfo {
  /** Whether this end sent it, or its peer. */
  direction: "sent" | "received";
  /** 0 for a continuation, 1 text, 2 binary, 8 Close, 9 Ping, 10 Pong (RFC 6455 section 11.8). */
  opcode: number;
  /** Whether it is the last frame of its message. */
  fin: boolean;
  /** Whether a compressed message starts with it (RFC 7692 section 6). */
  rsv1: boolean;
  /** Whether its payload is masked, as a client's is. */
  masked: boolean;
  /** Bytes that it takes on the network: its header, and its payload as that was sent. */
  wireLength: number;
  /**
   * Bytes of its payload after decompression. Of a fragment of a compressed message, those that it added to the
   * message.
   */
  payloadLength: number;
}

/** What the first byte of a frame says. */
export function readFirstByte(first: number): Pick<FrameInfo, "opcode" | "fin" | "rsv1"> {
  return { opcode: first & OPCODE, fin: (first & FIN) !== 0, rsv1: (first & RSV1) !== 0 };
}

/** The bytes of a header for a payload of `length` bytes. */
export function headerSize(length: number, masked: boolean): number {
  return (length < 126 ? 2 : length < 0x1_0000 ? 4 : 10) + (masked ? 4 : 0);
}

/**
 * Writes a frame's header at `at`.
 *
 * @param first The first byte: FIN, RSV1 and opcode, see {@linkcode firstByte}.
 * @param mask The mask, or `undefined` for a frame without one.
 * @returns Where the payload starts.
 */
export function writeHeader(
  bytes: Uint8Array,
  at: number,
  first: number,
  length: number,
  mask: number | undefined,
): number {
  const masked = mask === undefined ? 0 : MASKED;
  bytes[at++] = first;
  if (length < 126) {
    bytes[at++] = masked | length;
  } else if (length < 0x1_0000) {
    bytes[at++] = masked | 126;
    bytes[at++] = length >>> 8;
    bytes[at++] = length;
  } else {
    bytes[at++] = masked | 127;
    at = writeUint32(bytes, at, Math.floor(length / 0x1_0000_0000));
    at = writeUint32(bytes, at, length);
  }
  return mask === undefined ? at : writeUint32(bytes, at, mask);
}

function writeUint32(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
  return at + 4;
}

/** The first byte of an unfragmented frame. */
export function firstByte(opcode: number, compressed: boolean): number {
  return FIN | (compressed ? RSV1 : 0) | opcode;
}

const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** Below this many bytes, setting up the word view costs more than it saves. */
const MASK_BY_WORDS_FROM = 128;

/**
 * Masks or unmasks `bytes` from `start` to `end` in place (RFC 6455 section 5.3), by 64-bit words where
 * they are aligned: V8 makes one machine instruction of each, and 4 KiB take 0.3 µs, by 32-bit words 0.7.
 *
 * @param mask The mask, first byte highest.
 * @param phase How many bytes of the payload came before `start`.
 */
export function applyMask(
  bytes: Uint8Array,
  start: number,
  end: number,
  mask: number,
  phase: number,
): void {
  // Rotated so that its highest byte is for `start`.
  const turn = (phase & 3) << 3;
  let key = turn === 0 ? mask : mask << turn | mask >>> (32 - turn);
  let at = start;
  if (end - start >= MASK_BY_WORDS_FROM) {
    while ((bytes.byteOffset + at & 7) !== 0) {
      bytes[at]! ^= key >>> 24;
      key = key << 8 | key >>> 24;
      at++;
    }
    const count = (end - at) >>> 3;
    const words = new BigUint64Array(bytes.buffer, bytes.byteOffset + at, count);
    const half = BigInt((littleEndian ? swapBytes(key) : key) >>> 0);
    const word = half << 32n | half;
    for (let i = 0; i < count; i++) words[i]! ^= word;
    at += count << 3;
  }
  for (; at < end; at++) {
    bytes[at]! ^= key >>> 24;
    key = key << 8 | key >>> 24;
  }
}

function swapBytes(word: number): number {
  return word >>> 24 | word >>> 8 & 0xff00 | word << 8 & 0xff0000 | word << 24;
}

/**
 * Whether an endpoint may put `code` into a Close frame (RFC 6455 section 7.4): the registered codes
 * but those that stand for the absence of a Close frame, and 3000 to 4999 for libraries and programs.
 */
export function isSendableCode(code: number): boolean {
  return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 ||
    code >= 3000 && code <= 4999;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * Reads the payload of a Close frame (RFC 6455 section 5.5.1).
 *
 * @throws {ProtocolError} If it has one byte, a code that may not be sent, or a reason that is not UTF-8.
 */
export function readClosePayload(payload: Uint8Array): { code: number; reason: string } {
  if (payload.length === 0) return { code: CloseCode.NO_STATUS, reason: "" };
  if (payload.length === 1) {
    throw new ProtocolError(
      CloseCode.PROTOCOL_ERROR,
      "CLOSE_FRAME_TOO_SHORT",
      "Cannot read Close frame: it has one byte",
    );
  }
  const code = payload[0]! << 8 | payload[1]!;
  if (!isSendableCode(code)) {
    throw new ProtocolError(
      CloseCode.PROTOCOL_ERROR,
      "CLOSE_CODE_NOT_ALLOWED",
      `Cannot read Close frame: code is ${code}, must be one that may be sent`,
    );
  }
  try {
    return { code, reason: decoder.decode(payload.subarray(2)) };
  } catch {
    throw new ProtocolError(
      CloseCode.INVALID_PAYLOAD,
      "CLOSE_REASON_NOT_UTF8",
      "Cannot read Close frame: its reason is not UTF-8",
    );
  }
}

/**
 * The payload of a Close frame. 1005 stands for none.
 *
 * @param reason What is over 123 bytes of UTF-8 is cut, at a character.
 */
export function closePayload(code: number, reason: string): Uint8Array {
  if (code === CloseCode.NO_STATUS) return new Uint8Array(0);
  const payload = new Uint8Array(MAX_CONTROL_PAYLOAD);
  payload[0] = code >>> 8;
  payload[1] = code;
  const { written } = encoder.encodeInto(reason, payload.subarray(2));
  return payload.subarray(0, 2 + written);
}
