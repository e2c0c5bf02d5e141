/**
 * One connection after its opening handshake (RFC 6455 sections 5 to 7, RFC 7692 sections 6 and 7.2):
 * bytes in, events out; commands in, bytes out. No I/O, no timers.
 *
 * Whoever drives it reads the network into {@linkcode Protocol.space}, tells how much came, takes the
 * events one by one, and writes {@linkcode Protocol.output} to the network.
 *
 * @module
 */

import { GrowingBuffer, POOLED_SIZE } from "./buffer.ts";
import {
  applyMask,
  CloseCode,
  closePayload,
  firstByte,
  FrameHeader,
  headerSize,
  MAX_CONTROL_PAYLOAD,
  Opcode,
  ProtocolError,
  readClosePayload,
  writeHeader,
} from "./frame.ts";
import type { PerMessageDeflate } from "./permessage_deflate/codec.ts";
import type { PreparedMessage } from "./prepared_message.ts";

/** Which end of the connection this is: a client masks what it sends, a server does not. */
export type Role = "client" | "server";

/** A whole message. */
export type Message = string | Uint8Array<ArrayBuffer>;

/** What came from the peer. */
export type ProtocolEvent =
  | { type: "message"; data: Message }
  | { type: "ping" | "pong"; data: Uint8Array<ArrayBuffer> }
  /** The peer's Close frame; ours has been written if it was not already. */
  | { type: "close"; code: number; reason: string }
  /** The peer broke the protocol; a Close frame that says how has been written. */
  | { type: "failure"; error: ProtocolError };

/** How a {@linkcode Protocol} works. */
export interface ProtocolOptions {
  role: Role;
  /** The codec, when permessage-deflate was agreed on. */
  deflate?: PerMessageDeflate | undefined;
  /** Longest message taken, in bytes after decompression. */
  maxMessageSize: number;
  /** Pings answered before {@linkcode Protocol.allowPongs} is called again. */
  pongs: number;
}

/** What an idle connection reads into: a few small frames; it grows once more comes at a time. */
const SMALL_READ = 2048;

/** What a busy one reads into: a TLS record holds no more (RFC 8446 section 5.1). */
const LARGE_READ = POOLED_SIZE;

/** So many small reads in a row, and a busy connection is an idle one again. */
const SMALL_READS_TO_SHRINK = 32;

/** Memory for a message grows with what has come of it, never at once to what its header claims. */
const FIRST_ASSEMBLY = 64 * 1024;
const ASSEMBLY_GROWTH = 4;

/** With as many bytes unsent, a peer that pings and does not read gets no pongs besides. */
const MAX_UNSENT = 64 * 1024;

/** A string of ever so many pieces takes 32 bytes for each, were it a character: so many are joined. */
const MAX_PIECES = 1024;

/** Where a piece of a message is decompressed to; emptied before anything else can run. */
const inflated = new Uint8Array(64 * 1024);

/** Where a text is encoded before it is compressed; likewise. */
const encoded = new GrowingBuffer();

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

/** What the lenient decoder puts in the place of what is not UTF-8, and the strict one refuses. */
const REPLACEMENT = "\ufffd";

/**
 * Decodes a whole text. The lenient decoder of Deno 2.9 takes an eighth of the strict one's time (0.8
 * against 6.2 µs for 4 KiB): the strict one is asked only when there is a replacement character.
 */
function decodeWhole(bytes: Uint8Array): string {
  const text = lenient.decode(bytes);
  return text.includes(REPLACEMENT) ? strict.decode(bytes) : text;
}
const encoder = new TextEncoder();

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

/** A connection's state machine. */
export class Protocol {
  /** What is to be written to the network, in order. Whoever writes it empties it. */
  output: GrowingBuffer = new GrowingBuffer();

  readonly #server: boolean;
  readonly #deflate: PerMessageDeflate | undefined;
  readonly #maxMessageSize: number;
  readonly #pongs: number;
  #pongsLeft: number;
  /** The latest ping that there were no pongs left for. */
  #unanswered: Uint8Array | undefined;

  /** Bytes from the network that are not yet looked at: from `#start` to `#end`. */
  #input: Uint8Array<ArrayBuffer> = new Uint8Array(SMALL_READ);
  #start = 0;
  #end = 0;
  #smallReads = 0;

