/**
 * The extension permessage-deflate (RFC 7692): its negotiation, and its codec over `node:zlib`.
 *
 * The codec works at once, without a promise: a message costs one native call each way, and streams
 * that keep no context between messages are shared by all connections.
 *
 * @module
 */

import type { GrowingBuffer } from "./buffer.ts";
import { type Extension, formatExtension } from "./extensions.ts";
import { CloseCode, ProtocolError } from "./frame.ts";
import { zlib } from "./node.ts";

/**
 * How messages are compressed.
 *
 * The figures are of Deno 2.9 and a stream of different, similar JSON events of 300 bytes on average;
 * `plain` is their size without compression.
 */
export interface CompressionOptions {
  /**
   * Effort, from 1 (fast) to 9 (small). With a context, level 1 takes 2 µs a message and sends 25 % of
   * plain, level 3 9 µs and 23 %, level 6 13 µs and 22 %; without one, level 1 takes 5 µs and sends
   * 84 %, level 3 15 µs and 68 %.
   *
   * @default {1}
   */
  level?: number;
  /**
   * Memory of the compressor's buffers, from 1 to 9. A context takes some 290 KB at 8, 255 KB at 5: it
   * is held while messages are sent, by 128 sockets of a process at most, and given back within ten
   * seconds of the last one.
   *
   * @default {8}
   */
  memLevel?: number;
  /**
   * Messages of fewer bytes are sent as they are: a short message alone gains nothing.
   *
   * @default {64}
   */
  threshold?: number;
  /**
   * Largest sliding window of what the server sends, from 9 to 15: repetitions are found no farther
   * back than 2^bits bytes. 12 sends 42 % of plain, where 15 sends 25 %.
   *
   * A client offers it when it is under 15.
   *
   * @default {15}
   */
  serverMaxWindowBits?: number;
  /**
   * Largest sliding window of what the client sends, from 9 to 15. A server that lets clients keep a
   * context needs 41 KB for each at 15, 18 KB at 12. Only a client that offers
   * `client_max_window_bits` can be asked; others keep 15.
   *
   * @default {15}
   */
  clientMaxWindowBits?: number;
  /**
   * Whether the server forgets each message before it compresses the next. It spares both ends the
   * memory, and sends 84 % of plain instead of 25 %.
   *
   * @default {false}
   */
  serverNoContextTakeover?: boolean;
  /**
   * Whether the client does. A server asks for it unless told otherwise, so that what it receives takes
   * no memory between messages; a client by itself does not.
   *
   * @default {true} for a server, `false` for a client
   */
  clientNoContextTakeover?: boolean;
}

/** The extension's name in the registry. */
const NAME = "permessage-deflate";

/** Window of RFC 7692 section 7.1.2 when nothing is said. */
const MAX_WINDOW_BITS = 15;

/** zlib's deflate works with no smaller window: an offer of 8 is declined, an agreed 8 not used. */
const MIN_DEFLATE_WINDOW_BITS = 9;

/** Checked options, every one with its value. */
export type CompressionSettings = Required<CompressionOptions>;

/**
 * Fills in the defaults.
 *
 * @param options `false` for no compression, `true` for the defaults.
 * @param role Whose options they are: one default differs.
 * @returns The settings, or `undefined` for no compression.
 * @throws {RangeError} If a number is out of its range.
 */
export function compressionSettings(
  options: boolean | CompressionOptions,
  role: "client" | "server",
): CompressionSettings | undefined {
  if (options === false) return undefined;
  const given = options === true ? {} : options;
  return {
    level: whole("level", given.level ?? 1, 1, 9),
    memLevel: whole("memLevel", given.memLevel ?? 8, 1, 9),
    threshold: whole("threshold", given.threshold ?? 64, 0, Number.MAX_SAFE_INTEGER),
    serverMaxWindowBits: windowBits("serverMaxWindowBits", given.serverMaxWindowBits),
    clientMaxWindowBits: windowBits("clientMaxWindowBits", given.clientMaxWindowBits),
    serverNoContextTakeover: given.serverNoContextTakeover ?? false,
    clientNoContextTakeover: given.clientNoContextTakeover ?? role === "server",
  };
}

