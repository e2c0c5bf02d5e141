/** `examples/feed/`, with connections that are lost in the middle. */

import { assert, assertEquals } from "@std/assert";
import { follow } from "../../examples/feed/client.ts";
import {
  certificatesFolder,
  developmentCertificates,
  freePort,
  handshake,
  listeningPort,
  Program,
  RawPeer,
  RUNNABLE,
} from "../programs.ts";
import { next, opened } from "../websocket/peers.ts";
import { Relay } from "./relay.ts";

Deno.test({
  name: "examples/feed/ says what to do, and its client prints the entries, each in a line",
  ignore: !RUNNABLE,
  async fn() {
    await using folder = await certificatesFolder();
    const cwd = folder.path;
    const { ca } = await developmentCertificates();
    const port = freePort();
    await using client = Program.task("example:feed:client", [`${port}`], { cwd });
    const lost = 'Cannot connect to "localhost": connection refused, connecting anew';
    assertEquals(await client.stderr.next(), lost);
    await using program = Program.task("example:feed", [`${port}`], { cwd });
    const url = /https:.*$/.exec(await program.stdout.next())![0];
    using http = Deno.createHttpClient({ caCerts: [ca] });
    const help = await (await fetch(url, { client: http })).text();
    assert(help.includes(`${url}feed\n`), help);
    assert(help.includes(`deno task example:feed:client ${port}\n`), help);
    for (const [path, status] of [["feed", 201], ["", 404]] as const) {
      const response = await fetch(url + path, { method: "POST", body: "hi", client: http });
      assertEquals([response.status, await response.text() === "1\n"], [status, status === 201]);
    }
    assertEquals(await client.stdout.next(), '{"number":1,"text":"hi"}');
  },
});

Deno.test({
  name: "examples/feed/ ends a WebSocket that sends something, and says how entries are added",
  ignore: !RUNNABLE,
  async fn() {
    await using folder = await certificatesFolder();
    const { ca } = await developmentCertificates();
    await using program = Program.task("example:feed", ["0"], { cwd: folder.path });
    const port = await listeningPort(program);
    const socket = await opened(`wss://127.0.0.1:${port}/feed`, { caCerts: [ca] });
    socket.send("an entry");
    const { code, reason } = await next<CloseEvent>(socket, "close");
    assertEquals([code, reason], [1008, "Entries are added by POST"]);
  },
});

Deno.test({
  name: "examples/feed/ catches up after a reconnect, with each entry once and in order",
  ignore: !RUNNABLE,
  async fn() {
    await using folder = await certificatesFolder();
    const { ca } = await developmentCertificates();
    await using program = Program.task("example:feed", ["0"], { cwd: folder.path });
    const port = await listeningPort(program);
    using client = Deno.createHttpClient({ caCerts: [ca] });
    const url = `https://127.0.0.1:${port}/feed`;
    const add = async (body: string) => {
      const response = await fetch(url, { method: "POST", body, client });
      await response.body?.cancel();
      return response.status;
    };
    assertEquals([await add("1"), await add("2"), await add("")], [201, 201, 400]);
    assertEquals(await add("x".repeat(1001)), 413);

    // Between the client and the server, to cut connections off.
    await using relay = new Relay(port);
    const stop = new AbortController();
    const feed = follow(`wss://127.0.0.1:${relay.port}/feed`, stop.signal, { caCerts: [ca] });
    const next = async (count: number) => {
      const texts: string[] = [];
      while (texts.length < count) texts.push((await feed.next()).value.text);
      return texts;
    };
    assertEquals(await next(2), ["1", "2"]);
    for (let round = 0; round < 3; round++) {
      relay.cut();
      const texts = ["a", "b", "c"].map((name) => `${name}${round}`);
      for (const text of texts) await add(text);
      assertEquals(await next(3), texts);
    }
    // More than are kept: it goes on with what there is.
    relay.cut();
    for (let i = 0; i < 1001; i++) await add(`${i}`);
    assertEquals((await next(1000)).at(-1), "1000");
    stop.abort();
    assertEquals((await feed.next()).done, true);

    using raw = await RawPeer.connect(port);
    assertEquals((await raw.request(handshake("/feed?after=-1"))).status, 400);
  },
});
