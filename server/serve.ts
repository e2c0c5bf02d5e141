/**
 * The server: its listener, its connections and their limits, and how it stops.
 *
 * @module
 */

import {
  closeQuietly,
  type Connection,
  lingerAndClose,
  writeAll,
} from "../transport/connection.ts";
import {
  formatHead,
  HeadReader,
  HttpError,
  parseRequest,
  type RequestHead,
  statusLine,
} from "../protocol/http.ts";
import { sendResponse, usable } from "./response.ts";
import { goAway, MAX_TIMEOUT_MS, open, type WebSocket } from "../websocket/socket.ts";
import { ownRequests, sendUpgrade, upgrades } from "./upgrade.ts";

/** What a {@linkcode ServeHandler} learns besides the request. */
export interface ServeHandlerInfo {
  /** The client's address. */
  remoteAddr: Deno.NetAddr;
  /** Resolves when the response has been sent; rejects when it could not be. */
  completed: Promise<void>;
}

/** Answers a request. */
export type ServeHandler = (
  request: Request,
  info: ServeHandlerInfo,
) => Response | Promise<Response>;

/** Options of {@linkcode serve}: `Deno.serve`'s, and the bounds of a request's head. */
export interface ServeOptions {
  /** Port to listen on; 0 picks a free one. @default {8000} */
  port?: number;
  /** Address to listen on. @default {"0.0.0.0"} */
  hostname?: string;
  /** Whether several processes may listen on the port; with TLS, `--unstable-net`. @default {false} */
  reusePort?: boolean;
  /** Certificate chain, PEM; with {@linkcode ServeOptions.key}, the server speaks TLS. */
  cert?: string;
  /** Private key of the certificate, PEM. */
  key?: string;
  /** Shuts the server down when it aborts. */
  signal?: AbortSignal;
  /** Called once the server listens. By default a line is printed. */
  onListen?: (address: Deno.NetAddr) => void;
  /** Answers for a handler that threw. By default the error is printed, and 500 the answer. */
  onError?: (error: unknown) => Response | Promise<Response>;
  /** Longest head of a request, in bytes; longer ones get 431. @default {16384} */
  maxHeaderBytes?: number;
  /** Most header lines of a request; more get 431. @default {100} */
  maxHeaders?: number;
  /** Longest time for the TLS handshake, in milliseconds. @default {10000} */
  handshakeTimeout?: number;
  /** Longest time from then to the complete head, in milliseconds; then 408. @default {10000} */
  headerTimeout?: number;
  /** Longest wait for the client to take a part of an answer, in milliseconds. @default {30000} */
  responseTimeout?: number;
  /** Most connections at a time; one more gets 503. @default {16384} */
  maxConnections?: number;
  /**
   * Most connections at a time from one address, or of IPv6 from one network of 64 bits, which a
   * subscriber has to himself; one more gets 503. Lower it where clients come straight from the internet,
   * and not all from the address of one proxy.
   *
   * @default {8192}
   */
  maxConnectionsPerAddress?: number;
  /** Longest wait for the clients at shutdown, in milliseconds. @default {5000} */
  gracePeriod?: number;
}

/** A running server, as `Deno.serve` returns it. */
export interface HttpServer extends AsyncDisposable {
  /** Resolves when the server has stopped. */
  readonly finished: Promise<void>;
  /** Where it listens. */
  readonly addr: Deno.NetAddr;
  /** Lets the process live on for this server's sake. */
  ref(): void;
  /** Lets the process end while this server listens. */
  unref(): void;
  /**
   * Stops: nothing more is accepted, requests and messages that have come are answered, sockets are
   * closed with 1001. Who does not end within the grace period is cut off. Resolves when all is done.
   */
  shutdown(): Promise<void>;
  /**
   * Serves new connections with another certificate; those there are keep theirs.
   *
   * Rejects if the pair will not do, or the server does not speak TLS; then the old one is kept.
   */
  setCertificate(cert: string, key: string): Promise<void>;
}