function windowBits(name: string, value: number = MAX_WINDOW_BITS): number {
  return whole(name, value, MIN_DEFLATE_WINDOW_BITS, MAX_WINDOW_BITS);
}

function whole(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(
    `Cannot set up compression: ${name} is ${value}, must be a whole number from ${min} to ${max}`,
  );
}

/** What both sides agreed on (RFC 7692 section 7.1). */
export interface Agreement {
  serverNoContextTakeover: boolean;
  clientNoContextTakeover: boolean;
  /** 8 to 15. */
  serverMaxWindowBits: number;
  /** 8 to 15. */
  clientMaxWindowBits: number;
}

/** The parameters of one offer or response, each there at most once and in its range. */
interface Params {
  server_no_context_takeover?: true;
  client_no_context_takeover?: true;
  server_max_window_bits?: number;
  /** `true` where it has no value. */
  client_max_window_bits?: number | true;
}

/** Reads the parameters, or nothing when one is unknown, repeated or out of range (section 7.1). */
function readParams({ params }: Extension): Params | undefined {
  const read: Params = {};
  for (const [name, value] of params) {
    if (Object.hasOwn(read, name)) return undefined;
    const bits = value !== undefined && /^(?:[89]|1[0-5])$/.test(value) ? Number(value) : undefined;
    switch (name) {
      case "server_no_context_takeover":
      case "client_no_context_takeover":
        if (value !== undefined) return undefined;
        read[name] = true;
        break;
      case "server_max_window_bits":
        if (bits === undefined) return undefined;
        read[name] = bits;
        break;
      case "client_max_window_bits":
        if (value !== undefined && bits === undefined) return undefined;
        read[name] = bits ?? true;
        break;
      default:
        return undefined;
    }
  }
  return read;
}

/**
 * The server's side: accepts the first offer that can be honoured (RFC 7692 sections 5.1 and 7.1).
 *
 * @param offers What the client offers, in its order of preference.
 * @returns What is agreed and the response that says so, or nothing when every offer is declined.
 */
export function acceptOffer(
  offers: Extension[],
  settings: CompressionSettings,
): { agreement: Agreement; response: string } | undefined {
  for (const offer of offers) {
    if (offer.name !== NAME) continue;
    const params = readParams(offer);
    if (params === undefined) continue;
    const asked = params.server_max_window_bits;
    if (asked !== undefined && asked < MIN_DEFLATE_WINDOW_BITS) continue;

    const server = Math.min(asked ?? MAX_WINDOW_BITS, settings.serverMaxWindowBits);
    const able = params.client_max_window_bits;
    // Without the parameter in the offer, the client cannot be asked (section 7.1.2.2).
    const client = able === undefined ? MAX_WINDOW_BITS : Math.min(
      able === true ? MAX_WINDOW_BITS : able,
      settings.clientMaxWindowBits,
    );
    const agreement: Agreement = {
      serverNoContextTakeover: params.server_no_context_takeover ??
        settings.serverNoContextTakeover,
      clientNoContextTakeover: params.client_no_context_takeover ??
        settings.clientNoContextTakeover,
      serverMaxWindowBits: server,
      clientMaxWindowBits: client,
    };
    const response = formatParams({
      server_no_context_takeover: agreement.serverNoContextTakeover,
      client_no_context_takeover: agreement.clientNoContextTakeover,
      server_max_window_bits: asked !== undefined || server < MAX_WINDOW_BITS ? server : false,
      client_max_window_bits: client < MAX_WINDOW_BITS ? client : false,
    });
    return { agreement, response };
  }
  return undefined;
}

/** The client's offer: one, that any server able to compress can accept (section 7.1). */
export function formatOffer(settings: CompressionSettings): string {
  const { serverMaxWindowBits, clientMaxWindowBits } = settings;
  return formatParams({
    server_no_context_takeover: settings.serverNoContextTakeover,
    client_no_context_takeover: settings.clientNoContextTakeover,
    server_max_window_bits: serverMaxWindowBits < MAX_WINDOW_BITS ? serverMaxWindowBits : false,
    client_max_window_bits: clientMaxWindowBits < MAX_WINDOW_BITS ? clientMaxWindowBits : true,
  });
}

function formatParams(params: Record<keyof Params, boolean | number>): string {
  return formatExtension({
    name: NAME,
    params: Object.entries(params)
      .filter(([, value]) => value !== false)
      .map(([name, value]) => [name, value === true ? undefined : String(value)]),
  });
}

