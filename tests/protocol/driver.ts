/**
 * What the tests of the protocol core share: frames made and read by hand, independent of
 * `protocol/frame.ts`; a driver that hands bytes to a {@linkcode Protocol}; and DEFLATE as a peer has
 * it, straight from `node:zlib`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import { constants, createDeflateRaw, createInflateRaw, deflateRawSync } from "node:zlib";
import * as realZlib from "node:zlib";
import type { FrameInfo } from "../../protocol/frame.ts";
import type { Agreement } from "../../protocol/permessage_deflate/negotiation.ts";
import {
  type CompressionOptions,
  compressionSettings,
} from "../../protocol/permessage_deflate/options.ts";
import { PerMessageDeflate } from "../../protocol/permessage_deflate/codec.ts";
import { type Message, Protocol, type Role } from "../../protocol/protocol.ts";

/** Opcodes of RFC 6455 section 11.8, written down once more. */
export const CONTINUATION = 0;
export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** RSV1, RSV2 and RSV3 as in a frame's first byte. */
export const RSV1 = 0x40;
export const RSV2 = 0x20;
export const RSV3 = 0x10;

export const roles: Role[] = ["server", "client"];

/** Bytes, or text that stands for its UTF-8. */
export type Payload = string | ArrayLike<number>;

export function bytesOf(payload: Payload): Uint8Array<ArrayBuffer> {
  return typeof payload === "string" ? new TextEncoder().encode(payload) : Uint8Array.from(payload);
}

export function concat(...parts: ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Bytes that nothing compresses. */
export function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  }
  return bytes;
}

/** Bytes from hexadecimal digits. */
export function hex(digits: string): Uint8Array<ArrayBuffer> {
  const pairs = digits.replaceAll(/\s/g, "").match(/../g) ?? [];
  return Uint8Array.from(pairs, (pair) => parseInt(pair, 16));
}

/** The mask of RFC 6455 section 5.7's examples. */
export const MASK = [0x37, 0xfa, 0x21, 0x3d];

export interface FrameOptions {
  fin?: boolean;
  /** The RSV bits. */
  rsv?: number;
  /** Whether it is masked; by default as RFC 6455 section 5.1 asks of a frame to `receiver`. */
  masked?: boolean;
  mask?: number[];
  /** The form of the length, by default the shortest. */
  lengthBytes?: 1 | 2 | 8;
}

/** One frame as the peer of `receiver` sends it. */
export function frame(
  receiver: Role,
  opcode: number,
  payload: Payload = "",
  options: FrameOptions = {},
): Uint8Array<ArrayBuffer> {
  const { fin = true, rsv = 0, masked = receiver === "server", mask = MASK } = options;
  const bytes = bytesOf(payload);
  const { length } = bytes;
  const lengthBytes = options.lengthBytes ?? (length < 126 ? 1 : length <= 0xffff ? 2 : 8);
  const header = [(fin ? 0x80 : 0) | rsv | opcode];
  const maskBit = masked ? 0x80 : 0;
  if (lengthBytes === 1) header.push(maskBit | length);
  else {
    header.push(maskBit | (lengthBytes === 2 ? 126 : 127));
    for (let i = lengthBytes - 1; i >= 0; i--) header.push(Math.floor(length / 256 ** i) % 256);
  }
  if (!masked) return concat(header, bytes);
  return concat(header, mask, bytes.map((byte, i) => byte ^ mask[i % 4]!));
}

/** A frame's header alone, with a length of eight bytes that no payload has to follow. */
export function hugeHeader(
  receiver: Role,
  opcode: number,
  length: bigint,
  rsv = 0,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(receiver === "server" ? 14 : 10);
  bytes[0] = 0x80 | rsv | opcode;
  bytes[1] = (receiver === "server" ? 0x80 : 0) | 127;
  new DataView(bytes.buffer).setBigUint64(2, length);
  return bytes;
}

