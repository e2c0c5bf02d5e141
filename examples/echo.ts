/**
 * The smallest server: sends every message back, and tells anybody else that this is a WebSocket. Run it by
 * `deno task example:echo`.
 *
 * @module
 */

import { port } from "./start.ts";
import { checkUpgrade, serve, upgradeWebSocket } from "../mod.ts";

serve({
  hostname: "127.0.0.1",
  port,
  cert: await Deno.readTextFile("certs/server.crt"),
  key: await Deno.readTextFile("certs/server.key"),
  onListen: ({ port }) => console.log(`Listening on wss://localhost:${port}/`),
}, (request) => {
  const refusal = checkUpgrade(request);
  if (refusal !== undefined) return new Response("This is a WebSocket\n", refusal);
  const { socket, response } = upgradeWebSocket(request);
  socket.onmessage = ({ data }) => socket.send(data);
  return response;
});
