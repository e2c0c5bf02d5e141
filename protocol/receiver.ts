/**
 * Receiving frames (RFC 6455 sections 5 and 6.2, RFC 7692 section 7.2.2): bytes in, whole messages and
 * control frames out.
 *
 * Work is counted: {@linkcode FrameReceiver.next} stops when its allowance is used up, in the middle of a
 * message too, and goes on from there.
 *
 * @module
 */

import { allocate, recycle } from "./buffer.ts";
import {
  applyMask,
  CloseCode,
  FrameHeader,
  type FrameInfo,
  headerSize,
  MAX_CONTROL_PAYLOAD,
  Opcode,
} from "./frame.ts";
import { DECODE_STEP, type Message, MessageAssembly } from "./message.ts";
import type { PerMessageDeflate } from "./permessage_deflate/codec.ts";
import { ProtocolError, type Violation } from "./protocol_error.ts";

/** A whole message, or a whole control frame with its payload. */
export type Received =
  | { type: "message"; data: Message }
  | { type: "control"; opcode: number; data: Uint8Array<ArrayBuffer> };

/**
 * The work of one frame, in the unit of the allowance: the time to inflate a byte, 2 to 4 ns. A frame with
 * its event takes 2 to 5 µs.
 */
const FRAME_COST = 1000;

/** Bytes that are copied, unmasked, checked and decoded count as a quarter each. */
const COPY_COST = 0.25;

/** A call into zlib takes 0.2 µs, and a stream that ends within a message as much again. */
const CALL_COST = 100;

/** The most that one call into zlib inflates: large enough that the cost of the call is small beside it. */
const INFLATE_SIZE = 64 * 1024;

/** Memory for a piece of an inflated message. It is shared: its content is used before other code runs. */
const inflated = new Uint8Array(INFLATE_SIZE);

/** Memory for an incomplete header or control frame, which have at most 139 bytes. */
const SMALL_INPUT = 256;

const NO_BYTES = new Uint8Array(0);

/** Reads the frames that a peer sends. */
export class FrameReceiver {
  /** The work that {@linkcode next} may do before it stops; it counts down. */
  allowance = Infinity;
  /** How many messages have come to their end, and how many bytes these have, after decompression. */
  messages = 0;
  messageBytes = 0;

  readonly #fromClient: boolean;
  readonly #deflate: PerMessageDeflate | undefined;
  readonly #maxMessageSize: number;
  readonly #onFrame: ((frame: FrameInfo) => void) | undefined;
  readonly #message = new MessageAssembly();
  readonly #header = new FrameHeader();

  /** The bytes that have not been read are those from `#start` to `#end`. */
  #input: Uint8Array<ArrayBuffer> = NO_BYTES;
  #start = 0;
  #end = 0;
  /** Whether the memory of the input is this object's own. */
  #ownsInput = true;

  /** Whether the header of the current frame has been read, and its payload not yet. */
  #inPayload = false;
  /** Bytes of the current data frame's payload that have not been taken from the input. */
  #left = 0;
  /** Bytes of the current payload that have been unmasked. */
  #unmasked = 0;
  /** How many of them have not been taken from the input. */
  #unmaskedInput = 0;
  /** Bytes of the message before the current data frame. */
  #sizeBefore = 0;
  /** Whether the message that is being received is compressed. */
  #compressed = false;
  /** Whether a byte of its payload has come. */
  #hasPayload = false;
  /** Whether the inflater was stopped before it had given all output of its input. */
  #inflating = false;
  /** Whether the last call of `next` stopped because the allowance was used up. */
  #stopped = false;

  /**
   * @param fromClient Whether the peer is a client, which masks its frames.
   * @param onFrame Called with each frame once it is whole, before what it gives is returned.
   */
  constructor(
    fromClient: boolean,
    maxMessageSize: number,
    deflate: PerMessageDeflate | undefined,
    onFrame?: (frame: FrameInfo) => void,
  ) {
    this.#fromClient = fromClient;
    this.#onFrame = onFrame;
    this.#maxMessageSize = maxMessageSize;
    this.#deflate = deflate;
  }

