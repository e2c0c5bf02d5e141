/**
 * The web's `WebSocket` over a {@linkcode Session}, for both ends.
 *
 * @module
 */

import {
  CloseCode,
  isSendableCode,
  MAX_CLOSE_REASON,
  MAX_CONTROL_PAYLOAD,
} from "../protocol/frame.ts";
import type { Message } from "../protocol/message.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { bytesOf, isBytes, isMessage, type SendData, sizeOf } from "./data.ts";
import { type EventHandler, HandedMessage, Handlers, type SocketEventMap } from "./handlers.ts";
import type { SendOptions } from "./options.ts";
import { type Ending, type Session, type SessionListener, State, STATE_NAMES } from "./session.ts";
import { MessageReader, MessageWriter, type StreamedSocket } from "./streams.ts";

/** What a socket is made of. */
export interface SocketParts {
  session: Session;
  url: string;
  /** Of a client: gives up what is being done to connect. */
  abort?: (reason: unknown) => void;
}

/**
 * The members of every {@linkcode WebSocket}, a client's or a server's. It is exported as a type alone:
 * sockets are made by the constructor of `WebSocket`, or by `upgradeWebSocket`.
 */
export class SocketFacade extends EventTarget implements globalThis.WebSocket {
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

  /** Bytes of messages that wait for a Blob to be read. */
  #behindBlobs = 0;
  /** Bytes of messages that were given after the close, and never go out. */
  #lost = 0;
  /** Resolves when the last of the Blobs, and what waits for it, has been sent. */
  #afterBlob: Promise<void> | undefined;

  /** @ignore Made by the library. */
  constructor(parts: SocketParts) {
    super();
    const { session } = parts;
    this.#session = session;
    this.#url = parts.url;
    this.#origin = new URL(parts.url).origin;
    this.#abort = parts.abort;
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
    session.listener = new SocketFacade.#Listener(this);
  }

  /** What the session tells the socket: methods of its own, which a program does not see. */
  static readonly #Listener = class implements SessionListener {
    readonly #socket: SocketFacade;

    constructor(socket: SocketFacade) {
      this.#socket = socket;
    }

    onOpen(): void {
      this.#socket.#writer?.open();
      this.#socket.dispatchEvent(new Event("open"));
    }

    onMessage(data: Message): void {
      this.#socket.#onMessage(data);
    }

    onPong(data: Uint8Array<ArrayBuffer>): void {
      this.#socket.dispatchEvent(new MessageEvent("pong", { data }));
    }

    onDrain(): void {
      this.#socket.dispatchEvent(new Event("drain"));
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
    return this.#session.bufferedAmount + this.#behindBlobs + this.#lost;
  }

