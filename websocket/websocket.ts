/**
 * The web's `WebSocket`, with compression, over a {@linkcode Session}: a client's and a server's.
 *
 * @module
 */

import { CloseCode, MAX_CONTROL_PAYLOAD } from "../protocol/frame.ts";
import type { Message } from "../protocol/message.ts";
import type { PreparedMessage } from "../protocol/prepared_message.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { BlobQueue } from "./blob_queue.ts";
import { parseClose } from "./close_arguments.ts";
import { bytesOf, isBytes, isMessage, type SendData, sizeOf } from "./data.ts";
import { type EventHandler, Handlers, ReceivedMessage, type SocketEventMap } from "./handlers.ts";
import type { ProtocolsOrOptions } from "./opening_options.ts";
import type { SendOptions } from "./options.ts";
import { type Ending, type Session, type SessionListener, State, STATE_NAMES } from "./session.ts";
import { SocketParts } from "./socket_parts.ts";
import type { SocketStats } from "./stats.ts";
import { MessageReader, MessageWriter, type StreamedSocket } from "./streams.ts";
import { defineConstant, defineInspection, makeEnumerable } from "./web_idl.ts";

/** Sends a prepared message by an open socket and writes it at once, where `send` writes after the caller's task. */
export let sendAtOnce: (socket: WebSocket, message: PreparedMessage, compress: boolean) => void;

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
 * assertEquals(socket.extensions, "permessage-deflate");
 * const closed = new Promise((resolve) => socket.onclose = resolve);
 * socket.close(1000);
 * await closed;
 * ```
 */
export class WebSocket<Data = unknown> extends EventTarget implements globalThis.WebSocket {
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
  readonly #session: Session;
  readonly #abort: ((reason: unknown) => void) | undefined;
  #binaryType: BinaryType;
  readonly #handlers: Handlers;
  /** Whether there have been listeners of `message` besides the handler attribute. */
  #hasMessageListeners = false;
  #handlerFailed = false;
  #reader: MessageReader | undefined;
  #writer: MessageWriter | undefined;
  #ending: Ending | undefined;
  #pingCount = 0;
  #data: Data;

  /** Bytes of messages that were given after the close, and never go out. */
  #lost = 0;
  /** There once a Blob has been sent. */
  #blobs: BlobQueue | undefined;

  /**
   * Connects. The `open` event tells that it succeeded, `error` and `close` that it did not.
   *
   * @param url A `ws:` or `wss:` URL; `http:` and `https:` stand for them. A relative one is resolved against
   * `location`, where there is one. User and password become an `Authorization` header.
   * @param protocols Subprotocols to offer, or {@linkcode WebSocketOptions}.
   * @throws {SyntaxError} (a `DOMException`) If the URL or a subprotocol is malformed.
   * @throws {RangeError} If an option is out of its range.
   * @throws {Error} If Deno is older than 2.9.5.
   * @throws {TypeError} If an option is of another type, or a header malformed.
   * @throws {Deno.errors.NotCapable} If the program may not connect to the URL's host.
   */
  constructor(url: string | URL, protocols: ProtocolsOrOptions = {}) {
    super();
    requireArguments(arguments.length, 1, "open WebSocket", "URL");
    const parts = url instanceof SocketParts ? url : SocketParts.connect(url, protocols);
    const { session } = parts;
    this.#session = session;
    this.#url = parts.url;
    this.#origin = new URL(parts.url).origin;
    this.#abort = parts.abort;
    this.#data = parts.data as Data;
    // As Deno's own have it.
    this.#binaryType = session.server ? "arraybuffer" : "blob";
    this.#handlers = new Handlers(
      this,
      session.server
        ? {
          atWork: (change, bytes) => session.handlerAtWork(change, bytes),
          failed: (error) => this.#onHandlerFailed(error),
        }
        : undefined,
    );
    session.listener = new WebSocket.#Listener(this);
  }

  /** What the session tells the socket: methods of its own, which a program does not see. */
  static readonly #Listener = class implements SessionListener {
    readonly #socket: WebSocket;

    constructor(socket: WebSocket) {
      this.#socket = socket;
    }

    onOpen(): void {
      this.#socket.#writer?.open();
      this.#socket.#dispatch(new Event("open"));
    }

    onMessage(data: Message): void {
      this.#socket.#onMessage(data);
    }

    onPong(data: Uint8Array<ArrayBuffer>): void {
      this.#socket.#dispatch(new MessageEvent("pong", { data }));
    }

    onDrain(): void {
      this.#socket.#dispatch(new Event("drain"));
    }

    onError(error: unknown): void {
      this.#socket.#onError(error);
    }

    onEnd(ending: Ending): void {
      this.#socket.#onEnd(ending);
    }

    get isBusy(): boolean {
      return this.#socket.#reader?.isBusy ?? false;
    }
  };

  /** The URL connected to; on a server's socket that of the request. */
  get url(): string {
    return this.#url;
  }

  /** `CONNECTING`, `OPEN`, `CLOSING` or `CLOSED`. */
  get readyState(): 0 | 1 | 2 | 3 {
    return this.#session.state;
  }

  /** The subprotocol agreed on, or the empty string. */
  get protocol(): string {
    return this.#session.subprotocol;
  }

  /** The extensions agreed on, as in the server's response, or the empty string. */
  get extensions(): string {
    return this.#session.extensions;
  }

  /** Bytes of messages that were given to {@linkcode send} and not yet to the network. */
  get bufferedAmount(): number {
    return this.#session.bufferedAmount + (this.#blobs?.bytes ?? 0) + this.#lost;
  }

  /**
   * What this connection has carried so far, so that what compression saves can be seen. A socket that
   * `Deno.upgradeWebSocket` has made, for a request that came by `Deno.serve`, does not have it.
   *
   * @example
   * ```ts
   * import { assert, assertEquals } from "@std/assert";
   * import { serve, upgradeWebSocket, WebSocket } from "@permessage/deflate";
   *
   * await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
   *   const { socket, response } = upgradeWebSocket(request);
   *   socket.onopen = () => socket.send("x".repeat(10_000));
   *   return response;
   * });
   *
   * const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`);
   * await new Promise((resolve) => socket.onmessage = resolve);
   * const { received } = socket.stats;
   * assertEquals([received.messages, received.messageBytes], [1, 10_000]);
   * assert(received.wireBytes < 200);
   * const closed = new Promise((resolve) => socket.onclose = resolve);
   * socket.close(1000);
   * await closed;
   * ```
   */
  get stats(): SocketStats {
    return this.#session.stats;
  }

  /** The peer's address, once there is one. */
  get remoteAddr(): Deno.Addr | undefined {
    return this.#session.remoteAddr;
  }

  /**
   * What the program keeps with the socket. On a server's it is at first what `upgradeWebSocket` was given as
   * `data`, on a client's `undefined`.
   */
  get data(): Data {
    return this.#data;
  }
  set data(value: Data) {
    this.#data = value;
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
    const type = `${value}`;
    // As on the web, a value that is none is ignored.
    this.#binaryType = type === "blob" || type === "arraybuffer" ? type : this.#binaryType;
  }

  /** Called when the connection is open. */
  get onopen(): EventHandler<Event> {
    return this.#handlers.get("open");
  }
  set onopen(handler: EventHandler<Event>) {
    this.#setHandler("open", handler);
  }

  /** Called with each message. */
  get onmessage(): EventHandler<MessageEvent> {
    return this.#handlers.get("message");
  }
  set onmessage(handler: EventHandler<MessageEvent>) {
    this.#setHandler("message", handler);
  }

  /** Called with what went wrong, before `onclose`. */
  get onerror(): EventHandler<Event | ErrorEvent> {
    return this.#handlers.get("error");
  }
  set onerror(handler: EventHandler<Event | ErrorEvent>) {
    this.#setHandler("error", handler);
  }

  /** Called when the connection has ended. */
  get onclose(): EventHandler<CloseEvent> {
    return this.#handlers.get("close");
  }
  set onclose(handler: EventHandler<CloseEvent>) {
    this.#setHandler("close", handler);
  }

  /** Called when what was over the high-water mark has been sent. */
  get ondrain(): EventHandler<Event> {
    return this.#handlers.get("drain");
  }
  set ondrain(handler: EventHandler<Event>) {
    this.#setHandler("drain", handler);
  }

  /** Called with each Pong frame; its payload is the event's `data`, a `Uint8Array`. */
  get onpong(): EventHandler<MessageEvent> {
    return this.#handlers.get("pong");
  }
  set onpong(handler: EventHandler<MessageEvent>) {
    this.#setHandler("pong", handler);
  }

  /**
   * Sends a message: text, bytes (of which a copy is made), a `Blob`, or what
   * {@linkcode prepare} made. Order is kept. After a close it is silently lost, as on the web.
   *
   * A long message is compressed in steps, between which other connections are served.
   *
   * @param data The message.
   * @param options Whether to compress it.
   * @throws {InvalidStateError} (a `DOMException`) If the connection is still being made.
   */
  send(data: SendData, options: SendOptions = {}): void {
    requireArguments(arguments.length, 1, "send message", "data");
    // Unlike String(), this refuses a symbol.
    if (typeof data !== "string" && !isMessage(data)) data = `${data}`;
    const { state } = this.#session;
    if (state === State.CONNECTING) {
      throw new DOMException(
        "Cannot send message: socket is CONNECTING, must be OPEN",
        "InvalidStateError",
      );
    }
    const compress = options.compress ?? true;
    if (state !== State.OPEN) {
      this.#lost += sizeOf(data);
    } else if (!this.#session.hasRoom(this.#blobs?.bytes ?? 0)) {
      // The connection has been cut off.
    } else if (data instanceof Blob || this.#blobs?.done !== undefined) {
      this.#blobs ??= new BlobQueue(this.#session);
      this.#blobs.send(data, compress);
    } else {
      this.#session.send(isBytes(data) ? bytesOf(data) : data, compress);
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
  close(code: number | undefined = undefined, reason: string = ""): void {
    const session = this.#session;
    const frame = parseClose(code, reason, session.server);
    if (session.state >= State.CLOSING) return;
    if (session.state === State.CONNECTING && this.#abort !== undefined) {
      session.beginClosing();
      this.#abort(new Error("Cannot open WebSocket: it was closed while connecting"));
    } else if (this.#blobs?.done !== undefined) {
      session.beginClosing();
      this.#blobs.run(() => session.sendClose(frame.code, frame.reason));
    } else {
      session.close(frame.code, frame.reason);
    }
  }

  /** Cuts the connection off without a closing handshake; what was not sent is lost. */
  terminate(): void {
    const error = new Error("Connection lost: it was terminated on this side");
    this.#abort?.(error);
    this.#session.fail(error);
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
    return this.#session.ping(this.#controlPayload("ping", data));
  }

  /**
   * Sends a Pong frame that no Ping asked for: a sign of life that wants no answer (RFC 6455 section 5.5.3).
   * Pings are answered without it.
   *
   * @param data Up to 125 bytes, or text of as many.
   * @throws {InvalidStateError} (a `DOMException`) If the socket is not open.
   * @throws {RangeError} If the data is too long.
   * @throws {TypeError} If it is neither text nor bytes.
   */
  pong(data: string | BufferSource = ""): void {
    this.#session.sendPong(this.#controlPayload("pong", data));
  }

  /** Checks what is to go in a Ping or Pong frame, and copies it. */
  #controlPayload(frame: "ping" | "pong", data: string | BufferSource): Uint8Array {
    const { state } = this.#session;
    if (state !== State.OPEN) {
      throw new DOMException(
        `Cannot send ${frame}: socket is ${STATE_NAMES[state]}, must be OPEN`,
        "InvalidStateError",
      );
    }
    if (typeof data !== "string" && !isBytes(data)) {
      throw new TypeError(`Cannot send ${frame}: data is ${data}, must be text or bytes`);
    }
    const bytes = typeof data === "string" ? encodeUtf8(data) : bytesOf(data).slice();
    if (bytes.length > MAX_CONTROL_PAYLOAD) {
      throw new RangeError(
        `Cannot send ${frame}: data has ${bytes.length} bytes, must be at most ${MAX_CONTROL_PAYLOAD}`,
      );
    }
    return bytes;
  }

  /**
   * The messages as a stream, text as strings and binary as `Uint8Array`s. From its first use on they
   * go there, and no longer into `message` events. While nobody reads it, nothing more is read from the
   * peer. It ends with the connection: with an error when that did not end cleanly.
   */
  get readable(): ReadableStream<Message> {
    return (this.#reader ??= new MessageReader(this.#streamed())).stream;
  }

  /**
   * What is written to it is sent; a write is done when no more than the high-water mark is unsent.
   * Closing it closes the socket with 1000, aborting it cuts the connection off. It fails when the
   * connection is lost.
   */
  get writable(): WritableStream<SendData> {
    return (this.#writer ??= new MessageWriter(this.#streamed())).stream;
  }

  #streamed(): StreamedSocket {
    // deno-lint-ignore no-this-alias
    const socket = this;
    return {
      get state() {
        return socket.#session.state;
      },
      get ending() {
        return socket.#ending;
      },
      send: (data) => socket.send(data),
      drained: async () => {
        await socket.#blobs?.done;
        await socket.#session.drained();
      },
      goOn: () => socket.#session.goOn(),
      close: (code) => socket.close(code),
      terminate: () => socket.terminate(),
    };
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
    requireArguments(arguments.length, 2, "add listener", "listener");
    const name = `${type}`;
    if (name === "message" && listener) this.#hasMessageListeners = true;
    super.addEventListener(name, listener ? this.#handlers.guarded(listener) : null, options);
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
    requireArguments(arguments.length, 2, "remove listener", "listener");
    super.removeEventListener(type, listener ? this.#handlers.guarded(listener) : null, options);
  }

  #setHandler(type: string, handler: unknown): void {
    this.#handlers.set(
      type,
      handler,
      (type, listener) => super.addEventListener(type, listener),
      (type, listener) => super.removeEventListener(type, listener),
    );
  }

  /** Dispatches an event of the socket's own, whatever a program has put in the place of `dispatchEvent`. */
  #dispatch(event: Event): void {
    super.dispatchEvent(event);
  }

  #onHandlerFailed(error: unknown): void {
    if (this.#handlerFailed) return;
    this.#handlerFailed = true;
    console.error(error);
    this.close(CloseCode.INTERNAL_ERROR);
  }

  #onMessage(message: Message): void {
    if (this.#reader?.isOpen) return this.#reader.take(message);
    const data = typeof message === "string"
      ? message
      : this.#binaryType === "blob"
      ? new Blob([message])
      : message.buffer;
    const event = new ReceivedMessage(data, this.#origin, this);
    const call = this.#handlers.callable("message");
    // Where only the handler attribute listens, it is called without a dispatch, which would take twice as
    // long as making the event.
    if (this.#hasMessageListeners || call === undefined) this.#dispatch(event);
    else ReceivedMessage.hand(event, this.#handlers, call);
  }

  #onError(error: unknown): void {
    // A program's own reason may be anything, also what no string can be made of.
    const message = error instanceof Error
      ? error.message
      : typeof error === "object"
      ? "Connection lost"
      : String(error);
    this.#dispatch(new ErrorEvent("error", { message, error }));
  }

  #onEnd(ending: Ending): void {
    this.#ending = ending;
    this.#reader?.end(ending);
    this.#writer?.end(ending);
    const { wasClean, code, reason } = ending;
    this.#dispatch(new CloseEvent("close", { code, reason, wasClean }));
  }

  static {
    sendAtOnce = (socket, message, compress) => {
      if (socket.#blobs?.done !== undefined) socket.send(message, { compress });
      else socket.#session.sendAtOnce(message, compress);
    };
    defineInspection(this.prototype, (socket) => {
      // The prototype has no state to show.
      if (!(#session in socket)) return undefined;
      const { url, readyState, extensions, protocol, binaryType, bufferedAmount } = socket;
      const { onopen, onmessage, onerror, onclose } = socket;
      const state = { url, readyState, extensions, protocol, binaryType, bufferedAmount };
      return { ...state, onopen, onmessage, onerror, onclose };
    });
  }
}

for (const [value, name] of STATE_NAMES.entries()) defineConstant(WebSocket, name, value);
makeEnumerable(WebSocket.prototype);
Object.defineProperty(WebSocket.prototype, Symbol.toStringTag, {
  value: "WebSocket",
  configurable: true,
});

/** A socket of a server: a {@linkcode WebSocket} that connects to nothing. */
export function acceptedSocket<Data>(session: Session, url: string, data?: Data): WebSocket<Data> {
  return new WebSocket(new SocketParts(session, url, undefined, data) as unknown as string);
}

/** Refuses a call without an argument that it needs. */
function requireArguments(given: number, needed: number, action: string, last: string): void {
  if (given < needed) throw new TypeError(`Cannot ${action}: ${last} is missing`);
}