/**
 * The client's side: checks the server's response against the offer (RFC 7692 section 7.1).
 *
 * @param settings Those the offer was made of, or `undefined` when none was made.
 * @returns What is agreed; `undefined` when the server does not compress.
 * @throws {ProtocolError} With code 1010, if the response agrees to what was not offered.
 */
export function checkResponse(
  response: Extension[],
  settings: CompressionSettings | undefined,
): Agreement | undefined {
  const [extension, second] = response;
  if (extension === undefined) return undefined;
  const header = response.map(formatExtension).join(", ");
  const refuse = (problem: string): never => {
    throw new ProtocolError(
      CloseCode.MANDATORY_EXTENSION,
      `Cannot agree on extensions: server answered "${header}", ${problem}`,
    );
  };
  if (settings === undefined) return refuse("none was offered");
  if (extension.name !== NAME) return refuse(`only ${NAME} was offered`);
  if (second !== undefined) return refuse("one was offered");
  const params = readParams(extension);
  if (params === undefined) return refuse("a parameter is unknown, repeated or out of range");

  const server = params.server_max_window_bits ?? MAX_WINDOW_BITS;
  if (server > settings.serverMaxWindowBits) {
    return refuse(`server_max_window_bits must be at most ${settings.serverMaxWindowBits}`);
  }
  if (settings.serverNoContextTakeover && !params.server_no_context_takeover) {
    return refuse("server_no_context_takeover is missing");
  }
  const client = params.client_max_window_bits ?? settings.clientMaxWindowBits;
  if (client === true) return refuse("client_max_window_bits has no value");
  if (client > settings.clientMaxWindowBits) {
    return refuse(`client_max_window_bits must be at most ${settings.clientMaxWindowBits}`);
  }
  return {
    serverNoContextTakeover: params.server_no_context_takeover ?? false,
    clientNoContextTakeover: params.client_no_context_takeover ??
      settings.clientNoContextTakeover,
    serverMaxWindowBits: server,
    clientMaxWindowBits: client,
  };
}

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
  return { native, state };
}

