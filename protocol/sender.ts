/**
 * Sending messages and control frames (RFC 6455 sections 5 and 6.1, RFC 7692 section 7.2.1): each message is
 * one frame.
 *
 * A message that takes long to compress is worked on in steps, and the messages after it wait for it; control
 * frames go out before it. All others are written to the output at once: to copy and to mask 16 MiB takes
 * less than to compress 1 MiB.
 *
 * @module
 */

import { GrowingBuffer } from "./buffer.ts";
import {
  applyMask,
  firstByte,
  type FrameInfo,
  headerSize,
  MAX_HEADER,
  Opcode,
  readFirstByte,
  writeHeader,
} from "./frame.ts";
import type { Deflater, PerMessageDeflate } from "./permessage_deflate/codec.ts";
import type { PreparedMessage } from "./prepared_message.ts";
import { encodeUtf8, encodeUtf8Into } from "./utf8.ts";

/** Frames for the network, how many messages are in them, and how many bytes these have. */
export interface Output {
  frames: GrowingBuffer;
  messages: number;
  messageBytes: number;
}

/** A message that is compressed in steps, or waits for one that is. */
type Job =
  | { type: "message"; opcode: number; bytes: Uint8Array; compress: boolean }
  | { type: "prepared"; message: PreparedMessage; compress: boolean };

/** The message that is being compressed. */
interface Long {
  deflater: Deflater;
  /** Its frame; the payload starts at `MAX_HEADER`. */
  frame: GrowingBuffer;
  mask: number | undefined;
  /** How much of the message has been compressed. */
  done: number;
}

/** Longer messages are compressed in steps: 64 KiB take 0.4 ms at level 1, and up to 4 ms at level 8. */
const LONGEST_DEFLATED_AT_ONCE = 64 * 1024;

/** What one step compresses. */
const DEFLATE_STEP = 32 * 1024;

/** Bytes that are copied and masked count as a quarter of a byte inflated each. */
const COPY_COST = 0.25;

/** The most memory of `encoded` that is kept for the next text. */
const MAX_KEPT_TEXT = 64 * 1024;

/** Memory for the UTF-8 of a text that is compressed. It is shared: used before other code runs. */
const encoded = new GrowingBuffer();

/** Random masks, as RFC 6455 section 5.3 demands. Many are drawn at a time, since a call is slow. */
const masks = new Int32Array(1024);
let masksLeft = 0;

function nextMask(): number {
  if (masksLeft === 0) {
    crypto.getRandomValues(masks);
    masksLeft = masks.length;
  }
  return masks[--masksLeft]!;
}

/** Writes the frames that a peer is sent. */
export class FrameSender {
  /** The latest frames. They are written after those in `#ready`. */
  output: GrowingBuffer = new GrowingBuffer();
  /** How many messages are in `output`, and how many bytes these have. */
  #outputMessages = 0;
  #outputMessageBytes = 0;
  /** What is to be written before `output`, in order. */
  #ready: Output[] = [];

  readonly #masks: boolean;
  readonly #deflate: PerMessageDeflate | undefined;
  readonly #onFrame: ((frame: FrameInfo) => void) | undefined;
  /** The message that is being compressed, and those that wait for it. */
  readonly #jobs: Job[] = [];
  /** The first of the jobs, once its compression has begun. */
  #long: Long | undefined;
  /** Bytes of the messages in the jobs, and bytes of memory that they take. */
  #jobMessages = 0;
  #jobMemory = 0;

  /**
   * @param masks Whether frames are masked, as a client's are.
   * @param onFrame Called with each frame that is written to the output, in its order.
   */
  constructor(
    masks: boolean,
    deflate: PerMessageDeflate | undefined,
    onFrame?: (frame: FrameInfo) => void,
  ) {
    this.#masks = masks;
    this.#deflate = deflate;
    this.#onFrame = onFrame;
  }

  /** Whether messages wait for {@linkcode step}. */
  get busy(): boolean {
    return this.#jobs.length > 0;
  }

