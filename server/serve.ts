/**
 * The server: its listener and its connections, and how it stops.
 *
 * @module
 */

import { clientKey } from "../transport/address.ts";
import { requireDeno } from "../transport/deno_version.ts";
import { memoryBudget } from "../transport/memory_budget.ts";
import { type Incoming, Listener } from "../transport/listener.ts";
import { answer, refuse, TOO_MANY } from "./answer.ts";
import { HttpExchange } from "../transport/http_exchange.ts";
import { HttpError } from "../protocol/http.ts";
import type { Session } from "../websocket/session.ts";
import {
  type HttpServer,
  type ServeHandler,
  type ServeLimits,
  serveLimits,
  type ServeOptions,
} from "./options.ts";
import { numberOption } from "../websocket/options.ts";
import { Places } from "./places.ts";
import { TrustedProxies } from "./trusted_proxies.ts";

/**
 * Serves HTTP over TLS, or over TCP without `cert` and `key`, like `Deno.serve`; the difference is
 * that `upgradeWebSocket` can compress on its connections.
 *
 * It is made for WebSocket and short answers: one request a connection, without a body (413), HTTP/1.1.
 *
 * @param options Where and how to listen.
 * @param handler Answers each request.
 * @returns The running server.
 * @throws As `Deno.listenTls` and `Deno.listen`, when the port cannot be had.
 * @throws {Error} If Deno is older than 2.9.5.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { serve } from "@permessage/deflate";
 *
 * await using server = serve(
 *   { port: 0, hostname: "127.0.0.1", onListen() {} },
 *   () => new Response("hello"),
 * );
 * const response = await fetch(`http://127.0.0.1:${server.addr.port}/`);
 * assertEquals(await response.text(), "hello");
 * ```
 */
export function serve(handler: ServeHandler): HttpServer;
/** Serves with the handler among the options. */
export function serve(options: ServeOptions & { handler: ServeHandler }): HttpServer;
/** Serves with options and a handler. */
export function serve(options: ServeOptions, handler: ServeHandler): HttpServer;
export function serve(
  first: ServeHandler | ServeOptions & { handler?: ServeHandler },
  second?: ServeHandler,
): HttpServer {
  requireDeno("serve");
  const options = typeof first === "function" ? {} : first;
  const handler = typeof first === "function" ? first : second ?? first.handler;
  if (typeof handler !== "function") throw new TypeError("Cannot serve: no handler was given");
  return new Server(options, handler);
}

/** What connections that are cut off have to give their descriptors back, in milliseconds. */
const CUT_OFF_MS = 500;

/**
 * Connections over the limit that are told so at the same time: telling takes a TLS handshake. The
 * others are closed without a word.
 */
const MAX_REFUSALS = 16;

class Server implements HttpServer {
  readonly finished: Promise<void>;
  readonly addr: Deno.NetAddr;
  readonly #listener: Listener;
  readonly #handler: ServeHandler;
  readonly #options: ServeOptions;
  readonly #limits: ServeLimits;
  readonly #places: Places;
  readonly #proxies: TrustedProxies;
  readonly #proxyProtocol: boolean;
  /** The connections, with the session that each has come to be. */
  readonly #connections = new Map<Incoming, Session | undefined>();
  /** Connections whose request has not come: cut off at shutdown. */
  readonly #waiting = new Set<Incoming>();
  #refusals = 0;
  readonly #stop = Promise.withResolvers<void>();
  /** Resolves when no connection is left, once the server is stopping. */
  readonly #idle = Promise.withResolvers<void>();
  #stopping = false;

