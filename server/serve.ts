/**
 * The server: its listener and its connections, and how it stops.
 *
 * @module
 */

import { urlHost } from "../protocol/ip_address.ts";
import type { IncomingMessage, ServerResponse } from "node:http";
import { readForwarded } from "../protocol/forwarded.ts";
import { type HeaderLines, HttpError } from "../protocol/http.ts";
import { clientKey } from "../transport/address.ts";
import { requireDeno } from "../transport/deno_version.ts";
import {
  HttpConnections,
  type HttpRequest,
  refuse,
  type UpgradeRequest,
} from "../transport/http_connections.ts";
import { type Incoming, Listener } from "../transport/listener.ts";
import { memoryBudget } from "../transport/memory_budget.ts";
import type { Session } from "../websocket/session.ts";
import { answer, type AnswerOptions, type Client } from "./answer.ts";
import { Leaving, type ShutdownOptions } from "./leaving.ts";
import { listenOptions } from "./listen_options.ts";
import {
  type HttpServer,
  type ServeHandler,
  type ServeLimits,
  serveLimits,
  type ServeOptions,
  type ServeTcpOptions,
  type ServeUnixOptions,
} from "./options.ts";
import { Places } from "./places.ts";
import type { Upgrade } from "./own_request.ts";
import { isWebSocketRequest, type Origin } from "./request.ts";
import { type RefusalReason, ServerCounters, type ServerStats } from "./stats.ts";
import { TrustedProxies } from "./trusted_proxies.ts";
import { startUpgraded } from "./upgrade.ts";

/**
 * Serves HTTP over TLS, or over TCP without `cert` and `key`, like `Deno.serve`; the difference is
 * that `upgradeWebSocket` can compress on its connections.
 *
 * It speaks HTTP/1.1, with kept connections, and reads bodies as the handler does. HTTP/2 is a reverse proxy's.
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

/**
 * Connections over the limit that are told so at the same time: telling takes a TLS handshake. The
 * others are closed without a word.
 */
const MAX_REFUSALS = 16;

/** A connection of a server. */
interface Served {
  /** Once it has come to be one. */
  session: Session | undefined;
  /** The client that it is counted for; behind a proxy it is not known yet. */
  client: string | undefined;
}

class Server implements HttpServer {
  readonly finished: Promise<void>;
  readonly addr: Deno.NetAddr | Deno.UnixAddr;
  readonly #listener: Listener;
  readonly #limits: ServeLimits;
  readonly #places: Places;
  readonly #http: HttpConnections<Incoming>;
  readonly #answerOptions: AnswerOptions;
  readonly #origin: Origin;
  readonly #proxies: TrustedProxies;
  readonly #proxyProtocol: boolean;
  readonly #connections = new Map<Incoming, Served>();
  readonly #counters = new ServerCounters(() => this.#leaving.checkEmpty());
  readonly #onRefused: ServeOptions["onRefused"];
  /** Connections in the middle of the TLS handshake: cut off at shutdown. */
  readonly #handshakes = new Set<Incoming>();
  /** Connections over the limit, which are told so. */
  readonly #refused = new Set<Incoming>();
  readonly #leaving: Leaving;

