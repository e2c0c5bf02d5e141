/**
 * Bytes sent back through `node:tls`, and nothing else: what an idle connection takes at least.
 *
 * @module
 */

import type { AddressInfo } from "node:net";
import { createServer } from "node:tls";
import { announce, LOCAL, serverArguments } from "./server.ts";

const { cert, key } = serverArguments();
const server = createServer({ cert, key }, (socket) => {
  // The client cuts the connection off.
  socket.on("error", () => {});
  socket.on("data", (bytes) => socket.write(bytes));
});
server.listen(LOCAL.port, LOCAL.hostname, () => announce(server.address() as AddressInfo));
