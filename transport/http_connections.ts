/**
 * HTTP/1.1 on connections that are open already, by the runtime's own server and its parser.
 *
 * Every request goes through this one parser, also the opening handshake of a WebSocket: two parsers that
 * disagree about where a request ends could be used to smuggle one (RFC 9112 section 11.2).
 *
 * @module
 */

import type { IncomingMessage, Server, ServerOptions, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { HttpError, isHost } from "../protocol/http.ts";
import { Handover } from "./handover.ts";
import { writeForHttp } from "./http_writes.ts";
import { Linger } from "./linger.ts";
import { http } from "./node.ts";
import { holdNetwork, type OpenSocket } from "./sockets.ts";

/** The bounds of an {@linkcode HttpConnections}, and what it calls. */
export interface HttpConnectionsOptions<Peer> {
  /** Longest head of a request, in bytes; a longer one gets 431. */
  maxHeaderBytes: number;
  /** Most header lines of a request; more get 431. */
  maxHeaders: number;
  /** Longest time to a complete head, in milliseconds; then 408. */
  headerTimeout: number;
  /** Longest time from an answer to the next request, in milliseconds. */
  keepAliveTimeout: number;
  /** Called with what is answered here, as it is no request that can be served. */
  onRefused(refusal: HttpError, peer: Peer): void;
  /** Answers a request. Its body may be yet to come. */
  onRequest(request: HttpRequest<Peer>): void;
  /** Whether the connection of a request that asks for an upgrade is given to `onUpgrade`. */
  mayUpgrade(message: IncomingMessage): boolean;
  /** Answers a request for an upgrade. */
  onUpgrade(upgrade: UpgradeRequest<Peer>): void;
}

/** A request, and what its answer is sent by. */
export interface HttpRequest<Peer> {
  message: IncomingMessage;
  response: ServerResponse;
  peer: Peer;
}

/** A request for an upgrade: its connection may be taken over, and ends after an ordinary answer. */
export interface UpgradeRequest<Peer> extends HttpRequest<Peer> {
  handover: Handover;
}

/** A connection that speaks HTTP. */
interface HttpConnection<Peer> {
  socket: OpenSocket;
  peer: Peer;
  /** Requests that wait for their answer. */
  requests: number;
  /** The latest request. */
  message: IncomingMessage | undefined;
  /** Whether requests are served; not behind one that was refused, or behind the last answer. */
  isServed: boolean;
  /** Whether the network is held until the body of `message` is read on. */
  isHeld: boolean;
  /** Takes back what was added to the socket. */
  release(): void;
}

/** Statuses of errors that the parser reports; of all others 400. */
const STATUS_OF_ERROR: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** A request for an upgrade that came as another. */
const NOT_UPGRADABLE = new HttpError(
  400,
  "Cannot upgrade: the request must have no body, and wait for the answer to the one before",
);

/** A request for an upgrade whose body would be taken for what comes after the upgrade. */
export const BODY_OF_UPGRADE = new HttpError(400, "Cannot upgrade: the request must have no body");

/** How often late heads are looked for, in milliseconds. */
const CHECKING_MS = 1000;

/** A server for HTTP on connections that it is given. */
export class HttpConnections<Peer> {
  readonly #options: HttpConnectionsOptions<Peer>;
  readonly #server: Server;
  readonly #connections = new Map<Socket, HttpConnection<Peer>>();
  #isOpen = true;

  constructor(options: HttpConnectionsOptions<Peer>) {
    this.#options = options;
    const server = this.#server = http().createServer({
      maxHeaderSize: options.maxHeaderBytes,
      headersTimeout: options.headerTimeout,
      requestTimeout: 0,
      requireHostHeader: false,
      keepAliveTimeout: options.keepAliveTimeout,
      connectionsCheckingInterval: Math.min(CHECKING_MS, Math.ceil(options.headerTimeout / 4)),
      shouldUpgradeCallback: (message: IncomingMessage) => this.#mayUpgrade(message),
    } as ServerOptions);
    // One line more than allowed tells that there are too many; without a bound the rest would be left out.
    server.maxHeadersCount = options.maxHeaders + 1;
    // A peer may end its side once it has asked.
    (server as unknown as { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
    // The server does not listen itself. Deno ends the connections of one that does not after each answer.
    Object.defineProperty(server, "listening", { value: true });
    server.on("request", (message, response) => this.#onRequest(message, response));
    server.on("checkContinue", (message, response) => this.#onRequest(message, response));
    server.on("upgrade", (message, _socket, head) => this.#onUpgrade(message, head));
    server.on("connect", (_message, socket) => {
      if (this.#isAnswering(socket as Socket)) return void socket.destroy();
      this.#refuse(socket as Socket, new HttpError(501, 'Cannot serve method "CONNECT"'));
    });
    server.on("clientError", (error: Error & { code?: string }, socket) => {
      this.#onClientError(error, socket as Socket);
    });
    // `close` does it itself, so that a client of TLS is told.
    server.closeIdleConnections = () => {};
    // Starts the watch over heads that are late.
    server.emit("listening");
  }

  /** Speaks HTTP on a connection of `peer`. */
  take(open: OpenSocket, peer: Peer): void {
    const { socket } = open;
    const connection: HttpConnection<Peer> = {
      socket: open,
      peer,
      requests: 0,
      message: undefined,
      isServed: true,
      isHeld: false,
      release() {
        socket.off("close", forget).off("end", onEnd).off("pause", hold).off("resume", goOn)
          .off("data", onData);
        restoreWrites();
        socket.destroySoon = destroySoon;
      },
    };
    const forget = () => void this.#connections.delete(socket);
    const onEnd = () => this.#onEnd(socket);
    const hold = () => holdNetwork(open, true);
    const goOn = () => connection.isHeld || holdNetwork(open, false);
    const onData = () => this.#hold(connection);
    socket.on("close", forget).on("end", onEnd);
    if (open.source !== socket) socket.on("pause", hold).on("resume", goOn);
    const restoreWrites = writeForHttp(socket);
    const { destroySoon } = socket;
    // After its last answer, the server would end a connection at once: see `linger`.
    socket.destroySoon = () => this.#linger(socket);
    this.#connections.set(socket, connection);
    this.#server.emit("connection", socket);
    // Node only stops delivery to a body that nobody reads, and the network of TLS goes on.
    if (open.source !== socket) socket.on("data", onData);
    socket.resume();
  }

  /** Holds the network while the body of a request is not read. */
  #hold(connection: HttpConnection<Peer>): void {
    const { message } = connection;
    if (message === undefined || connection.isHeld || message.complete) return;
    if (message.readableLength < message.readableHighWaterMark) return;
    connection.isHeld = true;
    holdNetwork(connection.socket, true);
    const release = () => {
      // The event may tell of what was taken back since.
      if (message.isPaused()) return;
      message.off("resume", release);
      connection.isHeld = false;
      holdNetwork(connection.socket, false);
    };
    message.on("resume", release);
  }

  /** Ends connections without a request at once, and others after their answer. */
  close(): void {
    this.#isOpen = false;
    for (const [socket, { requests }] of this.#connections) {
      if (requests === 0) socket.end(() => socket.destroy());
    }
    this.#server.close(() => {});
  }

  #onRequest(message: IncomingMessage, response: ServerResponse): void {
    const { socket } = message;
    const connection = this.#connections.get(socket);
    if (connection === undefined || !connection.isServed) return;
    connection.message = message;
    connection.requests++;
    response.once("close", () => {
      connection.requests--;
      if (!this.#isOpen && connection.requests === 0) this.#linger(socket);
    });
    const refusal = this.#problem(message) ??
      (this.#options.mayUpgrade(message) ? NOT_UPGRADABLE : undefined);
    if (refusal !== undefined) {
      connection.isServed = false;
      this.#options.onRefused(refusal, connection.peer);
      return refuse(response, refusal);
    }
    this.#options.onRequest({ message, response, peer: connection.peer });
  }

  /** The peer has ended its side: what it has asked for whole is answered yet, and nothing more. */
  #onEnd(socket: Socket): void {
    const connection = this.#connections.get(socket);
    // One that was taken over has no connection here.
    if (connection === undefined) return;
    // Deno tells nothing of a body that ends too early, as the server allows half-open connections.
    if (connection.message?.complete === false) socket.destroy();
    else if (connection.requests === 0) socket.end();
  }

  #linger(socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection !== undefined) connection.isServed = false;
    linger(socket, connection?.message);
  }

  /** What the parser accepts, and must be refused all the same. */
  #problem(message: IncomingMessage): HttpError | undefined {
    const { httpVersionMajor, rawHeaders, headers, headersDistinct } = message;
    if (httpVersionMajor !== 1) {
      return new HttpError(505, "Cannot read request: version must be 1.1");
    }
    if (rawHeaders.length / 2 > this.#options.maxHeaders) {
      return new HttpError(
        431,
        `Cannot read head: it has over ${this.#options.maxHeaders} header lines`,
      );
    }
    const hosts = headersDistinct.host ?? [];
    const isMissing = hosts.length === 0 && message.httpVersionMinor > 0;
    // An empty one says that the target has no authority (RFC 9110 section 7.2).
    if (isMissing || hosts.length > 1 || hosts.some((host) => host !== "" && !isHost(host))) {
      return new HttpError(400, "Cannot read request: it must have one valid Host");
    }
    if (!/^(chunked)?$/i.test(headers["transfer-encoding"] ?? "")) {
      return new HttpError(501, "Cannot read request: Transfer-Encoding must be chunked");
    }
    return undefined;
  }

  /** An upgrade behind a request without its answer would take the connection away from that answer. */
  #mayUpgrade(message: IncomingMessage): boolean {
    const connection = this.#connections.get(message.socket);
    return connection?.requests === 0 && connection.isServed && !hasBody(message) &&
      this.#problem(message) === undefined && this.#options.mayUpgrade(message);
  }

  #onUpgrade(message: IncomingMessage, head: Uint8Array): void {
    const connection = this.#connections.get(message.socket);
    if (connection === undefined) return void message.socket.destroy();
    const { socket, peer } = connection;
    this.#connections.delete(message.socket);
    connection.release();
    const response = upgradeResponse(message);
    this.#options.onUpgrade({ message, response, handover: new Handover(socket, head), peer });
  }

  /** Whether a request waits for its answer: another answer now could be taken for that. */
  #isAnswering(socket: Socket): boolean {
    return (this.#connections.get(socket)?.requests ?? 0) > 0;
  }

  #onClientError(error: Error & { code?: string }, socket: Socket): void {
    const isSilent = socket.bytesRead === 0;
    if (isSilent || this.#isAnswering(socket) || !socket.writable) return void socket.destroy();
    const status = STATUS_OF_ERROR[error.code ?? ""] ?? 400;
    const { headerTimeout, maxHeaderBytes } = this.#options;
    const problem = status === 408
      ? `it took over ${headerTimeout} ms`
      : status === 431
      ? `it is over ${maxHeaderBytes} bytes`
      : "it is malformed";
    this.#refuse(socket, new HttpError(status, `Cannot read request: ${problem}`));
  }

  /** Answers what could not be read as a request to be served. */
  #refuse(socket: Socket, refusal: HttpError): void {
    const connection = this.#connections.get(socket);
    if (connection !== undefined) this.#options.onRefused(refusal, connection.peer);
    refuseConnection(socket, refusal);
  }
}

