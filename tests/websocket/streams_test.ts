/**
 * `readable` and `writable`, with a network that the test decides on.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { CLOSE, closePayload, concat, frame, TEXT } from "../protocol/driver.ts";
import { next } from "./peers.ts";
import { opened, served, turn } from "./network.ts";

const text = (payload: string) => frame("server", TEXT, payload);

Deno.test("WebSocket.writable.abort() cuts off a peer that does not take what was written", async () => {
  const { socket, network } = opened({ highWaterMark: 0, idleTimeout: 0 });
  network.takes = false;
  const writer = socket.writable.getWriter();
  const write = assertRejects(() => writer.write("never taken"));
  const rest = assertRejects(() => writer.closed);
  await turn();
  const close = next<CloseEvent>(socket, "close");
  const aborted = writer.abort(new Error("No longer wanted"));
  assertEquals((await close).code, 1006);
  await Promise.all([write, rest, aborted]);
});

Deno.test("WebSocket.writable.abort() ends a socket that is not open yet", async () => {
  const { session, socket, network } = served();
  let opens = 0;
  socket.onopen = () => opens++;
  const close = next<CloseEvent>(socket, "close");
  const aborted = socket.writable.abort();
  session.start(network, new Uint8Array());
  assertEquals([(await close).code, opens], [1006, 0]);
  await aborted;
});

Deno.test("WebSocket.writable fails a write that is under way when the connection is lost", async () => {
  const { socket, network } = opened({ highWaterMark: 0 });
  network.takes = false;
  const writer = socket.writable.getWriter();
  const write = writer.write("never taken");
  await turn();
  network.destroy(new Error("reset by peer"));
  await assertRejects(() => write, Error, "reset by peer");
  await assertRejects(() => writer.closed, Error, "reset by peer");
});

Deno.test("WebSocket.writable fails when the connection is lost while nothing is written", async () => {
  const { socket, network } = opened();
  const writer = socket.writable.getWriter();
  await writer.write("taken");
  network.receiver.onEnd();
  await assertRejects(() => writer.closed, Error, "without a Close frame");
});

Deno.test("WebSocket.writable holds a write back until its peer takes what is before it", async () => {
  const { socket, network } = opened({ highWaterMark: 10 });
  network.takes = false;
  const writer = socket.writable.getWriter();
  let done = 0;
  const writes = ["more than ten bytes", "as many once more"].map((data) =>
    writer.write(data).then(() => done++)
  );
  await turn();
  assertEquals(done, 0);
  network.take();
  await turn();
  assertEquals(done, 1);
  network.take();
  await Promise.all(writes);
  socket.terminate();
  await assertRejects(() => writer.closed);
});

Deno.test("WebSocket.readable gives what came before the connection was lost", async () => {
  const { socket, network } = opened();
  const reader = socket.readable.getReader();
  network.arrive(text("a"));
  network.receiver.onEnd();
  await turn();
  assertEquals((await reader.read()).value, "a");
  await assertRejects(() => reader.read(), Error, "without a Close frame");
});

Deno.test("WebSocket.readable gives what came before a Close frame, and ends", async () => {
  const { socket, network } = opened();
  const reader = socket.readable.getReader();
  network.arrive(concat(text("a"), text("b"), frame("server", CLOSE, closePayload(1000))));
  await turn();
  assertEquals((await reader.read()).value, "a");
  assertEquals((await reader.read()).value, "b");
  network.receiver.onEnd();
  assertEquals((await reader.read()).done, true);
});

Deno.test("WebSocket.readable.cancel() gives what was not read to nobody, and closes", async () => {
  const { socket, network } = opened();
  const events: string[] = [];
  socket.onmessage = ({ data }) => events.push(data);
  const reader = socket.readable.getReader();
  network.arrive(concat(text("a"), text("b"), text("c")));
  assertEquals((await reader.read()).value, "a");
  await turn();
  await reader.cancel();
  await turn();
  assertEquals(events, []);
  const close = next<CloseEvent>(socket, "close");
  network.arrive(frame("server", CLOSE));
  network.receiver.onEnd();
  assertEquals([(await close).code, events], [1005, []]);
});

Deno.test("WebSocket.readable lets others have a turn while its reader works through many messages", async () => {
  const { socket, network } = opened();
  const { readable } = socket;
  const count = 400;
  let handled = 0;
  let since = 0;
  let most = 0;
  const { setImmediate } = globalThis as unknown as { setImmediate(run: () => void): void };
  const watch = () => {
    since = 0;
    if (handled < count) setImmediate(watch);
  };
  setImmediate(watch);
  network.arrive(concat(...Array.from({ length: count }, () => text("x"))));
  for await (const _ of readable) {
    // Half a millisecond of work.
    for (const start = performance.now(); performance.now() - start < 0.5;);
    most = Math.max(most, ++since);
    if (++handled === count) break;
  }
  assert(most < 50, `${most} messages were handled in one turn`);
  const close = next<CloseEvent>(socket, "close");
  socket.terminate();
  await close;
});
