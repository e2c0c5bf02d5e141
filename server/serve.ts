/**
 * The server: its listener and its connections, and how it stops.
 *
 * @module
 */

import { clientKey } from "../transport/address.ts";
import { requireDeno } from "../transport/deno_version.ts";
import { type Incoming, Listener } from "../transport/listener.ts";
import { answer, refuse } from "./answer.ts";
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
import { Places } from "./places.ts";

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
 * @throws {Error} If Deno is older than 2.9.1.
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

/** What connections that are cut off have to end their tasks, in milliseconds. */
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
  /** The tasks of the connections, so that all can be waited for. */
  readonly #tasks = new Set<Promise<void>>();
  readonly #connections = new Set<Incoming>();
  /** Connections whose request has not come: cut off at shutdown. */
  readonly #waiting = new Set<Incoming>();
  readonly #sessions = new Set<Session>();
  #refusals = 0;
  readonly #stop = Promise.withResolvers<void>();
  #stopping = false;

  constructor(options: ServeOptions, handler: ServeHandler) {
    this.#options = { ...options };
    this.#handler = handler;
    const limits = this.#limits = serveLimits(options);
    this.#places = new Places(limits.maxConnections, limits.maxConnectionsPerAddress);
    const { cert, key, signal, hostname = "0.0.0.0", port = 8000, reusePort = false } = options;
    signal?.throwIfAborted();
    if ((cert === undefined) !== (key === undefined)) {
      throw new TypeError("Cannot serve: cert and key must be given together");
    }
    const pair = cert === undefined || key === undefined ? undefined : { cert, key };
    this.#listener = new Listener(
      { hostname, port, reusePort, pair },
      (incoming) => this.#add(this.#serve(incoming)),
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
      for (const session of this.#sessions) this.#sendAway(session);
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

  #add(work: Promise<void>): void {
    const task = work.finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
  }

  /** Waits for the end of the server, and cuts off what is not done within the grace period. */
  async #finish(): Promise<void> {
    await this.#stop.promise;
    const done = (async () => {
      while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    })();
    let timer: ReturnType<typeof setTimeout>;
    const wait = (ms: number) => new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    const cutOff = wait(this.#limits.gracePeriod).then(() => {
      for (const session of this.#sessions) {
        session.fail(new Error("Connection lost: the server has stopped"));
      }
      for (const incoming of this.#connections) incoming.destroy();
      // A handler that never answers is not waited for any longer.
      return wait(CUT_OFF_MS);
    });
    await Promise.race([done, cutOff]);
    clearTimeout(timer!);
  }

  /** Serves one connection to its end. Never rejects. */
  async #serve(incoming: Incoming): Promise<void> {
    const client = clientKey(incoming.remoteAddr);
    if (!this.#places.take(client)) return await this.#turnAway(incoming);
    this.#connections.add(incoming);
    if (this.#stopping) incoming.destroy();
    try {
      // What the request was made of is left behind with its answer: a socket may live for long.
      const session = await this.#answer(incoming);
      if (session !== undefined) {
        await session.ended;
        this.#sessions.delete(session);
      }
    } catch {
      // The connection broke: nobody is left to be told.
    } finally {
      incoming.destroy();
      await incoming.closed;
      this.#connections.delete(incoming);
      this.#places.giveBack(client);
    }
  }

  /** Answers the request of a connection. Returns the session that has been started for it. */
  async #answer(incoming: Incoming): Promise<Session | undefined> {
    const exchange = await this.#open(incoming);
    if (exchange === undefined) return undefined;
    const session = await answer(exchange, {
      scheme: this.#scheme,
      limits: this.#limits,
      handler: this.#handler,
      onError: this.#options.onError,
      // Once its request has come, a connection is waited for at shutdown.
      onRequest: () => void this.#waiting.delete(incoming),
    });
    if (session === undefined) return undefined;
    this.#sessions.add(session);
    session.start(exchange.connection, exchange.rest);
    if (this.#stopping) this.#sendAway(session);
    return session;
  }

  /** Completes the TLS handshake. Returns nothing if the client does not come to its end. */
  async #open(incoming: Incoming): Promise<HttpExchange | undefined> {
    this.#waiting.add(incoming);
    void incoming.closed.then(() => this.#waiting.delete(incoming));
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

  /** Tells a connection over the limit to come back later. Never rejects. */
  async #turnAway(incoming: Incoming): Promise<void> {
    if (this.#refusals >= MAX_REFUSALS) {
      incoming.destroy();
      return await incoming.closed;
    }
    this.#refusals++;
    try {
      const exchange = await this.#open(incoming);
      const busy = new HttpError(503, "Cannot serve: too many connections, try again later");
      if (exchange !== undefined) await refuse(exchange, busy, this.#limits);
    } catch {
      // It did not wait to be told.
    } finally {
      incoming.destroy();
      await incoming.closed;
      this.#refusals--;
    }
  }
}
