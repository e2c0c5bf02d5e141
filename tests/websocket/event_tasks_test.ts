/**
 * Each event is a task of its own: what a program does after it awaited one comes before the next.
 */

import { assertEquals } from "@std/assert";
import { acceptOf } from "../../protocol/handshake.ts";
import { WebSocket } from "../../mod.ts";
import { CLOSE, closePayload, concat, frame, PONG, TEXT } from "../protocol/driver.ts";
import { opened as openedOn, turn } from "./network.ts";
import { acceptSockets, handshake, next, RawClient } from "./peers.ts";

const EVENTS = ["open", "message", "pong", "drain", "error", "close"];

/** How often a listener awaits something already there. */
const AWAITS = 50;

/**
 * Notes each event of a socket, and what goes on after it: by listeners that await many times, and by a
 * program that awaits the event itself.
 */
function watch(socket: WebSocket): { log: string[]; ended: Promise<void> } {
  const log: string[] = [];
  const ended = Promise.withResolvers<void>();
  for (const type of EVENTS) {
    socket.addEventListener(type, async (event) => {
      const { data } = event as MessageEvent;
      const name = typeof data === "string" ? `${type} ${data}` : type;
      log.push(name);
      for (let i = 0; i < AWAITS; i++) await null;
      log.push(`after ${name}`);
      if (type === "close") ended.resolve();
    });
  }
  return { log, ended: ended.promise };
}

/** What is logged where each event, with all it started, comes before the next. */
const inOrder = (...names: string[]) => names.flatMap((name) => [name, `after ${name}`]);

/** A client's socket whose server sends `frames` in one packet with its 101, and ends its side. */
async function answerWith(
  frames: Uint8Array,
  use: (socket: WebSocket) => Promise<void>,
): Promise<void> {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const url = `ws://127.0.0.1:${listener.addr.port}/`;
  const used = use(new WebSocket(url, { compression: false }));
  using connection = await listener.accept();
  const bytes = new Uint8Array(4096);
  let request = "";
  while (!request.endsWith("\r\n\r\n")) {
    request += new TextDecoder().decode(bytes.subarray(0, (await connection.read(bytes))!));
  }
  const key = /^sec-websocket-key: (.*)$/mi.exec(request)![1]!.trim();
  const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${acceptOf(key)}\r\n\r\n`;
  const answer = concat(new TextEncoder().encode(head), frames);
  for (let at = 0; at < answer.length;) at += await connection.write(answer.subarray(at));
  await connection.closeWrite();
  await used;
}

const message = (text: string) => frame("client", TEXT, text);
const CLOSED = frame("client", CLOSE, closePayload(1000, "done"));

Deno.test("WebSocket of a client ends the task of open before messages that came with the 101", async () => {
  const frames = concat(message("1"), frame("client", PONG, "x"), message("2"), CLOSED);
  await answerWith(frames, async (socket) => {
    const { log, ended } = watch(socket);
    await ended;
    assertEquals(log, inOrder("open", "message 1", "pong", "message 2", "close"));
  });
});

Deno.test("WebSocket loses no message to a handler that is set after open was awaited", async () => {
  await answerWith(concat(message("1"), message("2"), CLOSED), async (socket) => {
    await next(socket, "open");
    for (let i = 0; i < AWAITS; i++) await null;
    const received: string[] = [];
    socket.onmessage = ({ data }) => received.push(data);
    await next(socket, "close");
    assertEquals(received, ["1", "2"]);
  });
});

Deno.test("WebSocket.readable loses nothing that came with the 101, once open was awaited", async () => {
  await answerWith(concat(message("1"), message("2"), CLOSED), async (socket) => {
    await next(socket, "open");
    for (let i = 0; i < AWAITS; i++) await null;
    assertEquals(await Array.fromAsync(socket.readable), ["1", "2"]);
  });
});

Deno.test("WebSocket of a server ends the task of open before messages that came with the request", async () => {
  const watched = Promise.withResolvers<ReturnType<typeof watch>>();
  await using server = acceptSockets((socket) => watched.resolve(watch(socket)));
  using client = await RawClient.connect(server.addr.port);
  await client.write(concat(
    new TextEncoder().encode(handshake()),
    frame("server", TEXT, "1"),
    frame("server", TEXT, "2"),
    frame("server", PONG, "x"),
    frame("server", CLOSE, closePayload(1000)),
  ));
  const { log, ended } = await watched.promise;
  await client.rest();
  client.connection.closeWrite();
  await ended;
  assertEquals(log, inOrder("open", "message 1", "message 2", "pong", "close"));
});

Deno.test("WebSocket of a server sends what was sent after open was awaited before its answers", async () => {
  await using server = acceptSockets((socket) => {
    socket.onmessage = ({ data }) => socket.send(`answer to ${data}`);
    void (async () => {
      await next(socket, "open");
      for (let i = 0; i < AWAITS; i++) await null;
      socket.send("welcome");
      socket.close(1000);
    })();
  });
  using client = await RawClient.connect(server.addr.port);
  await client.write(concat(new TextEncoder().encode(handshake()), frame("server", TEXT, "early")));
  await client.head();
  assertEquals(await client.bytes(9), frame("client", TEXT, "welcome"));
  assertEquals((await client.bytes(2))[0], 0x88);
});

Deno.test("WebSocket ends the task of error before close, and that of a message before both", async () => {
  const { socket, network } = openedOn();
  const { log, ended } = watch(socket);
  await turn();
  network.arrive(frame("server", TEXT, "1"));
  // In the very task of the message.
  network.receiver.onClose(new Error("reset by peer"));
  await ended;
  assertEquals(log, inOrder("message 1", "error", "close"));
});

Deno.test("WebSocket ends the task of drain before the message that follows", async () => {
  const { socket, network } = openedOn({ highWaterMark: 1 });
  const { log } = watch(socket);
  network.takes = false;
  socket.send("more than one byte");
  await turn();
  network.take();
  network.arrive(frame("server", TEXT, "1"));
  await turn();
  assertEquals(log.toSorted(), inOrder("drain", "message 1").toSorted());
  assertEquals(log[1], `after ${log[0]}`);
  const close = next(socket, "close");
  socket.terminate();
  await close;
});

Deno.test("WebSocket that cannot connect tells so in tasks after the one it was made in", async () => {
  const socket = new WebSocket("ws://127.0.0.1:9/", { signal: AbortSignal.abort() });
  for (let i = 0; i < AWAITS; i++) await null;
  const { log, ended } = watch(socket);
  await ended;
  assertEquals(log, inOrder("error", "close"));
});

Deno.test("WebSocket.readyState is CLOSED at error, as at close", async () => {
  const { socket, network } = openedOn();
  const states: number[] = [];
  socket.onerror = socket.onclose = () => states.push(socket.readyState);
  const close = next(socket, "close");
  network.destroy(new Error("reset by peer"));
  await close;
  assertEquals(states, [3, 3]);
});
