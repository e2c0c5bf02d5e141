/**
 * The promise of `drain`: a program that stops sending when `bufferedAmount` is over `highWaterMark`,
 * and waits for the event, goes on. `bufferedAmount` counts bytes before compression, so the event
 * must go by the same count.
 */

import { assert, assertEquals } from "@std/assert";
import type { WebSocket } from "../mod.ts";
import { acceptSockets, closed, next, opened } from "./websocket/peers.ts";

const HIGH_WATER_MARK = 64 * 1024;

/** A message that is long before compression, and short after it. */
const LONG = "a".repeat(1024 * 1024);

/**
 * Sends until the mark is passed, and tells which comes first: `drain`, or the peer's answer to all of
 * it, after which nothing can be left to drain.
 */
async function firstAfterPassingTheMark(socket: WebSocket): Promise<string> {
  const first = Promise.race([
    next<Event>(socket, "drain").then(() => "drain"),
    next(socket, "message").then(() => "answer"),
  ]);
  socket.send(LONG);
  assert(socket.bufferedAmount > HIGH_WATER_MARK);
  return await first;
}

Deno.test("WebSocket fires drain after bufferedAmount was over highWaterMark, as a client", async () => {
  await using server = acceptSockets((socket) => {
    socket.onmessage = () => socket.send("all of it has come");
  });
  const client = await opened(server.url, { highWaterMark: HIGH_WATER_MARK });
  assert(client.extensions.startsWith("permessage-deflate"));
  assertEquals(await firstAfterPassingTheMark(client), "drain");
  await closed(client);
});

Deno.test("WebSocket fires drain after bufferedAmount was over highWaterMark, as a server", async () => {
  const { promise: first, resolve } = Promise.withResolvers<string>();
  await using server = acceptSockets((socket) => {
    socket.onopen = async () => resolve(await firstAfterPassingTheMark(socket));
  }, { highWaterMark: HIGH_WATER_MARK });
  const client = await opened(server.url);
  client.onmessage = () => client.send("all of it has come");
  assertEquals(await first, "drain");
  await closed(client);
});
