/**
 * The frames a client sends, built in advance: masked, and compressed as the server agreed to.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { constants, createDeflateRaw, type DeflateRaw } from "node:zlib";
import { applyMask, firstByte, headerSize, Opcode, writeHeader } from "../protocol/frame.ts";
import { seeded } from "./messages.ts";

/** How a connection's messages are compressed. */
export type Mode = "plain" | "no-context" | "context";

/** How frames are to be built. */
export interface FrameOptions {
  mode: Mode;
  /** The client's sliding window, as the server agreed to it. */
  windowBits: number;
  /** Most frames that are sent at once. */
  depth: number;
}

/**
 * An endless stream of frames in one run of bytes, so that any next few are one slice of it.
 *
 * With context takeover, each frame refers to those before it. The messages are compressed twice over:
 * the second time, every frame refers to what a window holds then, and will hold each time after. So
 * the second half can be sent again and again, and only the first is sent once.
 */
export class FrameStream {
  /** The bytes, with the first frames of the cycle repeated at the end. */
  readonly #bytes: Uint8Array;
  /** Where each frame starts, and the last ends. */
  readonly #starts: number[];
  /** The frames of the cycle are those from here to {@linkcode #end}. */
  readonly #cycle: number;
  readonly #end: number;

  private constructor(frames: Uint8Array[], cycle: number, depth: number) {
    this.#cycle = cycle;
    this.#end = frames.length;
    const count = frames.length - cycle;
    const all = [...frames];
    for (let i = 0; i < depth; i++) all.push(frames[cycle + i % count]!);
    this.#starts = [0];
    for (const frame of all) this.#starts.push(this.#starts.at(-1)! + frame.length);
    this.#bytes = new Uint8Array(this.#starts.at(-1)!);
    all.forEach((frame, i) => this.#bytes.set(frame, this.#starts[i]!));
  }

  /** Builds the frames of `messages`. */
  static async of(messages: Message[], options: FrameOptions): Promise<FrameStream> {
    const { mode, windowBits, depth } = options;
    const random = seeded(11);
    const mask = () => Math.floor(random() * 0x1_0000_0000);
    if (mode === "plain") {
      return new FrameStream(messages.map((message) => frameOf(message, false, mask())), 0, depth);
    }
    const codec = createDeflateRaw({ level: 1, windowBits });
    const frames: Uint8Array[] = [];
    const passes = mode === "context" ? [...messages, ...messages] : messages;
    for (const { payload, opcode } of passes) {
      const compressed = await deflate(codec, payload);
      frames.push(frameOf({ payload: compressed, opcode }, true, mask()));
      if (mode === "no-context") codec.reset();
    }
    codec.close();
    return new FrameStream(frames, mode === "context" ? messages.length : 0, depth);
  }

  /** The bytes of `count` frames from the frame number `index` on, at most as many as `depth`. */
  slice(index: number, count: number): Uint8Array {
    return this.#bytes.subarray(this.#starts[index]!, this.#starts[index + count]!);
  }

  /** The number of the frame that is sent `count` frames after that of number `index`. */
  after(index: number, count: number): number {
    const next = index + count;
    const length = this.#end - this.#cycle;
    return next < this.#end ? next : this.#cycle + (next - this.#cycle) % length;
  }
}

/** A message before it is compressed. */
export interface Message {
  opcode: number;
  payload: Uint8Array;
}

/** A text as the message that it is sent as. */
export function toMessage(text: string, binary: boolean): Message {
  return {
    opcode: binary ? Opcode.BINARY : Opcode.TEXT,
    payload: new TextEncoder().encode(text),
  };
}

function frameOf({ opcode, payload }: Message, compressed: boolean, mask: number): Uint8Array {
  const bytes = new Uint8Array(headerSize(payload.length, true) + payload.length);
  const at = writeHeader(bytes, 0, firstByte(opcode, compressed), payload.length, mask);
  bytes.set(payload, at);
  applyMask(bytes, at, bytes.length, mask | 0, 0);
  return bytes;
}

/** The tail of every compressed message is left out (RFC 7692 section 7.2.1). */
const TAIL_LENGTH = 4;

function deflate(codec: DeflateRaw, payload: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    const onData = (chunk: Uint8Array) => chunks.push(chunk);
    codec.on("data", onData).once("error", reject);
    codec.write(payload);
    codec.flush(constants.Z_SYNC_FLUSH, () => {
      codec.off("data", onData).off("error", reject);
      const whole = new Uint8Array(Buffer.concat(chunks));
      resolve(whole.subarray(0, whole.length - TAIL_LENGTH));
    });
  });
}