/** A socket whose response has been sent. */
interface Upgraded {
  socket: WebSocket;
  /** What the client sent right behind its request. */
  rest: Uint8Array;
}

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
  const options = typeof first === "function" ? {} : first;
  const handler = typeof first === "function" ? first : second ?? first.handler;
  if (typeof handler !== "function") throw new TypeError("Cannot serve: no handler was given");
  return new Server(options, handler);
}

/** The numbers of {@linkcode ServeOptions}, every one with its value. */
function serveLimits(options: ServeOptions) {
  const limit = (name: keyof ServeOptions, fallback: number, most = Infinity): number => {
    const value = options[name] ?? fallback;
    if (typeof value === "number" && value >= 0 && value <= most) return value;
    const wanted = most === Infinity ? "0 or more" : `from 0 to ${most} ms`;
    throw new RangeError(`Cannot serve: ${name} is ${value}, must be ${wanted}`);
  };
  const timeout = (name: keyof ServeOptions, fallback: number) =>
    limit(name, fallback, MAX_TIMEOUT_MS);
  return {
    maxHeaderBytes: limit("maxHeaderBytes", 16 * 1024),
    maxHeaders: limit("maxHeaders", 100),
    handshakeTimeout: timeout("handshakeTimeout", 10_000),
    headerTimeout: timeout("headerTimeout", 10_000),
    responseTimeout: timeout("responseTimeout", 30_000),
    maxConnections: limit("maxConnections", 16_384),
    maxConnectionsPerAddress: limit("maxConnectionsPerAddress", 8192),
    gracePeriod: timeout("gracePeriod", 5000),
  };
}

/** Turns that a renewal waits for those who are waiting to be accepted: there is no end to a flood. */
const MAX_TURNS = 100;

/** Between attempts to put a listener back in its place, in milliseconds. */
const RELISTEN_MS = 20;

/** What connections that are cut off have to end their tasks, in milliseconds. */
const CUT_OFF_MS = 500;

/**
 * Connections over the limit that are told so at the same time: telling takes a TLS handshake. The
 * others are closed without a word.
 */
const MAX_REFUSALS = 16;

/** Who is counted as one: an IPv4 address, or the network that an IPv6 address is of (RFC 6177). */
export function subscriberOf(address: string): string {
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !address.includes(":")) return mapped ?? address;
  const [head = "", tail] = address.split("::");
  const groups = head.split(":");
  const zeros = tail === undefined ? 0 : 8 - groups.length - tail.split(":").length;
  return [...groups, ...Array(Math.max(zeros, 0)).fill("0"), ...(tail ?? "").split(":")]
    .slice(0, 4).map((group) => group || "0").join(":");
}

class Server implements HttpServer {
  readonly finished: Promise<void>;
  readonly addr: Deno.NetAddr;
  #listener: Deno.Listener;
  #accepting: Promise<void>;
  #accepted = 0;
  #renewing: Promise<void> = Promise.resolve();
  readonly #handler: ServeHandler;
  readonly #options: ServeOptions;
  readonly #limits: ReturnType<typeof serveLimits>;
  /** The tasks of accepting and of the connections, so that all can be waited for. */
  readonly #tasks = new Set<Promise<void>>();
  /** The connections, and how many there are of each subscriber. */
  readonly #connections = new Set<Connection>();
  readonly #subscribers = new Map<string, number>();
  #refusals = 0;
  readonly #sockets = new Set<WebSocket>();
  /** Connections whose request has not come, cut off at shutdown. */
  readonly #waiting = new Set<Connection>();
  readonly #stop = Promise.withResolvers<void>();
  #stopping = false;
  #referenced = true;

