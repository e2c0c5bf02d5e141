/**
 * What a connection promises, over each network, by the native handle and by the public stream.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { granted } from "../programs.ts";
import {
  connectionFrom,
  dialOptions,
  End,
  heldSockets,
  listen,
  onEachNetwork,
  onEachWay,
  Pair,
} from "./ends.ts";
import { pattern, portOf, reported } from "./ends.ts";
import { dial } from "../../transport/dial.ts";

const SIZES = [1, 2, 125, 16_384, 65_535, 65_536, 65_537, 300_000, 3_000_000];

onEachNetwork(
  "Connection carries bytes of all sizes both ways, unchanged and in order",
  async (network) => {
    await using pair = await Pair.open(network);
    const { client, server } = pair;
    const sent = pattern(SIZES.reduce((sum, size) => sum + size));
    const write = async (end: End) => {
      let at = 0;
      for (const size of SIZES) await end.write(sent.subarray(at, at += size));
    };
    const [atServer, atClient] = await Promise.all([
      server.read(sent.length),
      client.read(sent.length),
      write(client),
      write(server),
    ]);
    assert(atServer.every((byte, i) => byte === sent[i]));
    assert(atClient.every((byte, i) => byte === sent[i]));
    assertEquals([client.count, server.count], [sent.length, sent.length]);
  },
);

onEachNetwork("Connection.pause() stops the peer, and resume() loses nothing", async (network) => {
  await using pair = await Pair.open(network);
  const { client, server } = pair;
  server.before.onBytes = () => {
    server.connection.pause();
    server.before = {};
  };
  // More than the buffers of both systems and of TLS hold together.
  const MOST = 64;
  const part = pattern(1024 * 1024);
  let taken = 0;
  let isPending = true;
  const write = async () => {
    for (; taken < MOST; taken++) await client.write(part);
    isPending = false;
  };
  const writing = write();
  await server.read(1);

  // Nothing moves any more once another connection has had this many exchanges without a change.
  await using other = await Pair.open(network);
  for (let seen = -1; seen !== taken + server.count;) {
    seen = taken + server.count;
    for (let exchange = 0; exchange < 100; exchange++) {
      await Promise.all([other.client.write(part.subarray(0, 99)), other.server.read(99)]);
    }
  }
  assert(isPending, "The peer sent all, though nobody read");
  assert(taken < 32, `${taken} MiB were taken, though nobody read`);
  assert(server.count <= 1024 * 1024, `${server.count} bytes came though it was paused`);
  const written = client.calls.length;

  server.connection.resume();
  await writing;
  for (let i = 0; i < MOST; i++) {
    const came = await server.read(i === 0 ? part.length - 1 : part.length);
    assertEquals(Math.abs(came.at(-1)! - part.at(-1)!), 0);
    assertEquals(came.length, i === 0 ? part.length - 1 : part.length);
  }
  assertEquals(server.count, MOST * part.length);
  assert(client.calls.length > written, "The write that was pending is told of");
});

onEachNetwork(
  "Connection.write() that is pending is told of once, by onWritten",
  async (network) => {
    await using pair = await Pair.open(network, false);
    const { client, server } = pair;
    const bytes = pattern(16 * 1024 * 1024);
    assertEquals(client.connection.write(bytes), false);
    assertEquals(client.calls, []);
    server.connection.resume();
    await client.written;
    const came = await server.read(bytes.length);
    assert(came.every((byte, i) => byte === bytes[i]));
    assertEquals(client.calls, ["written"]);
  },
);

onEachNetwork("Connection.end() ends one side, and the other goes on", async (network) => {
  for (const [first, second] of [["client", "server"], ["server", "client"]] as const) {
    await using pair = await Pair.open(network);
    const [one, other] = [pair[first], pair[second]];
    await one.write(pattern(10));
    one.connection.end();
    await other.ended;
    assertEquals((await other.read(11)).length, 10);
    const bytes = pattern(2_000_000);
    const [came] = await Promise.all([one.read(bytes.length), other.write(bytes)]);
    assert(came.every((byte, i) => byte === bytes[i]));
    assertEquals(one.calls.includes("end"), false);
    other.connection.end();
    await one.ended;
    for (const { connection, closed } of [one, other]) {
      connection.destroy();
      await closed;
    }
    assertEquals(one.calls.slice(-2), ["end", "close"]);
    assertEquals(other.calls.filter((call) => call === "end" || call === "close"), [
      "end",
      "close",
    ]);
    assertEquals([one.error, other.error], [undefined, undefined]);
  }
});

onEachNetwork(
  "Connection.end() while a write is pending comes after its bytes",
  async (network) => {
    await using pair = await Pair.open(network, false);
    const { client, server } = pair;
    const bytes = pattern(16 * 1024 * 1024);
    assertEquals(client.connection.write(bytes), false);
    client.connection.end();
    server.connection.resume();
    await server.ended;
    assertEquals(server.count, bytes.length);
    assertEquals(client.calls, ["written"]);
  },
);

onEachNetwork("Connection.destroy() in any call is followed by onClose alone", async (network) => {
  for (const call of ["onBytes", "onEnd", "onWritten"] as const) {
    await using pair = await Pair.open(network);
    const { client, server } = pair;
    client.before[call] = () => client.connection.destroy();
    const isWritten = call === "onWritten";
    if (isWritten) {
      server.connection.pause();
      if (!client.connection.write(pattern(16 * 1024 * 1024))) server.connection.resume();
    } else {
      await server.write(pattern(100));
      if (call === "onEnd") server.connection.end();
    }
    await client.closed;
    const expected = { onBytes: "bytes", onEnd: "end", onWritten: "written" }[call];
    assertEquals(client.calls.slice(-2), [expected, "close"], call);
    assertEquals(client.error, undefined);
    // The other side is told, in one way or the other.
    await Promise.race([server.ended, server.closed]);
    // What is destroyed is not brought back by any call.
    client.connection.resume();
    client.connection.pause();
    client.connection.end();
    client.connection.destroy();
    assertEquals(client.connection.write(pattern(1)), false);
    assertEquals(client.calls.at(-1), "close");
  }
});

onEachNetwork("Connection.destroy() in the middle of a write lets go of it", async (network) => {
  await using pair = await Pair.open(network, false);
  const { client, server } = pair;
  assertEquals(client.connection.write(pattern(16 * 1024 * 1024)), false);
  client.connection.destroy();
  await client.closed;
  assertEquals(client.calls, ["close"]);
  server.connection.resume();
  await Promise.race([server.ended, server.closed]);
});

onEachNetwork("Receiver that throws ends its own connection, and no other", async (network) => {
  await using other = await Pair.open(network);
  for (const call of ["onBytes", "onEnd", "onWritten", "onClose"] as const) {
    const errors = await reported(async () => {
      await using pair = await Pair.open(network);
      const { client, server } = pair;
      client.before[call] = () => {
        throw new Error(`Broken ${call}`);
      };
      if (call === "onWritten") {
        server.connection.pause();
        if (!client.connection.write(pattern(16 * 1024 * 1024))) server.connection.resume();
      } else if (call === "onClose") {
        client.connection.destroy();
      } else {
        await server.write(pattern(100));
        if (call === "onEnd") server.connection.end();
      }
      await client.closed;
    });
    assertEquals(errors, [`Error: Broken ${call}`]);
  }
  await other.client.write(pattern(100));
  assertEquals(await other.server.read(100), pattern(100));
});

onEachWay(
  "Connection that the peer resets is closed once, with an error if a write was pending",
  async () => {
    for (const writes of [false, true]) {
      const end = new End();
      const done = Promise.withResolvers<void>();
      using listener = listen(async (incoming) => {
        end.connection = (await connectionFrom(incoming, end))!;
        // Deno tells a reset as the peer's end to those who read.
        if (!writes) end.before.onEnd = () => end.connection.destroy();
        end.before.onBroken = () => end.connection.destroy();
        end.connection.write(pattern(writes ? 16 * 1024 * 1024 : 1000));
        end.connection.resume();
        await incoming.closed;
        done.resolve();
      });
      const peer = await Deno.connect({ hostname: "127.0.0.1", port: portOf(listener) });
      // Closed with input that was not read, TCP resets the connection.
      await peer.read(new Uint8Array(1));
      peer.close();
      await done.promise;
      await end.closed;
      assertEquals(end.calls.filter((call) => call === "close").length, 1);
      assertEquals(end.calls.at(-1), "close");
      assertEquals(end.error instanceof Error, writes);
      if (writes) assertMatch((end.error as Error).message, /\b(?:ECONNRESET|EPIPE)$/);
    }
  },
);

onEachWay(
  "Connection.receiver is told of the end when the descriptor is given back",
  async () => {
    for (const network of ["TCP", "TLS"] as const) {
      for (const how of ["destroy", "peer"] as const) {
        await using pair = await Pair.open(network);
        const { client, server } = pair;
        // Other connections of the machine may have the same local port.
        const { port } = server.connection.remoteAddr as Deno.NetAddr;
        const { port: remote } = client.connection.remoteAddr as Deno.NetAddr;
        assertEquals(heldSockets(port, remote), 1);
        let held = -1;
        client.before.onClose = () => held = heldSockets(port, remote);
        if (how === "peer") {
          client.before.onEnd = () => client.connection.destroy();
          server.connection.destroy();
        } else {
          client.connection.destroy();
        }
        await client.closed;
        assertEquals(held, 0);
      }
    }
  },
  Deno.build.os !== "linux" || !await granted("run"),
);

onEachWay(
  "Connection has no delay over TLS: 64 KiB are echoed without waiting for the peer",
  async () => {
    await using pair = await Pair.open("TLS");
    const { client, server } = pair;
    const bytes = pattern(65_536);
    const times: number[] = [];
    for (let exchange = 0; exchange < 60; exchange++) {
      const begin = performance.now();
      await Promise.all([client.write(bytes), server.read(bytes.length)]);
      await Promise.all([server.write(bytes), client.read(bytes.length)]);
      times.push(performance.now() - begin);
    }
    // A delayed acknowledgement takes 40 ms, and would be waited for in nearly every exchange.
    const median = times.sort((a, b) => a - b)[30]!;
    assert(median < 30, `${median} ms`);
  },
);

onEachNetwork("Connection gives what a server sends first, in many parts", async (network) => {
  await using pair = await Pair.open(network, false);
  const { client, server } = pair;
  for (let part = 0; part < 10; part++) await server.write(pattern(1000));
  client.connection.resume();
  const all = await client.read(10_000);
  for (let at = 0; at < 10_000; at += 1000) {
    assertEquals(all.subarray(at, at + 1000), pattern(1000));
  }
});

onEachWay("Connection.remoteAddr is the peer's", async () => {
  for (const network of ["TCP", "TLS"] as const) {
    await using pair = await Pair.open(network);
    const { remoteAddr } = pair.server.connection;
    assertEquals(remoteAddr, pair.incoming.remoteAddr);
    const { hostname, transport } = remoteAddr as Deno.NetAddr;
    assertEquals([transport, hostname], ["tcp", "127.0.0.1"]);
    assertEquals((pair.client.connection.remoteAddr as Deno.NetAddr).hostname, "127.0.0.1");
  }
});

onEachWay("dial() hears a server that speaks before it listens", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const serving = (async () => {
    using peer = await listener.accept();
    await peer.write(new TextEncoder().encode("hello"));
    await peer.read(new Uint8Array(1));
  })();
  const end = new End();
  end.connection = await dial(new URL(`ws://127.0.0.1:${port}/`), await dialOptions(), end);
  end.connection.resume();
  assertEquals(new TextDecoder().decode(await end.read(5)), "hello");
  end.connection.destroy();
  await end.closed;
  await serving;
  listener.close();
});
