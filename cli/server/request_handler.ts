/**
 * Answers each HTTP request with a sentence, hands sockets and their messages to the server's mode, and logs
 * every step.
 *
 * It works with either WebSocket: it is given the `upgradeWebSocket` to use.
 *
 * @module
 */

import { deadline } from "@std/async/deadline";
import {
  checkUpgrade,
  type CompressionOptions,
  type FrameInfo,
  type Refusal,
  type ShutdownOptions,
} from "../../mod.ts";
import { retryAfter } from "../../server/leaving.ts";
import { Spread } from "../../server/spread.ts";
import { isAllowedOrigin, isSameSecret, protocolFor, tokenOf } from "./access.ts";
import type { Logger } from "./log.ts";
import type { Endpoint, Mode, SocketLog } from "./modes/mode.ts";
import type { Page } from "./page.ts";
import { type LoggedPeer, PeerLog } from "./peer_log.ts";
import { frameText } from "../frame_text.ts";
import { fill, type Sentences, sentencesIn } from "../sentences.ts";
import { causeOf } from "../failure.ts";
import { printable } from "../printable.ts";

/** When to ask for a room again if there are as many as there may be, in seconds. */
const RETRY_AFTER = "5";

/** How long a socket may take to open once its response has been sent, in milliseconds. */
const OPEN_TIMEOUT_MS = 10_000;

/** What is known of a request beside itself. */
interface RequestInfo {
  remoteAddr: Deno.Addr;
  /** Settles when the response has been sent, or cannot be. */
  completed?: Promise<void>;
}

/** How {@linkcode RequestHandler} behaves. */
export interface RequestHandlerOptions {
  /** Path of the WebSocket. */
  path: string;
  /**
   * The origins to accept, see {@linkcode isAllowedOrigin}; an empty list accepts all. A request without
   * `Origin` does not come from a browser, and is accepted.
   */
  origins: string[];
  /** The bearer token that a request must carry, if any. */
  token?: string | undefined;
  /** What is done with sockets and their messages. */
  mode: Mode;
  /** The page at `/`, if there is one; a path of the WebSocket comes before it. */
  page?: Page | undefined;
  /** Longest silence of a peer before its connection is ended, in seconds. */
  idleTimeout: number;
  /** Longest message received, in bytes. */
  maxMessageSize: number;
  /** How messages are compressed; left out for an `upgradeWebSocket` that cannot. */
  compression?: CompressionOptions;
  /** Turns a request into a socket. */
  upgradeWebSocket(
    request: Request,
    options: {
      idleTimeout: number;
      maxMessageSize: number;
      compression?: CompressionOptions;
      protocol?: string;
      onFrame?: (frame: FrameInfo) => void;
    },
  ): { socket: WebSocket; response: Response };
  log: Logger;
  sentences: Sentences;
  /** How many workers share the limit of the log's lines. @default {1} */
  workers?: number;
  /** How long a socket may take to open once its response has been sent, in milliseconds. @default {10000} */
  openTimeout?: number;
}

/** Handles the server's requests and sockets. */
export class RequestHandler {
  readonly #options: RequestHandlerOptions;
  readonly #log: PeerLog;
  /** The open sockets, each with a promise that resolves when the socket has closed. */
  readonly #sockets = new Map<WebSocket, Promise<void>>();
  #ready = true;
  /** When a drain ends that {@linkcode RequestHandler.close} has begun. */
  #drainEnd: number | undefined;
  #stopping = false;
  /** How many opening handshakes there were, each of which is the next connection of the log. */
  #handshakes = 0;

  constructor(options: RequestHandlerOptions) {
    this.#options = options;
    this.#log = new PeerLog(options.log, options.sentences, options.workers ?? 1);
  }