  /** Bytes of messages that were given, and not yet taken by {@linkcode takeOutput}. */
  get messageBytes(): number {
    let bytes = this.#outputMessageBytes + this.#jobMessages;
    for (const { messageBytes } of this.#ready) bytes += messageBytes;
    return bytes;
  }

  /** Bytes of frames that {@linkcode takeOutput} would give. */
  get outputBytes(): number {
    let bytes = this.output.length;
    for (const { frames } of this.#ready) bytes += frames.length - frames.start;
    return bytes;
  }

  /** Bytes of those frames, and of messages that are not yet frames. */
  get unsent(): number {
    return this.outputBytes + this.#jobMessages;
  }

  /** Bytes of memory that all of this takes. The memory of prepared messages is their own. */
  get held(): number {
    let bytes = this.output.held + this.#jobMemory + (this.#long?.frame.held ?? 0);
    for (const { frames } of this.#ready) bytes += frames.held;
    return bytes;
  }

  /** Takes what is to be written next, or nothing if there is nothing. */
  takeOutput(): Output | undefined {
    if (this.#ready.length > 0) return this.#ready.shift();
    return this.output.length === 0 ? undefined : this.#takeLatest();
  }

  #takeLatest(): Output {
    const output = {
      frames: this.output,
      messages: this.#outputMessages,
      messageBytes: this.#outputMessageBytes,
    };
    this.output = new GrowingBuffer();
    this.#outputMessages = this.#outputMessageBytes = 0;
    return output;
  }

  #countMessage(bytes: number): void {
    this.#outputMessages++;
    this.#outputMessageBytes += bytes;
  }

  /**
   * Sends a message.
   *
   * @param data Bytes are copied.
   * @param compress Whether it may be compressed.
   */
  send(data: string | Uint8Array, compress: boolean): void {
    const opcode = typeof data === "string" ? Opcode.TEXT : Opcode.BINARY;
    const deflates = compress && this.#deflate !== undefined;
    if (this.busy || deflates && data.length > LONGEST_DEFLATED_AT_ONCE) {
      const bytes = typeof data === "string" ? encodeUtf8(data) : data.slice();
      return this.#addJob({ type: "message", opcode, bytes, compress });
    }
    if (typeof data !== "string") {
      this.#writeMessage(opcode, data, compress);
      return;
    }
    if (!deflates) {
      const start = this.#beginFrame(data.length);
      encodeInto(data, this.output);
      const first = firstByte(opcode, false);
      const length = this.#endFrame(start, data.length, first);
      this.#countMessage(length);
      this.#tellFrame(first, length, length);
      return;
    }
    encoded.length = 0;
    encodeInto(data, encoded);
    const bytes = encoded.bytes.subarray(0, encoded.length);
    if (bytes.length <= LONGEST_DEFLATED_AT_ONCE) this.#writeMessage(opcode, bytes, compress);
    else this.#addJob({ type: "message", opcode, bytes: bytes.slice(), compress });
    if (encoded.bytes.length > MAX_KEPT_TEXT) encoded.release();
  }

  /** Sends a message that was prepared. */
  sendPrepared(message: PreparedMessage, compress: boolean): void {
    const deflate = compress ? this.#deflate : undefined;
    if (!this.busy && isPreparedAtOnce(message, deflate)) this.#writePrepared(message, deflate);
    else this.#addJob({ type: "prepared", message, compress });
  }

  #addJob(job: Job): void {
    this.#jobs.push(job);
    this.#countJob(job, 1);
  }

  #countJob(job: Job, times: 1 | -1): void {
    const message = job.type === "message" ? job.bytes.length : job.message.size;
    this.#jobMessages += times * message;
    if (job.type === "message") this.#jobMemory += times * message;
  }

  /** Writes a control frame (RFC 6455 section 5.5), before the messages that are not yet in the output. */
  sendControl(opcode: number, payload: Uint8Array): void {
    const start = this.#beginFrame(payload.length);
    this.output.append(payload);
    const first = firstByte(opcode, false);
    this.#endFrame(start, payload.length, first);
    this.#tellFrame(first, payload.length, payload.length);
  }

  /**
   * Compresses a part of the first message that waits, or sends it.
   *
   * @returns The work that was done, in bytes inflated.
   * @throws If there is no memory for it: the messages that waited are then lost.
   */
  step(): number {
    const job = this.#jobs[0];
    if (job === undefined) return 0;
    try {
      return job.type === "message" ? this.#stepOf(job) : this.#stepOfPrepared(job);
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  #stepOf(job: Job & { type: "message" }): number {
    const { opcode, bytes, compress } = job;
    const deflate = compress ? this.#deflate : undefined;
    if (this.#long === undefined) {
      if (bytes.length <= LONGEST_DEFLATED_AT_ONCE || !deflate?.compresses(bytes.length)) {
        this.#endJob();
        const compressed = this.#writeMessage(opcode, bytes, compress);
        return (compressed ? deflate!.cost : COPY_COST) * bytes.length;
      }
      const frame = new GrowingBuffer();
      frame.reserve(MAX_HEADER);
      frame.length = MAX_HEADER;
      const mask = this.#masks ? nextMask() : undefined;
      this.#long = { deflater: deflate.beginLong(), frame, mask, done: 0 };
    }
    const { deflater, frame, mask, done } = this.#long;
    const to = Math.min(bytes.length, done + DEFLATE_STEP);
    const last = to === bytes.length;
    const from = frame.length;
    deflater.deflatePart(bytes, done, to, last, frame);
    if (mask !== undefined) applyMask(frame.bytes, from, frame.length, mask, from - MAX_HEADER);
    this.#long.done = to;
    if (last) {
      const length = frame.length - MAX_HEADER;
      frame.start = MAX_HEADER - headerSize(length, this.#masks);
      const first = firstByte(opcode, true);
      writeHeader(frame.bytes, frame.start, first, length, mask);
      deflate!.endLong(bytes.length, length);
      this.#long = undefined;
      this.#endJob();
      this.#closeOutput();
      this.#ready.push({ frames: frame, messages: 1, messageBytes: bytes.length });
      this.#tellFrame(first, length, bytes.length);
    }
    return deflate!.cost * (to - done);
  }

  #stepOfPrepared({ message, compress }: Job & { type: "prepared" }): number {
    const deflate = compress ? this.#deflate : undefined;
    if (!isPreparedAtOnce(message, deflate)) {
      return message.step(deflate!, DEFLATE_STEP) * deflate!.cost;
    }
    const cost = message.isReady(deflate) ? COPY_COST : deflate!.cost;
    this.#endJob();
    this.#writePrepared(message, deflate);
    return cost * message.size;
  }

  #endJob(): void {
    this.#countJob(this.#jobs.shift()!, -1);
  }

