/**
 * The server: listener, requests and responses, and the upgrade to WebSocket.
 *
 * @module
 */

import { closeQuietly, type Connection, lingerAndClose, writeAll } from "./connection.ts";
import { CloseCode } from "./frame.ts";
import { acceptOf, areValidProtocols, checkUpgrade } from "./handshake.ts";
import { parseExtensions } from "./extensions.ts";
import {
  formatHead,
  type HeaderLines,
  HeadReader,
  HttpError,
  parseRequest,
  type RequestHead,
  statusLine,
} from "./http.ts";
import { acceptOffer, compressionSettings, PerMessageDeflate } from "./permessage_deflate.ts";
import {
  abandon,
  Accepted,
  checkedIdleTimeout,
  checkedSize,
  open,
  type SocketOptions,
  WebSocket,
} from "./socket.ts";

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
  /** Whether several processes may listen on the port. @default {false} */
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
  /** Longest time from connection to complete head, in milliseconds; then 408. @default {10000} */
  headerTimeout?: number;
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
   * Stops: nothing more is accepted, requests are answered to the end, sockets are closed with 1001.
   * Resolves when all that is done.
   */
  shutdown(): Promise<void>;
}

/** Options of {@linkcode upgradeWebSocket}. */
export interface UpgradeWebSocketOptions extends SocketOptions {
  /** The subprotocol chosen from those the client offers. */
  protocol?: string;
}

/** What {@linkcode upgradeWebSocket} returns. */
export interface WebSocketUpgrade {
  /** Opens once the response has been sent. */
  socket: WebSocket;
  /** To be returned from the handler. */
  response: Response;
}

/** Seconds, as `Deno.upgradeWebSocket` has it. */
const DEFAULT_IDLE_TIMEOUT = 30;

/** What {@linkcode upgradeWebSocket} prepares, and the connection's task finishes. */
interface Upgrade {
  socket: WebSocket;
  key: string;
}

/** Requests that came by {@linkcode serve}. */
const ownRequests = new WeakSet<Request>();
const upgrades = new WeakMap<Response, Upgrade>();

