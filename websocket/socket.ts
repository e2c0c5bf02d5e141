/**
 * The `WebSocket` object: the web's class over a {@linkcode Connection}, for both ends.
 *
 * @module
 */

import { connect } from "../transport/connect.ts";
import { closeQuietly, type Connection, lingerAndClose } from "../transport/connection.ts";
import { formatExtension } from "../protocol/extension_header.ts";
import {
  CloseCode,
  isSendableCode,
  MAX_CLOSE_REASON,
  MAX_CONTROL_PAYLOAD,
} from "../protocol/frame.ts";
import { areValidProtocols } from "../protocol/handshake.ts";
import { microtasksDone } from "./microtasks.ts";
import { checkResponse, formatOffer } from "../protocol/permessage_deflate/negotiation.ts";
import {
  type CompressionOptions,
  type CompressionSettings,
  compressionSettings,
} from "../protocol/permessage_deflate/options.ts";
import {
  contextCount,
  PerMessageDeflate,
  releaseIdleContexts,
} from "../protocol/permessage_deflate/codec.ts";
import { PreparedMessage } from "../protocol/prepared_message.ts";
import { type Message, Protocol, type ProtocolEvent } from "../protocol/protocol.ts";
import { Writer } from "../transport/writer.ts";

/** What {@linkcode WebSocket.send} takes. */
export type SendData = string | ArrayBufferLike | ArrayBufferView | Blob | PreparedMessage;

/** Options of {@linkcode WebSocket} that both ends have. */
export interface SocketOptions {
  /**
   * Whether, and how, messages are compressed when the peer can (RFC 7692).
   *
   * @default {true}
   */
  compression?: boolean | CompressionOptions;
  /**
   * Longest message received, in bytes after decompression. A longer one closes the socket with 1009.
   *
   * @default {16777216} (16 MiB)
   */
  maxMessageSize?: number;
  /**
   * Longest silence of a peer, in seconds: it is sent a Ping, and given up when that is not answered
   * within a third of this time, after two thirds of it at the least. 0 never asks.
   *
   * @default {30} for a server's socket, 0 for a client's
   */
  idleTimeout?: number;
  /**
   * With more than this many bytes unsent, a server's socket reads nothing more from its peer, so that
   * one that does not take its answers cannot ask for more; likewise with as many in messages whose
   * handlers have returned promises that are not settled. At both ends, `drain` is fired when all is sent.
   *
   * @default {65536} (64 KiB)
   */
  highWaterMark?: number;
  /**
   * With more than this many bytes unsent, the next message cuts the connection off: the peer is too
   * slow for what it is sent.
   *
   * @default {16777216} (16 MiB) for a server's socket, no limit for a client's
   */
  maxBufferedAmount?: number;
  /**
   * Pings of the peer that are answered in a second. Of more, the latest is answered later (RFC 6455
   * section 5.5.3).
   *
   * @default {100}
   */
  maxPingsPerSecond?: number;
}

/** {@linkcode SocketOptions} with their values, less compression. */
export interface SocketLimits {
  maxMessageSize: number;
  idleTimeout: number;
  highWaterMark: number;
  maxBufferedAmount: number;
  maxPingsPerSecond: number;
}

/**
 * Checks the options and fills in the defaults.
 *
 * @throws {RangeError} If a number is out of its range.
 */
export function socketLimits(options: SocketOptions, role: "client" | "server"): SocketLimits {
  const server = role === "server";
  const { idleTimeout = server ? 30 : 0 } = options;
  if (!(idleTimeout >= 0 && idleTimeout * 1000 <= MAX_TIMEOUT_MS)) {
    throw new RangeError(
      `Cannot set up socket: idleTimeout is ${idleTimeout}, must be from 0 to 2147483 seconds`,
    );
  }
  const limit = (name: keyof SocketOptions, fallback: number): number => {
    const value = options[name] ?? fallback;
    if (typeof value === "number" && value >= 0) return value;
    throw new RangeError(`Cannot set up socket: ${name} is ${value}, must be 0 or more`);
  };
  return {
    idleTimeout,
    maxMessageSize: limit("maxMessageSize", 16 * MIB),
    highWaterMark: limit("highWaterMark", MIB / 16),
    maxBufferedAmount: limit("maxBufferedAmount", server ? 16 * MIB : Infinity),
    maxPingsPerSecond: limit("maxPingsPerSecond", 100),
  };
}

const MIB = 1024 * 1024;

/** What a timer can wait for. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Options of the constructor of {@linkcode WebSocket}. */
export interface WebSocketOptions extends SocketOptions {
  /** Subprotocols to offer, in order of preference. */
  protocols?: string | string[];
  /** Headers of the opening handshake besides its own. */
  headers?: HeadersInit;
  /** Certificate authorities to trust besides the public ones, as PEM. */
  caCerts?: string[];
  /**
   * Accepts any certificate: the connection is encrypted, and the peer may be anybody.
   *
   * @default {false}
   */
  insecure?: boolean;
  /**
   * Longest time until the connection is open, in milliseconds.
   *
   * @default {45000}
   */
  handshakeTimeout?: number;
  /** Gives the connection up while it is being made, and cuts it off later. */
  signal?: AbortSignal;
}

/** Options of {@linkcode WebSocket.send}. */
export interface SendOptions {
  /**
   * Whether the message may be compressed: `false` for what is compressed already.
   *
   * @default {true}
   */
  compress?: boolean;
}

/** What a message whose handler is at work counts at least, in bytes: the handler's own state. */
const HANDLER_BYTES = 256;

