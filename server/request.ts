/**
 * The web's `Request` of a request that has come by `node:http`.
 *
 * @module
 */

import { HttpError } from "../protocol/http.ts";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { hasToken } from "../protocol/grammar.ts";
import { hasBody } from "../transport/http_connections.ts";

/** The bounds of a request's body. */
export interface BodyLimits {
  /** Longest body, in bytes. */
  maxBodySize: number;
  /** Longest wait for the next part of a body that the handler reads, in milliseconds. */
  bodyTimeout: number;
}

/** What the URL of a request begins with. */
export interface Origin {
  /** `http`, `https` or `http+unix`. */
  scheme: string;
  /** Stands for the host of a request that names none. */
  authority: string;
  /** The host that the client asked a proxy for, in place of that of the request. */
  host?: string | undefined;
}

/** A request, and its body where it has one. */
export interface IncomingRequest {
  request: Request;
  body: RequestBody | undefined;
}

/** Whether a request asks for a WebSocket; in HTTP/1.0, `Upgrade` is ignored (RFC 9110 section 7.8). */
export function isWebSocketRequest(message: IncomingMessage): boolean {
  const { method, httpVersionMinor, headers } = message;
  return method === "GET" && httpVersionMinor > 0 && hasToken(headers.upgrade, "websocket") &&
    hasToken(headers.connection, "upgrade");
}

/**
 * Makes a `Request`.
 *
 * @param signal Aborts when the client has gone.
 * @throws {HttpError} If the web has no such request, or its body is too long.
 */
export function requestOf(
  message: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
  origin: Origin,
  limits: BodyLimits,
): IncomingRequest {
  const method = message.method!;
  if (UNSUPPORTED.test(method)) throw new HttpError(501, `Cannot serve method "${method}"`);
  const { url, host } = urlOf(message, origin);
  const body = bodyOf(message, response, limits);
  const request = new Request(url, {
    method,
    signal,
    ...(body !== undefined && { body: body.stream }),
  });
  copyHeaders(message, host, request.headers);
  return { request, body };
}

/**
 * Methods that the web has no `Request` of. `CONNECT` asks for a tunnel, and `TRACE` would return
 * credentials to scripts.
 */
const UNSUPPORTED = /^(?:connect|trace|track)$/i;

/** Copies the headers of a request: in half the time that a `Request` takes to be made of them. */
export function copyHeaders(
  { rawHeaders, headers, httpVersionMinor }: IncomingMessage,
  host: string | undefined,
  into: Headers,
): void {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 6 && name.toLowerCase() === "cookie") continue;
    into.append(name, rawHeaders[i + 1]!);
  }
  // Cookies are no list: a comma would become a part of one (RFC 6265 section 5.4).
  if (headers.cookie !== undefined) into.set("cookie", headers.cookie);
  if (host !== undefined && host !== headers.host) into.set("host", host);
  if (httpVersionMinor === 0) into.delete("upgrade");
}

/** `host [":" port]`, without the user that a URL may name. */
const ABSOLUTE = /^(?:https?|wss?):\/\/([^/?@]+)(?=[/?]|$)/i;

/**
 * The URL of a target in origin form, absolute form or asterisk form (RFC 9112 section 3.2), and the host that
 * is named in it.
 */
export function urlOf(
  { url: target = "/", headers, method }: IncomingMessage,
  { scheme, authority, host: asked }: Origin,
): { url: string; host: string | undefined } {
  // Of an absolute form, the authority counts and not `Host` (section 3.2.2).
  const absolute = ABSOLUTE.exec(target);
  const host = absolute?.[1] ?? headers.host;
  const path = absolute !== null
    ? target.slice(absolute[0].length).replace(/^(?!\/)/, "/")
    : target === "*" && method === "OPTIONS"
    ? "/*"
    : target;
  const url = `${scheme}://${asked ?? (host || authority)}${path}`;
  if (!path.startsWith("/") || !URL.canParse(url)) {
    throw new HttpError(400, "Cannot read request: its target or Host is in no URL");
  }
  return { url, host };
}

/** What the URLs of requests begin with that come by a socket of a `node:http` or `node:https` server. */
export function schemeOf(socket: Socket): string {
  return "encrypted" in socket ? "https" : "http";
}

/** The body of a request, or nothing where a `Request` has none. */
function bodyOf(
  message: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits,
): RequestBody | undefined {
  const { headers, method } = message;
  if (!hasBody(message)) return undefined;
  if (Number(headers["content-length"]) > limits.maxBodySize) throw tooLarge(limits.maxBodySize);
  // What came is thrown away with the connection, as `Deno.serve` does.
  if (method === "GET" || method === "HEAD") return undefined;
  return new RequestBody(message, response, limits);
}

function tooLarge(maxBodySize: number): HttpError {
  return new HttpError(413, `Cannot read body: it is over ${maxBodySize} bytes`);
}

/** The body of one request: read from the network as the handler reads it. */
export class RequestBody {
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly #message: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #limits: BodyLimits;
  #received = 0;
  /** Lets the stream go on, once a part has come that was asked for. */
  #pulled: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;
  /** Why it was refused, when it was. */
  refusal: HttpError | undefined;
  /** Has the handler's reading fail. */
  #fail: (error: Error) => void = () => {};

  constructor(
    message: IncomingMessage,
    response: ServerResponse,
    limits: BodyLimits,
  ) {
    this.#message = message;
    this.#response = response;
    this.#limits = limits;
    let needsContinue = /^100-continue$/i.test(message.headers.expect ?? "");
    this.stream = new ReadableStream({
      type: "bytes",
      start: (controller) => this.#listen(controller),
      pull: () => {
        // The peer sends the body once it is asked for it (RFC 9110 section 10.1.1).
        if (needsContinue) this.#response.writeContinue();
        needsContinue = false;
        message.resume();
        this.#timer = setTimeout(() => this.#giveUp(), limits.bodyTimeout);
        return new Promise<void>((resolve) => this.#pulled = resolve);
      },
      // What is not read is thrown away with the connection.
      cancel: () => this.#end(),
    });
  }

  #listen(controller: ReadableByteStreamController): void {
    const fail = this.#fail = (error: Error) => {
      if (this.#isOver) return;
      this.#end();
      controller.error(error);
    };
    this.#message.on("data", (part: Uint8Array) => {
      if (this.#isOver) return;
      this.#received += part.length;
      if (this.#received > this.#limits.maxBodySize) {
        return fail(this.refusal = tooLarge(this.#limits.maxBodySize));
      }
      // The stream takes the memory for itself: a part that shares it with others is copied.
      controller.enqueue(
        part.length === part.buffer.byteLength
          ? part as Uint8Array<ArrayBuffer>
          : new Uint8Array(part),
      );
      this.#message.pause();
      this.#settle();
    });
    this.#message.pause();
    this.#message.once("end", () => {
      if (this.#isOver) return;
      this.#end();
      controller.close();
      controller.byobRequest?.respond(0);
    });
    this.#message.once("error", () => {
      fail(new Deno.errors.ConnectionReset("Cannot read body: the client has gone"));
    });
  }

  /** Nothing more of it is wanted. */
  #end(): void {
    this.#isOver = true;
    this.#settle();
  }

  #giveUp(): void {
    const { bodyTimeout } = this.#limits;
    const problem = `Cannot read body: no part of it came within ${bodyTimeout} ms`;
    this.#fail(this.refusal = new HttpError(408, problem));
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#pulled?.();
    this.#pulled = undefined;
  }
}