/**
 * Whether a request that came before by a socket waits for its answer. A server of `node:http` tells of an upgrade
 * behind it all the same, and the peer would take the answer to that for the one it waits for.
 */
export function isAnswering(socket: Socket): boolean {
  return !!(socket as { _httpMessage?: ServerResponse | null })._httpMessage;
}

/** What an ordinary answer to a request for an upgrade is sent by; it ends the connection. */
export function upgradeResponse(message: IncomingMessage): ServerResponse {
  const response = new (http().ServerResponse)(message);
  response.shouldKeepAlive = false;
  response.assignSocket(message.socket);
  response.once("finish", () => linger(message.socket));
  return response;
}

/** Whether a body follows the head of a request (RFC 9112 section 6.3). */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined ||
    !/^0*$/.test(headers["content-length"] ?? "");
}

/** The reason phrase that goes with a status, or none. */
export function usualReason(status: number): string {
  return http().STATUS_CODES[status] ?? "";
}

/**
 * Answers a request that is not served, and ends the connection.
 *
 * @param retryAfter When to ask again if the status is 503, in seconds.
 */
export function refuse(
  response: ServerResponse,
  { status, message }: HttpError,
  retryAfter?: number,
): void {
  const body = `${message}.\n`;
  response.writeHead(status, { ...headersOf(status, retryAfter), "Content-Length": body.length });
  response.end(body);
}

