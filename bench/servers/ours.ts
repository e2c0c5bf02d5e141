/**
 * This project: `serve`, `upgradeWebSocket` and `Topics`.
 *
 * @module
 */

import { serve, upgradeWebSocket, type WebSocket } from "../../mod.ts";
import { Topics } from "../../topics.ts";
import { announce, LOCAL, REPLY, sendParts, serverArguments } from "./server.ts";

const { cert, key, mode, work, level } = serverArguments();
const compression = mode === "plain" ? false : { threshold: 0, level };
const sockets = new Set<WebSocket>();
const topics = new Topics();

const answers: Record<string, (socket: WebSocket, data: string | ArrayBuffer) => unknown> = {
  "echo": (socket, data) => socket.send(data),
  "broadcast": (_, data) => topics.publish("all", data),
  "reply": (socket) => socket.send(REPLY),
  "parts": (socket, data) => typeof data === "string" ? sendParts(socket) : socket.send(data),
  "separate-sends": (_, data) => {
    for (const socket of sockets) socket.send(data);
  },
};
const answer = answers[work]!;

// All clients of the bench come from one address.
const options = { ...LOCAL, maxConnectionsPerAddress: 16_384, cert, key, onListen: announce };
serve(options, (request) => {
  const { socket, response } = upgradeWebSocket(request, { compression, idleTimeout: 0 });
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    sockets.add(socket);
    if (work === "broadcast") topics.subscribe(socket, "all");
  };
  socket.onmessage = ({ data }) => answer(socket, data);
  socket.onclose = () => sockets.delete(socket);
  return response;
});
