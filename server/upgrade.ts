/**
 * The server's half of the opening handshake (RFC 6455 section 4.2.2): from a request to a socket.
 *
 * @module
 */

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { parseExtensions } from "../protocol/extension_header.ts";
import { listElements } from "../protocol/grammar.ts";
import { acceptOf, areValidProtocols, checkUpgrade } from "../protocol/handshake.ts";
import { formatHead, type HeaderLines } from "../protocol/http.ts";
import { PerMessageDeflate } from "../protocol/permessage_deflate/codec.ts";
import { compressionWorks } from "../protocol/permessage_deflate/codec_check.ts";
import { acceptOffer } from "../protocol/permessage_deflate/negotiation.ts";
import { compressionSettings } from "../protocol/permessage_deflate/options.ts";
import { clientKey } from "../transport/address.ts";
import { Handover } from "../transport/handover.ts";
import { isAnswering } from "../transport/http_connections.ts";
import { addressOf } from "../transport/sockets.ts";
import { checkedHook } from "../websocket/hook.ts";
import { type SocketLimits, socketLimits, type SocketOptions } from "../websocket/options.ts";
import { Session } from "../websocket/session.ts";
import { acceptedSocket, type WebSocket } from "../websocket/websocket.ts";
import { Misuse } from "./misuse.ts";
import { isCopy, ownRequests, type Upgrade } from "./own_request.ts";
import { copyHeaders, schemeOf, urlOf } from "./request.ts";

/** Options of {@linkcode upgradeWebSocket}. */
export interface UpgradeWebSocketOptions<Data = undefined> extends SocketOptions {
  /** What the program keeps with the socket: {@linkcode WebSocket.data}, such as who the user is. */
  data?: Data;
  /** The subprotocol chosen from those the client offers. */
  protocol?: string;
  /**
   * The socket of the `upgrade` event of a `node:http` or `node:https` server. The response is sent by it at
   * once, with the headers that are set on it before the caller's task ends.
   */
  socket?: Duplex;
  /** The bytes of that event, which came behind the request. */
  head?: Uint8Array;
}

/** What {@linkcode upgradeWebSocket} returns. */
export interface WebSocketUpgrade<Data = undefined> {
  /** Opens once the response has been sent. */
  socket: WebSocket<Data>;
  /** To be returned from the handler, itself or a copy. */
  response: Response;
}

/** Sends the response of an upgrade by the socket that its request came by, and starts its session. */
export async function startUpgraded(
  handover: Handover,
  address: Deno.Addr,
  { session, accept }: Upgrade,
  response: Response,
): Promise<void> {
  const headers: HeaderLines = [
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
    ["Sec-WebSocket-Accept", accept],
  ];
  if (session.extensions !== "") headers.push(["Sec-WebSocket-Extensions", session.extensions]);
  response.headers.forEach((value, name) => {
    if (!HANDSHAKE_HEADERS.has(name)) headers.push([name, value]);
  });
  const head = formatHead("HTTP/1.1 101 Switching Protocols", headers);
  const { connection, rest, peerEnded } = await handover.take(head);
  connection.remoteAddr = address;
  session.start(connection, rest, peerEnded);
}

/** Headers of the response of an upgrade that say what was agreed on, whatever became of them in a copy. */
const HANDSHAKE_HEADERS = new Set([
  "connection",
  "content-length",
  "sec-websocket-accept",
  "sec-websocket-extensions",
  "transfer-encoding",
  "upgrade",
]);

/** `Deno.upgradeWebSocket` as it was at the start: a program may put ours in its place. */
const upgradeOfDeno = Deno.upgradeWebSocket;

