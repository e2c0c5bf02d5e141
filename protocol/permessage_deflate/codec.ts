/**
 * The codec of permessage-deflate (RFC 7692 section 7.2) over `node:zlib`.
 *
 * The codec works at once, without a promise: a message costs one native call each way, and streams
 * that keep no context between messages are shared by all connections.
 *
 * @module
 */

import type { GrowingBuffer } from "../buffer.ts";
import { CloseCode } from "../frame.ts";
import { ProtocolError } from "../protocol_error.ts";
import { CompressionGain } from "./compression_gain.ts";
import { contextBytes, type ContextHolder, ContextPool } from "./context_pool.ts";
import type { Agreement } from "./negotiation.ts";
import { type CompressionSettings, MAX_WINDOW_BITS, MIN_DEFLATE_WINDOW_BITS } from "./options.ts";
import { zlib } from "./zlib.ts";

/**
 * The native stream under a stream of `node:zlib`, as Node and Deno have it. Its `writeSync` is the
 * only way to DEFLATE that neither sets a stream up for each message nor waits for a callback.
 */
interface NativeStream {
  /** Leaves what remains of output and input in the write state, or calls `onerror`. */
  writeSync(
    flush: number,
    input: Uint8Array,
    inputAt: number,
    inputLength: number,
    output: Uint8Array,
    outputAt: number,
    outputLength: number,
  ): void;
  reset(): void;
  close(): void;
  onerror: (message: string) => void;
}

function nativeStream(stream: unknown): { native: NativeStream; state: Uint32Array } {
  const { _handle: native, _writeState: state } = stream as {
    _handle?: NativeStream;
    _writeState?: Uint32Array;
  };
  if (typeof native?.writeSync !== "function" || state === undefined) {
    throw new Error("Cannot compress: this runtime's node:zlib has no synchronous stream");
  }
  // So that a `writeSync` that does nothing does not look as if it had filled the output.
  state.fill(1);
  return { native, state };
}

/** The smallest output buffer that `node:zlib` allows. Its own buffer is never used here. */
const CHUNK_SIZE = 64;

/** zlib's flush that lets it wait for more input. */
const Z_NO_FLUSH = 0;

/** zlib's flush that ends a block at a byte, and keeps the context. */
const Z_SYNC_FLUSH = 2;

const NO_BYTES = new Uint8Array(0);

/** The end of each message's last DEFLATE block, left out on the wire (RFC 7692 section 7.2.1). */
const TAIL = new Uint8Array([0x00, 0x00, 0xff, 0xff]);

/** Compresses whole messages. */
export class Deflater {
  readonly #native: NativeStream;
  readonly #state: Uint32Array;

