/**
 * A peer that reads slowly is alive: what it is asked waits behind what it has not read.
 */

import { assert, assertEquals } from "@std/assert";
import { onEachWay } from "../transport/ends.ts";
import { Unread } from "../../transport/patience.ts";
import { frame, PING, PONG } from "../protocol/driver.ts";
import { acceptSockets, next, RawClient } from "./peers.ts";
import { opened, turn } from "./network.ts";

Deno.test("Unread waits as long as a peer of 8 KiB a second needs, for 4 MiB at most", () => {
  const unread = new Unread();
  assertEquals(unread.wait(), 0);
  unread.wrote(80 * 1024);
  const wait = unread.wait();
  assert(wait > 9_000 && wait <= 10_000, `${wait} ms`);
  unread.wrote(1024 ** 3);
  assert(unread.wait() <= 512_000);
});

Deno.test("Liveness keeps a peer whose ping waits behind what it has not read", async () => {
  const { socket, network } = opened({ idleTimeout: 0.15 });
  // The network takes it at once; at 8 KiB a second, half a second passes before the ping is read.
  socket.send(new Uint8Array(4096));
  const asked = () => network.frames.some(({ opcode }) => opcode === PING);
  while (!asked()) await turn();
  await new Promise((resolve) => setTimeout(resolve, 250));
  assertEquals(socket.readyState, socket.OPEN);
  network.arrive(frame("server", PONG));
  const close = next<CloseEvent>(socket, "close");
  // Now it is silent, and given up all the same.
  assertEquals((await close).code, 1006);
});

onEachWay(
  "Liveness keeps a peer that reads 30 KB slowly, and gives up one that does not",
  async () => {
    for (const reads of [true, false]) {
      const closed = Promise.withResolvers<CloseEvent>();
      const size = 30_000;
      await using server = acceptSockets((socket) => {
        socket.onopen = () => socket.send(new Uint8Array(size));
        socket.onclose = closed.resolve;
      }, { idleTimeout: 0.3, compression: false });
      using client = await RawClient.open(server.addr.port);
      if (reads) {
        for (let read = 0; read + 1002 <= size; read += 1002) {
          assertEquals((await client.bytes(1002)).length > 0, true);
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        await client.write(new Uint8Array([0x88, 0x80, 0, 0, 0, 0]));
        assertEquals((await closed.promise).code, 1005);
      } else {
        assertEquals((await closed.promise).code, 1006);
      }
    }
  },
);

Deno.test("Session waits for the Close of a peer that has much to read before ours", async () => {
  const { session, socket, network } = opened();
  // 24 seconds at 8 KiB a second, beside the ten that every peer has.
  socket.send(new Uint8Array(192 * 1024));
  const timers: number[] = [];
  const { setTimeout: real } = globalThis;
  globalThis.setTimeout = ((run: () => void, ms: number) => {
    timers.push(ms);
    return real(run, ms);
  }) as typeof setTimeout;
  try {
    socket.close(1000);
    await turn();
  } finally {
    globalThis.setTimeout = real;
  }
  const longest = Math.max(...timers);
  assert(longest > 33_000 && longest <= 34_100, `${longest} ms`);
  network.destroy();
  await session.ended;
});
