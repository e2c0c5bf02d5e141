/** `server.ts --mode=broadcast`, as its users run it. */

import { assertEquals, assertMatch } from "@std/assert";
import {
  certificatesFolder,
  handshake,
  onEachTransport,
  Peer,
  RawPeer,
  startServer,
  stop,
} from "./programs.ts";

const BROADCAST = ["--mode=broadcast", "--log-format=json"];

type Server = Awaited<ReturnType<typeof startServer>>;

/** Somebody who has joined a room, and the record of the log that says so. */
async function join(server: Server, room: string) {
  const peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws${room}`);
  const line = await server.program.stdout.match(/"event":"joined"/);
  return { peer, record: JSON.parse(line).properties };
}

/** The answer to a request on a connection of its own. */
async function ask(server: Server, request: string) {
  using raw = await RawPeer.connect(server.port);
  return await raw.request(request);
}

onEachTransport(
  "server.ts --mode=broadcast sends a message to the others in its room, in its type",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    await using server = await startServer([...flags, ...BROADCAST], { cwd: folder.path });
    const { peer: one, record } = await join(server, "/caf%C3%A9");
    await using _one = one;
    assertEquals([record.room, record.event], ["café", "joined"]);
    await using two = (await join(server, "/caf%c3%a9")).peer;
    await using three = (await join(server, "/caf%C3%A9")).peer;
    await using other = (await join(server, "")).peer;
    const long = "ação 🎉 ".repeat(20_000);
    const messages = ["texto", "", long, new Uint8Array([0, 255]), new Uint8Array()];
    for (const message of messages) one.socket.send(message);
    for (const message of messages) {
      assertEquals(await two.next(), message);
      assertEquals(await three.next(), message);
    }
    // What its sender gets first is what another sends later: not its own.
    two.socket.send("resposta");
    assertEquals(await one.next(), "resposta");
    other.socket.send("?");

    for (const path of ["/ws/", "/ws/a/b", `/ws/${"x".repeat(81)}`, "/other"]) {
      assertEquals((await ask(server, handshake(path))).status, 404, path);
    }
    assertEquals((await ask(server, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")).status, 200);
    const { code, stdout, stderr } = await stop(server);
    assertEquals([code, stderr], [0, []]);
    const records = stdout.map((line) => JSON.parse(line).properties);
    const counts = (event: string) => records.filter((record) => record.event === event);
    assertEquals(counts("left").length, 4);
    assertEquals(counts("sent"), []);
    assertEquals(counts("published").map(({ room, count }) => [room, count]), [
      ...messages.map(() => ["café", 2]),
      ["café", 2],
      ["", 0],
    ]);
  },
);

onEachTransport("server.ts --history sends the latest messages to who joins", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer([...flags, ...BROADCAST, "--history=2"], {
    cwd: folder.path,
  });
  {
    await using first = (await join(server, "/a")).peer;
    for (const message of ["1", "2", new Uint8Array([3])]) {
      first.socket.send(message);
      await server.program.stdout.match(/"event":"published"/);
    }
  }
  await using second = (await join(server, "/a")).peer;
  assertEquals([await second.next(), await second.next()], ["2", new Uint8Array([3])]);
});

onEachTransport("server.ts --max-rooms refuses one more room with 503", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer([...flags, ...BROADCAST, "--max-rooms=1"], {
    cwd: folder.path,
  });
  {
    await using _one = (await join(server, "/a")).peer;
    await using _two = (await join(server, "/a")).peer;
    const { status, headers, body } = await ask(server, handshake("/ws/b"));
    assertEquals([status, headers.get("Retry-After")], [503, "5"]);
    assertMatch(body, /the limit of rooms \(--max-rooms\) is reached\.$/m);
  }
  for (let i = 0; i < 2; i++) await server.program.stdout.match(/"event":"left"/);
  await using _three = (await join(server, "/b")).peer;
});

onEachTransport(
  "server.ts --max-rooms counts nobody who left before the handshake was over",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    await using server = await startServer([...flags, ...BROADCAST, "--max-rooms=1"], {
      cwd: folder.path,
    });
    for (let i = 0; i < 20; i++) {
      using raw = await RawPeer.connect(server.port);
      await raw.write(handshake(`/ws/${i}`));
    }
    // Sooner or later all have been noticed.
    while ((await ask(server, handshake("/ws/a"))).status === 503);
  },
);

onEachTransport(
  "server.ts --mode=broadcast joins the rooms of all its workers",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    await using server = await startServer(
      [...flags, ...BROADCAST, "--workers=2", "--history=1"],
      { cwd: folder.path },
    );
    await using stack = new AsyncDisposableStack();
    const first = stack.use((await join(server, "/a")).peer);
    first.socket.send("kept");
    await server.program.stdout.match(/"event":"published"/);
    const workers = new Set<number>();
    const peers: Peer[] = [];
    // The kernel chooses: sooner or later both have been chosen.
    while (workers.size < 2) {
      const { peer, record } = await join(server, "/a");
      peers.push(stack.use(peer));
      workers.add(record.worker);
      // Also the worker that nobody has been in before knows it.
      assertEquals(await peer.next(), "kept");
    }
    first.socket.send("to all");
    for (const peer of peers) assertEquals(await peer.next(), "to all");
  },
  () => Deno.build.os === "linux",
);
