import { assertEquals } from "@std/assert";
import { Topics } from "../../topics.ts";
import { turns } from "../../transport/turns.ts";
import { opened, turn } from "../websocket/network.ts";

/** More than one step of a round. */
const MANY = 40;

const text = (payload: Uint8Array) => new TextDecoder().decode(payload);

/** Resolves when nothing waits for its turn. */
async function done(): Promise<void> {
  while (turns.size > 0) await turn();
}

Deno.test("Topics writes a publication to many in one write for each, and what waited together", async () => {
  const topics = new Topics();
  const sockets = Array.from({ length: MANY }, () => opened({ idleTimeout: 0 }));
  for (const { socket, network } of sockets) {
    network.takes = false;
    topics.subscribe(socket, "x");
  }
  assertEquals(topics.publish("x", "first"), MANY);
  topics.publish("x", "second");
  await done();
  for (const { socket, network } of sockets) {
    assertEquals([network.isWriting, socket.bufferedAmount], [true, 11]);
    network.take();
    assertEquals([network.isWriting, socket.bufferedAmount], [false, 0]);
    assertEquals(network.frames.map(({ payload }) => text(payload)), ["first", "second"]);
  }
  await topics.close();
});

Deno.test("Topics sends a publication to many after what each was sent before, also a Blob", async () => {
  const topics = new Topics();
  const blob = new Blob(["before"]);
  const isRead = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
  blob.bytes = () => isRead.promise;
  const sockets = Array.from({ length: MANY }, () => opened({ idleTimeout: 0 }));
  for (const [at, { socket }] of sockets.entries()) {
    topics.subscribe(socket, "x");
    socket.send(at % 2 === 0 ? blob : "before");
  }
  topics.publish("x", "after");
  await done();
  isRead.resolve(new TextEncoder().encode("before"));
  for (const { network } of sockets) {
    while (network.frames.length < 2) await turn();
    assertEquals(network.frames.map(({ payload }) => text(payload)), ["before", "after"]);
  }
  await topics.close();
});

Deno.test("Topics writes a publication longer than one write, and compressed, whole to many", async () => {
  const topics = new Topics();
  const plain = Array.from({ length: MANY }, () => opened({ idleTimeout: 0 }));
  const compressed = Array.from(
    { length: MANY },
    () => opened({ idleTimeout: 0 }, { compressed: true }),
  );
  for (const { socket } of [...plain, ...compressed]) topics.subscribe(socket, "x");
  const message = "a long message ".repeat(20_000);
  topics.publish("x", message);
  await done();
  for (const { network } of plain) assertEquals(text(network.frames[0]!.payload), message);
  const [first, ...others] = compressed.map(({ network }) => network.frames[0]!.payload);
  assertEquals(first!.length < message.length / 20, true);
  for (const payload of others) assertEquals(payload, first);
  await topics.close();
});