  /** Whether {@linkcode next} may have more to give without more bytes. */
  get hasInput(): boolean {
    return this.#start < this.#end || this.#inflating || this.#message.decoding;
  }

  /** Whether {@linkcode next} stopped because its allowance was used up. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Whether a message has begun and not ended. */
  get inMessage(): boolean {
    return this.#message.opcode !== Opcode.CONTINUATION;
  }

  /** Bytes of memory held by what has come and is not yet an event. */
  get held(): number {
    return this.#message.held + (this.#ownsInput ? this.#input.length : 0) +
      (this.#deflate?.held ?? 0);
  }

  /**
   * Takes bytes. Their memory is read and changed until {@linkcode keepInput} is called.
   */
  push(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#start === this.#end) {
      this.#input = bytes;
      this.#start = 0;
      this.#end = bytes.length;
      this.#ownsInput = false;
      return;
    }
    this.#moveInput(bytes.length);
    this.#input.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** Copies the bytes that have not been read yet, so that the caller can use their memory again. */
  keepInput(): void {
    if (this.#start === this.#end) this.#dropInput();
    else if (!this.#ownsInput) this.#moveInput(0);
  }

  /** Moves the input into memory of its own, with room for `more` bytes behind it. */
  #moveInput(more: number): void {
    const length = this.#end - this.#start;
    const needed = length + more;
    if (this.#ownsInput && needed <= this.#input.length) {
      this.#input.copyWithin(0, this.#start, this.#end);
    } else {
      const input = needed <= SMALL_INPUT ? new Uint8Array(SMALL_INPUT) : allocate(needed);
      input.set(this.#input.subarray(this.#start, this.#end));
      this.#freeInput();
      this.#input = input;
      this.#ownsInput = true;
    }
    this.#start = 0;
    this.#end = length;
  }

  #freeInput(): void {
    if (this.#ownsInput && this.#input.length > SMALL_INPUT) recycle(this.#input);
  }

  #dropInput(): void {
    this.#freeInput();
    this.#input = NO_BYTES;
    this.#start = this.#end = 0;
    this.#ownsInput = true;
  }

  /** Forgets all that has come. */
  release(): void {
    this.#dropInput();
    this.#message.release();
    this.#deflate?.endMessage();
    this.#inflating = false;
  }

  /**
   * The next message or control frame in what has come.
   *
   * @returns Nothing when more must come first, or the allowance is used up.
   * @throws {ProtocolError} If the peer breaks a rule.
   */
  next(): Received | undefined {
    this.#stopped = false;
    for (;;) {
      if (this.allowance <= 0 && this.hasInput) {
        this.#stopped = true;
        return undefined;
      }
      if (this.#message.decoding) {
        this.allowance -= DECODE_STEP;
        const data = this.#message.decode();
        if (data !== undefined) return { type: "message", data };
        continue;
      }
      if (!this.#inPayload && !this.#readHeader()) return undefined;
      if (this.#header.opcode >= Opcode.CLOSE) return this.#readControl();
      const received = this.#compressed ? this.#readCompressed() : this.#readPlain();
      if (!this.#inPayload) this.#tellFrame(this.#message.size - this.#sizeBefore);
      if (received !== undefined || this.#inPayload) return received;
    }
  }

  /** Reads the next frame's header. Returns whether it is whole. */
  #readHeader(): boolean {
    const available = this.#end - this.#start;
    if (available === 0) return false;
    const header = this.#header;
    const size = header.read(this.#input, this.#start, this.#end);
    this.#checkHeader(available);
    if (size === 0) return false;

    this.allowance -= FRAME_COST;
    this.#start += size;
    this.#inPayload = true;
    this.#left = header.length;
    this.#unmasked = this.#unmaskedInput = 0;
    if (header.opcode === Opcode.TEXT || header.opcode === Opcode.BINARY) {
      this.#message.begin(header.opcode);
      this.#compressed = header.rsv1;
      this.#hasPayload = false;
    }
    if (
      header.opcode < Opcode.CLOSE && !this.#compressed &&
      this.#message.size + header.length > this.#maxMessageSize
    ) {
      throw this.#tooBig();
    }
    this.#sizeBefore = this.#message.size;
    return true;
  }

  /** Tells of the frame that has just been read. */
  #tellFrame(payloadLength: number): void {
    if (this.#onFrame === undefined) return;
    const { opcode, fin, rsv1, masked, length } = this.#header;
    const wireLength = headerSize(length, masked) + length;
    const direction = "received";
    this.#onFrame({ direction, opcode, fin, rsv1, masked, wireLength, payloadLength });
  }

  /** The rules of RFC 6455 sections 5.1, 5.2, 5.4 and 5.5, as far as the `available` bytes tell. */
  #checkHeader(available: number): void {
    const { fin, rsv1, rsv23, opcode, masked, length, minimal } = this.#header;
    const control = opcode >= Opcode.CLOSE;
    if (opcode > Opcode.BINARY && !control || opcode > Opcode.PONG) {
      throw violation("UNKNOWN_OPCODE", `opcode is ${opcode}, must be a known one`);
    }
    if (rsv23) throw violation("RESERVED_BIT", "RSV2 or RSV3 is set, no extension uses them");
    if (rsv1 && (this.#deflate === undefined || control || opcode === Opcode.CONTINUATION)) {
      throw violation(
        "RESERVED_BIT",
        this.#deflate === undefined
          ? "RSV1 is set, permessage-deflate was not agreed on"
          : "RSV1 is set, must be on the first frame of a message alone",
      );
    }
    if (control) {
      if (!fin) throw violation("FRAGMENTED_CONTROL_FRAME", "a control frame is fragmented");
    } else if (opcode === Opcode.CONTINUATION) {
      if (!this.inMessage) {
        throw violation("NOTHING_TO_CONTINUE", "there is no message to continue");
      }
    } else if (this.inMessage) {
      throw violation("MESSAGE_INSIDE_MESSAGE", "a new message starts inside another");
    }
    if (available < 2) return;
    if (masked !== this.#fromClient) {
      throw masked
        ? violation("MASKED", "a server's frame is masked")
        : violation("NOT_MASKED", "a client's frame is not masked");
    }
    if (control && (length > MAX_CONTROL_PAYLOAD || !minimal)) {
      throw violation(
        "CONTROL_FRAME_TOO_LONG",
        `a control frame's payload is over ${MAX_CONTROL_PAYLOAD} bytes`,
      );
    }
    if (!minimal) {
      throw violation("LENGTH_NOT_MINIMAL", "length is not written in the fewest bytes");
    }
    if (length === Infinity) throw violation("LENGTH_TOO_LARGE", "length has its highest bit set");
    if (length > Number.MAX_SAFE_INTEGER) throw this.#tooBig();
  }

  #tooBig(): ProtocolError {
    return new ProtocolError(
      CloseCode.MESSAGE_TOO_BIG,
      "MESSAGE_TOO_BIG",
      `Cannot receive message: it is over ${this.#maxMessageSize} bytes`,
    );
  }

  /** Takes a control frame once it is whole (RFC 6455 section 5.5). */
  #readControl(): Received | undefined {
    const { opcode, length } = this.#header;
    if (this.#end - this.#start < length) return undefined;
    const from = this.#start;
    if (this.#fromClient) applyMask(this.#input, from, from + length, this.#header.mask, 0);
    this.#start += length;
    this.#inPayload = false;
    const data = this.#input.slice(from, from + length);
    this.#tellFrame(length);
    return { type: "control", opcode, data };
  }

  /** Unmasks what has come of the payload of a data frame. Returns where that ends. */
  #unmask(): number {
    const to = this.#start + Math.min(this.#left, this.#end - this.#start);
    const from = this.#start + this.#unmaskedInput;
    if (this.#fromClient && to > from) {
      applyMask(this.#input, from, to, this.#header.mask, this.#unmasked);
    }
    this.#unmasked += to - from;
    this.#unmaskedInput = to - this.#start;
    return to;
  }

  /** Takes the payload up to `to` out of the input. */
  #take(to: number): void {
    const count = to - this.#start;
    this.#start = to;
    this.#left -= count;
    this.#unmaskedInput -= count;
  }

  /** Takes what has come of a data frame that is not compressed. */
  #readPlain(): Received | undefined {
    const to = this.#unmask();
    const from = this.#start;
    this.#take(to);
    this.allowance -= COPY_COST * (to - from);
    if (this.#left > 0) {
      this.#message.add(this.#input, from, to, this.#left);
      return undefined;
    }
    this.#inPayload = false;
    if (this.#header.fin) return this.#endMessage(this.#input, from, to);
    this.#message.add(this.#input, from, to, 0);
    return undefined;
  }

  /** Ends the message with its last piece; a long text is then to be decoded. */
  #endMessage(piece: Uint8Array, from: number, to: number): Received | undefined {
    const data = this.#message.end(piece, from, to);
    this.messages++;
    this.messageBytes += this.#message.size;
    if (data === undefined) return undefined;
    this.allowance -= COPY_COST * data.length;
    return { type: "message", data };
  }

  /** Inflates what has come of a data frame, as far as the allowance lasts. */
  #readCompressed(): Received | undefined {
    const { inflater } = this.#deflate!;
    const to = this.#unmask();
    if (to > this.#start) this.#hasPayload = true;
    let length = 0;
    if (to > this.#start || this.#inflating) {
      inflater.push(this.#input, this.#start, to);
      length = this.#inflate(0, true);
      this.#take(to - inflater.unread);
      if (this.#stopped) return undefined;
    }
    if (this.#left > 0 || !this.#header.fin) {
      this.#message.add(inflated, 0, length, 0);
      this.#inPayload = this.#left > 0;
      return undefined;
    }
    // An empty payload has no block, so there is none that the tail could end.
    if (this.#hasPayload) {
      const size = this.#message.size + length;
      inflater.pushTail();
      length = this.#inflate(length, false);
      if (this.#message.size + length > size) {
        throw new ProtocolError(
          CloseCode.INVALID_PAYLOAD,
          "NOT_DEFLATE",
          "Cannot decompress: message ends inside a block",
        );
      }
    }
    this.#inPayload = false;
    this.#deflate!.endMessage();
    return this.#endMessage(inflated, 0, length);
  }

  /**
   * Takes all output of the inflater. The first `length` bytes of `inflated` are already in use.
   *
   * @param mayStop Whether to stop when the allowance is used up.
   * @returns How many bytes of `inflated` are not yet in the message.
   */
  #inflate(length: number, mayStop: boolean): number {
    const { inflater } = this.#deflate!;
    while (!inflater.done) {
      if (this.allowance <= 0 && mayStop) {
        this.#message.add(inflated, 0, length, 0);
        this.#inflating = this.#stopped = true;
        return 0;
      }
      const size = this.#message.size + length;
      const { unread } = inflater;
      // Stop one byte past the limit, so that the error does not depend on how the input was split.
      const room = Math.floor(this.#maxMessageSize - size) + 1;
      const count = inflater.pull(inflated, length, Math.min(INFLATE_SIZE, length + room));
      this.allowance -= CALL_COST + unread - inflater.unread + count;
      length += count;
      if (size + count > this.#maxMessageSize) {
        // Text before the limit that is not UTF-8 is reported as such, however the input was split.
        this.#message.add(inflated, 0, this.#maxMessageSize - this.#message.size, 0);
        throw this.#tooBig();
      }
      if (length === INFLATE_SIZE) {
        this.#message.add(inflated, 0, length, 0);
        length = 0;
      }
    }
    this.#inflating = false;
    return length;
  }
}

function violation(code: Violation, problem: string): ProtocolError {
  return new ProtocolError(CloseCode.PROTOCOL_ERROR, code, `Cannot read frame: ${problem}`);
}
