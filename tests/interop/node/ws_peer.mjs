/**
 * npm's `ws` as the peer of `peer.ts`: imported by a test, or run by Node as a program with the file
 * of `ws` and the orders as its arguments.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import { argv } from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

/**
 * Does as `orders` say.
 *
 * @param {{ WebSocket: any, WebSocketServer: any }} ws The module.
 * @param {import("../peer.ts").Orders} orders
 * @param {(line: string) => void} say
 * @returns {Promise<() => Promise<void>>} What ends the server.
 */
export async function run(ws, orders, say) {
  const perMessageDeflate = orders.compression && { threshold: 0, ...orders.compression };
  const maxPayload = 0;
  if (orders.role === "client") {
    const ca = await readFile(orders.ca);
    const socket = new ws.WebSocket(orders.url, { ca, perMessageDeflate, maxPayload });
    let extensions = "";
    socket.on("upgrade", (response) => {
      extensions = response.headers["sec-websocket-extensions"] ?? "";
    });
    socket.on("open", () => say(`open ${extensions}`));
    obey(socket, say);
    return async () => {};
  }
  const [cert, key] = await Promise.all([readFile(orders.cert), readFile(orders.key)]);
  const server = createServer({ cert, key });
  const sockets = new ws.WebSocketServer({ server, perMessageDeflate, maxPayload });
  let extensions = "";
  sockets.on("headers", (headers) => {
    const name = "sec-websocket-extensions: ";
    extensions = headers.find((line) => line.toLowerCase().startsWith(name))?.slice(name.length) ??
      "";
  });
  sockets.on("connection", (socket) => {
    say(`open ${extensions}`);
    obey(socket, say);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  say(`port ${server.address().port}`);
  return async () => {
    for (const socket of sockets.clients) socket.terminate();
    await new Promise((resolve) => sockets.close(resolve));
    await new Promise((resolve) => server.close(resolve));
  };
}

const COMMAND = /^!(\w+) ?(\S*) ?(.*)$/s;

/** Sends every message back, but the commands among them. */
function obey(socket, say) {
  socket.on("message", (data, binary) => {
    const command = binary ? null : COMMAND.exec(data.toString());
    if (command === null) return socket.send(data, { binary });
    const [, verb, first, rest] = command;
    switch (verb) {
      case "ping":
        socket.once("pong", (payload) => socket.send(`pong ${payload}`));
        return socket.ping(first);
      case "fragments": {
        const text = rest.repeat(Number(first));
        for (let at = 0; at < text.length; at += rest.length) {
          const fin = at + rest.length === text.length;
          socket.send(text.slice(at, at + rest.length), { fin });
        }
        return;
      }
      case "invalid":
        return socket.send(new Uint8Array([0x61, 0xff]), { binary: false });
      case "close":
        return first === "1005" ? socket.close() : socket.close(Number(first), rest);
      case "drop":
        return socket.terminate();
    }
  });
  socket.on("close", (code, reason) => say(`closed ${code} ${reason}`.trim()));
  // What went wrong shows in the code of the close.
  socket.on("error", () => {});
}

const [, program, module, orders] = argv;
if (program === fileURLToPath(import.meta.url)) {
  await run(await import(pathToFileURL(module).href), JSON.parse(orders), console.log);
}