/** A message cut into frames of the given sizes, and what is left in the last. */
export function fragments(
  receiver: Role,
  opcode: number,
  payload: Payload,
  sizes: number[],
  rsv = 0,
): Uint8Array<ArrayBuffer>[] {
  const bytes = bytesOf(payload);
  const frames: Uint8Array<ArrayBuffer>[] = [];
  let at = 0;
  for (const size of [...sizes, Infinity]) {
    const fin = size === Infinity;
    const first = frames.length === 0;
    const part = bytes.subarray(at, fin ? bytes.length : at + size);
    at += part.length;
    frames.push(
      frame(receiver, first ? opcode : CONTINUATION, part, { fin, rsv: first ? rsv : 0 }),
    );
  }
  return frames;
}

/** A frame as it was read. */
export interface Frame {
  fin: boolean;
  rsv: number;
  opcode: number;
  /** The mask, or `undefined` where there is none. */
  mask: number[] | undefined;
  /** Without the mask. */
  payload: Uint8Array<ArrayBuffer>;
  /** Bytes that the length takes besides the second of the frame. */
  lengthBytes: number;
}

/** Reads frames that are whole; throws when something is left over. */
export function readFrames(bytes: Uint8Array): Frame[] {
  const frames: Frame[] = [];
  let at = 0;
  const take = (count: number) => {
    if (at + count > bytes.length) throw new Error("a frame is cut off");
    return bytes.slice(at, at += count) as Uint8Array<ArrayBuffer>;
  };
  while (at < bytes.length) {
    const [first, second] = take(2) as unknown as [number, number];
    const short = second & 0x7f;
    const lengthBytes = short === 127 ? 8 : short === 126 ? 2 : 0;
    const length = lengthBytes === 0 ? short : take(lengthBytes).reduce((n, b) => n * 256 + b, 0);
    const mask = second & 0x80 ? [...take(4)] : undefined;
    const payload = take(length).map((byte, i) => mask === undefined ? byte : byte ^ mask[i % 4]!);
    frames.push({
      fin: (first & 0x80) !== 0,
      rsv: first & 0x70,
      opcode: first & 0x0f,
      mask,
      payload,
      lengthBytes,
    });
  }
  return frames;
}

/** An event as the tests compare it. */
export type Seen =
  | ["message", Message]
  | ["ping" | "pong", Uint8Array]
  | ["close", number, string]
  | ["failure", number];

export interface DriverOptions {
  deflate?: PerMessageDeflate | undefined;
  maxMessageSize?: number;
  pongs?: number;
  /** What each step of receiving may do. */
  allowance?: () => number;
  onFrame?: (frame: FrameInfo) => void;
}

/** Where the driver puts what it hands over: used again, as the network's buffer is. */
const shared = new Uint8Array(64 * 1024);

/** A protocol, the bytes that are handed to it, and what comes of them. */
export class Driver implements Disposable {
  readonly protocol: Protocol;
  readonly role: Role;
  readonly #deflate: PerMessageDeflate | undefined;
  readonly #allowance: () => number;
  /** All events so far. */
  readonly events: Seen[] = [];

  constructor(role: Role, options: DriverOptions = {}) {
    this.role = role;
    const { deflate, maxMessageSize = 16 * 1024 * 1024, pongs = Infinity, onFrame } = options;
    this.#deflate = deflate;
    this.#allowance = options.allowance ?? (() => Infinity);
    this.protocol = new Protocol({ role, deflate, maxMessageSize, pongs, onFrame });
  }

  /** Closes the codec. */
  [Symbol.dispose](): void {
    this.#deflate?.close();
    this.protocol.release();
  }

  /** Hands bytes over, in pieces that end at `cuts`, in memory that is used again for each piece. */
  feed(bytes: Uint8Array, cuts: number[] = []): this {
    let at = 0;
    for (const end of [...cuts, bytes.length]) {
      while (at < end) {
        const piece = bytes.subarray(at, Math.min(end, at + shared.length));
        shared.set(piece);
        at += piece.length;
        this.protocol.receive(shared.subarray(0, piece.length));
        this.drain();
        this.protocol.keepInput();
        shared.fill(0xaa, 0, piece.length);
      }
    }
    return this;
  }

  /** Hands bytes over one by one. */
  feedBytewise(bytes: Uint8Array): this {
    return this.feed(bytes, Array.from(bytes, (_, i) => i));
  }

