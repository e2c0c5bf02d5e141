/**
 * A program for tests: with a port it serves one message on it, with a URL it sends one; tells in one line
 * what came, and which way the bytes went.
 */

import { serve, upgradeWebSocket, WebSocket } from "../../mod.ts";
import { chooseWay } from "../../transport/sockets.ts";

const [address = "", defect] = Deno.args;
if (defect === "no-bindings") {
  Object.assign((globalThis as unknown as { process: object }).process, {
    binding() {
      throw new Error("No such module");
    },
  });
}

/** Tells the first message of a socket, and waits for the end. */
async function tellFirst(socket: WebSocket): Promise<void> {
  const { data } = await new Promise<MessageEvent>((resolve, reject) => {
    socket.onmessage = resolve;
    socket.onerror = reject;
  });
  const closed = new Promise((resolve) => socket.onclose = resolve);
  socket.send(data);
  socket.close();
  await closed;
  console.log(data, chooseWay(undefined));
}

if (/^\d+$/.test(address)) {
  const done = Promise.withResolvers<void>();
  const server = serve({ port: Number(address), hostname: "0.0.0.0" }, (request) => {
    const { socket, response } = upgradeWebSocket(request);
    tellFirst(socket).then(done.resolve, done.reject);
    return response;
  });
  await done.promise;
  await server.shutdown();
} else {
  const socket = new WebSocket(address);
  socket.onopen = () => socket.send("hello");
  await tellFirst(socket);
}
