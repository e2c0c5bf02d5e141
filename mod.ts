/**
 * permessage-deflate for Deno: `serve`, `upgradeWebSocket` and `WebSocket` as Deno and the web have
 * them, with the compression of RFC 7692 that Deno leaves out.
 *
 * @example An echo server that compresses
 * ```ts
 * import { serve, upgradeWebSocket } from "@permessage/deflate";
 *
 * const server = serve({ port: 0 }, (request) => {
 *   const { socket, response } = upgradeWebSocket(request);
 *   socket.onmessage = ({ data }) => socket.send(data);
 *   return response;
 * });
 *
 * await server.shutdown();
 * ```
 *
 * @module
 */

export { checkUpgrade, HandshakeError, type UpgradeRefusal } from "./protocol/handshake.ts";
export type { CompressionOptions } from "./protocol/permessage_deflate/options.ts";
export type { Message } from "./protocol/protocol.ts";
export { ProtocolError } from "./protocol/frame.ts";
export { prepare, type PreparedMessage } from "./protocol/prepared_message.ts";
export {
  type HttpServer,
  serve,
  type ServeHandler,
  type ServeHandlerInfo,
  type ServeOptions,
} from "./server/serve.ts";
export {
  type EventHandler,
  type SendData,
  type SendOptions,
  type SocketEventMap,
  type SocketOptions,
  WebSocket,
  type WebSocketOptions,
} from "./websocket/socket.ts";
export {
  upgradeWebSocket,
  type UpgradeWebSocketOptions,
  type WebSocketUpgrade,
} from "./server/upgrade.ts";
