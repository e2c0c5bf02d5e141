/**
 * The runtime's own: `Deno.serve` and `Deno.upgradeWebSocket`, which do not compress.
 *
 * @module
 */

import { announce, LOCAL, REPLY, sendParts, serverArguments } from "./server.ts";

const { cert, key, work } = serverArguments();

Deno.serve({ ...LOCAL, cert, key, onListen: announce }, (request) => {
  const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    if (work === "parts" && typeof data === "string") sendParts(socket);
    else socket.send(work === "reply" ? REPLY : data);
  };
  return response;
});
