/**
 * The runtime's own: `Deno.serve` and `Deno.upgradeWebSocket`, which do not compress.
 *
 * @module
 */

import { announce, LOCAL, serverArguments } from "./server.ts";

const { cert, key } = serverArguments();

Deno.serve({ ...LOCAL, cert, key, onListen: announce }, (request) => {
  const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => socket.send(data);
  return response;
});