  constructor(level: number, memLevel: number, windowBits: number) {
    const stream = zlib().createDeflateRaw({ level, memLevel, windowBits, chunkSize: CHUNK_SIZE });
    ({ native: this.#native, state: this.#state } = nativeStream(stream));
  }

  /**
   * Appends the compressed `input` to `target`, without the tail (RFC 7692 section 7.2.1).
   *
   * @param input Not empty.
   */
  deflate(input: Uint8Array, target: GrowingBuffer): void {
    // The most that zlib needs, and more than the 6 bytes below which it would flush twice.
    target.reserve(input.length + (input.length >>> 10) + 64);
    this.deflatePart(input, 0, input.length, true, target);
  }

  /**
   * Appends what a part of a message gives, likewise.
   *
   * @param last Whether the message ends with it.
   */
  deflatePart(
    input: Uint8Array,
    from: number,
    to: number,
    last: boolean,
    target: GrowingBuffer,
  ): void {
    let at = from;
    for (;;) {
      target.reserve(64);
      const left = to - at;
      const room = target.bytes.length - target.length;
      this.#native.writeSync(
        last ? Z_SYNC_FLUSH : Z_NO_FLUSH,
        input,
        at,
        left,
        target.bytes,
        target.length,
        room,
      );
      target.length += room - this.#state[0]!;
      at = to - this.#state[1]!;
      if (this.#state[0] !== 0) break;
      target.reserve(Math.max(1024, to - at));
    }
    if (last) target.length -= TAIL.length;
  }

  /** Forgets the messages it compressed. In the middle of one, Deno 2.9 would keep some bits of it. */
  reset(): void {
    this.#native.reset();
  }

  close(): void {
    this.#native.close();
  }
}

/** Decompresses messages, in pieces as they arrive. */
export class Inflater {
  readonly #native: NativeStream;
  readonly #state: Uint32Array;
  #error: string | undefined;
  #input: Uint8Array = NO_BYTES;
  #at = 0;
  #end = 0;
  #outputFull = false;

  constructor(windowBits: number) {
    const stream = zlib().createInflateRaw({ windowBits, chunkSize: CHUNK_SIZE });
    ({ native: this.#native, state: this.#state } = nativeStream(stream));
    this.#native.onerror = (message) => this.#error = message;
  }

  /** Bytes of the input that have not been read. */
  get unread(): number {
    return this.#end - this.#at;
  }

  /** Sets the next input. It must begin with the bytes of the one before that are unread. */
  push(input: Uint8Array, start: number, end: number): void {
    this.#input = input;
    this.#at = start;
    this.#end = end;
  }

  /** Sets the end of the message as the next input: the tail that its sender left out. */
  pushTail(): void {
    this.push(TAIL, 0, TAIL.length);
  }

  /** Whether the input has been used up, and all that it gives been pulled. */
  get done(): boolean {
    return this.#at === this.#end && !this.#outputFull;
  }

  /**
   * Writes some of what the input gives into `output` from `from` up to `to`: one native call, so that
   * input that gives nothing can be counted too.
   *
   * @returns The bytes written, which may be none before the inflater is {@linkcode done}.
   * @throws {ProtocolError} With code 1007, if the input is not DEFLATE.
   */
  pull(output: Uint8Array, from: number, to: number = output.length): number {
    const free = to - from;
    this.#native.writeSync(
      Z_SYNC_FLUSH,
      this.#input,
      this.#at,
      this.#end - this.#at,
      output,
      from,
      free,
    );
    if (this.#error !== undefined) {
      const problem = this.#error;
      this.#error = undefined;
      throw new ProtocolError(
        CloseCode.INVALID_PAYLOAD,
        "NOT_DEFLATE",
        `Cannot decompress: ${problem}`,
      );
    }
    const room = this.#state[0]!;
    const left = this.#state[1]!;
    this.#at = this.#end - left;
    this.#outputFull = room === 0;
    // Input left beside free output: a block with BFINAL ended the stream (section 7.2.3.4), and
    // what follows starts the next. The tail after a message that ends so is no block of its own.
    if (left > 0 && room > 0) {
      this.#native.reset();
      if (this.#input === TAIL && left === TAIL.length) this.#at = this.#end;
    }
    if (this.done) this.#input = NO_BYTES;
    return free - room;
  }

  /** Forgets what it decompressed. */
  reset(): void {
    this.#native.reset();
    this.push(NO_BYTES, 0, 0);
    this.#outputFull = false;
  }

  close(): void {
    this.#native.close();
  }
}

/** Compressors for messages that are compressed at once and alone, by their settings. */
const sharedDeflaters = new Map<string, Deflater>();

/** Compressors for long messages that none is using, by their settings. They hold no context. */
const idleDeflaters = new Map<string, Deflater[]>();

/** It is rare that more long messages are compressed at the same time. */
const MAX_IDLE_DEFLATERS = 4;

/** Decompressors that no message is using. They hold no context. */
const idleInflaters: Inflater[] = [];

/** It is rare that more messages are half received at the same time. */
const MAX_IDLE_INFLATERS = 16;

/**
 * Bytes of memory that a decompressor takes. Measured on Deno 2.9, with a process's resident set: 42 KB for a
 * window of 15 bits, 14 for 12, 10 for 9.
 */
function inflaterBytes(windowBits: number): number {
  return 10 * 1024 + (1 << windowBits);
}

/** The contexts of all connections that compress. */
const contexts = new ContextPool();

/** The latest time that was read, and how often it was asked for. */
let latestTime = 0;
let timesAsked = 0;

/**
 * The time, read for every sixteenth message: reading takes 0.1 µs, a twentieth of what a message takes.
 * Where messages are few, {@linkcode releaseIdleContexts} reads it.
 */
function roughTime(): number {
  if ((timesAsked++ & 15) === 0) latestTime = performance.now();
  return latestTime;
}

/** How many connections hold a compressor's context. */
export function contextCount(): number {
  return contexts.size;
}

/** How many there are, and the bytes they take. */
export function heldContexts(): { count: number; bytes: number } {
  return { count: contexts.size, bytes: contexts.bytes };
}

/**
 * Sets what the contexts of all connections may take.
 *
 * @param bytes A context of 15 bits with `memLevel` 8 takes 300 KB.
 */
export function setContextBudget(bytes: number): void {
  contexts.budget = bytes;
}

/**
 * Gives the contexts back that have not been used for ten seconds. To be called now and then, while
 * {@linkcode contextCount} is not zero.
 */
export function releaseIdleContexts(now?: number): void {
  contexts.releaseIdle(now ?? (latestTime = performance.now()));
}

/**
 * What compressing a byte takes at most, beside a byte inflated. Seen for 64 KiB of JSON and of random
 * bytes: 0.4 ms at level 1, 0.9 at level 3, 1 at level 6, 4 at level 8.
 */
function costOf(level: number): number {
  return level === 1 ? 2 : level <= 6 ? 5 : 20;
}

/** The codec of one connection. */
export class PerMessageDeflate implements ContextHolder {
  /** Messages of fewer bytes are not worth compressing. */
  readonly threshold: number;
  /** Sliding window of what is sent. */
  readonly windowBits: number;
  /** The same for all connections whose messages, compressed alone, are the same. */
  readonly key: string;
  /** What compressing a byte counts as, in the unit of a byte inflated: 3 ns. */
  readonly cost: number;
  /** The address whose share of the contexts' budget this connection's context counts to. */
  readonly address: string;
  readonly #level: number;
  readonly #memLevel: number;
  readonly #keepsOwn: boolean;
  readonly #keepsPeers: boolean;
  readonly #peersWindowBits: number;
  readonly #now: () => number;
  /** Whether compressing pays for what this connection sends; made with its first message. */
  #gain: CompressionGain | undefined;
  /** The compressor that keeps the context of the messages sent, while the pool grants one. */
  #deflater: Deflater | undefined;
  /** The compressor that a long message is going through, which may be the same. */
  #long: Deflater | undefined;
  #inflater: Inflater | undefined;

  /**
   * @param address Connections with the same address take no more than a share of the contexts' budget.
   * @param now The time in milliseconds, which never goes back.
   */
  constructor(
    agreement: Agreement,
    role: "client" | "server",
    settings: CompressionSettings,
    address: string = "",
    now: () => number = roughTime,
  ) {
    const server = role === "server";
    this.windowBits = server ? agreement.serverMaxWindowBits : agreement.clientMaxWindowBits;
    this.#peersWindowBits = server ? agreement.clientMaxWindowBits : agreement.serverMaxWindowBits;
    this.#keepsOwn =
      !(server ? agreement.serverNoContextTakeover : agreement.clientNoContextTakeover);
    this.#keepsPeers =
      !(server ? agreement.clientNoContextTakeover : agreement.serverNoContextTakeover);
    this.#level = settings.level;
    this.#memLevel = settings.memLevel;
    this.cost = costOf(settings.level);
    this.key = `${settings.level} ${settings.memLevel} ${this.windowBits}`;
    this.threshold = this.windowBits < MIN_DEFLATE_WINDOW_BITS ? Infinity : settings.threshold;
    this.address = address;
    this.#now = now;
  }

  /**
   * Whether the next message, of `length` bytes, is to be compressed. To be asked once for each message.
   *
   * What does not get smaller is sent plain, and not compressed alone, which would cost both ends the most
   * time for the least gain.
   */
  compresses(length: number): boolean {
    if (length < this.threshold) return false;
    if (this.#gain === undefined || this.#gain.pays) return true;
    this.#gain.skip();
    return false;
  }

  /** Appends the compressed `message` to `target`. */
  deflate(message: Uint8Array, target: GrowingBuffer): void {
    if (message.length === 0) {
      // RFC 7692 section 7.2.3.6: an empty block, whose end is the tail that is left out.
      target.reserve(1);
      target.bytes[target.length++] = 0;
      return;
    }
    const start = target.length;
    const context = this.#context();
    if (context === undefined) this.deflateAlone(message, target);
    else context.deflate(message, target);
    this.#judge(message.length, target.length - start);
  }

  /** Takes note of what compressing a message gave. A sender that gains nothing keeps no context. */
  #judge(plain: number, compressed: number): void {
    this.#gain ??= new CompressionGain();
    this.#gain.add(plain, compressed);
    if (!this.#gain.pays) this.releaseContext();
  }

  /** The compressor that keeps the context of this connection's messages, if it may have one. */
  #context(): Deflater | undefined {
    if (!this.#keepsOwn) return undefined;
    const bytes = contextBytes(this.windowBits, this.#memLevel);
    if (!contexts.reserve(this, bytes, this.#now())) return undefined;
    return this.#deflater ??= new Deflater(this.#level, this.#memLevel, this.windowBits);
  }

  /** Appends `message`, compressed without regard to any other, to `target`. */
  deflateAlone(message: Uint8Array, target: GrowingBuffer): void {
    let deflater = sharedDeflaters.get(this.key);
    if (deflater === undefined) {
      deflater = new Deflater(this.#level, this.#memLevel, this.windowBits);
      sharedDeflaters.set(this.key, deflater);
    }
    try {
      deflater.deflate(message, target);
      deflater.reset();
    } catch (error) {
      sharedDeflaters.delete(this.key);
      deflater.close();
      throw error;
    }
  }

  /** A compressor for a message that is compressed in parts; given back by {@linkcode endLong}. */
  beginLong(): Deflater {
    return this.#long = this.#context() ?? this.beginAlone();
  }

  /** The message, of `plain` bytes, has been compressed to its end. */
  endLong(plain: number, compressed: number): void {
    const deflater = this.#long!;
    this.#long = undefined;
    // Its context may have been taken away meanwhile.
    if (deflater !== this.#deflater) this.endAlone(deflater);
    this.#judge(plain, compressed);
  }

  /** The message is given up in the middle: nothing can go on from there. */
  dropLong(): void {
    const deflater = this.#long!;
    if (deflater === this.#deflater) this.releaseContext();
    this.#long = undefined;
    deflater.close();
  }

  /** A compressor for one message that is compressed in parts without regard to any other. */
  beginAlone(): Deflater {
    return idleDeflaters.get(this.key)?.pop() ??
      new Deflater(this.#level, this.#memLevel, this.windowBits);
  }

  /** The message of {@linkcode beginAlone} has been compressed to its end. */
  endAlone(deflater: Deflater): void {
    deflater.reset();
    const idle = idleDeflaters.get(this.key);
    if (idle === undefined) idleDeflaters.set(this.key, [deflater]);
    else if (idle.length < MAX_IDLE_DEFLATERS) idle.push(deflater);
    else deflater.close();
  }

  /** The decompressor of the message that is arriving; given back by {@linkcode endMessage}. */
  get inflater(): Inflater {
    return this.#inflater ??= this.#keepsPeers
      ? new Inflater(this.#peersWindowBits)
      : idleInflaters.pop() ?? new Inflater(MAX_WINDOW_BITS);
  }

  /** Bytes of memory that decompressing the message that is arriving takes, beyond what is kept. */
  get held(): number {
    return this.#inflater === undefined || this.#keepsPeers ? 0 : inflaterBytes(MAX_WINDOW_BITS);
  }

  /** Bytes of memory that the peer's context takes between messages: none before its first compressed one. */
  get kept(): number {
    return this.#inflater === undefined || !this.#keepsPeers
      ? 0
      : inflaterBytes(this.#peersWindowBits);
  }

  /** A message has been decompressed to its end, or is given up. */
  endMessage(): void {
    if (this.#inflater === undefined || this.#keepsPeers) return;
    this.#inflater.reset();
    if (idleInflaters.length < MAX_IDLE_INFLATERS) idleInflaters.push(this.#inflater);
    else this.#inflater.close();
    this.#inflater = undefined;
  }

  /** Forgets what was sent. The peer does not notice: what is sent next refers to nothing before it. */
  forgetSent(): void {
    this.#deflater?.reset();
  }

  /** Forgets what was sent, and gives the memory of it back. */
  releaseContext(): void {
    contexts.release(this);
    this.dropContext();
  }

  /** Forgets what was sent: the pool has given the memory to another connection. */
  dropContext(): void {
    // A long message that is going through it keeps it to its end.
    if (this.#deflater !== this.#long) this.#deflater?.close();
    this.#deflater = undefined;
  }

  /** Gives all memory back; nothing can be received after. */
  close(): void {
    this.releaseContext();
    this.#inflater?.close();
    this.#inflater = undefined;
  }
}
