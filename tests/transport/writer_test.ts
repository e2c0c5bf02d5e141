import { assert, assertEquals } from "@std/assert";
import type { Connection } from "../../transport/connection.ts";
import { Protocol } from "../../protocol/protocol.ts";
import { Writer } from "../../transport/writer.ts";
import { concat } from "../protocol/driver.ts";

/** A connection whose writes wait until they are answered. */
class SlowConnection implements Connection {
  readonly remoteAddr = { transport: "tcp" as const, hostname: "127.0.0.1", port: 1 };
  written: Uint8Array[] = [];
  #pending: PromiseWithResolvers<number> | undefined;
  #offered = 0;

  read(): Promise<null> {
    return Promise.resolve(null);
  }
  write(from: Uint8Array): Promise<number> {
    assertEquals(this.#pending, undefined, "one write at a time");
    this.#pending = Promise.withResolvers();
    this.#offered = from.length;
    this.written.push(from.slice());
    return this.#pending.promise;
  }
  closeWrite(): Promise<void> {
    return Promise.resolve();
  }
  close(): void {}

  get waiting(): boolean {
    return this.#pending !== undefined;
  }
  /** Takes so many bytes of what is offered, or all. */
  async take(count?: number): Promise<void> {
    const last = this.written.at(-1)!;
    this.written[this.written.length - 1] = last.subarray(0, count);
    const pending = this.#pending!;
    this.#pending = undefined;
    pending.resolve(count ?? this.#offered);
    await pending.promise;
  }
  async fail(error: unknown): Promise<void> {
    const pending = this.#pending!;
    this.#pending = undefined;
    pending.reject(error);
    await pending.promise.catch(() => {});
  }
}

function setUp() {
  const connection = new SlowConnection();
  const protocol = new Protocol({ role: "server", maxMessageSize: 1000, pongs: 100 });
  const seen: unknown[] = [];
  const writer = new Writer(
    connection,
    protocol,
    () => seen.push("drained"),
    (error) => seen.push(error),
  );
  const send = (text: string) => writer.queued(protocol.send(text, false));
  return { connection, protocol, writer, seen, send };
}

Deno.test("Writer writes all that there is at once, and what is added meanwhile with the next", async () => {
  const { connection, writer, seen, send } = setUp();
  writer.flush();
  assertEquals([writer.busy, connection.waiting], [false, false]);
  send("a");
  send("bc");
  writer.flush();
  send("d");
  writer.flush();
  assertEquals([writer.busy, writer.bufferedAmount, writer.unsent], [true, 4, 10]);
  await connection.take();
  assertEquals([writer.busy, writer.bufferedAmount, writer.unsent], [true, 1, 3]);
  assertEquals(seen, []);
  await connection.take();
  assertEquals([writer.busy, writer.bufferedAmount, writer.unsent], [false, 0, 0]);
  assertEquals(seen, ["drained"]);
  assertEquals(connection.written, [
    Uint8Array.of(0x81, 1, 97, 0x81, 2, 98, 99),
    Uint8Array.of(0x81, 1, 100),
  ]);
});

Deno.test("Writer goes on where the network stopped, and counts that as a sign of life", async () => {
  const { connection, writer, send } = setUp();
  send("abcdef");
  writer.flush();
  await connection.take(3);
  assertEquals([writer.busy, writer.takenInParts], [true, 1]);
  await connection.take(4);
  await connection.take();
  assertEquals([writer.busy, writer.takenInParts], [false, 2]);
  assertEquals(concat(...connection.written), Uint8Array.of(0x81, 6, 97, 98, 99, 100, 101, 102));
});

Deno.test("Writer.flushed resolves when all is written, at once where nothing is", async () => {
  const { connection, writer, send } = setUp();
  await writer.flushed();
  send("a");
  let flushed = false;
  const waiting = Promise.all([writer.flushed(), writer.flushed()]).then(() => flushed = true);
  send("b");
  await connection.take();
  assertEquals(flushed, false);
  await connection.take();
  await waiting;
  assertEquals(writer.unsent, 0);
});

Deno.test("Writer.flushed resolves once no more is unsent than it is told", async () => {
  const { connection, writer, send } = setUp();
  send("a long message");
  const flushed = writer.flushed(3);
  send("b");
  assertEquals(writer.unsent, 19);
  await connection.take();
  await flushed;
  assertEquals([writer.unsent, writer.busy], [3, true]);
  await connection.take();
});

Deno.test("Writer.flushed writes what is added when all was written", async () => {
  const { connection, protocol } = setUp();
  const added = [..."b"];
  const writer: Writer = new Writer(
    connection,
    protocol,
    () => added.splice(0).forEach((text) => writer.queued(protocol.send(text, false))),
    () => {},
  );
  writer.queued(protocol.send("a", false));
  const flushed = writer.flushed();
  await connection.take();
  await Promise.resolve();
  assert(connection.waiting);
  await connection.take();
  await flushed;
  assertEquals([writer.unsent, connection.written.length], [0, 2]);
});

Deno.test("Writer tells of a write that fails, and writes no more", async () => {
  const { connection, writer, seen, send } = setUp();
  send("a");
  const flushed = writer.flushed();
  const error = new Error("broken");
  await connection.fail(error);
  await flushed;
  assertEquals(seen, [error]);
  send("b");
  writer.flush();
  await writer.flushed();
  assert(!connection.waiting);
  assertEquals(connection.written.length, 1);
});
