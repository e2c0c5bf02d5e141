import { assertEquals, assertMatch } from "@std/assert";
import ReconnectingWebSocket from "reconnecting-websocket/dist/reconnecting-websocket-mjs.js";
import { serve, upgradeWebSocket, WebSocket } from "../../../mod.ts";

Deno.test("WebSocket is one that reconnecting-websocket opens again, and sends by what waited", async () => {
  const sockets: WebSocket[] = [];
  await using server = serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { socket, response } = upgradeWebSocket(request, { protocol: "chat" });
    socket.onmessage = ({ data }) => socket.send(data);
    sockets.push(socket);
    return response;
  });

  const socket = new ReconnectingWebSocket(`ws://127.0.0.1:${server.addr.port}/`, "chat", {
    WebSocket,
    minReconnectionDelay: 1,
    minUptime: 0,
  });
  socket.binaryType = "arraybuffer";
  const next = () => new Promise<MessageEvent>((resolve) => socket.onmessage = resolve);

  // Sent before the connection is there: kept until it is.
  socket.send("hello ".repeat(1000));
  assertEquals((await next()).data, "hello ".repeat(1000));
  assertMatch(socket.extensions, /^permessage-deflate/);
  assertEquals(socket.protocol, "chat");

  const closed = new Promise((resolve) => socket.onclose = resolve);
  sockets[0]!.terminate();
  await closed;
  socket.send(new Uint8Array(1000).fill(7));
  assertEquals(new Uint8Array((await next()).data), new Uint8Array(1000).fill(7));
  assertEquals(sockets.length, 2);

  const ended = new Promise((resolve) => socket.onclose = resolve);
  socket.close(4000, "enough");
  await ended;
});
