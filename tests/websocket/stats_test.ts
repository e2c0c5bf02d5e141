/** What a socket counts, of both roles, and against the bytes that were on the wire. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { prepare, type Traffic } from "../../mod.ts";
import { CLOSE, closePayload, concat, fragments, frame, PING, TEXT } from "../protocol/driver.ts";
import { opened, served, turn } from "./network.ts";
import { acceptSockets, closed, next, opened as connected } from "./peers.ts";

Deno.test("WebSocket.stats counts messages, their bytes and those on the wire, alike at both ends", async () => {
  const sockets = Promise.withResolvers<ReturnType<typeof served>["socket"]>();
  await using server = acceptSockets((socket) => {
    sockets.resolve(socket);
    socket.onmessage = ({ data }) => socket.send(data);
  });
  const client = await connected(server.url);
  const messages = [
    "ação ".repeat(100),
    new Uint8Array(1000),
    "x".repeat(200_000),
    "",
    prepare("prepared ".repeat(50)),
    new Blob(["blob"]),
  ];
  const sizes = [700, 1000, 200_000, 0, 450, 4];
  for (const message of messages) {
    client.send(message);
    await next(client, "message");
  }
  const ending = await closed(client);
  assert(ending.wasClean);
  const { sent, received } = client.stats;
  const bytes = sizes.reduce((sum, size) => sum + size);
  for (const traffic of [sent, received]) {
    assertEquals([traffic.messages, traffic.messageBytes], [messages.length, bytes]);
    assert(traffic.wireBytes < bytes / 50, `${traffic.wireBytes} bytes`);
  }
  const other = (await sockets.promise).stats;
  assertEquals([other.sent, other.received], [received, sent]);
});

Deno.test("WebSocket.stats has the bytes of all frames, and of messages once they are whole", async () => {
  const { socket, network, session } = opened();
  const none: Traffic = { messages: 0, messageBytes: 0, wireBytes: 0 };
  await turn();
  assertEquals(socket.stats, { received: none, sent: none });
  const whole = concat(...fragments("server", TEXT, "hello", [2]));
  network.arrive(whole.subarray(0, 10));
  assertEquals(socket.stats.received, { ...none, wireBytes: 10 });
  network.arrive(whole.subarray(10));
  const message = { messages: 1, messageBytes: 5 };
  assertEquals(socket.stats.received, { ...message, wireBytes: whole.length });
  const ping = frame("server", PING, "are you there");
  network.arrive(ping);
  await turn();
  // The Pong that answers it.
  assertEquals(socket.stats.sent, { ...none, wireBytes: 2 + 13 });
  network.takes = false;
  socket.send("abc");
  await turn();
  assertEquals(socket.stats.sent, { ...none, wireBytes: 15 });
  network.take();
  assertEquals(socket.stats.sent, { messages: 1, messageBytes: 3, wireBytes: 15 + 5 });
  network.takes = true;
  const close = frame("server", CLOSE, closePayload(1000));
  network.arrive(close);
  network.receiver.onEnd();
  network.destroy();
  await session.ended;
  const { received, sent } = socket.stats;
  const wireBytes = whole.length + ping.length + close.length;
  assertEquals(received, { ...message, wireBytes });
  assertEquals(sent.wireBytes, 20 + 4);
});

Deno.test("WebSocket.stats is a snapshot that nobody can change", async () => {
  const { socket, network, session } = opened();
  await turn();
  const before = socket.stats;
  assertThrows(() => (before.sent as { messages: number }).messages = 5, TypeError);
  assertThrows(() => (before as { sent: unknown }).sent = {}, TypeError);
  network.arrive(frame("server", TEXT, "abc"));
  assertEquals([before.received.messages, socket.stats.received.messages], [0, 1]);
  socket.terminate();
  await session.ended;
});

Deno.test("WebSocket.stats of a socket that is not open yet, or never was, has nothing", () => {
  const { socket, session } = served();
  assertEquals(socket.stats.received.wireBytes, 0);
  session.abandon(new Error("Never"));
  assertEquals(socket.stats.sent.wireBytes, 0);
});