  /** Hands bytes over as those that came with the opening handshake. */
  receive(bytes: Uint8Array): this {
    this.protocol.receive(Uint8Array.from(bytes));
    this.drain();
    return this;
  }

  /** Takes the events there are. */
  drain(): void {
    for (;;) {
      this.protocol.allowance = this.#allowance();
      const event = this.protocol.next();
      if (event === undefined && this.protocol.stopped) {
        this.protocol.keepInput();
        continue;
      }
      if (event === undefined) return;
      switch (event.type) {
        case "message":
          this.events.push(["message", event.data]);
          break;
        case "close":
          this.events.push(["close", event.code, event.reason]);
          break;
        case "failure":
          this.events.push(["failure", event.error.code]);
          break;
        default:
          this.events.push([event.type, event.data]);
      }
    }
  }

  /** Takes the bytes that were written. */
  takeOutput(): Uint8Array<ArrayBuffer> {
    while (this.protocol.busy) this.protocol.step();
    const parts: Uint8Array[] = [];
    for (let next = this.protocol.takeOutput(); next; next = this.protocol.takeOutput()) {
      parts.push(next.frames.bytes.slice(next.frames.start, next.frames.length));
      next.frames.release();
    }
    return concat(...parts);
  }

  /** Takes the frames that were written. */
  takeFrames(): Frame[] {
    return readFrames(this.takeOutput());
  }
}

/** The events that `bytes` give. */
export function eventsOf(
  role: Role,
  bytes: Uint8Array,
  options?: DriverOptions,
  cuts?: number[],
): Seen[] {
  using driver = new Driver(role, options);
  return driver.feed(bytes, cuts).events;
}

/**
 * Hands bytes over one by one until the connection fails.
 *
 * @returns How many it took, and the code; nothing when it did not fail.
 */
export function failsAt(
  role: Role,
  bytes: Uint8Array,
  options?: DriverOptions,
): { at: number; code: number } | undefined {
  using driver = new Driver(role, options);
  for (let at = 0; at < bytes.length; at++) {
    driver.feed(bytes.subarray(at, at + 1));
    const last = driver.events.at(-1);
    if (last?.[0] === "failure") return { at: at + 1, code: last[1] };
  }
  return undefined;
}

/** The payload of a Close frame. */
export function closePayload(code: number, reason = ""): Uint8Array<ArrayBuffer> {
  return concat([code >> 8, code & 0xff], bytesOf(reason));
}

// DEFLATE

/** What RFC 7692 section 7.2.1 has the sender leave out. */
export const TAIL = hex("0000ffff");

/** An agreement; what is not said is as if no parameter had been. */
export function agreement(given: Partial<Agreement> = {}): Agreement {
  return {
    serverNoContextTakeover: false,
    clientNoContextTakeover: false,
    serverMaxWindowBits: 15,
    clientMaxWindowBits: 15,
    ...given,
  };
}

/** A codec, to be closed: contexts are counted. */
export function codec(
  role: Role,
  given: Partial<Agreement> = {},
  options: CompressionOptions = {},
  address?: string,
  now?: () => number,
): PerMessageDeflate {
  const settings = compressionSettings({ threshold: 0, ...options })!;
  return new PerMessageDeflate(agreement(given), role, settings, address, now);
}

export const NO_CONTEXT: Partial<Agreement> = {
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
};

/** Compresses a message alone, as a peer does (RFC 7692 section 7.2.1). */
export function deflated(payload: Payload, options: object = {}): Uint8Array<ArrayBuffer> {
  const bytes = deflateRawSync(bytesOf(payload), {
    finishFlush: constants.Z_SYNC_FLUSH,
    ...options,
  });
  return withoutTail(Uint8Array.from(bytes));
}

function withoutTail(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const at = bytes.length - TAIL.length;
  if (TAIL.some((byte, i) => bytes[at + i] !== byte)) throw new Error("the tail is missing");
  return bytes.slice(0, at);
}

/** The arguments of a native call of `node:zlib`. */
export type WriteSync = (
  flush: number,
  input: Uint8Array,
  inputAt: number,
  inputLength: number,
  output: Uint8Array,
  outputAt: number,
  outputLength: number,
) => void;