  readonly #header = new FrameHeader();
  /** Whether the header of the current frame has been read, and its payload not yet. */
  #inPayload = false;
  /** Bytes of the current data frame's payload still to come. */
  #left = 0;
  /** Bytes of it that came. */
  #phase = 0;

  /** The opcode of the message being received, or 0. */
  #opcode: number = Opcode.CONTINUATION;
  #compressed = false;
  /** Whether its payload has had a byte. */
  #hasPayload = false;
  /** Bytes of the message so far, decompressed. */
  #size = 0;
  /** Its text so far, and then the pieces not yet joined to it. */
  #text = "";
  #pieces: string[] = [];
  #decoder: TextDecoder | undefined;
  readonly #assembly = new GrowingBuffer();
  /** Whether {@linkcode space} is the message's own memory. */
  #direct = false;

  #closeSent = false;
  #closeReceived = false;
  #failed = false;

  constructor(options: ProtocolOptions) {
    this.#server = options.role === "server";
    this.#deflate = options.deflate;
    this.#maxMessageSize = options.maxMessageSize;
    this.#pongs = this.#pongsLeft = options.pongs;
  }

  /** Whether a Close frame has been written. */
  get closeSent(): boolean {
    return this.#closeSent;
  }

  /** Whether both Close frames have been exchanged (RFC 6455 section 7.1.4). */
  get closedCleanly(): boolean {
    return this.#closeSent && this.#closeReceived && !this.#failed;
  }

  /** Whether anything that comes from now on is ignored. */
  get receivingEnded(): boolean {
    return this.#closeReceived || this.#failed;
  }

  // Receiving

  /** Where the next bytes from the network go. */
  space(): Uint8Array<ArrayBuffer> {
    if (
      this.#inPayload && this.#header.opcode < Opcode.CLOSE && this.#opcode === Opcode.BINARY &&
      !this.#compressed && this.#start === this.#end
    ) {
      this.#direct = true;
      return this.#assemblySpace();
    }
    this.#direct = false;
    this.#prepareInput();
    return this.#end === 0 ? this.#input : this.#input.subarray(this.#end);
  }