/** While handlers are at work on too much, one more read or message after so long, in milliseconds. */
const PATIENCE_MS = 1000;

/** Two silences of this length, in milliseconds, and a server that goes away has answered what has come. */
const QUIET_MS = 10;

/** Longest wait for the peer's Close frame after ours, in milliseconds. */
const CLOSE_TIMEOUT_MS = 10_000;

const STATES = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];

/** A server's half of the opening handshake, in place of a URL to connect to. */
export class Accepted {
  constructor(
    readonly url: string,
    readonly protocol: string,
    readonly extensions: string,
    readonly deflate: PerMessageDeflate | undefined,
    readonly limits: SocketLimits,
  ) {}
}

/** Runs a socket made of {@linkcode Accepted} to its end, once its response has been sent. */
export let open: (socket: WebSocket, connection: Connection, rest: Uint8Array) => Promise<void>;

/**
 * Closes a server's socket with 1001, once what has come has been answered, and at most `patience`
 * milliseconds from now.
 */
export let goAway: (socket: WebSocket, patience: number) => void;

/** Gives up a socket made of {@linkcode Accepted} whose response cannot be sent. */
export let abandon: (socket: WebSocket, error: unknown) => void;

/** A ping that is waiting for its pong. */
interface PendingPing {
  data: Uint8Array;
  sentAt: number;
  pong: PromiseWithResolvers<number>;
}

/** An event handler attribute of {@linkcode WebSocket}. */
export type EventHandler<E extends Event> =
  | ((this: globalThis.WebSocket, event: E) => unknown)
  | null;

/** The events of {@linkcode WebSocket}: the web's, and two more. */
export interface SocketEventMap extends WebSocketEventMap {
  /** A Pong frame, with its payload as `data`. */
  pong: MessageEvent<Uint8Array>;
  /** What was over the high-water mark has been sent. */
  drain: Event;
}

/**
 * A WebSocket that compresses: the web's class, with what servers and programs need besides.
 *
 * Events: `open`, `message`, `error`, `close` as on the web; `pong` with the payload as `data`; `drain`
 * when {@linkcode WebSocket.bufferedAmount} was over the high-water mark and all has been sent.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { serve, upgradeWebSocket, WebSocket } from "@permessage/deflate";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
 *   const { socket, response } = upgradeWebSocket(request);
 *   socket.onmessage = ({ data }) => socket.send(data);
 *   return response;
 * });
 *
 * const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`);
 * socket.onopen = () => socket.send("hello");
 * const { data } = await new Promise<MessageEvent>((resolve) => socket.onmessage = resolve);
 * assertEquals(data, "hello");
 * assertEquals(socket.extensions, "permessage-deflate; client_no_context_takeover");
 * const closed = new Promise((resolve) => socket.onclose = resolve);
 * socket.close(1000);
 * await closed;
 * ```
 */
export class WebSocket extends EventTarget implements globalThis.WebSocket {
  /** The connection is being made. */
  declare static readonly CONNECTING: 0;
  /** Messages may be sent and received. */
  declare static readonly OPEN: 1;
  /** A close has begun. */
  declare static readonly CLOSING: 2;
  /** The connection has ended, or was never made. */
  declare static readonly CLOSED: 3;
  /** The connection is being made. */
  declare readonly CONNECTING: 0;
  /** Messages may be sent and received. */
  declare readonly OPEN: 1;
  /** A close has begun. */
  declare readonly CLOSING: 2;
  /** The connection has ended, or was never made. */
  declare readonly CLOSED: 3;
  /** What `Object.prototype.toString` shows. */
  declare readonly [Symbol.toStringTag]: string;

  readonly #url: string;
  readonly #origin: string;
  readonly #server: boolean;
  #readyState: 0 | 1 | 2 | 3 = 0;
  #protocolName = "";
  #extensions = "";
  #binaryType: BinaryType = "blob";
  #handlers: Map<string, { call: ((event: Event) => unknown) | null }> | undefined;
  /** Whether there have been listeners of `message` besides the handler attribute. */
  #hasMessageListeners = false;
  /** What listens in place of each listener of a server's socket. */
  #guards: WeakMap<EventListenerOrEventListenerObject, EventListener> | undefined;
  #handlerFailed = false;
  /** Handlers that have promised what is not yet done, and the bytes of their messages. */
  #unsettled = 0;
  #unsettledBytes = 0;

  readonly #limits: SocketLimits;
  #deflate: PerMessageDeflate | undefined;
  #protocol: Protocol | undefined;
  #connection: Connection | undefined;

  #writer: Writer | undefined;
  /** Bytes of messages that wait for a Blob to be read. */
  #behindBlobs = 0;
  /** Bytes of messages that were given after the close, and never go out. */
  #lost = 0;
  #flushScheduled = false;
  /** Whether more was unsent than the high-water mark, and `drain` is to tell when it is not. */
  #full = false;
  /** Whether the reader is at work, and flushes when it is done. */
  #reading = false;
  /** The sends and the close that wait for a Blob before them. */
  #afterBlob: Promise<void> | undefined;
  /** The close of a server's socket that was asked for before its response has been sent. */
  #afterOpen: (() => void) | undefined;

  /** How often the peer has sent something, and this end a message. */
  #reads = 0;
  #sends = 0;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  #pongTimer: ReturnType<typeof setTimeout> | undefined;
  #leaveTimer: ReturnType<typeof setTimeout> | undefined;
  #pings: PendingPing[] = [];
  #pingCount = 0;

