/**
 * Sending messages and control frames (RFC 6455 sections 5 and 6.1, RFC 7692 section 7.2.1): each message is
 * one frame.
 *
 * A message that takes long to compress or to mask is worked on in steps, and those after it wait for it;
 * control frames go out before it. All others are written to the output at once.
 *
 * @module
 */

import { GrowingBuffer } from "./buffer.ts";
import { applyMask, firstByte, headerSize, MAX_HEADER, Opcode, writeHeader } from "./frame.ts";
import type { Deflater, PerMessageDeflate } from "./permessage_deflate/codec.ts";
import type { PreparedMessage } from "./prepared_message.ts";
import { encodeUtf8, encodeUtf8Into } from "./utf8.ts";

/** Frames for the network, and how many bytes of messages are in them. */
export interface Output {
  frames: GrowingBuffer;
  messageBytes: number;
}

/** A message that is sent in steps, or waits for one that is. */
type Job =
  | { type: "message"; opcode: number; bytes: Uint8Array; compress: boolean }
  | { type: "prepared"; message: PreparedMessage; compress: boolean };

/** Longer messages are compressed in steps: 64 KiB take 0.8 ms at level 1, and 3 at level 6. */
const LONGEST_DEFLATED_AT_ONCE = 64 * 1024;

/** Longer messages that are only encoded or masked are worked on in steps: 1 MiB takes half a millisecond. */
const LONGEST_COPIED_AT_ONCE = 1024 * 1024;

/** What one step compresses, and masks. */
const DEFLATE_STEP = 32 * 1024;
const MASK_STEP = 1024 * 1024;

/** Memory that is kept for the next text to be compressed. */
const MAX_KEPT_TEXT = 64 * 1024;

/** Where a text is encoded before it is compressed; emptied before anything else can run. */
const encoded = new GrowingBuffer();

