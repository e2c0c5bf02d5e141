/**
 * The web's `Request` of a request that has come by `node:http`.
 *
 * @module
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import { Refusal } from "../transport/http_connections.ts";

/** The bounds of a request's body. */
export interface BodyLimits {
  /** Longest body, in bytes. */
  maxBodySize: number;
  /** Longest wait for the next part of a body that the handler reads, in milliseconds. */
  bodyTimeout: number;
}

/** Where a request is served. */
export interface Origin {
  /** `http` or `https`. */
  scheme: string;
  /** Stands for the `Host` of a request of HTTP/1.0 that has none. */
  authority: string;
}

/** A request, and what has become of its body. */
export interface IncomingRequest {
  request: Request;
  /** Its body, if it has one. */
  body: RequestBody | undefined;
}

/**
 * Makes a `Request`.
 *
 * @throws {Refusal} If there is no such request on the web.
 */
export function requestOf(
  message: IncomingMessage,
  response: ServerResponse | undefined,
  { scheme, authority }: Origin,
  limits: BodyLimits,
): IncomingRequest {
  const { method, rawHeaders } = message as { method: string; rawHeaders: string[] };
  const body = bodyOf(message, response, limits);
  let request: Request;
  try {
    request = new Request(urlOf(message, scheme, authority), {
      method,
      ...(body !== undefined && { body: body.stream }),
    });
    const { headers } = request;
    // In half the time that a Request takes to be made of them.
    for (let i = 0; i < rawHeaders.length; i += 2) {
      headers.append(rawHeaders[i]!, rawHeaders[i + 1]!);
    }
  } catch {
    throw new Refusal(400, "Cannot serve request: its host, path or headers are malformed");
  }
  // TRACE has no Request; others are case-sensitive (RFC 9110 section 9.1), and a Request is not.
  if (request.method !== method) throw new Refusal(501, `Cannot serve method "${method}"`);
  return { request, body };
}

/** The URL of a target in origin form, absolute form or asterisk form (RFC 9112 section 3.2). */
function urlOf({ url = "/", headers }: IncomingMessage, scheme: string, authority: string): string {
  if (url.startsWith("/")) return `${scheme}://${headers.host ?? authority}${url}`;
  if (url === "*") return `${scheme}://${headers.host ?? authority}`;
  if (!/^(?:https?|wss?):\/\//i.test(url)) throw new Refusal(400, "");
  return url;
}

/** The body of a request, or nothing where it has none (RFC 9112 section 6.3). */
function bodyOf(
  message: IncomingMessage,
  response: ServerResponse | undefined,
  limits: BodyLimits,
): RequestBody | undefined {
  const { headers, method } = message;
  // Of GET and HEAD, a Request has none: what came is thrown away with the connection.
  if (!hasBody(message) || method === "GET" || method === "HEAD") return undefined;
  if (Number(headers["content-length"]) > limits.maxBodySize) throw tooLarge(limits.maxBodySize);
  return new RequestBody(message, response, limits);
}

/** Whether a body follows the head of a request. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined ||
    !/^0*$/.test(headers["content-length"] ?? "");
}

function tooLarge(maxBodySize: number): Refusal {
  return new Refusal(413, `Cannot read body: it is over ${maxBodySize} bytes`);
}

/** The body of one request: read from the network as the handler reads it. */
export class RequestBody {
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly #message: IncomingMessage;
  readonly #response: ServerResponse | undefined;
  readonly #limits: BodyLimits;
  #received = 0;
  /** Lets the stream go on, once a part has come that was asked for. */
  #pulled: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Why it was refused, when it was. */
  refusal: Refusal | undefined;

  constructor(
    message: IncomingMessage,
    response: ServerResponse | undefined,
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
        if (needsContinue) this.#response?.writeContinue();
        needsContinue = false;
        message.resume();
        this.#timer = setTimeout(() => this.#giveUp(), limits.bodyTimeout);
        return new Promise<void>((resolve) => this.#pulled = resolve);
      },
      // What is not read is thrown away with the connection.
      cancel: () => this.#settle(),
    });
  }

  #listen(controller: ReadableByteStreamController): void {
    const fail = (error: Error) => {
      this.#settle();
      controller.error(error);
    };
    this.#message.on("data", (part: Uint8Array) => {
      this.#received += part.length;
      if (this.#received > this.#limits.maxBodySize) {
        this.#message.pause();
        return fail(this.refusal = tooLarge(this.#limits.maxBodySize));
      }
      // A copy: the stream takes the memory of what it is given for itself.
      controller.enqueue(new Uint8Array(part));
      this.#message.pause();
      this.#settle();
    });
    this.#message.pause();
    this.#message.once("end", () => {
      controller.close();
      controller.byobRequest?.respond(0);
      this.#settle();
    });
    this.#message.once("error", () => {
      fail(new Deno.errors.ConnectionReset("Cannot read body: the client has gone"));
    });
  }

  #giveUp(): void {
    const { bodyTimeout } = this.#limits;
    const problem = `Cannot read body: no part of it came within ${bodyTimeout} ms`;
    this.refusal = new Refusal(408, problem);
    this.#message.destroy(this.refusal);
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#pulled?.();
    this.#pulled = undefined;
  }
}