  #readable: ReadableStream<Message> | undefined;
  #reader: ReadableStreamDefaultController<Message> | undefined;
  /** Whether the reader has done with what it got, and wants another message. */
  #asked = true;
  /** While the peer waits for this end: resolves when that may be over. */
  #held: PromiseWithResolvers<void> | undefined;
  #writable: WritableStream<SendData> | undefined;

  /** Of a client: gives up what is being done to connect. */
  #dialling: AbortController | undefined;
  #failure: unknown;
  #closeCode: number = CloseCode.ABNORMAL;
  #closeReason = "";

  static {
    open = (socket, connection, rest) => socket.#run(connection, rest);
    goAway = (socket, patience) => socket.#goAway(performance.now() + patience);
    abandon = (socket, error) => {
      socket.#failure = error;
      socket.#end(false);
    };
  }

  /**
   * Connects. The `open` event tells that it succeeded, `error` and `close` that it did not.
   *
   * @param url A `ws:` or `wss:` URL; `http:` and `https:` stand for them.
   * @param options Subprotocols to offer, or {@linkcode WebSocketOptions}.
   * @throws {SyntaxError} (a `DOMException`) If the URL or a subprotocol is malformed.
   * @throws {RangeError} If an option is out of its range.
   */
  constructor(url: string | URL, options?: string | string[] | WebSocketOptions);
  /** @ignore A server's socket. */
  constructor(accepted: Accepted);
  constructor(
    url: string | URL | Accepted,
    given: string | string[] | WebSocketOptions = {},
  ) {
    super();
    if (url instanceof Accepted) {
      this.#server = true;
      this.#binaryType = "arraybuffer";
      this.#url = url.url;
      this.#origin = new URL(url.url).origin;
      this.#protocolName = url.protocol;
      this.#extensions = url.extensions;
      this.#deflate = url.deflate;
      this.#limits = url.limits;
      return;
    }
    const options = typeof given === "string" || Array.isArray(given)
      ? { protocols: given }
      : given;
    const { handshakeTimeout = 45_000 } = options;
    if (!(handshakeTimeout >= 0 && handshakeTimeout <= MAX_TIMEOUT_MS)) {
      throw new RangeError(
        `Cannot set up socket: handshakeTimeout is ${handshakeTimeout}, must be from 0 to ${MAX_TIMEOUT_MS} ms`,
      );
    }
    const parsed = parseUrl(url);
    const protocols = [options.protocols ?? []].flat().map(String);
    if (!areValidProtocols(protocols)) {
      throw new DOMException(
        `Cannot open WebSocket: subprotocols are "${protocols}", must be distinct tokens`,
        "SyntaxError",
      );
    }
    this.#server = false;
    this.#url = parsed.href;
    this.#origin = parsed.origin;
    this.#limits = socketLimits(options, "client");
    const settings = compressionSettings(options.compression ?? true, "client");
    void this.#connect(parsed, protocols, settings, { ...options, handshakeTimeout });
  }

  /** The URL connected to; on a server's socket that of the request. */
  get url(): string {
    return this.#url;
  }

  /** `CONNECTING`, `OPEN`, `CLOSING` or `CLOSED`. */
  get readyState(): 0 | 1 | 2 | 3 {
    return this.#readyState;
  }

  /** The subprotocol agreed on, or the empty string. */
  get protocol(): string {
    return this.#protocolName;
  }

  /** The extensions agreed on, as in the server's response, or the empty string. */
  get extensions(): string {
    return this.#extensions;
  }

