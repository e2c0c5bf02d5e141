/**
 * This project: `serve` and `upgradeWebSocket`.
 *
 * @module
 */

import { prepare, serve, upgradeWebSocket, type WebSocket } from "../../mod.ts";
import { announce, LOCAL, REPLY, sendParts, serverArguments } from "./server.ts";

const { cert, key, mode, work, level } = serverArguments();
const compression = mode === "plain" ? false : { threshold: 0, level };
const sockets = new Set<WebSocket>();

const answers: Record<string, (socket: WebSocket, data: string | ArrayBuffer) => void> = {
  "echo": (socket, data) => socket.send(data),
  "broadcast": (_, data) => {
    const message = prepare(data);
    for (const socket of sockets) socket.send(message);
  },
  "reply": (socket) => socket.send(REPLY),
  "parts": (socket, data) => typeof data === "string" ? sendParts(socket) : socket.send(data),
  "separate-sends": (_, data) => {
    for (const socket of sockets) socket.send(data);
  },
};
const answer = answers[work]!;

serve({ ...LOCAL, cert, key, onListen: announce }, (request) => {
  const { socket, response } = upgradeWebSocket(request, { compression, idleTimeout: 0 });
  socket.binaryType = "arraybuffer";
  socket.onopen = () => sockets.add(socket);
  socket.onmessage = ({ data }) => answer(socket, data);
  socket.onclose = () => sockets.delete(socket);
  return response;
});
