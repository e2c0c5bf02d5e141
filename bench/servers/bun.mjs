/**
 * Bun's own server.
 *
 * Arguments: folder of the certificate, mode, work, level.
 *
 * @module
 */

const [folder, mode, work] = Bun.argv.slice(2);

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  tls: { cert: Bun.file(`${folder}/server.crt`), key: Bun.file(`${folder}/server.key`) },
  fetch(request, server) {
    if (!server.upgrade(request)) return new Response("", { status: 426 });
  },
  websocket: {
    idleTimeout: 0,
    perMessageDeflate: {
      "plain": false,
      "no-context": { compress: "shared", decompress: "shared" },
      "context": { compress: "dedicated", decompress: "dedicated" },
    }[mode],
    open(socket) {
      if (work === "broadcast") socket.subscribe("all");
    },
    message(socket, data) {
      if (work === "broadcast") server.publish("all", data, mode !== "plain");
      else if (work === "reply") socket.send("an answer");
      else if (work === "parts" && typeof data === "string") {
        socket.send("an answer");
        setTimeout(() => socket.send("an answer"), 2);
        setTimeout(() => socket.send("an answer"), 4);
      } else socket.send(data, mode !== "plain");
    },
  },
});

console.log(`port ${server.port}`);