  /** Bytes of messages that were given to {@linkcode send} and not yet to the network. */
  get bufferedAmount(): number {
    return (this.#writer?.bufferedAmount ?? 0) + this.#behindBlobs + this.#lost;
  }

  /** The peer's address, once there is one. */
  get remoteAddr(): Deno.Addr | undefined {
    return this.#connection?.remoteAddr;
  }

  /**
   * What binary messages are received as: `"blob"` or `"arraybuffer"`.
   *
   * @default {"blob"} as on the web; `"arraybuffer"` for a server's socket, as Deno has it
   */
  get binaryType(): BinaryType {
    return this.#binaryType;
  }
  set binaryType(value: BinaryType) {
    // As on the web, a value that is none is ignored.
    if (value === "blob" || value === "arraybuffer") this.#binaryType = value;
  }

  /** Called when the connection is open. */
  get onopen(): EventHandler<Event> {
    return this.#handler("open");
  }
  set onopen(handler: EventHandler<Event>) {
    this.#setHandler("open", handler);
  }

  /** Called with each message. */
  get onmessage(): EventHandler<MessageEvent> {
    return this.#handler("message");
  }
  set onmessage(handler: EventHandler<MessageEvent>) {
    this.#setHandler("message", handler);
  }

  /** Called with what went wrong, before `onclose`. */
  get onerror(): EventHandler<Event | ErrorEvent> {
    return this.#handler("error");
  }
  set onerror(handler: EventHandler<Event | ErrorEvent>) {
    this.#setHandler("error", handler);
  }

  /** Called when the connection has ended. */
  get onclose(): EventHandler<CloseEvent> {
    return this.#handler("close");
  }
  set onclose(handler: EventHandler<CloseEvent>) {
    this.#setHandler("close", handler);
  }

  /** Called when what was over the high-water mark has been sent. */
  get ondrain(): EventHandler<Event> {
    return this.#handler("drain");
  }
  set ondrain(handler: EventHandler<Event>) {
    this.#setHandler("drain", handler);
  }

  /** Called with each Pong frame; its payload is the event's `data`, a `Uint8Array`. */
  get onpong(): EventHandler<MessageEvent> {
    return this.#handler("pong");
  }
  set onpong(handler: EventHandler<MessageEvent>) {
    this.#setHandler("pong", handler);
  }

  /**
   * Sends a message: text, bytes (of which a copy is made), a `Blob`, or what
   * {@linkcode prepare} made. Order is kept. After a close it is silently lost, as on the web.
   *
   * @param data The message.
   * @param options Whether to compress it.
   * @throws {InvalidStateError} (a `DOMException`) If the connection is still being made.
   */
  send(data: SendData, options: SendOptions = {}): void {
    if (typeof data !== "string" && !isMessage(data)) data = String(data);
    if (this.#readyState === WebSocket.CONNECTING) {
      throw new DOMException(
        "Cannot send message: socket is CONNECTING, must be OPEN",
        "InvalidStateError",
      );
    }
    const compress = options.compress ?? true;
    if (this.#readyState !== WebSocket.OPEN) {
      this.#lost += sizeOf(data);
    } else if (data instanceof Blob) {
      this.#behindBlobs += data.size;
      this.#whenBlobsAreRead(async () => {
        // A Blob whose source has gone cannot be read; there is nothing to send in its place.
        const bytes = await data.bytes().catch((error) => this.#fail(error));
        this.#behindBlobs -= data.size;
        if (bytes) this.#sendNow(bytes, compress);
      });
    } else if (this.#afterBlob === undefined) {
      this.#sendNow(isBytes(data) ? bytesOf(data) : data, compress);
    } else {
      const copy = isBytes(data) ? bytesOf(data).slice() : data;
      const size = sizeOf(copy);
      this.#behindBlobs += size;
      this.#whenBlobsAreRead(() => {
        this.#behindBlobs -= size;
        this.#sendNow(copy, compress);
      });
    }
  }

  /**
   * Begins the closing handshake (RFC 6455 section 7.1.2), after what was sent before.
   *
   * @param code 1000, or 3000 to 4999; a server may send all of RFC 6455 section 7.4's.
   * @param reason Up to 123 bytes of UTF-8.
   * @throws {InvalidAccessError} (a `DOMException`) If the code may not be sent.
   * @throws {SyntaxError} (a `DOMException`) If the reason is too long.
   */
  close(code?: number, reason: string = ""): void {
    if (code !== undefined) {
      code = Math.trunc(Number(code));
      const allowed = this.#server
        ? isSendableCode(code)
        : code === CloseCode.NORMAL || code >= 3000 && code <= 4999;
      if (!allowed) {
        throw new DOMException(
          `Cannot close WebSocket: code is ${code}, must be 1000 or from 3000 to 4999`,
          "InvalidAccessError",
        );
      }
    }
    const text = String(reason);
    const size = new TextEncoder().encode(text).length;
    if (size > MAX_CLOSE_REASON) {
      throw new DOMException(
        `Cannot close WebSocket: reason has ${size} bytes, must be at most ${MAX_CLOSE_REASON}`,
        "SyntaxError",
      );
    }
    if (this.#readyState >= WebSocket.CLOSING) return;
    const connecting = this.#readyState === WebSocket.CONNECTING;
    this.#readyState = WebSocket.CLOSING;
    if (connecting) {
      // On a server the response is yet to be sent: the close goes out right behind it.
      if (this.#server) this.#afterOpen = () => this.#sendClose(code, text);
      else {this.#dialling?.abort(
          new Error("Cannot open WebSocket: it was closed while connecting"),
        );}
      return;
    }
    if (this.#afterBlob !== undefined) this.#whenBlobsAreRead(() => this.#sendClose(code, text));
    else this.#sendClose(code, text);
  }

  /** Cuts the connection off without a closing handshake; what was not sent is lost. */
  terminate(): void {
    if (this.#readyState === WebSocket.CLOSED) return;
    this.#fail(new Error("Connection lost: it was terminated on this side"));
  }

  /**
   * Sends a Ping frame (RFC 6455 section 5.5.2) and waits for its Pong.
   *
   * @param data Up to 125 bytes, or text of as many; by default a number that tells pings apart.
   * @returns The time it took, in milliseconds. Rejects when the connection ends first.
   * @throws {InvalidStateError} (a `DOMException`) If the socket is not open.
   * @throws {RangeError} If the data is too long.
   * @throws {TypeError} If it is neither text nor bytes.
   */
  ping(data: string | BufferSource = String(++this.#pingCount)): Promise<number> {
    if (this.#readyState !== WebSocket.OPEN) {
      throw new DOMException(
        `Cannot send ping: socket is ${STATES[this.#readyState]}, must be OPEN`,
        "InvalidStateError",
      );
    }
    if (typeof data !== "string" && !isBytes(data)) {
      throw new TypeError(`Cannot send ping: data is ${data}, must be text or bytes`);
    }
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : bytesOf(data).slice();
    if (bytes.length > MAX_CONTROL_PAYLOAD) {
      throw new RangeError(
        `Cannot send ping: data has ${bytes.length} bytes, must be at most ${MAX_CONTROL_PAYLOAD}`,
      );
    }
    const pong = Promise.withResolvers<number>();
    // Who does not wait for the answer is not to be struck down by its absence.
    pong.promise.catch(() => {});
    this.#pings.push({ data: bytes, sentAt: performance.now(), pong });
    this.#protocol!.ping(bytes);
    this.#scheduleFlush();
    return pong.promise;
  }

  /**
   * The messages as a stream, text as strings and binary as `Uint8Array`s. From its first use on they
   * go there, and no longer into `message` events. While nobody reads it, nothing more is read from the
   * peer. It ends with the connection: with an error when that did not end cleanly.
   */
  get readable(): ReadableStream<Message> {
    return this.#readable ??= new ReadableStream<Message>({
      start: (controller) => {
        this.#reader = controller;
        if (this.#readyState !== WebSocket.CLOSED) return;
        if (this.#failure === undefined) controller.close();
        else controller.error(this.#failure);
      },
      pull: () => {
        this.#asked = true;
        this.#held?.resolve();
      },
      cancel: () => {
        this.#reader = undefined;
        this.#held?.resolve();
        this.close();
      },
      // Asked for only when it is read: so it is known that what came before is done with.
    }, { highWaterMark: 0 });
  }

  /**
   * What is written to it is sent; a write is done when no more than the high-water mark is unsent.
   * Closing it closes the socket with 1000, aborting it cuts the connection off.
   */
  get writable(): WritableStream<SendData> {
    return this.#writable ??= new WritableStream<SendData>({
      start: () => this.#until("open", WebSocket.CONNECTING),
      write: async (data) => {
        if (this.#readyState !== WebSocket.OPEN) {
          throw new Error(
            `Cannot write message: socket is ${STATES[this.#readyState]}, must be OPEN`,
          );
        }
        this.send(data);
        await this.#afterBlob;
        await this.#writer!.flushed(this.#limits.highWaterMark);
        if (this.#failure !== undefined) throw this.#failure;
      },
      close: async () => {
        this.close(CloseCode.NORMAL);
        await this.#until("close", WebSocket.CLOSING);
      },
      abort: () => this.terminate(),
    });
  }

  /** Resolves with the event of `type`, or the end, once the state is beyond `state`. */
  #until(type: string, state: number): Promise<void> | undefined {
    if (this.#readyState > state) return;
    return new Promise((resolve) => {
      this.addEventListener(type, () => resolve(), { once: true });
      this.addEventListener("close", () => resolve(), { once: true });
    });
  }

  /**
   * Adds a listener, as every `EventTarget` does. On a server's socket, one that throws or rejects is
   * logged and closes this socket with 1011; nobody else is touched.
   */
  override addEventListener<K extends keyof SocketEventMap>(
    type: K,
    listener: (this: globalThis.WebSocket, event: SocketEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** Adds a listener of any event. */
  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void {
    if (!listener) return;
    if (type === "message") this.#hasMessageListeners = true;
    super.addEventListener(type, this.#guarded(listener), options);
  }

  /** Removes a listener. */
  override removeEventListener<K extends keyof SocketEventMap>(
    type: K,
    listener: (this: globalThis.WebSocket, event: SocketEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  /** Removes a listener of any event. */
  override removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
  override removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void {
    if (listener) super.removeEventListener(type, this.#guarded(listener), options);
  }

  #guarded(listener: EventListenerOrEventListenerObject): EventListenerOrEventListenerObject {
    if (!this.#server) return listener;
    this.#guards ??= new WeakMap();
    let guard = this.#guards.get(listener);
    if (guard === undefined) {
      guard = (event) =>
        this.#guard(
          typeof listener === "function" ? listener : (event) => listener.handleEvent(event),
          event,
        );
      this.#guards.set(listener, guard);
    }
    return guard;
  }

  #guard(call: (event: Event) => unknown, event: Event): void {
    try {
      const result = call.call(this, event);
      if (result instanceof Promise) void this.#settle(result, event);
    } catch (error) {
      this.#onHandlerError(error);
    }
  }

  async #settle(result: Promise<unknown>, event: Event): Promise<void> {
    const data = event.type === "message" ? (event as MessageEvent).data : undefined;
    const size = HANDLER_BYTES + Number(data?.length ?? data?.byteLength ?? data?.size ?? 0);
    this.#unsettled++;
    this.#unsettledBytes += size;
    try {
      await result;
    } catch (error) {
      this.#onHandlerError(error);
    }
    this.#unsettled--;
    this.#unsettledBytes -= size;
    this.#held?.resolve();
  }

  /** Closes with 1001 when nothing has come, gone out or been at work for a moment, or by the time `end`. */
  #goAway(end: number): void {
    let seen = -1;
    let quiet = 0;
    const look = () => {
      if (this.#readyState !== WebSocket.OPEN) return;
      const activity = this.#reads + this.#sends;
      const atWork = this.#unsettled > 0 || this.#readerIsBusy || this.#reading ||
        this.#writer!.busy;
      const idle = activity === seen && !atWork;
      quiet = idle ? quiet + 1 : 0;
      // Twice, as a look may come late, and before what the network has brought meanwhile.
      if (quiet === 2 || performance.now() >= end) return this.close(CloseCode.GOING_AWAY);
      seen = activity;
      this.#leaveTimer = setTimeout(look, QUIET_MS);
    };
    look();
  }

  #onHandlerError(error: unknown): void {
    if (this.#handlerFailed) return;
    this.#handlerFailed = true;
    console.error(error);
    this.close(CloseCode.INTERNAL_ERROR);
  }

  // The life of the connection

  async #connect(
    url: URL,
    protocols: string[],
    settings: CompressionSettings | undefined,
    options: WebSocketOptions & { handshakeTimeout: number },
  ): Promise<void> {
    const dialling = this.#dialling = new AbortController();
    const { signal = dialling.signal } = options;
    const either = AbortSignal.any([signal, dialling.signal]);
    const { handshakeTimeout } = options;
    const timer = setTimeout(
      () => dialling.abort(new Error(`Cannot open WebSocket: it took over ${handshakeTimeout} ms`)),
      handshakeTimeout,
    );
    try {
      const { connection, response, rest } = await connect(url, {
        protocols,
        headers: new Headers(options.headers),
        extensions: settings && formatOffer(settings),
        caCerts: options.caCerts ?? [],
        insecure: options.insecure ?? false,
        signal: either,
      }).finally(() => clearTimeout(timer));
      try {
        either.throwIfAborted();
        const agreement = checkResponse(response.extensions, settings);
        if (agreement && settings) {
          this.#deflate = new PerMessageDeflate(agreement, "client", settings);
        }
      } catch (error) {
        closeQuietly(connection);
        throw error;
      }
      this.#protocolName = response.protocol;
      this.#extensions = response.extensions.map(formatExtension).join(", ");
      const untilEnd = { signal: dialling.signal };
      signal.addEventListener("abort", () => this.terminate(), untilEnd);
      await this.#run(connection, rest);
    } catch (error) {
      this.#failure = error;
      this.#end(false);
    }
  }

  /** The connection is there: reads until it ends. */
  async #run(connection: Connection, rest: Uint8Array): Promise<void> {
    this.#connection = connection;
    if (this.#failure !== undefined) {
      closeQuietly(connection);
      return this.#end(false);
    }
    const protocol = new Protocol({
      role: this.#server ? "server" : "client",
      deflate: this.#deflate,
      maxMessageSize: this.#limits.maxMessageSize,
      pongs: this.#limits.maxPingsPerSecond,
    });
    this.#protocol = protocol;
    this.#writer = new Writer(
      connection,
      protocol,
      () => this.#onDrained(),
      (error) => this.#fail(error),
    );
    if (this.#readyState === WebSocket.CONNECTING) {
      this.#readyState = WebSocket.OPEN;
      this.dispatchEvent(new Event("open"));
    }
    this.#afterOpen?.();
    this.#watch();
    if (rest.length > 0) protocol.receive(rest);
    try {
      await this.#read(connection, protocol, this.#writer);
    } catch (error) {
      this.#failure ??= error;
    }
    await this.#writer.flushed();
    const clean = protocol.closedCleanly && this.#failure === undefined;
    if (protocol.closeSent) {
      // A server ends the connection first; a client waits for that (RFC 6455 section 7.1.1).
      await lingerAndClose(connection, this.#server || !clean);
    } else {
      closeQuietly(connection);
    }
    this.#end(clean);
  }

  async #read(connection: Connection, protocol: Protocol, writer: Writer): Promise<void> {
    for (;;) {
      this.#reading = true;
      for (let event = protocol.next(); event; event = protocol.next()) {
        if (event.type === "message" && this.#readerIsBusy) {
          await this.#hold(() => !this.#readerIsBusy);
        }
        this.#dispatch(event);
        // While this waits, the message takes no memory any more.
        event = undefined;
        if (this.#isFull) await this.#untilNotFull(writer);
        // Each event is a task of its own, as on the web: what a handler has started with promises is
        // done before the next. With nothing left, waiting for the network is as good.
        else if (protocol.hasInput) await microtasksDone();
        if (this.#failure !== undefined) break;
      }
      this.#reading = false;
      writer.flush();
      if (protocol.receivingEnded || this.#failure !== undefined) return;
      if (this.#isFull) await this.#untilNotFull(writer);
      const count = await connection.read(protocol.space());
      if (count === null) {
        this.#failure ??= new Error("Connection lost: peer ended it without a Close frame");
        this.#boundClose();
        return;
      }
      this.#reads++;
      protocol.received(count);
    }
  }

  #dispatch(event: ProtocolEvent): void {
    switch (event.type) {
      case "message":
        if (this.#readyState !== WebSocket.OPEN) return;
        if (this.#reader !== undefined) {
          this.#asked = false;
          this.#reader.enqueue(event.data);
        } else {
          this.#deliver(this.#received(event.data));
        }
        break;
      case "ping":
        this.#allowPongsLater();
        break;
      case "pong":
        this.#answerPings(event.data);
        this.dispatchEvent(new MessageEvent("pong", { data: event.data }));
        break;
      case "close":
        this.#closeCode = event.code;
        this.#closeReason = event.reason;
        this.#boundClose();
        if (this.#readyState < WebSocket.CLOSING) this.#readyState = WebSocket.CLOSING;
        break;
      case "failure":
        this.#failure ??= event.error;
        this.#boundClose();
        if (this.#readyState < WebSocket.CLOSING) this.#readyState = WebSocket.CLOSING;
        break;
    }
  }

  #allowPongsLater(): void {
    this.#pongTimer ??= setTimeout(() => {
      this.#pongTimer = undefined;
      if (this.#protocol!.allowPongs()) this.#allowPongsLater();
      this.#scheduleFlush();
    }, 1000);
  }

  /**
   * Fires `message`. Where nobody but the handler attribute listens, it is called without a dispatch,
   * which would take as long as all else that is done for a short message.
   */
  #deliver(data: string | Blob | ArrayBuffer): void {
    const { call } = this.#handlers?.get("message") ?? {};
    if (this.#hasMessageListeners || !call) {
      this.dispatchEvent(new MessageEvent("message", { data, origin: this.#origin }));
      return;
    }
    const event = new HandedMessage(data, this.#origin, this);
    if (this.#server) return this.#guard(call, event);
    try {
      call.call(this, event);
    } catch (error) {
      reportError(error);
    }
  }

  /** Whether the reader of {@linkcode readable} has a message, and has not asked for the next. */
  get #readerIsBusy(): boolean {
    return this.#reader !== undefined && !this.#asked;
  }

  /** Reads nothing more until `may` tells so, or the socket closes. */
  async #hold(may: () => boolean): Promise<void> {
    const reading = this.#reading;
    this.#reading = false;
    while (!may() && this.#failure === undefined && this.#readyState === WebSocket.OPEN) {
      this.#writer!.flush();
      this.#held = Promise.withResolvers();
      await this.#held.promise;
      this.#held = undefined;
    }
    this.#reading = reading;
  }

  /**
   * Whether a server's socket waits until its peer takes its answers, or its handlers are done, before it
   * hears more. A client always reads: two ends that wait for each other would wait forever.
   */
  get #isFull(): boolean {
    return this.#server &&
      (this.#writer!.unsent > this.#limits.highWaterMark || this.#handlersAreFull);
  }

  /** Whether there is too much at work. One message alone is not: its handler may wait for another. */
  get #handlersAreFull(): boolean {
    return this.#unsettledBytes > this.#limits.highWaterMark && this.#unsettled > 1;
  }

  async #untilNotFull(writer: Writer): Promise<void> {
    // Handlers may be waiting for what is not yet read, and the peer may have left: a little is, meanwhile.
    let patient = true;
    const timer = setTimeout(() => {
      patient = false;
      this.#held?.resolve();
    }, PATIENCE_MS);
    await this.#hold(() => !patient || !this.#handlersAreFull);
    clearTimeout(timer);
    await writer.flushed(this.#limits.highWaterMark);
  }

  #received(data: Message): string | Blob | ArrayBuffer {
    if (typeof data === "string") return data;
    return this.#binaryType === "blob" ? new Blob([data]) : data.buffer;
  }

  /** The pong of a ping also answers those before it (RFC 6455 section 5.5.3). */
  #answerPings(data: Uint8Array): void {
    const at = this.#pings.findLastIndex((ping) =>
      ping.data.length === data.length && ping.data.every((byte, i) => byte === data[i])
    );
    if (at === -1) return;
    const now = performance.now();
    for (const { sentAt, pong } of this.#pings.splice(0, at + 1)) pong.resolve(now - sentAt);
  }

  /** Ends the object's life: the last events, and everything given back. */
  #end(clean: boolean): void {
    if (this.#readyState === WebSocket.CLOSED) return;
    this.#readyState = WebSocket.CLOSED;
    this.#dialling?.abort();
    clearTimeout(this.#idleTimer);
    clearTimeout(this.#closeTimer);
    clearTimeout(this.#pongTimer);
    clearTimeout(this.#leaveTimer);
    this.#deflate?.close();
    if (contextCount() === 0) stopSweeping();
    this.#protocol?.output.release();
    const error = this.#failure ?? new Error("Connection lost");
    for (const { pong } of this.#pings.splice(0)) pong.reject(error);
    this.#held?.resolve();
    if (clean) this.#reader?.close();
    else this.#reader?.error(error);
    if (!clean) {
      const message = error instanceof Error ? error.message : String(error);
      this.dispatchEvent(new ErrorEvent("error", { message, error }));
    }
    this.dispatchEvent(
      new CloseEvent("close", {
        code: clean ? this.#closeCode : CloseCode.ABNORMAL,
        reason: clean ? this.#closeReason : "",
        wasClean: clean,
      }),
    );
  }

  /** Breaks the connection off; the reader notices, and ends. */
  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#dialling?.abort(error);
    this.#held?.resolve();
    if (this.#connection !== undefined) {
      if (this.#readyState < WebSocket.CLOSING) this.#readyState = WebSocket.CLOSING;
      closeQuietly(this.#connection);
    }
  }

  /** Looks for signs of life from the peer. */
  #watch(): void {
    // Looked at three times: silence is noticed by the second look, and has its ping until the third.
    const interval = this.#limits.idleTimeout * 1000 / 3;
    if (interval === 0) return;
    let asked = false;
    let seen = -1;
    const look = () => {
      // What the network takes at once says nothing of the peer.
      const signs = this.#reads + this.#writer!.takenInParts;
      if (signs !== seen) {
        asked = false;
      } else if (asked) {
        return this.#fail(
          new Error("Connection lost: peer was silent, and did not answer a ping"),
        );
      } else {
        // Who waits for this end cannot be heard: it is not given up, unless what is sent to it fails.
        asked = this.#held === undefined;
        this.#protocol!.ping(new Uint8Array(0));
        this.#scheduleFlush();
      }
      seen = signs;
      this.#idleTimer = setTimeout(look, interval);
    };
    this.#idleTimer = setTimeout(look, interval);
  }

  // Sending

  #sendNow(data: string | Uint8Array | PreparedMessage, compress: boolean): void {
    const protocol = this.#protocol!;
    const { highWaterMark, maxBufferedAmount } = this.#limits;
    const writer = this.#writer!;
    const { unsent } = writer;
    this.#sends++;
    if (unsent > maxBufferedAmount) {
      this.#lost += sizeOf(data);
      return this.#fail(
        new Error(
          `Connection lost: ${unsent} bytes are unsent, must be ${maxBufferedAmount} at most`,
        ),
      );
    }
    writer.queued(
      data instanceof PreparedMessage
        ? protocol.sendPrepared(data, compress)
        : protocol.send(data, compress),
    );
    if (writer.unsent > highWaterMark) this.#full = true;
    if (sweepTimer === undefined && contextCount() > 0) sweepContexts();
    this.#scheduleFlush();
  }

  #sendClose(code: number | undefined, reason: string): void {
    const fallback = reason === "" ? CloseCode.NO_STATUS : CloseCode.NORMAL;
    this.#protocol!.close(code ?? fallback, reason);
    this.#held?.resolve();
    this.#scheduleFlush();
    this.#boundClose();
  }

  /** Bounds the time to the end, from when the peer last took some of what is sent before the Close. */
  #boundClose(): void {
    clearTimeout(this.#closeTimer);
    const taken = this.#writer!.takenInParts;
    this.#closeTimer = setTimeout(() => {
      if (this.#writer!.takenInParts !== taken) return this.#boundClose();
      this.#fail(new Error(`Connection lost: peer did not close within ${CLOSE_TIMEOUT_MS} ms`));
    }, CLOSE_TIMEOUT_MS);
  }

  /** Runs `action` once the Blobs before it have been read. */
  #whenBlobsAreRead(action: () => void | Promise<void>): void {
    const mine = (this.#afterBlob ?? Promise.resolve()).then(async () => {
      if (this.#readyState !== WebSocket.CLOSED) await action();
      if (this.#afterBlob === mine) this.#afterBlob = undefined;
    });
    this.#afterBlob = mine;
  }

  /** One write for all that is sent in this turn. */
  #scheduleFlush(): void {
    const writer = this.#writer!;
    if (this.#flushScheduled || this.#reading || writer.busy) return;
    this.#flushScheduled = true;
    queueMicrotask(() => {
      this.#flushScheduled = false;
      writer.flush();
    });
  }

  #onDrained(): void {
    if (!this.#full || this.#failure !== undefined) return;
    this.#full = false;
    this.dispatchEvent(new Event("drain"));
  }

  // Event handler attributes (HTML section 8.1.8.1)

  // deno-lint-ignore no-explicit-any
  #handler(type: string): any {
    return this.#handlers?.get(type)?.call ?? null;
  }

  // deno-lint-ignore no-explicit-any
  #setHandler(type: string, handler: any): void {
    const call = typeof handler === "function" ? handler : null;
    this.#handlers ??= new Map();
    const entry = this.#handlers.get(type);
    if (entry !== undefined) {
      entry.call = call;
    } else if (call !== null) {
      const added = { call };
      this.#handlers.set(type, added);
      // The attribute keeps the place among the listeners that it first took.
      // It returns what the handler does: a promise that rejects is the handler's failure.
      super.addEventListener(type, this.#guarded((event) => added.call?.call(this, event)));
    }
  }
}

/** A `message` event that was not dispatched, and looks as if it was. */
class HandedMessage extends MessageEvent<unknown> {
  readonly #socket: WebSocket;

  constructor(data: unknown, origin: string, socket: WebSocket) {
    super("message", { data, origin });
    this.#socket = socket;
  }

  override get target(): WebSocket {
    return this.#socket;
  }

  override get currentTarget(): WebSocket {
    return this.#socket;
  }

  override get eventPhase(): number {
    return Event.AT_TARGET;
  }

  override composedPath(): EventTarget[] {
    return [this.#socket];
  }
}

for (const [value, name] of STATES.entries()) {
  const constant = { value, enumerable: true, writable: false, configurable: false };
  Object.defineProperty(WebSocket, name, constant);
  Object.defineProperty(WebSocket.prototype, name, constant);
}
Object.defineProperty(WebSocket.prototype, Symbol.toStringTag, {
  value: "WebSocket",
  configurable: true,
});

/** How often unused compression contexts are looked for, in milliseconds. */
const SWEEP_MS = 5000;

let sweepTimer: ReturnType<typeof setTimeout> | undefined;

/** Looks for unused contexts for as long as there are any; does not keep the process alive. */
function sweepContexts(): void {
  sweepTimer = setTimeout(() => {
    releaseIdleContexts();
    sweepTimer = undefined;
    if (contextCount() > 0) sweepContexts();
  }, SWEEP_MS);
  Deno.unrefTimer(sweepTimer);
}

function stopSweeping(): void {
  clearTimeout(sweepTimer);
  sweepTimer = undefined;
}

function parseUrl(url: string | URL): URL {
  const parsed = URL.parse(url);
  const scheme = parsed?.protocol;
  if (parsed !== null && (scheme === "http:" || scheme === "https:")) {
    parsed.protocol = scheme === "http:" ? "ws:" : "wss:";
  }
  if (parsed === null || !/^wss?:$/.test(parsed.protocol) || parsed.href.includes("#")) {
    throw new DOMException(
      `Cannot open WebSocket: URL is "${url}", must be ws: or wss: without a fragment`,
      "SyntaxError",
    );
  }
  return parsed;
}

/** What is sent as it is; all else is sent as text, as on the web. */
function isMessage(data: unknown): data is Exclude<SendData, string> {
  return isBytes(data) || data instanceof Blob || data instanceof PreparedMessage;
}

function isBytes(data: unknown): data is ArrayBufferLike | ArrayBufferView {
  return ArrayBuffer.isView(data) || data instanceof ArrayBuffer ||
    data instanceof SharedArrayBuffer;
}

/** A view of the bytes: none of memory that has been transferred away, a copy of memory that is shared. */
function bytesOf(data: ArrayBufferLike | ArrayBufferView): Uint8Array {
  if (data instanceof ArrayBuffer && data.detached) return new Uint8Array(0);
  const view = data instanceof Uint8Array
    ? data
    : ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
  if (!(view.buffer instanceof ArrayBuffer)) return view.slice();
  return view.buffer.detached ? new Uint8Array(0) : view;
}

function sizeOf(data: SendData): number {
  if (typeof data === "string") return new TextEncoder().encode(data).length;
  return data instanceof Blob || data instanceof PreparedMessage ? data.size : data.byteLength;
}