/** Masks, unpredictable as RFC 6455 section 5.3 demands, drawn many at a time. */
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
  /** The frames that are to be written last. */
  output: GrowingBuffer = new GrowingBuffer();
  /** Bytes of messages in it. */
  #outputMessages = 0;
  /** What is to be written before it, in order. */
  #ready: Output[] = [];

  readonly #masks: boolean;
  readonly #deflate: PerMessageDeflate | undefined;
  /** The message that is being worked on, and those that wait for it. */
  readonly #jobs: Job[] = [];
  /** The frame of the first of the jobs; its payload starts at `MAX_HEADER`. */
  #frame: GrowingBuffer | undefined;
  #deflater: Deflater | undefined;
  /** How much of the job's message has been compressed or copied, and of its payload been masked. */
  #done = 0;
  #masked = 0;
  #mask: number | undefined;
  /** Bytes of the messages in the jobs. */
  #jobBytes = 0;

  /** @param masks Whether frames are masked, as a client's are. */
  constructor(masks: boolean, deflate: PerMessageDeflate | undefined) {
    this.#masks = masks;
    this.#deflate = deflate;
  }

  /** Whether there is a message to be worked on by {@linkcode step}. */
  get busy(): boolean {
    return this.#jobs.length > 0;
  }

  /** Bytes of messages that were given, and not yet taken by {@linkcode takeOutput}. */
  get messageBytes(): number {
    let bytes = this.#outputMessages + this.#jobBytes;
    for (const { messageBytes } of this.#ready) bytes += messageBytes;
    return bytes;
  }

  /** Bytes of memory that all of this takes. */
  get held(): number {
    let bytes = this.output.length + this.#jobBytes + (this.#frame?.bytes.length ?? 0);
    for (const { frames } of this.#ready) bytes += frames.length;
    return bytes;
  }

  /** Takes what is to be written next, or nothing if there is nothing. */
  takeOutput(): Output | undefined {
    const first = this.#ready.shift();
    if (first !== undefined) return first;
    if (this.output.length === 0) return undefined;
    const output = { frames: this.output, messageBytes: this.#outputMessages };
    this.output = new GrowingBuffer();
    this.#outputMessages = 0;
    return output;
  }

  /**
   * Sends a message.
   *
   * @param data Bytes are copied.
   * @param compress Whether it may be compressed.
   */
  send(data: string | Uint8Array, compress: boolean): void {
    const deflates = compress && this.#deflate !== undefined;
    const longest = deflates ? LONGEST_DEFLATED_AT_ONCE : LONGEST_COPIED_AT_ONCE;
    const long = data.length > longest && (deflates || this.#masks || typeof data === "string");
    if (!long && !this.busy) return this.#sendAtOnce(data, compress);
    const opcode = typeof data === "string" ? Opcode.TEXT : Opcode.BINARY;
    const bytes = typeof data === "string" ? encodeUtf8(data) : data.slice();
    this.#jobs.push({ type: "message", opcode, bytes, compress });
    this.#jobBytes += bytes.length;
  }

  /** Sends a message that was prepared. */
  sendPrepared(message: PreparedMessage, compress: boolean): void {
    if (!this.busy) return this.#sendPreparedAtOnce(message, compress);
    this.#jobs.push({ type: "prepared", message, compress });
    this.#jobBytes += message.size;
  }

  /** Writes a control frame (RFC 6455 section 5.5), before the messages that are not yet in the output. */
  sendControl(opcode: number, payload: Uint8Array): void {
    const start = this.#beginFrame(payload.length);
    this.output.append(payload);
    this.#endFrame(start, payload.length, firstByte(opcode, false));
  }

  /**
   * Does some of the work that {@linkcode busy} tells of.
   *
   * @returns What it counts as, in the unit of a byte inflated.
   */
  step(): number {
    const job = this.#jobs[0];
    if (job === undefined) return 0;
    try {
      if (job.type === "message" && !this.#isShort(job)) return this.#stepOf(job);
      this.#endJob();
      if (job.type === "prepared") {
        this.#sendPreparedAtOnce(job.message, job.compress);
        return job.message.size;
      }
      this.#writeMessage(job.opcode, job.bytes, job.compress);
      return 4 * job.bytes.length;
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  #isShort({ bytes: { length }, compress }: { bytes: Uint8Array; compress: boolean }): boolean {
    return length <= (compress ? LONGEST_DEFLATED_AT_ONCE : LONGEST_COPIED_AT_ONCE);
  }

  /** One step of a long message: compressing or copying, then masking, then the header. */
  #stepOf({ opcode, bytes, compress }: Job & { type: "message" }): number {
    const deflate = compress ? this.#deflate : undefined;
    const compressed = deflate !== undefined && bytes.length >= deflate.threshold;
    if (this.#frame === undefined) {
      this.#frame = new GrowingBuffer();
      this.#frame.reserve(MAX_HEADER);
      this.#frame.length = MAX_HEADER;
      this.#done = this.#masked = 0;
      this.#mask = this.#masks ? nextMask() : undefined;
      if (compressed) this.#deflater = deflate.beginLong();
    }
    const frame = this.#frame;
    if (this.#done < bytes.length) {
      const from = this.#done;
      const to = Math.min(bytes.length, from + (compressed ? DEFLATE_STEP : MASK_STEP));
      this.#done = to;
      if (!compressed) {
        frame.append(bytes.subarray(from, to));
        return (to - from) / 4;
      }
      this.#deflater!.deflatePart(bytes, from, to, to === bytes.length, frame);
      if (to === bytes.length) this.#endDeflating();
      return 4 * (to - from);
    }
    if (this.#mask !== undefined && this.#masked < frame.length - MAX_HEADER) {
      const from = MAX_HEADER + this.#masked;
      const to = Math.min(frame.length, from + MASK_STEP);
      applyMask(frame.bytes, from, to, this.#mask, this.#masked);
      this.#masked += to - from;
      return (to - from) / 4;
    }
    const length = frame.length - MAX_HEADER;
    frame.start = MAX_HEADER - headerSize(length, this.#masks);
    writeHeader(frame.bytes, frame.start, firstByte(opcode, compressed), length, this.#mask);
    this.#endJob();
    this.#frame = undefined;
    this.#closeOutput();
    this.#ready.push({ frames: frame, messageBytes: bytes.length });
    return 0;
  }

  #endJob(): void {
    const job = this.#jobs.shift()!;
    this.#jobBytes -= job.type === "message" ? job.bytes.length : job.message.size;
  }

  #endDeflating(): void {
    this.#deflate!.endLong(this.#deflater!);
    this.#deflater = undefined;
  }

  /** Has what is in the output written before what is ready next. */
  #closeOutput(): void {
    if (this.output.length === 0) return;
    this.#ready.push({ frames: this.output, messageBytes: this.#outputMessages });
    this.output = new GrowingBuffer();
    this.#outputMessages = 0;
  }

  /** Forgets the messages that are not yet in the output. */
  abandon(): void {
    this.#jobs.length = this.#jobBytes = 0;
    this.#frame?.release();
    this.#frame = undefined;
    if (this.#deflater !== undefined) {
      // It may have stopped in the middle of a message, from which nothing goes on.
      this.#deflate!.dropLong(this.#deflater);
      this.#deflater = undefined;
    }
  }

  /** Forgets all that is to be written. */
  release(): void {
    this.abandon();
    this.output.release();
    for (const { frames } of this.#ready.splice(0)) frames.release();
    this.#outputMessages = 0;
  }

  #sendAtOnce(data: string | Uint8Array, compress: boolean): void {
    const deflates = compress && this.#deflate !== undefined;
    const opcode = typeof data === "string" ? Opcode.TEXT : Opcode.BINARY;
    if (typeof data !== "string") return this.#writeMessage(opcode, data, compress);
    if (!deflates) {
      const start = this.#beginFrame(data.length);
      encodeInto(data, this.output);
      this.#outputMessages += this.#endFrame(start, data.length, firstByte(opcode, false));
      return;
    }
    encoded.length = 0;
    encodeInto(data, encoded);
    this.#writeMessage(opcode, encoded.bytes.subarray(0, encoded.length), compress);
    if (encoded.bytes.length > MAX_KEPT_TEXT) encoded.release();
  }

  #writeMessage(opcode: number, bytes: Uint8Array, compress: boolean): void {
    const deflate = compress ? this.#deflate : undefined;
    const compressed = deflate !== undefined && bytes.length >= deflate.threshold;
    const start = this.#beginFrame(bytes.length);
    try {
      if (compressed) deflate.deflate(bytes, this.output);
      else this.output.append(bytes);
      this.#endFrame(start, bytes.length, firstByte(opcode, compressed));
    } catch (error) {
      // Half a frame, of memory that others have used, must not go out with the next one.
      this.output.length = start;
      deflate?.releaseContext();
      throw error;
    }
    this.#outputMessages += bytes.length;
  }

  #sendPreparedAtOnce(message: PreparedMessage, compress: boolean): void {
    const { first, payload, unmasked } = message.frameFor(compress ? this.#deflate : undefined);
    this.#outputMessages += message.size;
    if (!this.#masks && this.output.length === 0) return this.output.borrow(unmasked);
    const start = this.#beginFrame(payload.length);
    this.output.append(payload);
    this.#endFrame(start, payload.length, first);
  }

  /** Leaves room for a header, for a payload that will likely be of `length` bytes. */
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

/** Appends `text` as UTF-8: in one pass where it is ASCII, without three times its room otherwise. */
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
