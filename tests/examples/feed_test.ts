/** `examples/feed/`, with connections that are lost in the middle. */

import { assertEquals } from "@std/assert";
import { follow } from "../../examples/feed/client.ts";
import {
  certificatesFolder,
  developmentCertificates,
  handshake,
  Program,
  RawPeer,
  RUNNABLE,
} from "../programs.ts";
import { Relay } from "./relay.ts";

Deno.test({
  name: "examples/feed/ catches up after a reconnect, with each entry once and in order",
  ignore: !RUNNABLE,
  async fn() {
    await using folder = await certificatesFolder();
    const { ca } = await developmentCertificates();
    await using program = Program.task("example:feed", ["0"], { cwd: folder.path });
    const port = Number(/:(\d+)\/$/.exec(await program.stdout.next())![1]);
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