/** A stream of `node:zlib` with its native stream, as the codec uses it. */
export interface NativeZlibStream {
  _handle: { writeSync: WriteSync; reset(): void; onerror: (message: string) => void };
  _writeState: Uint32Array;
}

/**
 * Runs `action` while each new stream of `node:zlib` that the codec makes goes through `change`.
 *
 * @param change Gets the stream, and returns what takes its place.
 */
export function withZlib<T>(
  change: (stream: NativeZlibStream, kind: "deflate" | "inflate") => unknown,
  action: () => T,
): T {
  const { getBuiltinModule } = process;
  const changed = {
    ...realZlib,
    createDeflateRaw: (options: object) =>
      change(createDeflateRaw(options) as unknown as NativeZlibStream, "deflate"),
    createInflateRaw: (options: object) =>
      change(createInflateRaw(options) as unknown as NativeZlibStream, "inflate"),
  };
  process.getBuiltinModule =
    ((name: string) =>
      name === "node:zlib" ? changed : getBuiltinModule.call(process, name)) as never;
  try {
    return action();
  } finally {
    process.getBuiltinModule = getBuiltinModule;
  }
}

/** A peer's zlib, which keeps its context from message to message. */
export class ZlibPeer implements Disposable {
  readonly #deflate;
  readonly #inflate;
  #written: Uint8Array[] = [];
  #read: Uint8Array[] = [];
  #broken: Promise<never>;

  /** @param windowBits The window of each direction: less is not enough for what uses more. */
  constructor(windowBits: { deflate?: number; inflate?: number } = {}) {
    const flush = constants.Z_SYNC_FLUSH;
    this.#deflate = createDeflateRaw({ flush, windowBits: windowBits.deflate ?? 15 });
    this.#inflate = createInflateRaw({ flush, windowBits: windowBits.inflate ?? 15 });
    this.#deflate.on("data", (bytes: Buffer) => this.#written.push(Uint8Array.from(bytes)));
    this.#inflate.on("data", (bytes: Buffer) => this.#read.push(Uint8Array.from(bytes)));
    this.#broken = new Promise((_, reject) => this.#inflate.on("error", reject));
    this.#broken.catch(() => {});
  }

  /** Compresses the next message. */
  async compress(payload: Payload): Promise<Uint8Array<ArrayBuffer>> {
    // zlib flushes nothing twice; an empty message is an empty block (RFC 7692 section 7.2.3.6).
    if (payload.length === 0) return hex("00");
    await new Promise((resolve) => this.#deflate.write(Buffer.from(bytesOf(payload)), resolve));
    await new Promise<void>((resolve) => this.#deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    const bytes = concat(...this.#written.splice(0));
    return withoutTail(bytes);
  }

  /** Decompresses the next message. */
  async decompress(payload: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    const write = new Promise((resolve) =>
      this.#inflate.write(Buffer.from(concat(payload, TAIL)), resolve)
    );
    await Promise.race([write, this.#broken]);
    const flush = new Promise<void>((resolve) => this.#inflate.flush(resolve));
    await Promise.race([flush, this.#broken]);
    return concat(...this.#read.splice(0));
  }

  [Symbol.dispose](): void {
    this.#deflate.destroy();
    this.#inflate.destroy();
  }
}

// Properties

/**
 * The index of the byte that proves that `bytes` are no UTF-8, or -1: the table of RFC 3629 section 4,
 * written out.
 */
export function firstInvalidUtf8(bytes: Uint8Array): number {
  let more = 0;
  let low = 0x80;
  let high = 0xbf;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (more > 0) {
      if (byte < low || byte > high) return i;
      more--;
      low = 0x80;
      high = 0xbf;
    } else if (byte >= 0x80) {
      if (byte < 0xc2 || byte > 0xf4) return i;
      more = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
      if (byte === 0xe0) low = 0xa0;
      else if (byte === 0xed) high = 0x9f;
      else if (byte === 0xf0) low = 0x90;
      else if (byte === 0xf4) high = 0x8f;
    }
  }
  return -1;
}
