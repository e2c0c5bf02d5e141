/**
 * Frames as they come, written to each of many sockets of `node:tls`, and nothing else: what a broadcast costs at least.
 * It accepts every opening handshake without reading it.
 *
 * @module
 */

import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { announce, LOCAL, serverArguments } from "./server.ts";

const { cert, key, mode } = serverArguments();
const extensions = mode === "plain"
  ? ""
  : "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n";
const sockets = new Set<TLSSocket>();

const server = createServer({ cert, key }, (socket) => {
  socket.setNoDelay();
  socket.on("close", () => sockets.delete(socket));
  // The client cuts the connection off.
  socket.on("error", () => {});
  socket.once("data", () => {
    sockets.add(socket);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${extensions}\r\n`);
    socket.on("data", (frames) => {
      for (const each of sockets) each.write(frames);
    });
  });
});
server.listen(LOCAL.port, LOCAL.hostname, () => announce(server.address() as AddressInfo));