  /** `count` bytes from the network have been put into {@linkcode space}. */
  received(count: number): void {
    if (this.#direct) {
      const from = this.#assembly.length;
      this.#assembly.length += count;
      this.#size += count;
      this.#unmask(this.#assembly.bytes, from, from + count);
      return;
    }
    if (this.#end + count === this.#input.length) this.#smallReads = -1;
    else if (count <= SMALL_READ) this.#smallReads++;
    else this.#smallReads = 0;
    this.#end += count;
  }

  /** Takes bytes that came with the opening handshake. */
  receive(bytes: Uint8Array): void {
    this.#prepareInput();
    if (this.#input.length - this.#end < bytes.length) {
      const input = new Uint8Array(this.#end + bytes.length);
      input.set(this.#input.subarray(0, this.#end));
      this.#input = input;
    }
    this.#input.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** Whether there may be another event in what has come. */
  get hasInput(): boolean {
    return this.#start < this.#end;
  }

  /**
   * The next event in what has come.
   *
   * @returns The event, or `undefined` when more must come first.
   */
  next(): ProtocolEvent | undefined {
    if (this.receivingEnded) {
      this.#start = this.#end = 0;
      return undefined;
    }
    try {
      for (;;) {
        if (!this.#inPayload && !this.#readHeader()) return undefined;
        const event = this.#header.opcode >= Opcode.CLOSE ? this.#readControl() : this.#readData();
        if (event !== undefined || this.#inPayload) return event;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.fail(error);
      return { type: "failure", error };
    }
  }

  /** Makes room behind what is left of the input: at most a header or a control frame's part. */
  #prepareInput(): void {
    const length = this.#end - this.#start;
    const size = this.#smallReads < 0
      ? LARGE_READ
      : this.#smallReads > SMALL_READS_TO_SHRINK
      ? SMALL_READ
      : this.#input.length;
    if (this.#smallReads < 0) this.#smallReads = 0;
    if (size !== this.#input.length && length < SMALL_READ) {
      const input = new Uint8Array(size);
      input.set(this.#input.subarray(this.#start, this.#end));
      this.#input = input;
    } else if (this.#start > 0 && length > 0) {
      this.#input.copyWithin(0, this.#start, this.#end);
    }
    this.#start = 0;
    this.#end = length;
  }

  #assemblySpace(): Uint8Array<ArrayBuffer> {
    const { bytes, length } = this.#assembly;
    if (bytes.length === length) {
      const more = Math.min(
        this.#left,
        Math.max(FIRST_ASSEMBLY, (ASSEMBLY_GROWTH - 1) * length),
      );
      this.#assembly.grow(length + more);
    }
    return this.#assembly.bytes.subarray(length, length + this.#left);
  }

  /** Reads the next frame's header. Returns whether it is whole. */
  #readHeader(): boolean {
    const available = this.#end - this.#start;
    if (available === 0) return false;
    const header = this.#header;
    const size = header.read(this.#input, this.#start, this.#end);
    this.#checkHeader(available);
    if (size === 0) return false;

    this.#start += size;
    this.#inPayload = true;
    this.#left = header.length;
    this.#phase = 0;
    if (header.opcode === Opcode.TEXT || header.opcode === Opcode.BINARY) {
      this.#opcode = header.opcode;
      this.#compressed = header.rsv1;
      this.#hasPayload = false;
      this.#size = 0;
    }
    if (
      header.opcode < Opcode.CLOSE && !this.#compressed &&
      this.#size + header.length > this.#maxMessageSize
    ) {
      throw this.#tooBig();
    }
    return true;
  }

  /** The rules of RFC 6455 sections 5.1, 5.2, 5.4 and 5.5, as far as the `available` bytes tell. */
  #checkHeader(available: number): void {
    const { fin, rsv1, rsv23, opcode, masked, length, minimal } = this.#header;
    const control = opcode >= Opcode.CLOSE;
    if (opcode > Opcode.BINARY && !control || opcode > Opcode.PONG) {
      throw violation(`opcode is ${opcode}, must be a known one`);
    }
    if (rsv23) throw violation("RSV2 or RSV3 is set, no extension uses them");
    if (rsv1 && (this.#deflate === undefined || control || opcode === Opcode.CONTINUATION)) {
      throw violation(
        this.#deflate === undefined
          ? "RSV1 is set, permessage-deflate was not agreed on"
          : "RSV1 is set, must be on the first frame of a message alone",
      );
    }
    if (control) {
      if (!fin) throw violation("a control frame is fragmented");
    } else if (opcode === Opcode.CONTINUATION) {
      if (this.#opcode === Opcode.CONTINUATION) throw violation("there is no message to continue");
    } else if (this.#opcode !== Opcode.CONTINUATION) {
      throw violation("a new message starts inside another");
    }
    if (available < 2) return;
    if (masked !== this.#server) {
      throw violation(masked ? "a server's frame is masked" : "a client's frame is not masked");
    }
    if (control && (length > MAX_CONTROL_PAYLOAD || !minimal)) {
      throw violation(`a control frame's payload is over ${MAX_CONTROL_PAYLOAD} bytes`);
    }
    if (!minimal) throw violation("length is not written in the fewest bytes");
    if (length === Infinity) throw violation("length has its highest bit set");
    if (length > Number.MAX_SAFE_INTEGER) throw this.#tooBig();
  }

  #tooBig(): ProtocolError {
    return new ProtocolError(
      CloseCode.MESSAGE_TOO_BIG,
      `Cannot receive message: it is over ${this.#maxMessageSize} bytes`,
    );
  }

  /** Handles a control frame once it is whole (RFC 6455 section 5.5). */
  #readControl(): ProtocolEvent | undefined {
    const { opcode, length } = this.#header;
    if (this.#end - this.#start < length) return undefined;
    const from = this.#start;
    this.#unmask(this.#input, from, from + length);
    this.#start += length;
    this.#inPayload = false;
    const data = this.#input.slice(from, from + length);
    switch (opcode) {
      case Opcode.PING:
        if (this.#pongsLeft-- > 0 && this.output.length < MAX_UNSENT) {
          this.#control(Opcode.PONG, data);
          this.#unanswered = undefined;
        } else {
          this.#unanswered = data;
        }
        return { type: "ping", data };
      case Opcode.PONG:
        return { type: "pong", data };
      default: {
        const { code, reason } = readClosePayload(data);
        this.#closeReceived = true;
        this.#releaseMessage();
        this.close(code, "");
        return { type: "close", code, reason };
      }
    }
  }

  /** Handles what has come of a data frame's payload. */
  #readData(): ProtocolEvent | undefined {
    const { fin } = this.#header;
    const count = Math.min(this.#left, this.#end - this.#start);
    const from = this.#start;
    const to = from + count;
    if (count > 0) this.#unmask(this.#input, from, to);
    this.#start = to;
    const frameEnds = this.#left === 0;
    if (frameEnds) this.#inPayload = false;
    const last = frameEnds && fin;

    let data: Message | undefined;
    if (this.#compressed) data = this.#inflate(from, to, last);
    else data = this.#piece(this.#input, from, to, last);
    if (!last) return undefined;
    this.#opcode = Opcode.CONTINUATION;
    return { type: "message", data: data! };
  }

  #unmask(bytes: Uint8Array, from: number, to: number): void {
    if (this.#server) applyMask(bytes, from, to, this.#header.mask, this.#phase);
    this.#phase += to - from;
    this.#left -= this.#header.opcode < Opcode.CLOSE ? to - from : 0;
  }

  /** Decompresses a part of a message's payload; the last gives the message. */
  #inflate(from: number, to: number, last: boolean): Message | undefined {
    const { inflater } = this.#deflate!;
    if (to > from) this.#hasPayload = true;
    let length = 0;
    /** Takes all that the input gives; returns how much that is. */
    const drain = () => {
      let total = 0;
      for (;;) {
        // No further than the first byte too many: what is wrong behind it is not told of, however it came.
        const most = Math.min(inflated.length, Math.floor(this.#maxMessageSize - this.#size) + 1);
        const count = inflater.pull(inflated, length, most);
        if (count === 0) return total;
        total += count;
        length += count;
        if (this.#size + length > this.#maxMessageSize) {
          // Text that is no UTF-8 before it is too long is told of as such, however it came.
          this.#piece(inflated, 0, this.#maxMessageSize - this.#size, false);
          throw this.#tooBig();
        }
        if (length === inflated.length) {
          this.#piece(inflated, 0, length, false);
          length = 0;
        }
      }
    };
    inflater.push(this.#input, from, to);
    drain();
    // A message whose payload is empty holds not even the block that the tail would end.
    if (last && this.#hasPayload) {
      inflater.pushTail();
      if (drain() > 0) {
        throw new ProtocolError(
          CloseCode.INVALID_PAYLOAD,
          "Cannot decompress: message ends inside a block",
        );
      }
    }
    const data = this.#piece(inflated, 0, length, last);
    if (last) this.#deflate!.endMessage();
    return data;
  }

  /**
   * Adds a piece to the message; the last gives the message, and is then its only copy.
   *
   * @throws {ProtocolError} With code 1007, at the first byte that no UTF-8 continues with.
   */
  #piece(bytes: Uint8Array, from: number, to: number, last: boolean): Message | undefined {
    const first = this.#size === 0;
    this.#size += to - from;
    if (this.#opcode === Opcode.TEXT) {
      try {
        if (first && last) return decodeWhole(bytes.subarray(from, to));
        this.#decoder ??= new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
        this.#pieces.push(this.#decoder.decode(bytes.subarray(from, to), { stream: !last }));
      } catch {
        throw new ProtocolError(
          CloseCode.INVALID_PAYLOAD,
          "Cannot receive message: text is not UTF-8",
        );
      }
      if (!last && this.#pieces.length < MAX_PIECES) return undefined;
      this.#text += this.#pieces.join("");
      this.#pieces = [];
      if (!last) return undefined;
      const text = this.#text;
      this.#text = "";
      return text;
    }
    if (last && this.#assembly.length === 0) {
      return bytes.slice(from, to) as Uint8Array<ArrayBuffer>;
    }
    if (to > from) this.#assembly.append(bytes.subarray(from, to));
    return last ? this.#assembly.take() : undefined;
  }

  #releaseMessage(): void {
    this.#text = "";
    this.#pieces = [];
    this.#assembly.release();
    this.#opcode = Opcode.CONTINUATION;
  }

  // Sending

  /**
   * Writes a message; none after a Close frame (RFC 6455 section 5.5.1).
   *
   * @param compress Whether it may be compressed.
   * @returns The bytes of the message, for `bufferedAmount`; 0 when it was not written.
   */
  send(data: string | Uint8Array, compress: boolean): number {
    if (this.#closeSent) return 0;
    const start = this.output.length;
    try {
      return this.#writeMessage(data, compress);
    } catch (error) {
      // Half a frame, of memory that others have used, must not go out with the next one.
      this.output.length = start;
      this.#deflate?.releaseContext();
      throw error;
    }
  }

  #writeMessage(data: string | Uint8Array, compress: boolean): number {
    const opcode = typeof data === "string" ? Opcode.TEXT : Opcode.BINARY;
    const deflate = compress ? this.#deflate : undefined;
    if (deflate === undefined) {
      const start = this.#beginFrame(data.length);
      if (typeof data === "string") encodeInto(data, this.output);
      else this.output.append(data);
      return this.#endFrame(start, data.length, firstByte(opcode, false));
    }
    let bytes = data;
    if (typeof bytes === "string") {
      encoded.length = 0;
      encodeInto(bytes, encoded);
      bytes = encoded.bytes.subarray(0, encoded.length);
    }
    const size = bytes.length;
    const compressed = size >= deflate.threshold;
    const start = this.#beginFrame(size);
    if (compressed) deflate.deflate(bytes, this.output);
    else this.output.append(bytes);
    this.#endFrame(start, size, firstByte(opcode, compressed));
    if (encoded.bytes.length > FIRST_ASSEMBLY) encoded.release();
    return size;
  }

  /**
   * Writes a message that was prepared, likewise.
   *
   * @returns The bytes of the message, for `bufferedAmount`; 0 when it was not written.
   */
  sendPrepared(message: PreparedMessage, compress: boolean): number {
    if (this.#closeSent) return 0;
    const { first, payload, unmasked } = message.frameFor(compress ? this.#deflate : undefined);
    if (this.#server && this.output.length === 0) {
      this.output.borrow(unmasked);
      return message.size;
    }
    const start = this.#beginFrame(payload.length);
    this.output.append(payload);
    this.#endFrame(start, payload.length, first);
    return message.size;
  }

  /** Writes a Ping (RFC 6455 section 5.5.2) of up to 125 bytes. */
  ping(data: Uint8Array): void {
    this.#control(Opcode.PING, data);
  }

  /**
   * Allows as many pongs again. Of the pings that were not answered, the latest is now, as RFC 6455
   * section 5.5.3 has it.
   *
   * @returns Whether it still is to be, as the peer does not take what is there.
   */
  allowPongs(): boolean {
    this.#pongsLeft = this.#pongs;
    if (this.#unanswered === undefined) return false;
    if (this.output.length >= MAX_UNSENT) return true;
    this.#control(Opcode.PONG, this.#unanswered);
    this.#unanswered = undefined;
    this.#pongsLeft--;
    return false;
  }

  /** Writes a Close frame, if none was (RFC 6455 section 5.5.1): the last frame that is written. */
  close(code: number, reason: string): void {
    this.#control(Opcode.CLOSE, closePayload(code, reason));
    this.#closeSent = true;
  }

  /** Fails the connection (RFC 6455 section 7.1.7): a last Close frame, and nothing more is read. */
  fail(error: ProtocolError): void {
    this.close(error.code, error.message);
    this.#failed = true;
    this.#releaseMessage();
  }

  #control(opcode: number, payload: Uint8Array): void {
    if (this.#closeSent) return;
    const start = this.#beginFrame(payload.length);
    this.output.append(payload);
    this.#endFrame(start, payload.length, firstByte(opcode, false));
  }

  /** Leaves room for a header, for a payload that will likely be of `length` bytes. */
  #beginFrame(length: number): number {
    const start = this.output.length;
    const header = headerSize(length, !this.#server);
    this.output.reserve(header + length);
    this.output.length = start + header;
    return start;
  }

  /** Writes the header before the payload that was appended, and masks it. Returns its length. */
  #endFrame(start: number, likely: number, first: number): number {
    const { output } = this;
    const masked = !this.#server;
    let from = start + headerSize(likely, masked);
    const length = output.length - from;
    const shift = headerSize(length, masked) - (from - start);
    if (shift !== 0) {
      output.reserve(Math.max(shift, 0));
      output.bytes.copyWithin(from + shift, from, output.length);
      output.length += shift;
    }
    const mask = masked ? nextMask() : undefined;
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
    const { read, written } = encoder.encodeInto(rest, target.bytes.subarray(target.length));
    target.length += written;
    if (read === rest.length) return;
    rest = rest.slice(read);
    target.reserve(3 * rest.length);
  }
}

function violation(problem: string): ProtocolError {
  return new ProtocolError(CloseCode.PROTOCOL_ERROR, `Cannot read frame: ${problem}`);
}