/**
 * Upgrades a request to a WebSocket, like `Deno.upgradeWebSocket`, with compression. A request that
 * came by `Deno.serve` is handed over to `Deno.upgradeWebSocket`, which cannot compress: the same
 * handler serves both.
 *
 * @param request The request; {@linkcode checkUpgrade} tells beforehand whether it can be upgraded.
 * @param options The subprotocol, compression and limits.
 * @returns The socket, and the response that the handler is to return.
 * @throws {TypeError} If the request is not a WebSocket handshake, or did not come by a server; if it
 * came by `Deno.serve`, and an option is given that `Deno.upgradeWebSocket` does not have.
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
export function upgradeWebSocket<Data = undefined>(
  request: Request | IncomingMessage,
  options: UpgradeWebSocketOptions<Data> = {},
): WebSocketUpgrade<Data> {
  const { protocol = "", compression = true, head } = options;
  const attached = options.socket as Socket | undefined;
  const limits = socketLimits(options, "server");
  const onFrame = checkedHook("onFrame", options.onFrame);
  const settings = compressionSettings(compression);
  checkSocket(attached, head);
  const own = request instanceof Request ? ownRequests.get(request) : undefined;
  const handshake = request instanceof Request ? request : handshakeOf(request, attached);
  const { headers } = handshake;

  const refusal = checkUpgrade(handshake);
  if (refusal !== undefined) {
    throw new TypeError(
      `Cannot upgrade to WebSocket: ${refusal.reason} of the request is "${refusal.value}"`,
    );
  }
  const offered = listElements(headers.get("Sec-WebSocket-Protocol"));
  if (protocol !== "" && !(areValidProtocols([protocol]) && offered.includes(protocol))) {
    // Not quoted: a browser's token travels among the subprotocols.
    throw new TypeError(
      "Cannot upgrade to WebSocket: protocol must be a valid one of those the request offers",
    );
  }
  if (attached === undefined && own === undefined) {
    return upgradeOther(request, protocol, limits, options);
  }
  own?.checkUpgradable();

  const address = own?.address ?? addressOf(attached!);
  const offers = parseExtensions(headers.get("Sec-WebSocket-Extensions") ?? "") ?? [];
  const agreed = settings && compressionWorks() ? acceptOffer(offers, settings) : undefined;
  const session = new Session("server", limits, onFrame);
  session.agree(
    protocol,
    agreed?.response ?? "",
    agreed && new PerMessageDeflate(agreed.agreement, "server", settings!, clientKey(address)),
  );
  const socket = acceptedSocket(
    session,
    handshake.url.replace(/^http/, "ws"),
    options.data as Data,
  );
  const accept = acceptOf(headers.get("Sec-WebSocket-Key")!);
  const response = new Response(null, {
    status: 101,
    headers: { Upgrade: "websocket", Connection: "Upgrade", "Sec-WebSocket-Accept": accept },
  });
  if (protocol !== "") response.headers.set("Sec-WebSocket-Protocol", protocol);
  if (agreed) response.headers.set("Sec-WebSocket-Extensions", agreed.response);
  const upgrade = { session, accept };
  if (attached === undefined) own!.upgrade = upgrade;
  else void attach(attached, head ?? new Uint8Array(), upgrade, response);
  return { socket, response };
}

/**
 * Checks what a socket is to be attached to.
 *
 * @throws {TypeError} If it is not of a `node:http` server.
 */
function checkSocket(socket: Socket | undefined, head: Uint8Array | undefined): void {
  if (socket === undefined && head === undefined) return;
  if (typeof socket?.setNoDelay !== "function" || typeof socket.read !== "function") {
    throw new TypeError(
      "Cannot upgrade to WebSocket: socket must be that of the upgrade event of a node:http server",
    );
  }
  if (head !== undefined && !(head instanceof Uint8Array)) {
    throw new TypeError("Cannot upgrade to WebSocket: head must be a Uint8Array");
  }
}

/** The handshake that a request of a `node:http` server is. */
function handshakeOf(message: IncomingMessage, socket: Socket | undefined) {
  if (socket === undefined) {
    throw new TypeError("Cannot upgrade to WebSocket: a request of node:http needs its socket");
  }
  const headers = new Headers();
  copyHeaders(message, undefined, headers);
  const { url } = urlOf(message, { scheme: schemeOf(socket), authority: "localhost" });
  return { method: message.method!, headers, url };
}

/** Sends the response by a socket of a `node:http` server. Never rejects. */
async function attach(
  socket: Socket,
  head: Uint8Array,
  upgrade: Upgrade,
  response: Response,
): Promise<void> {
  try {
    // Otherwise an error would end the process; it is told by the end of the connection.
    socket.on("error", () => {});
    socket.setTimeout(0);
    if (isAnswering(socket)) {
      throw new Error("Cannot open WebSocket: a request before it waits for its answer");
    }
    const handover = new Handover({ socket, source: socket }, head);
    // The caller may set headers of the response yet.
    await undefined;
    await startUpgraded(handover, addressOf(socket), upgrade, response);
  } catch (error) {
    socket.destroy();
    upgrade.session.abandon(error);
  }
}

/** Upgrades a request that did not come by `serve`. */
function upgradeOther<Data>(
  request: Request | IncomingMessage,
  protocol: string,
  { idleTimeout }: SocketLimits,
  options: UpgradeWebSocketOptions<Data>,
): WebSocketUpgrade<Data> {
  if (isCopy(request as Request)) {
    throw new Misuse(
      "Cannot upgrade to WebSocket: the request is a copy, must be the very one that the handler was given",
    );
  }
  refuseOwnOptions(options);
  const native = { idleTimeout, ...(protocol !== "" && { protocol }) };
  const { socket, response } = upgradeOfDeno(request as Request, native);
  return { socket: Object.assign(socket, { data: options.data }) as never, response };
}

/** The options that `Deno.upgradeWebSocket` does not have. */
const OWN_OPTIONS = [
  "maxMessageSize",
  "messageTimeout",
  "highWaterMark",
  "maxBufferedAmount",
  "maxPingsPerSecond",
  "onFrame",
] as const;

/** An option that would have no effect is refused, not passed over. */
function refuseOwnOptions(options: SocketOptions): void {
  const given = OWN_OPTIONS.filter((name) => options[name] !== undefined);
  if (given.length === 0) return;
  throw new TypeError(
    `Cannot upgrade to WebSocket: the request came by Deno.serve, which cannot keep ${
      given.join(", ")
    }; use serve of this library`,
  );
}
