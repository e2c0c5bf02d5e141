/**
 * express on `node:https`, and a WebSocket beside it by `attach`: requests are express's, upgrades are answered
 * here. Run it by `deno task example:express`.
 *
 * @module
 */

import { port } from "./start.ts";
import express from "express";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { attach, checkUpgrade, upgradeWebSocket } from "../mod.ts";

const app = express();
app.get("/", (_request: IncomingMessage, response: ServerResponse) => {
  response.end("The WebSocket is at /ws\n");
});

const cert = await Deno.readTextFile("certs/server.crt");
const key = await Deno.readTextFile("certs/server.key");
const server = createServer({ cert, key }, app);

attach(server, (request) => {
  const { pathname } = new URL(request.url);
  if (pathname !== "/ws") return new Response("There is nothing here\n", { status: 404 });
  const refusal = checkUpgrade(request);
  if (refusal !== undefined) return new Response("This is a WebSocket\n", refusal);
  const { socket, response } = upgradeWebSocket(request);
  socket.onmessage = ({ data }) => socket.send(data);
  return response;
});

server.listen(port, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  console.log(`Listening on https://localhost:${port}/`);
});