  /** Moves the output to `#ready`, so that it goes before the frame that is added there next. */
  #closeOutput(): void {
    if (this.output.length > 0) this.#ready.push(this.#takeLatest());
  }

  /** Forgets the messages that are not yet in the output. */
  abandon(): void {
    this.#jobs.length = this.#jobMessages = this.#jobMemory = 0;
    if (this.#long === undefined) return;
    this.#long.frame.release();
    this.#deflate!.dropLong();
    this.#long = undefined;
  }

  /** Forgets all that is to be written. */
  release(): void {
    this.abandon();
    this.output.release();
    for (const { frames } of this.#ready.splice(0)) frames.release();
    this.#outputMessages = this.#outputMessageBytes = 0;
  }

  /** Writes a message. Returns whether it was compressed. */
  #writeMessage(opcode: number, bytes: Uint8Array, compress: boolean): boolean {
    const deflate = compress ? this.#deflate : undefined;
    const compressed = deflate?.compresses(bytes.length) ?? false;
    const first = firstByte(opcode, compressed);
    const start = this.#beginFrame(bytes.length);
    let length;
    try {
      if (compressed) deflate!.deflate(bytes, this.output);
      else this.output.append(bytes);
      length = this.#endFrame(start, bytes.length, first);
    } catch (error) {
      // Half a frame must not go out with the next one: its memory may hold data of other connections.
      this.output.length = start;
      deflate?.releaseContext();
      throw error;
    }
    this.#countMessage(bytes.length);
    this.#tellFrame(first, length, bytes.length);
    return compressed;
  }

  #writePrepared(message: PreparedMessage, deflate: PerMessageDeflate | undefined): void {
    const { first, payload, unmasked } = message.frameFor(deflate);
    if (!this.#masks && this.output.length === 0) {
      this.output.borrow(unmasked);
    } else {
      const start = this.#beginFrame(payload.length);
      this.output.append(payload);
      this.#endFrame(start, payload.length, first);
    }
    this.#countMessage(message.size);
    this.#tellFrame(first, payload.length, message.size);
  }

  /** Tells of a frame whose payload has `length` bytes as it is sent, and `payloadLength` before compression. */
  #tellFrame(first: number, length: number, payloadLength: number): void {
    if (this.#onFrame === undefined) return;
    const masked = this.#masks;
    const wireLength = headerSize(length, masked) + length;
    const flags = readFirstByte(first);
    this.#onFrame({ direction: "sent", ...flags, masked, wireLength, payloadLength });
  }

  /** Leaves room for a header. The payload is expected to have `length` bytes. */
  #beginFrame(length: number): number {
    const start = this.output.length;
    const header = headerSize(length, this.#masks);
    this.output.reserve(header + length);
    this.output.length = start + header;
    return start;
  }

  /** Writes the header before the payload that was appended, and masks it. Returns its length. */
  #endFrame(start: number, likely: number, first: number): number {
    const { output } = this;
    let from = start + headerSize(likely, this.#masks);
    const length = output.length - from;
    const shift = headerSize(length, this.#masks) - (from - start);
    if (shift !== 0) {
      output.reserve(Math.max(shift, 0));
      output.bytes.copyWithin(from + shift, from, output.length);
      output.length += shift;
    }
    const mask = this.#masks ? nextMask() : undefined;
    from = writeHeader(output.bytes, start, first, length, mask);
    if (mask !== undefined) applyMask(output.bytes, from, output.length, mask, 0);
    return length;
  }
}

function isPreparedAtOnce(
  message: PreparedMessage,
  deflate: PerMessageDeflate | undefined,
): boolean {
  return message.size <= LONGEST_DEFLATED_AT_ONCE || message.isReady(deflate);
}

/** Appends `text` as UTF-8. The memory fits ASCII at first, and grows only if there is other text. */
function encodeInto(text: string, target: GrowingBuffer): void {
  target.reserve(text.length);
  let rest = text;
  for (;;) {
    const { read, written } = encodeUtf8Into(rest, target.bytes.subarray(target.length));
    target.length += written;
    if (read === rest.length) return;
    rest = rest.slice(read);
    target.reserve(3 * rest.length);
  }
}