  constructor(options: ServeOptions, handler: ServeHandler) {
    this.#options = { ...options };
    this.#handler = handler;
    const limits = this.#limits = serveLimits(options);
    this.#places = new Places(limits.maxConnections, limits.maxConnectionsPerAddress);
    limitMemory(limits);
    const { trustProxy = [], proxyProtocol = false } = options;
    if (typeof proxyProtocol !== "boolean") {
      throw new TypeError(
        `Cannot serve: proxyProtocol is "${proxyProtocol}", must be true or false`,
      );
    }
    this.#proxies = new TrustedProxies(trustProxy);
    this.#proxyProtocol = proxyProtocol;
    const { cert, key, signal, hostname = "0.0.0.0", reusePort = false } = options;
    const port = numberOption("serve", "port", options.port, 8000, 65_535);
    signal?.throwIfAborted();
    if ((cert === undefined) !== (key === undefined)) {
      throw new TypeError("Cannot serve: cert and key must be given together");
    }
    const pair = cert === undefined || key === undefined ? undefined : { cert, key };
    this.#listener = new Listener(
      { hostname, port, reusePort, pair, proxyProtocol },
      (incoming) => this.#serve(incoming),
    );
    this.addr = this.#listener.addr as Deno.NetAddr;
    this.finished = this.#finish();
    try {
      if (options.onListen !== undefined) options.onListen(this.addr);
      else console.log(`Listening on ${this.#scheme}://${this.#authority}/`);
    } catch (error) {
      void this.shutdown();
      throw error;
    }
    signal?.addEventListener("abort", () => void this.shutdown(), { once: true });
  }

  get #scheme(): string {
    return this.#listener.secure ? "https" : "http";
  }

  get #authority(): string {
    const { hostname, port } = this.addr;
    return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  }

  ref(): void {
    this.#listener.ref();
  }

  unref(): void {
    this.#listener.unref();
  }

  async shutdown(): Promise<void> {
    if (!this.#stopping) {
      this.#stopping = true;
      this.#listener.close();
      for (const incoming of this.#waiting) incoming.destroy();
      for (const session of this.#connections.values()) if (session) this.#sendAway(session);
      this.#stop.resolve();
    }
    await this.finished;
  }

  /** Half of the grace period is for answers, the other for the closing handshake. */
  #sendAway(session: Session): void {
    session.goAway(performance.now() + this.#limits.gracePeriod / 2);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  // deno-lint-ignore require-await
  async setCertificate(cert: string, key: string): Promise<void> {
    if (!this.#listener.secure) {
      throw new TypeError("Cannot set certificate: the server does not speak TLS");
    }
    this.#listener.setCertificate({ cert, key });
  }

  /** Waits for the end of the server, and cuts off what is not done within the grace period. */
  async #finish(): Promise<void> {
    await this.#stop.promise;
    if (this.#connections.size === 0) return;
    let timer: ReturnType<typeof setTimeout>;
    const wait = (ms: number) => new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    const cutOff = wait(this.#limits.gracePeriod).then(() => {
      for (const [incoming, session] of this.#connections) {
        session?.fail(new Error("Connection lost: the server has stopped"));
        incoming.destroy();
      }
      return wait(CUT_OFF_MS);
    });
    await Promise.race([this.#idle.promise, cutOff]);
    clearTimeout(timer!);
  }

  /** Serves one connection; its place is free again when its file descriptor is. */
  #serve(incoming: Incoming): void {
    // The client that the connection is counted for: behind a proxy it is not known yet.
    let client = this.#speaksForAnother(incoming) ? undefined : clientKey(incoming.remoteAddr);
    const hasPlace = this.#places.take(client);
    const admit = (address: Deno.Addr) => {
      if (client !== undefined) return true;
      const key = clientKey(address);
      if (!this.#places.count(key)) return false;
      client = key;
      return true;
    };
    this.#connections.set(incoming, undefined);
    incoming.onClosed = () => {
      this.#connections.delete(incoming);
      this.#waiting.delete(incoming);
      if (hasPlace) this.#places.giveBack(client);
      if (this.#stopping && this.#connections.size === 0) this.#idle.resolve();
    };
    if (this.#stopping || this.#isOutsider(incoming)) incoming.destroy();
    else if (hasPlace) void this.#answer(incoming, admit);
    else void this.#turnAway(incoming);
  }

  /** Whether the peer may yet say which client it speaks for. */
  #speaksForAnother({ remoteAddr }: Incoming): boolean {
    return this.#proxyProtocol || this.#proxies.has(remoteAddr);
  }

  /** Whether the peer is none of the proxies that are named, where all connections must come from proxies. */
  #isOutsider({ remoteAddr }: Incoming): boolean {
    return this.#proxyProtocol && !this.#proxies.isEmpty && !this.#proxies.has(remoteAddr);
  }

  /**
   * Answers the request of a connection, and starts the session that comes of it. What the request was made
   * of is left behind: a socket may live for long. Never rejects.
   *
   * @param admit Counts the connection for its client, unless that is done; returns whether it may be served.
   */
  async #answer(incoming: Incoming, admit: (client: Deno.Addr) => boolean): Promise<void> {
    let session: Session | undefined;
    try {
      const exchange = await this.#open(incoming);
      if (exchange === undefined) return;
      // Of a proxy among proxies, the head says more.
      if (!this.#proxies.has(incoming.remoteAddr) && !admit(incoming.remoteAddr)) {
        return await this.#refuse(exchange);
      }
      session = await answer(exchange, {
        scheme: this.#scheme,
        authority: this.#authority.replace(/^(?:0\.0\.0\.0|\[::\])(?=:)/, "localhost"),
        limits: this.#limits,
        handler: this.#handler,
        onError: this.#options.onError,
        proxies: this.#proxies,
        admit,
        // Once its request has come, a connection is waited for at shutdown.
        onRequest: () => void this.#waiting.delete(incoming),
      });
      if (session !== undefined) this.#start(incoming, session, exchange);
    } catch {
      // The connection broke: nobody is left to be told.
    } finally {
      if (session === undefined) incoming.destroy();
    }
  }

  #start(incoming: Incoming, session: Session, exchange: HttpExchange): void {
    this.#connections.set(incoming, session);
    session.start(exchange.connection, exchange.rest, exchange.peerEnded);
    if (this.#stopping) this.#sendAway(session);
  }

  /** Reads the PROXY header and completes the TLS handshake. Returns nothing if the client does not come to its end. */
  async #open(incoming: Incoming): Promise<HttpExchange | undefined> {
    this.#waiting.add(incoming);
    const timer = setTimeout(() => incoming.destroy(), this.#limits.handshakeTimeout);
    try {
      const exchange = new HttpExchange();
      const connection = await incoming.open(exchange);
      if (connection === undefined) return undefined;
      exchange.connection = connection;
      return exchange;
    } finally {
      clearTimeout(timer);
    }
  }

  async #refuse(exchange: HttpExchange): Promise<void> {
    await refuse(exchange, new HttpError(503, TOO_MANY), this.#limits);
  }

  /** Tells a connection over the limit to come back later. Never rejects. */
  async #turnAway(incoming: Incoming): Promise<void> {
    if (this.#refusals >= MAX_REFUSALS) return incoming.destroy();
    this.#refusals++;
    try {
      const exchange = await this.#open(incoming);
      if (exchange !== undefined) await this.#refuse(exchange);
    } catch {
      // It did not wait to be told.
    } finally {
      incoming.destroy();
      this.#refusals--;
    }
  }
}

/** Sets the bounds of the memory that all connections of the process hold, as far as they are given. */
function limitMemory({ maxMemory: total, maxMemoryPerAddress: addressShare }: ServeLimits): void {
  if (total !== undefined) memoryBudget.configure({ total, addressShare: Math.floor(total / 2) });
  if (addressShare !== undefined) memoryBudget.configure({ addressShare });
}
