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

export type { FrameInfo } from "./protocol/frame.ts";
export {
  checkUpgrade,
  HandshakeError,
  type HandshakeHead,
  type UpgradeRefusal,
} from "./protocol/handshake.ts";
export type { Message } from "./protocol/message.ts";
export type { CompressionOptions } from "./protocol/permessage_deflate/options.ts";
export { prepare, type PreparedMessage } from "./protocol/prepared_message.ts";
export { ProtocolError, type Violation } from "./protocol/protocol_error.ts";
export { attach, type Attachment, type AttachOptions } from "./server/attach.ts";
export type { ShutdownOptions } from "./server/leaving.ts";
export type {
  HttpServer,
  ServeHandler,
  ServeHandlerInfo,
  ServeOptions,
  ServeTcpOptions,
  ServeUnixOptions,
} from "./server/options.ts";
export { serve } from "./server/serve.ts";
export type {
  CloseCodeClass,
  Refusal,
  RefusalReason,
  ServerStats,
  StatusClass,
} from "./server/stats.ts";
export {
  upgradeWebSocket,
  type UpgradeWebSocketOptions,
  type WebSocketUpgrade,
} from "./server/upgrade.ts";
export type { Connect } from "./transport/route.ts";
export { ProxyError } from "./transport/tunnel.ts";
export type { SendData } from "./websocket/data.ts";
export type { EventHandler, SocketEventMap } from "./websocket/handlers.ts";
export type { ProtocolsOrOptions } from "./websocket/opening_options.ts";
export type { SendOptions, SocketOptions, WebSocketOptions } from "./websocket/options.ts";
export type { SocketStats, Traffic } from "./websocket/stats.ts";
export { WebSocket } from "./websocket/websocket.ts";
