/**
 * `ws`, on Deno and on Node: the same file on both, so that both do the same.
 *
 * Arguments: folder of the certificate, mode, work, level, and on Node the path of ws's entry, which lies in
 * Deno's cache.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import process from "node:process";

const [folder, mode, work, level, entry = "ws"] = process.argv.slice(2);
const { WebSocketServer } = await import(entry);

const server = createServer({
  cert: readFileSync(`${folder}/server.crt`),
  key: readFileSync(`${folder}/server.key`),
});
const webSockets = new WebSocketServer({
  server,
  perMessageDeflate: mode !== "plain" &&
    { threshold: 0, zlibDeflateOptions: { level: Number(level) } },
});

webSockets.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, binary) => {
    if (work === "parts" && !binary) {
      socket.send("an answer");
      setTimeout(() => socket.send("an answer"), 2);
      setTimeout(() => socket.send("an answer"), 4);
    } else if (work === "reply") socket.send("an answer");
    else if (work === "echo" || work === "parts") socket.send(data, { binary });
    else for (const client of webSockets.clients) client.send(data, { binary });
  });
});

server.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
