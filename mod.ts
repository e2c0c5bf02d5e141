/**
 * permessage-deflate for Deno: WebSocket with the compression of RFC 7692.
 *
 * @module
 */

export { checkUpgrade, type UpgradeRefusal } from "./websocket/handshake.ts";
