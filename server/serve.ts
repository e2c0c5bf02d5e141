/**
 * The server: its listener and its connections, and how it stops.
 *
 * @module
 */

import { clientKey } from "../transport/address.ts";
import { requireDeno } from "../transport/deno_version.ts";
import {
  HttpConnections,
  type HttpRequest,
  Refusal,
  refuse,
  type UpgradeRequest,
} from "../transport/http_connections.ts";
import { type Incoming, Listener } from "../transport/listener.ts";
import { memoryBudget } from "../transport/memory_budget.ts";
import type { Session } from "../websocket/session.ts";
import { answer, type AnswerOptions } from "./answer.ts";
import { listenOptions } from "./listen_options.ts";
import {
  type HttpServer,
  type ServeHandler,
  type ServeLimits,
  serveLimits,
  type ServeTcpOptions,
  type ServeUnixOptions,
} from "./options.ts";
import { Places } from "./places.ts";
import { isWebSocketRequest, type Origin } from "./request.ts";
import type { Upgrade } from "./own_request.ts";
import { startUpgraded } from "./upgrade.ts";

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
export function serve(handler: ServeHandler<Deno.NetAddr>): HttpServer<Deno.NetAddr>;
/** Serves on a Unix socket. */
export function serve(
  options: ServeUnixOptions,
  handler: ServeHandler<Deno.UnixAddr>,
): HttpServer<Deno.UnixAddr>;
/** Serves on a TCP port. */
export function serve(
  options: ServeTcpOptions,
  handler: ServeHandler<Deno.NetAddr>,
): HttpServer<Deno.NetAddr>;
/** Serves on a Unix socket, with the handler among the options. */
export function serve(
  options: ServeUnixOptions & { handler: ServeHandler<Deno.UnixAddr> },
): HttpServer<Deno.UnixAddr>;
/** Serves on a TCP port, with the handler among the options. */
export function serve(
  options: ServeTcpOptions & { handler: ServeHandler<Deno.NetAddr> },
): HttpServer<Deno.NetAddr>;
// deno-lint-ignore no-explicit-any
export function serve(first: any, second?: any): HttpServer<any> {
  requireDeno("serve");
  const options = typeof first === "function" ? {} : first;
  const handler = typeof first === "function" ? first : second ?? first?.handler;
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
  readonly addr: Deno.NetAddr | Deno.UnixAddr;
  readonly #listener: Listener;
  readonly #limits: ServeLimits;
  readonly #places: Places;
  readonly #http: HttpConnections<Incoming>;
  readonly #answerOptions: AnswerOptions;
  /** The connections, with the session that each has come to be. */
  readonly #connections = new Map<Incoming, Session | undefined>();
  /** Connections in the middle of the TLS handshake: cut off at shutdown. */
  readonly #handshakes = new Set<Incoming>();
  /** Connections over the limit, which are told so. */
  readonly #refused = new Set<Incoming>();
  readonly #stop = Promise.withResolvers<void>();
  /** Resolves when no connection is left, once the server is stopping. */
  readonly #idle = Promise.withResolvers<void>();
  #stopping = false;

  constructor(options: ServeTcpOptions | ServeUnixOptions, handler: ServeHandler) {
    const { signal, onError } = options;
    const onListen = options.onListen as ((address: Deno.Addr) => void) | undefined;
    const listen = listenOptions(options);
    const limits = this.#limits = serveLimits(options);
    this.#places = new Places(
      limits.maxConnections,
      // All clients of a Unix socket have one address.
      listen.path === undefined ? limits.maxConnectionsPerAddress : limits.maxConnections,
    );
    limitMemory(limits);
    signal?.throwIfAborted();
    this.#listener = new Listener(listen, (incoming) => this.#serve(incoming));
    this.addr = this.#listener.addr;
    this.#http = new HttpConnections({
      ...limits,
      mayUpgrade: isWebSocketRequest,
      onRequest: (request) => this.#onRequest(request),
      onUpgrade: (request) => this.#onUpgrade(request),
    });
    this.#answerOptions = { origin: this.#origin, limits, handler, onError };
    this.finished = this.#finish();
    try {
      if (onListen !== undefined) onListen(this.addr);
      else console.log(`Listening on ${this.#shownAddress}`);
    } catch (error) {
      void this.shutdown();
      throw error;
    }
    signal?.addEventListener("abort", () => void this.shutdown(), { once: true });
    if (signal?.aborted) void this.shutdown();
  }

  /** What stands for the scheme of its URLs, and for the host of a request that names none. */
  get #origin(): Origin {
    if ("path" in this.addr) {
      // As `Deno.serve` has it.
      const authority = encodeURIComponent(this.addr.path).replaceAll(".", "%2E");
      return { scheme: "http+unix", authority };
    }
    const { hostname, port } = this.addr;
    const isAny = hostname === "0.0.0.0" || hostname === "::";
    const host = isAny ? "localhost" : hostname.includes(":") ? `[${hostname}]` : hostname;
    return { scheme: this.#listener.secure ? "https" : "http", authority: `${host}:${port}` };
  }

  get #shownAddress(): string {
    if ("path" in this.addr) return this.addr.path;
    const { scheme } = this.#origin;
    const { hostname, port } = this.addr;
    return `${scheme}://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}/`;
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
      this.#http.close();
      for (const incoming of this.#handshakes) incoming.destroy();
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
    const client = clientKey(incoming.remoteAddr);
    const hasPlace = this.#places.take(client);
    this.#connections.set(incoming, undefined);
    incoming.onClosed = () => {
      this.#connections.delete(incoming);
      this.#refused.delete(incoming);
      if (hasPlace) this.#places.giveBack(client);
      if (this.#stopping && this.#connections.size === 0) this.#idle.resolve();
    };
    if (this.#stopping) return incoming.destroy();
    if (!hasPlace) {
      if (this.#refused.size >= MAX_REFUSALS) return incoming.destroy();
      this.#refused.add(incoming);
    }
    void this.#open(incoming);
  }

  /** Completes the TLS handshake, and speaks HTTP from then on. Never rejects. */
  async #open(incoming: Incoming): Promise<void> {
    this.#handshakes.add(incoming);
    const timer = setTimeout(() => incoming.destroy(), this.#limits.handshakeTimeout);
    const socket = await incoming.open();
    clearTimeout(timer);
    this.#handshakes.delete(incoming);
    if (socket === undefined) return;
    if (this.#stopping) incoming.destroy();
    else this.#http.take(socket, incoming);
  }

  #onRequest({ message, response, peer }: HttpRequest<Incoming>): void {
    if (this.#refused.has(peer)) refuse(response, TOO_MANY_CONNECTIONS);
    else void answer({ message, response, address: this.#addressOf(peer) }, this.#answerOptions);
  }

  #onUpgrade({ message, response, peer, handover }: UpgradeRequest<Incoming>): void {
    if (this.#refused.has(peer)) return refuse(response, TOO_MANY_CONNECTIONS);
    const upgradeTo = async (upgrade: Upgrade, accepted: Response) => {
      response.detachSocket(message.socket);
      await startUpgraded(handover, upgrade, accepted);
      this.#connections.set(peer, upgrade.session);
      if (this.#stopping) this.#sendAway(upgrade.session);
    };
    const request = { message, response, address: this.#addressOf(peer), upgradeTo };
    void answer(request, this.#answerOptions);
  }

  /** The address of a client; of a Unix socket that of the server, as `Deno.serve` has it. */
  #addressOf({ remoteAddr }: Incoming): Deno.Addr {
    return "path" in this.addr ? this.addr : remoteAddr;
  }
}

const TOO_MANY_CONNECTIONS = new Refusal(
  503,
  "Cannot serve: too many connections, try again later",
);

/** Sets the bounds of the memory that all connections of the process hold, as far as they are given. */
function limitMemory({ maxMemory: total, maxMemoryPerAddress: addressShare }: ServeLimits): void {
  if (total !== undefined) memoryBudget.configure({ total, addressShare: Math.floor(total / 2) });
  if (addressShare !== undefined) memoryBudget.configure({ addressShare });
}