/**
 * Serves HTTP over TLS, or over TCP without `cert` and `key`, like `Deno.serve`; the difference is
 * that {@linkcode upgradeWebSocket} can compress on its connections.
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

class Server implements HttpServer {
  readonly finished: Promise<void>;
  readonly addr: Deno.NetAddr;
  readonly #listener: Deno.Listener;
  readonly #handler: ServeHandler;
  readonly #options: ServeOptions;
  readonly #limits: { maxHeaderBytes: number; maxHeaders: number };
  /** The tasks of the connections, so that all can be waited for. */
  readonly #tasks = new Set<Promise<void>>();
  readonly #sockets = new Set<WebSocket>();
  /** Connections whose request has not come, cut off at shutdown. */
  readonly #waiting = new Set<Connection>();
  #stopping = false;

  constructor(options: ServeOptions, handler: ServeHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#limits = {
      maxHeaderBytes: options.maxHeaderBytes ?? 16 * 1024,
      maxHeaders: options.maxHeaders ?? 100,
    };
    const { port = 8000, hostname = "0.0.0.0", reusePort = false, cert, key, signal } = options;
    signal?.throwIfAborted();
    if ((cert === undefined) !== (key === undefined)) {
      throw new TypeError("Cannot serve: cert and key must be given together");
    }
    this.#listener = cert === undefined || key === undefined
      ? Deno.listen({ port, hostname, reusePort })
      : Deno.listenTls({ port, hostname, reusePort, cert, key, alpnProtocols: ["http/1.1"] });
    this.addr = this.#listener.addr as Deno.NetAddr;
    this.finished = this.#accept();
    if (options.onListen !== undefined) options.onListen(this.addr);
    else console.log(`Listening on ${this.#scheme}://${this.#authority}/`);
    signal?.addEventListener("abort", () => void this.shutdown(), { once: true });
  }

  get #scheme(): string {
    return this.#options.cert === undefined ? "http" : "https";
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
      for (const connection of this.#waiting) closeQuietly(connection);
      for (const socket of this.#sockets) socket.close(CloseCode.GOING_AWAY);
    }
    await this.finished;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  async #accept(): Promise<void> {
    while (!this.#stopping) {
      let connection: Deno.Conn;
      try {
        connection = await this.#listener.accept();
      } catch (error) {
        if (this.#stopping || error instanceof Deno.errors.BadResource) break;
        // A client that left while it was accepted, or no file descriptor free: the next may do better.
        await new Promise((resolve) => setTimeout(resolve, 10));
        continue;
      }
      const task = this.#serve(connection).finally(() => this.#tasks.delete(task));
      this.#tasks.add(task);
    }
    await Promise.all(this.#tasks);
  }

  /** Serves one connection to its end. Never rejects. */
  async #serve(connection: Deno.Conn): Promise<void> {
    try {
      if ("setNoDelay" in connection) (connection as Deno.TcpConn).setNoDelay();
      const received = await this.#readRequest(connection);
      if (received === undefined) return closeQuietly(connection);
      const { head, rest } = received;
      const request = this.#request(head);
      if (request === undefined) {
        await this.#refuse(connection, new HttpError(400, `Cannot serve method "${head.method}"`));
        return;
      }
      const completed = Promise.withResolvers<void>();
      completed.promise.catch(() => {});
      const info = {
        remoteAddr: connection.remoteAddr as Deno.NetAddr,
        completed: completed.promise,
      };
      const response = await this.#respond(request, info);
      try {
        const upgrade = upgrades.get(response);
        if (upgrade === undefined) await sendResponse(connection, head, response);
        else await this.#open(connection, response, upgrade, rest);
        completed.resolve();
      } catch (error) {
        completed.reject(error);
        closeQuietly(connection);
      }
    } catch {
      // The connection broke, or its TLS handshake failed: nobody is left to be told.
      closeQuietly(connection);
    }
  }

  /** Reads a request's head; refuses one that will not do. */
  async #readRequest(
    connection: Connection,
  ): Promise<{ head: RequestHead; rest: Uint8Array } | undefined> {
    const reader = new HeadReader(this.#limits);
    const { headerTimeout = 10_000 } = this.#options;
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
      ["Connection", "close"],
    ]);
    await writeAll(connection, head);
    await writeAll(connection, body);
    await lingerAndClose(connection, true);
  }

  #request(head: RequestHead): Request | undefined {
    try {
      const { method, host, target } = head;
      const request = new Request(`${this.#scheme}://${host}${target}`, {
        method,
        headers: head.headers,
      });
      ownRequests.add(request);
      return request;
    } catch {
      // A method that no Request has, as CONNECT and TRACE, or a host that no URL has.
      return undefined;
    }
  }

  async #respond(request: Request, info: ServeHandlerInfo): Promise<Response> {
    try {
      const response = await this.#handler(request, info);
      if (response instanceof Response) return response;
      throw new TypeError("Cannot respond: handler must return a Response");
    } catch (error) {
      try {
        const { onError = printError } = this.#options;
        return await onError(error);
      } catch (second) {
        return printError(second);
      }
    }
  }

  async #open(
    connection: Connection,
    response: Response,
    { socket, key }: Upgrade,
    rest: Uint8Array,
  ): Promise<void> {
    try {
      const headers: HeaderLines = [
        ["Upgrade", "websocket"],
        ["Connection", "Upgrade"],
        ["Sec-WebSocket-Accept", await acceptOf(key)],
        ...response.headers,
      ];
      await writeAll(connection, formatHead(statusLine(101, ""), headers));
    } catch (error) {
      abandon(socket, error);
      throw error;
    }
    const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
    this.#sockets.add(socket);
    open(socket, connection, rest);
    if (this.#stopping) socket.close(CloseCode.GOING_AWAY);
    await closed;
    this.#sockets.delete(socket);
  }
}

function printError(error: unknown): Response {
  console.error(error);
  return new Response("Internal Server Error", { status: 500 });
}

/** Headers that are the connection's own, not the response's (RFC 9110 section 7.6.1). */
const CONNECTION_HEADERS = new Set(["connection", "keep-alive", "transfer-encoding", "date"]);

/** Statuses without a body (RFC 9110 section 6.4.1). */
const BODILESS = new Set([204, 304]);

