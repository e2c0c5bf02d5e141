/**
 * hono on top of `serve`: its routes and middleware, and a WebSocket among them. Run it by
 * `deno task example:hono`.
 *
 * @module
 */

import { port } from "./start.ts";
import { Hono } from "hono";
import { secureHeaders } from "hono/secure-headers";
import { checkUpgrade, serve, upgradeWebSocket } from "../mod.ts";

const app = new Hono();
app.use(secureHeaders());
app.get("/", (c) => c.text("The WebSocket is at /ws\n"));
app.get("/ws", (c) => {
  const request = c.req.raw;
  const refusal = checkUpgrade(request);
  if (refusal !== undefined) return new Response("This is a WebSocket\n", refusal);
  const { socket, response } = upgradeWebSocket(request);
  socket.onmessage = ({ data }) => socket.send(data);
  return response;
});

serve({
  hostname: "127.0.0.1",
  port,
  cert: await Deno.readTextFile("certs/server.crt"),
  key: await Deno.readTextFile("certs/server.key"),
  onListen: ({ port }) => console.log(`Listening on https://localhost:${port}/`),
}, app.fetch);
