/**
 * The server's half of the opening handshake (RFC 6455 section 4.2.2): from a request to a socket.
 *
 * @module
 */

import type { HttpExchange } from "../transport/http_exchange.ts";
import { parseExtensions } from "../protocol/extension_header.ts";
import { acceptOf, areValidProtocols, checkUpgrade } from "../protocol/handshake.ts";
import { formatHead, type HeaderLines, statusLine } from "../protocol/http.ts";
import { compressionSettings } from "../protocol/permessage_deflate/options.ts";
import { PerMessageDeflate } from "../protocol/permessage_deflate/codec.ts";
import { compressionWorks } from "../protocol/permessage_deflate/codec_check.ts";
import { clientKey } from "../transport/address.ts";
import { listElements } from "../protocol/grammar.ts";
import { acceptOffer } from "../protocol/permessage_deflate/negotiation.ts";
import { socketLimits, type SocketOptions } from "../websocket/options.ts";
import { Session } from "../websocket/session.ts";
import { acceptedSocket, type WebSocket } from "../websocket/websocket.ts";

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

/** What {@linkcode upgradeWebSocket} prepares, and {@linkcode sendUpgrade} completes. */
export interface Upgrade {
  session: Session;
  key: string;
}

/** A request that came by `serve`. */
export interface OwnRequest {
  /** The client's address. */
  address: Deno.Addr;
  /** There once the handler has called {@linkcode upgradeWebSocket}. */
  upgrade?: Upgrade;
}

/** Requests that came by `serve`, and can be upgraded here. */
export const ownRequests: WeakMap<Request, OwnRequest> = new WeakMap();

/** Sends the response of an upgrade. */
export async function sendUpgrade(
  exchange: HttpExchange,
  response: Response,
  { session, key }: Upgrade,
  timeout: number,
): Promise<void> {
  try {
    const headers: HeaderLines = [
      ["Upgrade", "websocket"],
      ["Connection", "Upgrade"],
      ["Sec-WebSocket-Accept", acceptOf(key)],
      ...response.headers,
    ];
    await exchange.write(formatHead(statusLine(101, ""), headers), timeout);
  } catch (error) {
    session.abandon(error);
    throw error;
  }
}

/**
 * Upgrades a request to a WebSocket, like `Deno.upgradeWebSocket`, with compression. A request that
 * came by `Deno.serve` is handed over to `Deno.upgradeWebSocket`, which cannot compress: the same
 * handler serves both.
 *
 * @param request The request; {@linkcode checkUpgrade} tells beforehand whether it can be upgraded.
 * @param options The subprotocol, compression and limits.
 * @returns The socket, and the response that the handler is to return.
 * @throws {TypeError} If the request is not a WebSocket handshake, or did not come by a server; if it
 * came by `Deno.serve`, and a limit is given that `Deno.upgradeWebSocket` cannot keep.
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
  const limits = socketLimits(options, "server");
  const settings = compressionSettings(compression);

  const refusal = checkUpgrade(request);
  if (refusal !== undefined) {
    throw new TypeError(
      `Cannot upgrade to WebSocket: ${refusal.reason} of the request is "${refusal.value}"`,
    );
  }
  const { headers } = request;
  const offered = listElements(headers.get("Sec-WebSocket-Protocol"));
  if (protocol !== "" && !(areValidProtocols([protocol]) && offered.includes(protocol))) {
    // Not quoted: a browser's token travels among the subprotocols.
    throw new TypeError(
      "Cannot upgrade to WebSocket: protocol must be a valid one of those the request offers",
    );
  }
  const own = ownRequests.get(request);
  ownRequests.delete(request);
  if (own === undefined) {
    refuseLimits(options);
    const native = { idleTimeout: limits.idleTimeout, ...(protocol !== "" && { protocol }) };
    return Deno.upgradeWebSocket(request, native) as unknown as WebSocketUpgrade;
  }

  const offers = parseExtensions(headers.get("Sec-WebSocket-Extensions") ?? "") ?? [];
  const agreed = settings && compressionWorks() ? acceptOffer(offers, settings) : undefined;
  const url = new URL(request.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const session = new Session("server", limits);
  session.agree(
    protocol,
    agreed?.response ?? "",
    agreed &&
      new PerMessageDeflate(agreed.agreement, "server", settings!, clientKey(own.address)),
  );
  const socket = acceptedSocket(session, url.href);
  const response = new Response(null, { status: 101 });
  if (protocol !== "") response.headers.set("Sec-WebSocket-Protocol", protocol);
  if (agreed) response.headers.set("Sec-WebSocket-Extensions", agreed.response);
  own.upgrade = { session, key: headers.get("Sec-WebSocket-Key")! };
  return { socket, response };
}

/** The limits that `Deno.upgradeWebSocket` does not have. */
const OWN_LIMITS = [
  "maxMessageSize",
  "messageTimeout",
  "highWaterMark",
  "maxBufferedAmount",
  "maxPingsPerSecond",
] as const;

/** A limit that would not be kept is refused, not passed over. */
function refuseLimits(options: UpgradeWebSocketOptions): void {
  const given = OWN_LIMITS.filter((name) => options[name] !== undefined);
  if (given.length === 0) return;
  throw new TypeError(
    `Cannot upgrade to WebSocket: the request came by Deno.serve, which cannot keep ${
      given.join(", ")
    }; use serve of this library`,
  );
}