async function sendResponse(
  connection: Connection,
  request: RequestHead,
  response: Response,
): Promise<void> {
  const headers: HeaderLines = [...response.headers].filter(([name]) =>
    !CONNECTION_HEADERS.has(name)
  );
  const upgrade = response.headers.has("upgrade") ? ", Upgrade" : "";
  headers.push(["Date", new Date().toUTCString()], ["Connection", `close${upgrade}`]);

  const bodiless = request.method === "HEAD" || BODILESS.has(response.status);
  const known = response.headers.has("content-length");
  const chunked = response.body !== null && !known && request.minor > 0;
  if (!BODILESS.has(response.status)) {
    if (chunked) headers.push(["Transfer-Encoding", "chunked"]);
    else if (response.body === null && !known) headers.push(["Content-Length", "0"]);
  }
  const head = formatHead(statusLine(response.status, response.statusText), headers);
  if (bodiless || response.body === null) {
    await writeAll(connection, head);
    await response.body?.cancel();
    return await lingerAndClose(connection, true);
  }
  const reader = response.body.getReader();
  try {
    await writeAll(connection, head);
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      if (!chunked) await writeAll(connection, value);
      else if (value.length > 0) await writeAll(connection, chunk(value));
    }
    if (chunked) await writeAll(connection, LAST_CHUNK);
  } catch (error) {
    await reader.cancel(error).catch(() => {});
    throw error;
  }
  await lingerAndClose(connection, true);
}

const LAST_CHUNK = new TextEncoder().encode("0\r\n\r\n");

/** One chunk of a body whose length is not known before (RFC 9112 section 7.1). */
function chunk(data: Uint8Array): Uint8Array {
  const head = new TextEncoder().encode(`${data.length.toString(16)}\r\n`);
  const bytes = new Uint8Array(head.length + data.length + 2);
  bytes.set(head);
  bytes.set(data, head.length);
  bytes.set([0x0d, 0x0a], head.length + data.length);
  return bytes;
}

/**
 * Upgrades a request to a WebSocket, like `Deno.upgradeWebSocket`, with compression. A request that
 * came by `Deno.serve` is handed over to `Deno.upgradeWebSocket`, which cannot compress: the same
 * handler serves both.
 *
 * @param request The request; {@linkcode checkUpgrade} tells beforehand whether it can be upgraded.
 * @param options The subprotocol, compression and limits.
 * @returns The socket, and the response that the handler is to return.
 * @throws {TypeError} If the request is not a WebSocket handshake, or did not come by a server.
 * @throws {RangeError} If an option is out of its range.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { serve, upgradeWebSocket, WebSocket } from "@permessage/deflate";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
 *   const { socket, response } = upgradeWebSocket(request, { protocol: "chat" });
 *   socket.onopen = () => socket.close(1000, "nothing to say");
 *   return response;
 * });
 *
 * const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`, "chat");
 * const closing = await new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
 * assertEquals([socket.protocol, closing.reason], ["chat", "nothing to say"]);
 * ```
 */
export function upgradeWebSocket(
  request: Request,
  options: UpgradeWebSocketOptions = {},
): WebSocketUpgrade {
  const { protocol = "", compression = true } = options;
  const idleTimeout = checkedIdleTimeout(options.idleTimeout ?? DEFAULT_IDLE_TIMEOUT);
  const maxMessageSize = checkedSize(options.maxMessageSize);
  const settings = compressionSettings(compression, "server");

  const refusal = checkUpgrade(request);
  if (refusal !== undefined) {
    throw new TypeError(
      `Cannot upgrade to WebSocket: ${refusal.reason} of the request is "${refusal.value}"`,
    );
  }
  const { headers } = request;
  const offered = headers.get("Sec-WebSocket-Protocol")?.split(",").map((name) => name.trim()) ??
    [];
  if (protocol !== "" && !(areValidProtocols([protocol]) && offered.includes(protocol))) {
    throw new TypeError(
      `Cannot upgrade to WebSocket: protocol is "${protocol}", must be one of "${offered}"`,
    );
  }
  if (!ownRequests.delete(request)) {
    const native = { idleTimeout, ...(protocol !== "" && { protocol }) };
    return Deno.upgradeWebSocket(request, native) as unknown as WebSocketUpgrade;
  }

  const offers = parseExtensions(headers.get("Sec-WebSocket-Extensions") ?? "") ?? [];
  const agreed = settings && acceptOffer(offers, settings);
  const url = new URL(request.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(
    new Accepted(
      url.href,
      protocol,
      agreed?.response ?? "",
      agreed && new PerMessageDeflate(agreed.agreement, "server", settings!),
      { maxMessageSize, idleTimeout },
    ),
  );
  const response = new Response(null, { status: 101 });
  if (protocol !== "") response.headers.set("Sec-WebSocket-Protocol", protocol);
  if (agreed) response.headers.set("Sec-WebSocket-Extensions", agreed.response);
  upgrades.set(response, { socket, key: headers.get("Sec-WebSocket-Key")! });
  return { socket, response };
}