  constructor(options: ServeOptions, handler: ServeHandler) {
    this.#options = { ...options };
    this.#handler = handler;
    this.#limits = serveLimits(options);
    const { cert, key, signal } = options;
    signal?.throwIfAborted();
    if ((cert === undefined) !== (key === undefined)) {
      throw new TypeError("Cannot serve: cert and key must be given together");
    }
    this.#listener = this.#listen(options.port ?? 8000, cert, key);
    this.addr = this.#listener.addr as Deno.NetAddr;
    this.#accepting = this.#accept(this.#listener);
    this.#add(this.#accepting);
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
    return this.#options.cert === undefined ? "http" : "https";
  }

  get #authority(): string {
    const { hostname, port } = this.addr;
    return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  }

  /** Half of the grace period is for answers, the other for the closing handshake. */
  get #patience(): number {
    return this.#limits.gracePeriod / 2;
  }

  ref(): void {
    this.#referenced = true;
    this.#listener.ref();
  }

  unref(): void {
    this.#referenced = false;
    this.#listener.unref();
  }

  async shutdown(): Promise<void> {
    if (!this.#stopping) {
      this.#stopping = true;
      closeQuietly(this.#listener);
      for (const connection of this.#waiting) closeQuietly(connection);
      for (const socket of this.#sockets) goAway(socket, this.#patience);
      this.#stop.resolve();
    }
    await this.finished;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  async setCertificate(cert: string, key: string): Promise<void> {
    if (this.#options.cert === undefined) {
      throw new TypeError("Cannot set certificate: the server does not speak TLS");
    }
    this.#renewing = this.#renewing.catch(() => {}).then(() => this.#renew(cert, key));
    await this.#renewing;
  }

  /**
   * A listener keeps its certificate, so another takes its place, in less than a millisecond: sharing the
   * port meanwhile needs a flag of Deno's.
   */
  async #renew(cert: string, key: string): Promise<void> {
    // Who is waiting to be accepted would be reset by the end of the listener.
    for (let before = -1, turn = 0; before !== this.#accepted && turn < MAX_TURNS; turn++) {
      before = this.#accepted;
      await new Promise((resolve) => setTimeout(resolve));
    }
    if (this.#stopping) return;
    closeQuietly(this.#listener);
    await this.#accepting;
    let failure: unknown;
    while (!this.#stopping) {
      const pair = failure === undefined ? { cert, key } : this.#options;
      try {
        this.#listener = this.#listen(this.addr.port, pair.cert, pair.key);
        break;
      } catch (error) {
        const busy = error instanceof Deno.errors.AddrInUse;
        if (!busy && failure === undefined) {
          failure = error;
          continue; // The old pair, at once.
        }
        // Another program may have taken the port: a server without one goes on trying.
        await new Promise((resolve) => setTimeout(resolve, RELISTEN_MS));
      }
    }
    if (!this.#referenced) this.#listener.unref();
    this.#accepting = this.#accept(this.#listener);
    this.#add(this.#accepting);
    if (failure !== undefined) throw failure;
    Object.assign(this.#options, { cert, key });
  }

  #listen(port: number, cert: string | undefined, key: string | undefined): Deno.Listener {
    const { hostname = "0.0.0.0", reusePort = false } = this.#options;
    if (cert === undefined || key === undefined) return Deno.listen({ port, hostname, reusePort });
    return Deno.listenTls({
      port,
      hostname,
      reusePort,
      cert,
      key,
      alpnProtocols: ["http/1.1"],
    });
  }

  #add(work: Promise<void>): void {
    const task = work.finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
  }

  /** Waits for the end of the server, and cuts off who is not done within the grace period. */
  async #finish(): Promise<void> {
    await this.#stop.promise;
    const done = (async () => {
      while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    })();
    let timer: ReturnType<typeof setTimeout>;
    const wait = (ms: number) => new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    const cutOff = wait(this.#limits.gracePeriod).then(() => {
      for (const socket of this.#sockets) socket.terminate();
      for (const connection of this.#connections) closeQuietly(connection);
      // A handler that never answers is not waited for any longer.
      return wait(CUT_OFF_MS);
    });
    await Promise.race([done, cutOff]);
    clearTimeout(timer!);
  }

  async #accept(listener: Deno.Listener): Promise<void> {
    for (;;) {
      try {
        this.#add(this.#serve(await listener.accept()));
        this.#accepted++;
      } catch (error) {
        if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) {
          break;
        }
        // A client that left while it was accepted, or no file descriptor free: the next may do better.
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  }

  /** Serves one connection to its end. Never rejects. */
  async #serve(connection: Deno.Conn): Promise<void> {
    const subscriber = subscriberOf((connection.remoteAddr as Deno.NetAddr).hostname);
    const sameAddress = this.#subscribers.get(subscriber) ?? 0;
    const { maxConnections, maxConnectionsPerAddress } = this.#limits;
    if (this.#connections.size >= maxConnections || sameAddress >= maxConnectionsPerAddress) {
      return await this.#turnAway(connection);
    }
    this.#connections.add(connection);
    this.#subscribers.set(subscriber, sameAddress + 1);
    try {
      // What the request was made of is left behind with its answer: a socket may live for long.
      const upgraded = await this.#handshake(connection) && await this.#answer(connection);
      if (upgraded) await this.#run(connection, upgraded);
    } catch {
      // The connection broke: nobody is left to be told.
    } finally {
      closeQuietly(connection);
      this.#connections.delete(connection);
      const others = this.#subscribers.get(subscriber)! - 1;
      if (others === 0) this.#subscribers.delete(subscriber);
      else this.#subscribers.set(subscriber, others);
    }
  }

  /** Tells a connection over the limit to come back later. Never rejects. */
  async #turnAway(connection: Deno.Conn): Promise<void> {
    if (this.#refusals >= MAX_REFUSALS) return closeQuietly(connection);
    this.#refusals++;
    try {
      if (await this.#handshake(connection)) {
        const busy = new HttpError(503, "Cannot serve: too many connections, try again later");
        await this.#refuse(connection, busy);
      }
    } catch {
      // It did not wait to be told.
    } finally {
      closeQuietly(connection);
      this.#refusals--;
    }
  }

  /** Completes the TLS handshake. Returns whether there is a client to talk to. */
  async #handshake(connection: Deno.Conn): Promise<boolean> {
    if ("setNoDelay" in connection) (connection as Deno.TcpConn).setNoDelay();
    if (!("handshake" in connection)) return true;
    this.#waiting.add(connection);
    const timer = setTimeout(() => closeQuietly(connection), this.#limits.handshakeTimeout);
    try {
      await (connection as Deno.TlsConn).handshake();
      return true;
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(connection);
    }
  }

  /** Reads the request of a connection, and answers it. Returns the socket it has been upgraded to. */
  async #answer(connection: Deno.Conn): Promise<Upgraded | undefined> {
    const received = await this.#readRequest(connection);
    if (received === undefined) return undefined;
    const { head, rest } = received;
    const request = this.#request(head);
    if (request === undefined) {
      const { method } = head;
      await this.#refuse(connection, new HttpError(400, `Cannot serve method "${method}"`));
      return undefined;
    }
    const completed = Promise.withResolvers<void>();
    completed.promise.catch(() => {});
    const response = await this.#respond(request, {
      remoteAddr: connection.remoteAddr as Deno.NetAddr,
      completed: completed.promise,
    });
    try {
      const upgrade = upgrades.get(response);
      if (upgrade === undefined) {
        await sendResponse(this.#timed(connection), head, response);
      } else {
        // So short that no client can refuse to take it.
        await sendUpgrade(connection, response, upgrade);
      }
      completed.resolve();
      return upgrade && { socket: upgrade.socket, rest: rest.length > 0 ? rest : NO_BYTES };
    } catch (error) {
      completed.reject(error);
      return undefined;
    }
  }

  /** Runs a socket to its end. */
  async #run(connection: Connection, { socket, rest }: Upgraded): Promise<void> {
    this.#sockets.add(socket);
    const ended = open(socket, connection, rest);
    if (this.#stopping) goAway(socket, this.#patience);
    await ended;
    this.#sockets.delete(socket);
  }

  /** The connection, closed when a write takes too long. */
  #timed(connection: Connection): Connection {
    const { responseTimeout } = this.#limits;
    return {
      remoteAddr: connection.remoteAddr,
      read: (into) => connection.read(into),
      async write(from) {
        const timer = setTimeout(() => closeQuietly(connection), responseTimeout);
        try {
          return await connection.write(from);
        } finally {
          clearTimeout(timer);
        }
      },
      closeWrite: () => connection.closeWrite(),
      close: () => connection.close(),
    };
  }

  /** Reads a request's head; refuses one that will not do. */
  async #readRequest(
    connection: Connection,
  ): Promise<{ head: RequestHead; rest: Uint8Array } | undefined> {
    const reader = new HeadReader(this.#limits);
    const { headerTimeout } = this.#limits;
    const late = new HttpError(408, `Cannot read head: it took over ${headerTimeout} ms`);
    const deadline = Promise.withResolvers<null>();
    const timer = setTimeout(() => deadline.reject(late), headerTimeout);
    this.#waiting.add(connection);
    try {
      const buffer = new Uint8Array(2048);
      for (;;) {
        const reading = connection.read(buffer);
        reading.catch(() => {});
        const count = await Promise.race([reading, deadline.promise]);
        if (count === null) return undefined;
        const bytes = buffer.subarray(0, count);
        const taken = reader.push(bytes);
        if (taken === undefined) continue;
        return {
          head: parseRequest(reader.lines(), this.#limits),
          rest: bytes.subarray(taken),
        };
      }
    } catch (error) {
      // A connection on which nothing was said, as browsers open in advance, is closed without a word.
      if (error instanceof HttpError && (error !== late || reader.started)) {
        await this.#refuse(connection, error);
      }
      reader.release();
      return undefined;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(connection);
    }
  }

  async #refuse(connection: Connection, { status, message }: HttpError): Promise<void> {
    const body = new TextEncoder().encode(`${message}.\n`);
    const head = formatHead(statusLine(status, ""), [
      ["Content-Type", "text/plain; charset=utf-8"],
      ["Content-Length", String(body.length)],
      ["X-Content-Type-Options", "nosniff"],
      ...(status === 503 ? [["Retry-After", "5"] as [string, string]] : []),
      ["Connection", "close"],
    ]);
    await writeAll(connection, head);
    await writeAll(connection, body);
    await lingerAndClose(connection, true);
  }

  #request(head: RequestHead): Request | undefined {
    try {
      const { method, host, target } = head;
      const request = new Request(`${this.#scheme}://${host}${target}`, { method });
      // In half the time that a Request takes to be made of them.
      for (const [name, value] of head.headers) request.headers.append(name, value);
      // Methods are case-sensitive (RFC 9110 section 9.1); a Request is not.
      if (request.method !== method) return undefined;
      ownRequests.add(request);
      return request;
    } catch {
      // A method that no Request has, as CONNECT and TRACE, or a host that no URL has.
      return undefined;
    }
  }

  async #respond(request: Request, info: ServeHandlerInfo): Promise<Response> {
    const { onError = printError } = this.#options;
    try {
      return usable(await this.#handler(request, info));
    } catch (error) {
      try {
        return usable(await onError(error));
      } catch (second) {
        return printError(second);
      }
    }
  }
}

const NO_BYTES = new Uint8Array(0);

function printError(error: unknown): Response {
  console.error(error);
  const headers = { "X-Content-Type-Options": "nosniff" };
  return new Response("Internal Server Error", { status: 500, headers });
}