/** The least `node:zlib` takes; its own output buffer is never used. */
const CHUNK_SIZE = 64;

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
    let at = 0;
    let left = input.length;
    // What zlib may need at most, and more than the 6 bytes under which it would flush twice.
    target.reserve(left + (left >>> 10) + 64);
    for (;;) {
      const room = target.bytes.length - target.length;
      this.#native.writeSync(
        Z_SYNC_FLUSH,
        input,
        at,
        left,
        target.bytes,
        target.length,
        room,
      );
      target.length += room - this.#state[0]!;
      at += left - this.#state[1]!;
      left = this.#state[1]!;
      if (this.#state[0] !== 0) break;
      target.reserve(Math.max(1024, left));
    }
    target.length -= TAIL.length;
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

  /** Sets the next input; all of it is to be pulled before the next. */
  push(input: Uint8Array, start: number, end: number): void {
    this.#input = input;
    this.#at = start;
    this.#end = end;
  }

  /** Sets the end of the message as the next input: the tail that its sender left out. */
  pushTail(): void {
    this.push(TAIL, 0, TAIL.length);
  }

  /**
   * Writes what the input gives into `output` from `from` up to `to`.
   *
   * @returns The bytes written; 0 when there are none left.
   * @throws {ProtocolError} With code 1007, if the input is not DEFLATE.
   */
  pull(output: Uint8Array, from: number, to: number = output.length): number {
    const free = to - from;
    while (this.#at < this.#end || this.#outputFull) {
      const length = this.#end - this.#at;
      this.#native.writeSync(
        Z_SYNC_FLUSH,
        this.#input,
        this.#at,
        length,
        output,
        from,
        free,
      );
      if (this.#error !== undefined) {
        const problem = this.#error;
        this.#error = undefined;
        throw new ProtocolError(CloseCode.INVALID_PAYLOAD, `Cannot decompress: ${problem}`);
      }
      const [room, left] = this.#state as unknown as [number, number];
      this.#at = this.#end - left;
      this.#outputFull = room === 0;
      // Input left beside free output: a block with BFINAL ended the stream (section 7.2.3.4), and
      // what follows starts the next. The tail after a message that ends so is no block of its own.
      if (left > 0 && room > 0) {
        this.#native.reset();
        if (this.#input === TAIL && left === TAIL.length) this.#at = this.#end;
      }
      if (room < free) return free - room;
    }
    this.#input = NO_BYTES;
    return 0;
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

/** Compressors without a context, by what they are set to. */
const sharedDeflaters = new Map<string, Deflater>();

/** Decompressors without a context that no message is going through. */
const idleInflaters: Inflater[] = [];

/** More than this many messages are seldom half received at the same moment. */
const MAX_IDLE_INFLATERS = 16;

/** Connections that hold a compressor's context. */
const contexts = new Set<PerMessageDeflate>();

/** 128 contexts are 37 MB; whoever comes later compresses each message alone meanwhile. */
const MAX_CONTEXTS = 128;

/** Counts the calls of {@linkcode releaseIdleContexts}. */
let sweep = 0;

/** How many connections hold a compressor's context. */
export function contextCount(): number {
  return contexts.size;
}

/**
 * Gives the contexts back that have not been used since the call before the last. To be called now and
 * then, while {@linkcode contextCount} is not zero.
 */
export function releaseIdleContexts(): void {
  sweep++;
  for (const codec of contexts) {
    if (codec.lastSweep < sweep - 1) codec.releaseContext();
  }
}

/** The codec of one connection. */
export class PerMessageDeflate {
  /** Messages of fewer bytes are not worth compressing. */
  readonly threshold: number;
  /** Sliding window of what is sent. */
  readonly windowBits: number;
  /** The same for all connections whose messages, compressed alone, are the same. */
  readonly key: string;
  readonly #level: number;
  readonly #memLevel: number;
  readonly #keepsOwn: boolean;
  readonly #keepsPeers: boolean;
  readonly #peersWindowBits: number;
  /** The sweep before which the context was last used. */
  lastSweep = 0;
  #deflater: Deflater | undefined;
  #inflater: Inflater | undefined;

  constructor(agreement: Agreement, role: "client" | "server", settings: CompressionSettings) {
    const server = role === "server";
    this.windowBits = server ? agreement.serverMaxWindowBits : agreement.clientMaxWindowBits;
    this.#peersWindowBits = server ? agreement.clientMaxWindowBits : agreement.serverMaxWindowBits;
    this.#keepsOwn =
      !(server ? agreement.serverNoContextTakeover : agreement.clientNoContextTakeover);
    this.#keepsPeers =
      !(server ? agreement.clientNoContextTakeover : agreement.serverNoContextTakeover);
    this.#level = settings.level;
    this.#memLevel = settings.memLevel;
    this.key = `${settings.level} ${settings.memLevel} ${this.windowBits}`;
    this.threshold = this.windowBits < MIN_DEFLATE_WINDOW_BITS ? Infinity : settings.threshold;
  }

  /** Appends the compressed `message` to `target`. */
  deflate(message: Uint8Array, target: GrowingBuffer): void {
    if (message.length === 0) {
      // RFC 7692 section 7.2.3.6: an empty block, whose end is the tail that is left out.
      target.reserve(1);
      target.bytes[target.length++] = 0;
      return;
    }
    if (!this.#keepsOwn || this.#deflater === undefined && contexts.size >= MAX_CONTEXTS) {
      return this.deflateAlone(message, target);
    }
    if (this.#deflater === undefined) {
      this.#deflater = new Deflater(this.#level, this.#memLevel, this.windowBits);
      contexts.add(this);
    }
    this.lastSweep = sweep;
    this.#deflater.deflate(message, target);
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

  /** The decompressor of the message that is arriving; given back by {@linkcode endMessage}. */
  get inflater(): Inflater {
    return this.#inflater ??= this.#keepsPeers
      ? new Inflater(this.#peersWindowBits)
      : idleInflaters.pop() ?? new Inflater(MAX_WINDOW_BITS);
  }

  /** A message has been decompressed to its end. */
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
    this.#deflater?.close();
    this.#deflater = undefined;
    contexts.delete(this);
  }

  /** Gives all memory back; nothing can be received after. */
  close(): void {
    this.releaseContext();
    this.#inflater?.close();
    this.#inflater = undefined;
  }
}