  /** The peer's address, once there is one. */
  get remoteAddr(): Deno.Addr | undefined {
    return this.#session.remoteAddr;
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
    if (typeof data !== "string" && !isMessage(data)) data = String(data);
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
    } else if (!this.#session.hasRoom(this.#behindBlobs)) {
      // The connection has been cut off.
    } else if (data instanceof Blob) {
      this.#sendBlob(data, compress);
    } else if (this.#afterBlob === undefined) {
      this.#session.send(isBytes(data) ? bytesOf(data) : data, compress);
    } else {
      const copy = isBytes(data) ? bytesOf(data).slice() : data;
      const size = sizeOf(copy);
      this.#behindBlobs += size;
      this.#whenBlobsAreRead(() => {
        this.#behindBlobs -= size;
        this.#session.send(copy, compress);
      });
    }
  }

  #sendBlob(blob: Blob, compress: boolean): void {
    this.#behindBlobs += blob.size;
    this.#whenBlobsAreRead(async () => {
      // A Blob whose source has gone cannot be read; there is nothing to send in its place.
      const bytes = await blob.bytes().catch((error) => this.#session.fail(error));
      this.#behindBlobs -= blob.size;
      if (bytes) this.#session.send(bytes, compress);
    });
  }

  /** Runs `action` once the Blobs before it have been read. What it throws fails the connection. */
  #whenBlobsAreRead(action: () => void | Promise<void>): void {
    const mine = (this.#afterBlob ?? Promise.resolve()).then(async () => {
      try {
        if (this.#session.state !== State.CLOSED) await action();
      } catch (error) {
        this.#session.fail(error);
      }
      if (this.#afterBlob === mine) this.#afterBlob = undefined;
    });
    this.#afterBlob = mine;
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
    const session = this.#session;
    if (code !== undefined) {
      code = Math.trunc(Number(code));
      const allowed = session.server
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
    const size = encodeUtf8(text).length;
    if (size > MAX_CLOSE_REASON) {
      throw new DOMException(
        `Cannot close WebSocket: reason has ${size} bytes, must be at most ${MAX_CLOSE_REASON}`,
        "SyntaxError",
      );
    }
    if (session.state >= State.CLOSING) return;
    const sent = code ?? (text === "" ? CloseCode.NO_STATUS : CloseCode.NORMAL);
    if (session.state === State.CONNECTING && this.#abort !== undefined) {
      session.beginClosing();
      this.#abort(new Error("Cannot open WebSocket: it was closed while connecting"));
    } else if (this.#afterBlob !== undefined) {
      session.beginClosing();
      this.#whenBlobsAreRead(() => session.sendClose(sent, text));
    } else {
      session.close(sent, text);
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
    const { state } = this.#session;
    if (state !== State.OPEN) {
      throw new DOMException(
        `Cannot send ping: socket is ${STATE_NAMES[state]}, must be OPEN`,
        "InvalidStateError",
      );
    }
    if (typeof data !== "string" && !isBytes(data)) {
      throw new TypeError(`Cannot send ping: data is ${data}, must be text or bytes`);
    }
    const bytes = typeof data === "string" ? encodeUtf8(data) : bytesOf(data).slice();
    if (bytes.length > MAX_CONTROL_PAYLOAD) {
      throw new RangeError(
        `Cannot send ping: data has ${bytes.length} bytes, must be at most ${MAX_CONTROL_PAYLOAD}`,
      );
    }
    return this.#session.ping(bytes);
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
        await socket.#afterBlob;
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
    if (!listener) return;
    if (type === "message") this.#hasMessageListeners = true;
    super.addEventListener(type, this.#handlers.guarded(listener), options);
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
    if (listener) super.removeEventListener(type, this.#handlers.guarded(listener), options);
  }

  #setHandler(type: string, handler: unknown): void {
    this.#handlers.set(type, handler, (listener) => super.addEventListener(type, listener));
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
    const call = this.#handlers.get("message");
    // Where only the handler attribute listens, it is called without a dispatch, which would take as
    // long as all else that is done for a short message.
    if (this.#hasMessageListeners || !call) {
      this.dispatchEvent(new MessageEvent("message", { data, origin: this.#origin }));
    } else {
      this.#handlers.call(call, new HandedMessage(data, this.#origin, this));
    }
  }

  #onEnd(ending: Ending): void {
    this.#ending = ending;
    const { wasClean, code, reason, error } = ending;
    this.#reader?.end(ending);
    this.#writer?.end(ending);
    if (!wasClean) {
      // A program's own reason may be anything, also what no string can be made of.
      const message = error instanceof Error
        ? error.message
        : typeof error === "object"
        ? "Connection lost"
        : String(error);
      this.dispatchEvent(new ErrorEvent("error", { message, error }));
    }
    this.dispatchEvent(new CloseEvent("close", { code, reason, wasClean }));
  }
}

for (const [value, name] of STATE_NAMES.entries()) {
  const constant = { value, enumerable: true, writable: false, configurable: false };
  Object.defineProperty(SocketFacade, name, constant);
  Object.defineProperty(SocketFacade.prototype, name, constant);
}
Object.defineProperty(SocketFacade.prototype, Symbol.toStringTag, {
  value: "WebSocket",
  configurable: true,
});
