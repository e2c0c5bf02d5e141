/**
 * Event handlers and listeners of a WebSocket (HTML section 8.1.8.1), and what becomes of one that fails.
 *
 * @module
 */

import { isObject } from "./web_idl.ts";

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

/** Minimum bytes charged for a message while its handler runs. */
const HANDLER_BYTES = 256;

/** What a socket of a server does about its handlers. */
export interface HandlerWatch {
  /** A handler has promised something, or has done it. */
  atWork(change: 1 | -1, bytes: number): void;
  /** A handler threw, or its promise was rejected. */
  failed(error: unknown): void;
}

type Call = (event: Event) => unknown;

/** How {@linkcode Handlers} adds the listener of an attribute to its socket, or removes it. */
export type Listen = (type: string, listener: EventListener) => void;

/** The handlers of one socket. */
export class Handlers {
  readonly #target: EventTarget;
  /** On a server's socket: a handler that fails is its own socket's matter, not the process's. */
  readonly #watch: HandlerWatch | undefined;
  /** The values of the event handler attributes that have been set. */
  #attributes: Record<string, object | null> | undefined;
  /** What listens in place of each listener of a server's socket. */
  #guards: WeakMap<EventListenerOrEventListenerObject, EventListener> | undefined;

  constructor(target: EventTarget, watch: HandlerWatch | undefined) {
    this.#target = target;
    this.#watch = watch;
  }

  /** The value of an event handler attribute. */
  // deno-lint-ignore no-explicit-any
  get(type: string): any {
    return this.#attributes?.[type] ?? null;
  }

  /** The function that an event handler attribute has; objects that are none are kept, and never called. */
  callable(type: string): Call | undefined {
    const value = this.#attributes?.[type];
    return typeof value === "function" ? value as Call : undefined;
  }

  /**
   * Sets an event handler attribute: to `null` if the value is no object. Its listener takes its place among
   * the others when the attribute gets a value, and leaves it with the value.
   */
  set(type: string, value: unknown, add: Listen, remove: Listen): void {
    const handler = isObject(value) ? value : null;
    const before = this.#attributes?.[type] ?? null;
    if (handler === null && before === null) return;
    this.#attributes ??= {};
    this.#attributes[type] = handler;
    if (before === null) add(type, this.#onEvent);
    else if (handler === null) remove(type, this.#onEvent);
  }

  /** The listener of all event handler attributes. */
  readonly #onEvent = ((event: Event): void => {
    const call = this.callable(event.type);
    if (call === undefined) return;
    if (this.#watch !== undefined) this.call(call, event);
    else if (call.call(this.#target, event) === false) event.preventDefault();
  }) as EventListener;

  /** What is to listen in place of `listener`. */
  guarded(listener: EventListenerOrEventListenerObject): EventListenerOrEventListenerObject {
    if (this.#watch === undefined) return listener;
    this.#guards ??= new WeakMap();
    let guard = this.#guards.get(listener);
    if (guard === undefined) {
      guard = ((event: Event) =>
        this.call(
          typeof listener === "function" ? listener : (event) => listener.handleEvent(event),
          event,
        )) as EventListener;
      this.#guards.set(listener, guard);
    }
    return guard;
  }

  /** Calls a handler; its failure is reported, never thrown. */
  call(call: Call, event: Event): void {
    try {
      const result = call.call(this.#target, event);
      if (result === false) event.preventDefault();
      if (this.#watch !== undefined && result instanceof Promise) void this.#settle(result, event);
    } catch (error) {
      if (this.#watch === undefined) reportError(error);
      else this.#watch.failed(error);
    }
  }

  async #settle(result: Promise<unknown>, event: Event): Promise<void> {
    const data = event.type === "message" ? (event as MessageEvent).data : undefined;
    const size = HANDLER_BYTES + Number(data?.length ?? data?.byteLength ?? data?.size ?? 0);
    this.#watch!.atWork(1, size);
    try {
      await result;
    } catch (error) {
      this.#watch!.failed(error);
    }
    this.#watch!.atWork(-1, size);
  }
}

/** The event of a message that came: trusted, and made to be dispatched or to be handed to a handler. */
export class ReceivedMessage extends MessageEvent<unknown> {
  readonly #target: EventTarget;
  /** Whether the one handler is being called. */
  #isHanded = false;

  constructor(data: unknown, origin: string, target: EventTarget) {
    super("message", { data, origin });
    this.#target = target;
  }

  /** Calls a handler with the event, which looks and behaves as if it was dispatched to it alone. */
  static hand(event: ReceivedMessage, handlers: Handlers, call: Call): void {
    event.#isHanded = true;
    handlers.call(call, event);
    event.#isHanded = false;
  }

  override get isTrusted(): boolean {
    return true;
  }

  override get target(): EventTarget | null {
    // A program may dispatch it again, elsewhere.
    return super.target ?? this.#target;
  }

  override get currentTarget(): EventTarget | null {
    return this.#isHanded ? this.#target : super.currentTarget;
  }

  override get eventPhase(): number {
    return this.#isHanded ? Event.AT_TARGET : super.eventPhase;
  }

  override composedPath(): EventTarget[] {
    return this.#isHanded ? [this.#target] : super.composedPath();
  }

  override stopPropagation(): void {
    if (!this.#isHanded) super.stopPropagation();
  }

  override stopImmediatePropagation(): void {
    if (!this.#isHanded) super.stopImmediatePropagation();
  }
}

// A program sees the web's class.
Object.defineProperty(ReceivedMessage.prototype, "constructor", { value: MessageEvent });
