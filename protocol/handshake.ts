/**
 * The opening handshake (RFC 6455 section 4), both roles.
 *
 * @module
 */

import { type Extension, parseExtensions } from "./extension_header.ts";
import { hasToken, isToken } from "./grammar.ts";
import { type HeaderLines, isHost, type ResponseHead } from "./http.ts";
import { sha1 } from "./sha1.ts";

/** Why a request cannot be upgraded, and the response that says so. */
export interface UpgradeRefusal {
  /** What is wrong with the request. */
  reason: "method" | "upgrade" | "version" | "key" | "extensions";
  /** What the request has instead. */
  value: string;
  /** The status of the response. */
  status: 400 | 405 | 426;
  /** The headers of the response that RFC 9110 and RFC 6455 ask for with that status. */
  headers: Record<string, string>;
}

/** The protocol version of RFC 6455 section 4.1, the only one spoken. */
export const VERSION = "13";

/**
 * A `Sec-WebSocket-Key`: 16 bytes as base64 (RFC 6455 section 4.1, item 7). Some clients send 22 random
 * letters, of which the last may have bits beyond the 16 bytes; the server never decodes it.
 */
const KEY = /^[A-Za-z0-9+/]{22}==$/;

/**
 * Checks a client's opening handshake (RFC 6455 section 4.2.1).
 *
 * @param request The request to be upgraded.
 * @returns What is wrong with it, or nothing.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { checkUpgrade } from "@permessage/deflate";
 *
 * const request = new Request("https://localhost/ws");
 * assertEquals(checkUpgrade(request)?.status, 426);
 * ```
 */
export function checkUpgrade(
  request: { method: string; headers: Headers },
): UpgradeRefusal | undefined {
  const { method, headers } = request;
  if (method !== "GET") {
    return { reason: "method", value: method, status: 405, headers: { Allow: "GET" } };
  }
  const upgrade = headers.get("Upgrade");
  if (!hasToken(upgrade, "websocket") || !hasToken(headers.get("Connection"), "upgrade")) {
    const needed = { Upgrade: "websocket", Connection: "Upgrade" };
    return { reason: "upgrade", value: upgrade ?? "", status: 426, headers: needed };
  }
  const version = headers.get("Sec-WebSocket-Version");
  if (version !== VERSION) {
    const needed = {
      "Sec-WebSocket-Version": VERSION,
      Upgrade: "websocket",
      Connection: "Upgrade",
    };
    return { reason: "version", value: version ?? "", status: 426, headers: needed };
  }
  const key = headers.get("Sec-WebSocket-Key");
  if (key === null || !KEY.test(key)) {
    return { reason: "key", value: key ?? "", status: 400, headers: {} };
  }
  const extensions = headers.get("Sec-WebSocket-Extensions");
  if (extensions !== null && parseExtensions(extensions) === undefined) {
    return { reason: "extensions", value: extensions, status: 400, headers: {} };
  }
  return undefined;
}

/** Whether `protocols` may be offered: each a token, none twice (RFC 6455 section 4.1, item 10). */
export function areValidProtocols(protocols: string[]): boolean {
  const distinct = new Set(protocols.map((protocol) => protocol.toLowerCase()));
  return distinct.size === protocols.length && protocols.every(isToken);
}

/** A new `Sec-WebSocket-Key` (RFC 6455 section 4.1, item 7). */
export function createKey(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toBase64();
}

/** The `Sec-WebSocket-Accept` that answers `key` (RFC 6455 section 4.2.2, item 5.4). */
export function acceptOf(key: string): string {
  return sha1(new TextEncoder().encode(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)).toBase64();
}

/**
 * The headers that a caller gives for the client's request. Cookies in several lines are joined to one, which
 * alone may be sent (RFC 6265 section 5.4).
 */
export function callerHeaders(given: HeadersInit | undefined): Headers {
  const headers = new Headers(given);
  if (given !== undefined && Symbol.iterator in given) {
    const cookies = Array.from(given as Iterable<[string, string]>)
      .filter(([name]) => name.toLowerCase() === "cookie");
    if (cookies.length > 1) headers.set("cookie", cookies.map(([, value]) => value).join("; "));
  }
  return headers;
}

/** Headers of the client's handshake that a caller may not set: they are the handshake, or announce a body. */
const OWN_HEADERS = /^(?:connection|content-length|sec-websocket-.*|transfer-encoding|upgrade)$/;

/** What sets such a header. */
const INSTEAD: Record<string, string> = {
  "sec-websocket-extensions": "; use option compression",
  "sec-websocket-protocol": "; use option protocols",
};

/**
 * Checks the headers that a caller wants in the client's request. A `Host` is sent in place of the URL's.
 *
 * @throws {TypeError} If one of them cannot be sent.
 */