  constructor(options: ServeTcpOptions | ServeUnixOptions, handler: ServeHandler) {
    const { signal, onError } = options;
    this.#onRefused = options.onRefused;
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
    this.#proxies = new TrustedProxies(options.trustProxy ?? []);
    this.#proxyProtocol = listen.proxyProtocol ?? false;
    this.#listener = new Listener(listen, (incoming) => this.#serve(incoming));
    this.addr = this.#listener.addr;
    this.#http = new HttpConnections({
      ...limits,
      mayUpgrade: isWebSocketRequest,
      onRefused: ({ status, message }, peer) => {
        this.#counters.answered(status);
        this.#countRefusal(reasonOf(status), peer, message);
      },
      onRequest: (request) => this.#onRequest(request),
      onUpgrade: (request) => this.#onUpgrade(request),
    });
    this.#origin = this.#originOf();
    this.#leaving = this.#prepareLeaving();
    this.#answerOptions = { limits, handler, onError, keepsConnections: () => this.ready };
    this.finished = this.#leaving.finished;
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

  /** What the URLs of its requests begin with. */
  #originOf(): Origin {
    if ("path" in this.addr) {
      // As `Deno.serve` has it.
      const authority = encodeURIComponent(this.addr.path).replaceAll(".", "%2E");
      return { scheme: "http+unix", authority };
    }
    const { hostname, port } = this.addr;
    const isAny = hostname === "0.0.0.0" || hostname === "::";
    const host = isAny ? "localhost" : urlHost(hostname);
    return { scheme: this.#listener.secure ? "https" : "http", authority: `${host}:${port}` };
  }

  get #shownAddress(): string {
    if ("path" in this.addr) return this.addr.path;
    const { scheme } = this.#origin;
    const { hostname, port } = this.addr;
    return `${scheme}://${urlHost(hostname)}:${port}/`;
  }

  get stats(): ServerStats {
    return this.#counters.snapshot(this.#connections.size);
  }

  ref(): void {
    this.#listener.ref();
  }

  unref(): void {
    this.#listener.unref();
  }

  get ready(): boolean {
    return !this.#leaving.hasBegun;
  }

  async shutdown(options: ShutdownOptions = {}): Promise<void> {
    this.#leaving.begin(options);
    await this.finished;
  }

  #prepareLeaving(): Leaving {
    const connections = this.#connections;
    return new Leaving({
      stopAccepting: () => {
        this.#listener.close();
        this.#http.close();
        for (const incoming of this.#handshakes) incoming.destroy();
      },
      sessions: () => Array.from(connections.values(), ({ session }) => session ?? []).flat(),
      isEmpty: () => connections.size === 0 && this.#counters.openSockets === 0,
      hadSockets: () => this.#counters.hadSockets,
      cutOff: () => {
        for (const [incoming, { session }] of connections) {
          session?.fail(new Error("Connection lost: the server has stopped"));
          incoming.destroy();
        }
      },
    }, this.#limits.gracePeriod);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  // deno-lint-ignore require-await
  async setCertificate(
    cert: string,
    key: string,
    { servername }: { servername?: string } = {},
  ): Promise<void> {
    this.#listener.setCertificate({ cert, key }, servername);
  }

  /** Serves one connection; its place is free again when its file descriptor is. */
  #serve(incoming: Incoming): void {
    const client = this.#speaksForAnother(incoming) ? undefined : clientKey(incoming.remoteAddr);
    const hasPlace = this.#places.take(client);
    const served: Served = { session: undefined, client };
    this.#connections.set(incoming, served);
    this.#counters.connected();
    incoming.onClosed = () => {
      this.#connections.delete(incoming);
      this.#refused.delete(incoming);
      if (hasPlace) this.#places.giveBack(served.client);
      this.#leaving.checkEmpty();
    };
    if (this.#leaving.isDrained || this.#isOutsider(incoming)) {
      this.#countRefusal(this.#leaving.isDrained ? "shuttingDown" : "untrustedPeer", incoming);
      return incoming.destroy();
    }
    if (!hasPlace) {
      this.#countRefusal("tooManyConnections", incoming);
      if (this.#refused.size >= MAX_REFUSALS) return incoming.destroy();
      this.#refused.add(incoming);
    }
    void this.#open(incoming, served);
  }

  /** Whether the peer may yet say which client it speaks for. */
  #speaksForAnother({ remoteAddr }: Incoming): boolean {
    return this.#proxyProtocol || this.#proxies.has(remoteAddr);
  }

  /** Whether the peer is none of the proxies that are named, where all connections must come from proxies. */
  #isOutsider({ remoteAddr }: Incoming): boolean {
    return this.#proxyProtocol && !this.#proxies.isEmpty && !this.#proxies.has(remoteAddr);
  }

  /** Reads the PROXY header and completes the TLS handshake, and speaks HTTP from then on. Never rejects. */
  async #open(incoming: Incoming, served: Served): Promise<void> {
    this.#handshakes.add(incoming);
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      incoming.destroy();
    }, this.#limits.handshakeTimeout);
    const isOpen = await incoming.open((socket) => {
      if (this.#leaving.isDrained) return incoming.destroy();
      // Of a proxy among proxies, each request says more. One that is refused has no place to be counted with.
      const isKnown = served.client !== undefined || this.#proxies.has(incoming.remoteAddr);
      if (!isKnown && !this.#refused.has(incoming)) {
        const client = clientKey(incoming.remoteAddr);
        if (this.#places.count(client)) {
          served.client = client;
        } else {
          this.#refused.add(incoming);
          this.#countRefusal("tooManyConnections", incoming);
        }
      }
      this.#http.take(socket, incoming);
    });
    clearTimeout(timer);
    this.#handshakes.delete(incoming);
    if (isOpen) return;
    incoming.destroy();
    if (this.#leaving.isDrained) this.#countRefusal("shuttingDown", incoming);
    else if (isLate) this.#countRefusal("handshakeTimeout", incoming);
    else if (incoming.failure !== undefined) {
      this.#countRefusal(incoming.failure.reason, incoming, incoming.failure.cause);
    }
  }

  #countRefusal(reason: RefusalReason, { remoteAddr }: Incoming, cause = ""): void {
    this.#counters.refused(reason);
    try {
      const result: unknown = this.#onRefused?.({ reason, remoteAddr, cause });
      if (result instanceof Promise) result.catch((error) => console.error(error));
    } catch (error) {
      console.error(error);
    }
  }

  async #onRequest({ message, response, peer }: HttpRequest<Incoming>): Promise<void> {
    const client = this.#clientOf(message, peer);
    const key = this.#uncountedKey(peer, client);
    if (this.#isRefused(peer, key)) return this.#refuse(response);
    await answer({ message, response, client }, this.#answerOptions);
    if (response.headersSent) this.#counters.answered(response.statusCode);
    if (key !== undefined) this.#places.uncount(key);
  }

  async #onUpgrade(request: UpgradeRequest<Incoming>): Promise<void> {
    const { message, response, peer, handover } = request;
    if (!this.ready) {
      this.#countRefusal("shuttingDown", peer);
      return this.#refuse(response, STOPPING, this.#leaving.retryAfter);
    }
    const client = this.#clientOf(message, peer);
    const key = this.#uncountedKey(peer, client);
    if (this.#isRefused(peer, key)) return this.#refuse(response);
    let isCounted = false;
    const upgradeTo = async (upgrade: Upgrade, accepted: Response) => {
      const served = this.#connections.get(peer);
      if (served === undefined) throw new Error("Connection lost");
      if (key !== undefined) served.client = key;
      isCounted = true;
      served.session = upgrade.session;
      response.detachSocket(message.socket);
      this.#counters.accepted(upgrade.session);
      this.#counters.answered(accepted.status);
      await startUpgraded(handover, client.address, upgrade, accepted);
      this.#leaving.opened(upgrade.session);
    };
    await answer({ message, response, client, upgradeTo }, this.#answerOptions);
    if (response.headersSent) this.#counters.answered(response.statusCode);
    if (key !== undefined && !isCounted) this.#places.uncount(key);
  }

  /** The client of a request: what proxies that are trusted say of it, else the peer. */
  #clientOf({ rawHeaders }: IncomingMessage, { remoteAddr }: Incoming): Client {
    // As `Deno.serve` has it, the peers of a Unix socket have its own address.
    const address = "path" in this.addr ? this.addr : remoteAddr;
    if (!this.#proxies.has(remoteAddr)) return { ...this.#origin, address };
    const headers: HeaderLines = [];
    for (let i = 0; i < rawHeaders.length; i += 2) {
      headers.push([rawHeaders[i]!, rawHeaders[i + 1]!]);
    }
    const { hostname, port, scheme, host } = readForwarded(
      headers,
      (hostname) => this.#proxies.hasHost(hostname),
    );
    return {
      address: hostname === undefined ? address : { transport: "tcp", hostname, port },
      scheme: scheme ?? this.#origin.scheme,
      authority: this.#origin.authority,
      host,
    };
  }

  /** The key under which a request is yet to be counted, as it comes by a proxy. */
  #uncountedKey(peer: Incoming, { address }: Client): string | undefined {
    const served = this.#connections.get(peer);
    return served !== undefined && served.client === undefined ? clientKey(address) : undefined;
  }

  #isRefused(peer: Incoming, key: string | undefined): boolean {
    if (this.#refused.has(peer)) return true;
    if (key === undefined || this.#places.count(key)) return false;
    this.#countRefusal("tooManyConnections", peer);
    return true;
  }

  #refuse(
    response: ServerResponse,
    error: HttpError = TOO_MANY_CONNECTIONS,
    retryAfter?: number,
  ): void {
    this.#counters.answered(error.status);
    refuse(response, error, retryAfter);
  }
}

/** Why a request was refused that is answered so. */
function reasonOf(status: number): RefusalReason {
  return status === 431 ? "headTooLarge" : status === 408 ? "headTimeout" : "badRequest";
}

const TOO_MANY_CONNECTIONS = new HttpError(
  503,
  "Cannot serve: too many connections, try again later",
);

const STOPPING = new HttpError(
  503,
  "Cannot upgrade to WebSocket: the server is stopping, try again later",
);

/** Sets the bounds of the memory that all connections of the process hold, as far as they are given. */
function limitMemory({ maxMemory: total, maxMemoryPerAddress: addressShare }: ServeLimits): void {
  if (total !== undefined) memoryBudget.configure({ total, addressShare: Math.floor(total / 2) });
  if (addressShare !== undefined) memoryBudget.configure({ addressShare });
}
