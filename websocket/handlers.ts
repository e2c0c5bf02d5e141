/**
 * Event handlers and listeners of a WebSocket (HTML section 8.1.8.1), and what becomes of one that fails.
 *
 * @module
 */

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

/** The handlers of one socket. */
export class Handlers {
  readonly #target: EventTarget;
  /** On a server's socket: a handler that fails is its own socket's matter, not the process's. */
  readonly #watch: HandlerWatch | undefined;
  #attributes: Record<string, Call | null> | undefined;
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

  /** Sets an event handler attribute; the listener that calls it is added once, by `add`. */
  set(type: string, handler: unknown, add: (listener: EventListener) => void): void {
    const call = typeof handler === "function" ? handler as Call : null;
    this.#attributes ??= {};
    const isAdded = type in this.#attributes;
    if (!isAdded && call === null) return;
    this.#attributes[type] = call;
    // The attribute keeps the place among the listeners that it first took.
    if (!isAdded) add(this.#onEvent as EventListener);
  }

  /** The listener of all event handler attributes. */
  readonly #onEvent = (event: Event): void => {
    const call = this.get(event.type);
    if (call === null) return;
    if (this.#watch === undefined) call.call(this.#target, event);
    else this.call(call, event);
  };

  /** What is to listen in place of `listener`. */
  guarded(listener: EventListenerOrEventListenerObject): EventListenerOrEventListenerObject {
    if (this.#watch === undefined) return listener;
    this.#guards ??= new WeakMap();
    let guard = this.#guards.get(listener);
    if (guard === undefined) {
      const call: Call = typeof listener === "function"
        ? listener as Call
        : (event) => listener.handleEvent(event);
      guard = ((event: Event) => this.call(call, event)) as EventListener;
      this.#guards.set(listener, guard);
    }
    return guard;
  }

  /** Calls a handler; its failure is reported, never thrown. */
  call(call: Call, event: Event): void {
    try {
      const result = call.call(this.#target, event);
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

/** A `message` event that was not dispatched, and looks as if it was. */
export class HandedMessage extends MessageEvent<unknown> {
  readonly #target: EventTarget;

  constructor(data: unknown, origin: string, target: EventTarget) {
    super("message", { data, origin });
    this.#target = target;
  }

  override get target(): EventTarget {
    return this.#target;
  }

  override get currentTarget(): EventTarget {
    return this.#target;
  }

  override get eventPhase(): number {
    return Event.AT_TARGET;
  }

  override composedPath(): EventTarget[] {
    return [this.#target];
  }
}