  /** Answers one request. */
  readonly handle = (request: Request, info: RequestInfo): Response => {
    const response = this.#answer(request, info);
    if (!this.#ready && response.status !== 101) response.headers.set("Connection", "close");
    return response;
  };

  #answer(request: Request, info: RequestInfo): Response {
    if (this.#stopping) return textResponse(503, "The server is stopping.", { "Retry-After": "5" });
    const url = new URL(request.url);
    const { pathname } = url;
    const { mode, path } = this.#options;
    if (pathname === path) return this.#upgrade(request, info, mode.endpoint("")!);
    // `OPTIONS *` asks about the server as a whole (RFC 9110 section 9.3.7).
    if (pathname === "/*" && request.method === "OPTIONS") {
      return textResponse(200, "The server is running.", { Allow: "GET, HEAD, OPTIONS" });
    }
    if (pathname === "/healthz") return onlyRead(request) ?? this.#health();
    const endpoint = this.#endpointBelow(pathname);
    if (endpoint !== undefined) return this.#upgrade(request, info, endpoint);
    const file = this.#options.page?.answer(url, request.headers);
    if (file !== undefined) return onlyRead(request) ?? file;
    this.#log.write("debug", "notFound", PeerLog.peerAt(info.remoteAddr), () => ({
      method: printable(request.method),
      path: printable(pathname),
    }));
    return textResponse(404, "There is nothing at this path.");
  }

  #health(): Response {
    if (!this.#ready) return textResponse(503, "The server is stopping.");
    const { trouble } = this.#options.mode;
    return textResponse(
      200,
      `The server is running${trouble === undefined ? "" : `, but ${trouble}`}.`,
    );
  }

  /** What the mode has at a path below that of the WebSocket. */
  #endpointBelow(pathname: string): Endpoint | undefined {
    const { mode, path } = this.#options;
    const above = path.replace(/\/$/, "");
    return pathname.startsWith(`${above}/`)
      ? mode.endpoint(pathname.slice(above.length))
      : undefined;
  }

  /** Has `/healthz` say from now on that no more clients are to be sent here. */
  unready(): void {
    this.#ready = false;
  }

  /** Logs what the server has refused without asking. */
  readonly refused = ({ reason, remoteAddr, cause }: Refusal): void => {
    this.#log.write("debug", "refused", PeerLog.peerAt(remoteAddr), () => ({
      reason: fill(sentenceOf(reason, cause, this.#options.sentences), { cause: printable(cause) }),
    }));
  };

  /**
   * Leaves as `HttpServer.shutdown` does, for a server that cannot: refuses upgrades while it drains, and then
   * every request, and closes every socket.
   *
   * @param grace Longest wait for the peers to close, in milliseconds.
   */
  async close(
    { drain = 0, spread = 0, code = 1001 }: ShutdownOptions,
    grace: number,
  ): Promise<void> {
    this.unready();
    if (drain > 0) {
      this.#drainEnd = performance.now() + drain;
      await new Promise((resolve) => setTimeout(resolve, drain));
    }
    this.#stopping = true;
    await new Promise<void>((onDone) => {
      new Spread<WebSocket>({ act: (socket) => socket.close(code), onDone })
        .begin(this.#sockets.keys(), spread);
    });
    try {
      await deadline(Promise.all(this.#sockets.values()), grace);
    } catch {
      // The grace period is over. The end of the process cuts off the sockets that are still open.
    }
  }

  /** Reports the lines that the limit of the log left out so far. */
  flushLog(): void {
    this.#log.flush();
  }

  #upgrade(request: Request, info: RequestInfo, endpoint: Endpoint): Response {
    const { sentences, idleTimeout, maxMessageSize, compression, token, upgradeWebSocket } =
      this.#options;
    const invalid = checkUpgrade(request);
    if (invalid === undefined && this.#drainEnd !== undefined) {
      const seconds = retryAfter(this.#drainEnd - performance.now());
      return textResponse(503, "The server is stopping.", { "Retry-After": String(seconds) });
    }
    const log = this.#log;
    const peer = { ...PeerLog.peerAt(info.remoteAddr), connection: ++this.#handshakes };
    log.write("info", "handshake", peer);

    const refusal = invalid ?? this.#checkAccess(request, endpoint);
    if (refusal !== undefined) {
      const value = { value: JSON.stringify(printable(refusal.value)) };
      const reason = fill(sentences.refusal[refusal.reason], value);
      log.write("error", "upgradeFailed", peer, () => ({ reason }));
      const body = fill(sentencesIn("en").refusal[refusal.reason], value);
      return textResponse(refusal.status, `Cannot upgrade to WebSocket: ${body}.`, refusal.headers);
    }

    try {
      const protocol = token === undefined ? undefined : protocolFor(request);
      const { socket, response } = upgradeWebSocket(request, {
        idleTimeout,
        maxMessageSize,
        // What compresses can also tell its frames.
        ...(compression !== undefined && {
          compression,
          ...(log.tells("debug") && { onFrame: (frame) => this.#logFrame(frame, peer) }),
        }),
        ...(protocol !== undefined && { protocol }),
      });
      this.#serve(socket, peer, endpoint, info.completed);
      return response;
    } catch (error) {
      // The error of the runtime's own function names the subprotocol, which may contain the token.
      const cause = causeOf(error);
      const reason = printable(token === undefined ? cause : cause.replaceAll(token, "***"));
      log.write("error", "upgradeFailed", peer, () => ({ reason }));
      return textResponse(
        400,
        "Cannot upgrade to WebSocket: the request is not a valid handshake.",
      );
    }
  }

  #logFrame({ direction, ...frame }: FrameInfo, peer: LoggedPeer): void {
    const event = direction === "sent" ? "frameSent" : "frameReceived";
    this.#log.write("debug", event, peer, () => ({ frame: frameText(frame), ...frame }));
  }

  #checkAccess(request: Request, { refusal }: Endpoint) {
    const { origins, token } = this.#options;
    const origin = request.headers.get("Origin");
    if (origin !== null && origins.length > 0 && !isAllowedOrigin(origin, origins)) {
      return { reason: "origin" as const, value: origin, status: 403, headers: {} };
    }
    if (token !== undefined && !isSameSecret(tokenOf(request) ?? "", token)) {
      const headers = { "WWW-Authenticate": "Bearer" };
      return { reason: "token" as const, value: "", status: 401, headers };
    }
    if (refusal !== undefined) {
      return { reason: refusal, value: "", status: 503, headers: { "Retry-After": RETRY_AFTER } };
    }
    return undefined;
  }

  #serve(
    socket: WebSocket,
    peer: LoggedPeer,
    endpoint: Endpoint,
    completed?: Promise<void>,
  ): void {
    const log: SocketLog = (level, event, properties) =>
      this.#log.write(level, event, peer, properties);
    const closed = Promise.withResolvers<void>();
    this.#sockets.set(socket, closed.promise);
    socket.binaryType = "arraybuffer";
    endpoint.accept?.(socket);
    let timer: ReturnType<typeof setTimeout> | undefined;

    socket.onopen = () => {
      clearTimeout(timer);
      const { extensions } = socket;
      log("info", "open", () => ({ extensions }));
      log("debug", "agreed", () => ({ extensions: extensions || "-" }));
      endpoint.opened?.(socket, log, peer.connection!);
    };

    socket.onmessage = ({ data }) => {
      log("info", "received", () => ({
        data: printable(typeof data === "string" ? data : new Uint8Array(data)),
      }));
      try {
        endpoint.received(socket, data, log);
      } catch (error) {
        log("error", "sendFailed", () => ({ reason: printable(causeOf(error)) }));
      }
    };

    let failure: string | undefined;
    socket.onerror = (event) => failure = event instanceof ErrorEvent ? event.message : "";
    const end = ({ code, reason, wasClean }: Pick<CloseEvent, "code" | "reason" | "wasClean">) => {
      clearTimeout(timer);
      this.#sockets.delete(socket);
      closed.resolve();
      if (failure !== undefined || !wasClean) {
        const cause = failure || `${code} ${reason}`.trim();
        log("error", "readFailed", () => ({ reason: printable(cause) }));
      }
      log("info", "closed", () => ({ code, reason: printable(reason) }));
      endpoint.closed?.(log);
    };
    socket.onclose = end;

    // A socket of Deno's own whose client left before the response could be sent fires no event at all.
    const onSent = () => {
      if (socket.readyState !== WebSocket.CONNECTING) return;
      timer = setTimeout(() => {
        socket.onopen = socket.onclose = null;
        socket.close();
        end({ code: 1006, reason: "", wasClean: false });
      }, this.#options.openTimeout ?? OPEN_TIMEOUT_MS);
      Deno.unrefTimer(timer);
    };
    completed?.then(onSent, onSent);
  }
}

/** Says why something was refused; of TLS, in plain words where the client's reason is known. */
function sentenceOf(reason: Refusal["reason"], cause: string, { refused }: Sentences): string {
  if (reason !== "tlsHandshake") return refused[reason];
  if (/alert: (UnknownCA|BadCertificate|Certificate\w+)/.test(cause)) return refused.distrusted;
  return cause.includes("InvalidContentType") ? refused.notTls : refused.tlsHandshake;
}

/** The refusal of a request that is neither `GET` nor `HEAD`. */
function onlyRead({ method }: Request): Response | undefined {
  if (method === "GET" || method === "HEAD") return undefined;
  return textResponse(405, "Only GET and HEAD are answered here.", { Allow: "GET, HEAD" });
}

/** A response whose body is one plain sentence. */
export function textResponse(
  status: number,
  body: string,
  headers: Record<string, string> = {},
): Response {
  return new Response(`${body}\n`, {
    status,
    headers: {
      ...headers,
      "Content-Type": "text/plain; charset=utf-8",
      "X-Content-Type-Options": "nosniff",
      "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
      "Cache-Control": "no-store",
    },
  });
}