export function checkCallerHeaders(headers: Headers): void {
  for (const name of headers.keys()) {
    if (!OWN_HEADERS.test(name)) continue;
    throw new TypeError(
      `Cannot open WebSocket: header "${name}" is the handshake's own, must not be given${
        INSTEAD[name] ?? ""
      }`,
    );
  }
  const host = headers.get("host");
  if (host !== null && !isHost(host)) {
    throw new TypeError(
      `Cannot open WebSocket: header "host" is "${host}", must be one host, with or without a port`,
    );
  }
}

/** A head of the opening handshake, as it went over the network. */
export interface HandshakeHead {
  /** Whether it is the client's request, or a response. */
  direction: "sent" | "received";
  /** Its first line, such as `GET /chat HTTP/1.1` or `HTTP/1.1 101 Switching Protocols`. */
  line: string;
  /** Its headers, in their order and with their names as they were written. */
  headers: readonly (readonly [name: string, value: string])[];
}

/**
 * The client's request (RFC 6455 section 4.1).
 *
 * @param offer The headers have passed {@linkcode checkCallerHeaders}.
 */
export function upgradeRequest(
  url: URL,
  key: string,
  offer: { protocols: string[]; extensions?: string | undefined; headers: Headers },
): { line: string; headers: HeaderLines } {
  const headers: HeaderLines = [
    ["Host", offer.headers.get("host") ?? url.host],
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
    ["Sec-WebSocket-Key", key],
    ["Sec-WebSocket-Version", VERSION],
  ];
  if (offer.protocols.length > 0) {
    headers.push(["Sec-WebSocket-Protocol", offer.protocols.join(", ")]);
  }
  if (offer.extensions !== undefined) headers.push(["Sec-WebSocket-Extensions", offer.extensions]);
  for (const [name, value] of offer.headers) {
    if (name !== "host") headers.push([name, value]);
  }
  return { line: `GET ${url.pathname}${url.search} HTTP/1.1`, headers };
}

/**
 * The server did not complete the opening handshake as it was asked to.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { HandshakeError, serve, WebSocket } from "@permessage/deflate";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () =>
 *   new Response("Come back later", { status: 503, headers: { "Retry-After": "7" } }));
 *
 * const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`);
 * const { error } = await new Promise<ErrorEvent>((resolve) =>
 *   socket.onerror = (event) => resolve(event as ErrorEvent));
 * assertEquals(error instanceof HandshakeError, true);
 * assertEquals(error.status, 503);
 * assertEquals(error.headers.get("Retry-After"), "7");
 * assertEquals(error.body, "Come back later");
 * ```
 */
export class HandshakeError extends Error {
  /** Tells it from other errors. */
  override name = "HandshakeError";
  /** The status of the server's response; `undefined` when there was none that could be read. */
  readonly status: number | undefined;
  /** The headers of the response, such as `Location`, `Retry-After` or `WWW-Authenticate`. */
  readonly headers: Headers;
  /** The first 4 KiB of the response's body, read as UTF-8; empty when there was none within a second. */
  readonly body: string;
  /** Made by the library. */
  constructor(message: string, status?: number, headers: Headers = new Headers(), body = "") {
    super(message);
    this.status = status;
    this.headers = headers;
    this.body = body;
  }
}

/** What the server chose of what the client offered. */
export interface UpgradeResponse {
  /** The subprotocol, or the empty string. */
  protocol: string;
  extensions: Extension[];
}

/**
 * Checks the server's response (RFC 6455 section 4.1, second list).
 *
 * @param accept What `Sec-WebSocket-Accept` must be.
 * @param protocols The subprotocols offered.
 * @param body The start of its body.
 * @throws {HandshakeError} If it is not the response to this handshake.
 */
export function checkUpgradeResponse(
  head: ResponseHead,
  accept: string,
  protocols: string[],
  body = "",
): UpgradeResponse {
  const { status } = head;
  const values = (name: string) =>
    head.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
  const refuse = (problem: string): never => {
    const headers = new Headers(head.headers);
    throw new HandshakeError(`Cannot open WebSocket: ${problem}`, status, headers, body);
  };
  if (status !== 101) refuse(`server answered with status ${status}, must be 101`);

  if (!hasToken(values("upgrade").join(","), "websocket")) refuse("Upgrade is not websocket");
  if (!hasToken(values("connection").join(","), "upgrade")) refuse("Connection is not Upgrade");
  const accepts = values("sec-websocket-accept");
  if (accepts.length !== 1 || accepts[0] !== accept) refuse("Sec-WebSocket-Accept is wrong");

  const [protocol, second] = values("sec-websocket-protocol");
  if (second !== undefined) refuse("server chose more than one subprotocol");
  if (protocol !== undefined && !protocols.includes(protocol)) {
    refuse(`server chose subprotocol "${protocol}", which was not offered`);
  }
  // RFC 6455 lets the client go on. The WebSockets standard does not ("establish a WebSocket connection").
  if (protocol === undefined && protocols.length > 0) {
    refuse("server chose none of the subprotocols that were offered");
  }
  const extensions = parseExtensions(values("sec-websocket-extensions").join(","));
  if (extensions === undefined) return refuse("Sec-WebSocket-Extensions is malformed");
  return { protocol: protocol ?? "", extensions };
}