/** Likewise, where there is no request to answer. */
function refuseConnection(socket: Socket, { status, message }: HttpError): void {
  const lines = [`HTTP/1.1 ${status} ${usualReason(status)}`];
  for (const [name, value] of Object.entries(headersOf(status))) lines.push(`${name}: ${value}`);
  const body = `${message}.\n`;
  lines.push(`Content-Length: ${body.length}`, "", body);
  socket.write(lines.join("\r\n"));
  linger(socket);
}

function headersOf(status: number, retryAfter = 5): Record<string, string> {
  return {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    ...(status === 503 && { "Retry-After": String(retryAfter) }),
    "Connection": "close",
  };
}

/**
 * Ends a connection so that the answer arrives: what the peer still sends is dropped.
 *
 * @param message The latest request, whose body may be yet to come.
 */
function linger(socket: Socket, message?: IncomingMessage): void {
  if (socket.destroyed || socket.writableEnded) return;
  const wait = new Linger(socket);
  // First, as who reads the body may take the memory away.
  socket.prependListener("data", ({ length }: Uint8Array) => wait.drop(length));
  socket.once("end", () => wait.peerEnded());
  socket.once("close", () => wait.stop());
  socket.end();
  // The parser has stopped the socket for want of a reader of this body.
  message?.resume();
  socket.resume();
}
