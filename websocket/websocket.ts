/**
 * The `WebSocket` of a client: the web's class, with compression.
 *
 * @module
 */

import { areValidProtocols, checkCallerHeaders } from "../protocol/handshake.ts";
import { compressionSettings } from "../protocol/permessage_deflate/options.ts";
import { requireDeno } from "../transport/deno_version.ts";
import { checkPair, type KeyPair } from "../transport/key_pair.ts";
import { routeOf } from "../transport/route.ts";
import { SocketFacade } from "./facade.ts";
import { openConnection } from "./opening.ts";
import { MAX_TIMEOUT_MS, numberOption, socketLimits, type WebSocketOptions } from "./options.ts";
import { Session } from "./session.ts";

/**
 * A WebSocket that compresses: the web's class, with what servers and programs need besides.
 *
 * Events: `open`, `message`, `error`, `close` as on the web; `pong` with the payload as `data`; `drain`
 * when {@linkcode WebSocket.bufferedAmount} was over the high-water mark and all has been sent.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { serve, upgradeWebSocket, WebSocket } from "@permessage/deflate";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
 *   const { socket, response } = upgradeWebSocket(request);
 *   socket.onmessage = ({ data }) => socket.send(data);
 *   return response;
 * });
 *
 * const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`);
 * socket.onopen = () => socket.send("hello");
 * const { data } = await new Promise<MessageEvent>((resolve) => socket.onmessage = resolve);
 * assertEquals(data, "hello");
 * assertEquals(socket.extensions, "permessage-deflate; client_no_context_takeover");
 * const closed = new Promise((resolve) => socket.onclose = resolve);
 * socket.close(1000);
 * await closed;
 * ```
 */
export class WebSocket extends SocketFacade {
  /**
   * Connects. The `open` event tells that it succeeded, `error` and `close` that it did not.
   *
   * @param url A `ws:` or `wss:` URL; `http:` and `https:` stand for them.
   * @param given Subprotocols to offer, or {@linkcode WebSocketOptions}.
   * @throws {SyntaxError} (a `DOMException`) If the URL or a subprotocol is malformed.
   * @throws {RangeError} If an option is out of its range.
   * @throws {Error} If Deno is older than 2.9.5.
   * @throws {TypeError} If an option is of another type or cannot be kept, or a header is the handshake's own.
   * @throws {Deno.errors.InvalidData} If `cert` and `key` cannot be read, or do not belong together.
   */
  constructor(url: string | URL, given: string | string[] | WebSocketOptions = {}) {
    requireDeno("open WebSocket");
    const options = typeof given === "string" || Array.isArray(given)
      ? { protocols: given }
      : given;
    const parsed = parseUrl(url);
    const protocols = [options.protocols ?? []].flat().map(String);
    if (!areValidProtocols(protocols)) {
      throw new DOMException(
        `Cannot open WebSocket: subprotocols are "${protocols}", must be distinct tokens`,
        "SyntaxError",
      );
    }
    const { caCerts = [], insecure = false, compression = true, signal } = options;
    const wrong = !Array.isArray(caCerts)
      ? `caCerts is "${caCerts}", must be an array`
      : typeof insecure !== "boolean"
      ? `insecure is "${insecure}", must be true or false`
      : options.client !== undefined
      ? "client is given, must not be; use caCerts, cert, key and proxy"
      : signal !== undefined && !(signal instanceof AbortSignal)
      ? `signal is "${signal}", must be an AbortSignal`
      : undefined;
    if (wrong !== undefined) throw new TypeError(`Cannot set up socket: ${wrong}`);
    const headers = new Headers(options.headers);
    checkCallerHeaders(headers);
    const opening = {
      protocols,
      headers,
      caCerts,
      insecure,
      pair: pairOf(options),
      route: routeOf(options),
      compression: compressionSettings(compression, "client"),
      handshakeTimeout: numberOption(
        "set up socket",
        "handshakeTimeout",
        options.handshakeTimeout,
        45_000,
        MAX_TIMEOUT_MS,
        "ms",
      ),
      signal,
    };
    const session = new Session("client", socketLimits(options, "client"));
    const dialling = new AbortController();
    super({ session, url: parsed.href, abort: (reason) => dialling.abort(reason) });
    void openConnection(session, parsed, opening, dialling);
  }
}

/** A socket of a server: a {@linkcode WebSocket} that was not made by its constructor. */
export function acceptedSocket(session: Session, url: string): WebSocket {
  return Reflect.construct(SocketFacade, [{ session, url }], WebSocket) as WebSocket;
}

/** The client's certificate and its key, checked. */
function pairOf({ cert, key }: WebSocketOptions): KeyPair | undefined {
  if (cert === undefined && key === undefined) return undefined;
  for (const [name, value] of Object.entries({ cert, key })) {
    if (typeof value === "string") continue;
    const problem = value === undefined ? "missing" : "not a text";
    throw new TypeError(`Cannot set up socket: ${name} is ${problem}, must be PEM`);
  }
  const pair = { cert: cert!, key: key! };
  checkPair(pair);
  return pair;
}

function parseUrl(url: string | URL): URL {
  const parsed = URL.parse(url);
  const scheme = parsed?.protocol;
  if (parsed !== null && (scheme === "http:" || scheme === "https:")) {
    parsed.protocol = scheme === "http:" ? "ws:" : "wss:";
  }
  if (parsed === null || !/^wss?:$/.test(parsed.protocol) || parsed.href.includes("#")) {
    throw new DOMException(
      `Cannot open WebSocket: URL is "${url}", must be ws: or wss: without a fragment`,
      "SyntaxError",
    );
  }
  return parsed;
}
