import { assertEquals, assertMatch } from "@std/assert";
import { wsconnect } from "@nats-io/nats-core";
import { WebSocket } from "../../../mod.ts";
import { Folder, Program, RUNNABLE } from "../../programs.ts";
import { succeeds } from "../peer.ts";

/** Debian's, in a folder that not every PATH has. */
const NATS_SERVER = "/usr/sbin/nats-server";

Deno.test({
  name: "WebSocket carries NATS, with Debian's nats-server",
  ignore: !RUNNABLE || !await succeeds(NATS_SERVER, ["--version"]),
  async fn() {
    await using folder = new Folder();
    await Deno.writeTextFile(
      `${folder.path}/nats.conf`,
      `listen: "127.0.0.1:-1"
      websocket { listen: "127.0.0.1:-1", no_tls: true, compression: true }`,
    );
    await using nats = new Program(NATS_SERVER, ["-c", "nats.conf"], { cwd: folder.path });
    const line = await nats.stderr.match(/Listening for websocket clients on/);
    const [url] = /ws:\/\/\S+/.exec(line)!;

    const sockets: WebSocket[] = [];
    const connection = await wsconnect({
      servers: url,
      wsFactory(url) {
        const socket = new WebSocket(url);
        sockets.push(socket);
        return Promise.resolve({ socket, encrypted: url.startsWith("wss:") });
      },
    });
    const echo = connection.subscribe("echo", {
      callback: (_, message) => void message.respond(message.data),
    });
    const text = "hello ".repeat(1000);
    assertEquals((await connection.request("echo", text)).string(), text);
    assertEquals(
      (await connection.request("echo", new Uint8Array(1000).fill(7))).data,
      new Uint8Array(1000).fill(7),
    );
    assertMatch(sockets[0]!.extensions, /^permessage-deflate/);
    echo.unsubscribe();

    const closed = new Promise((resolve) => sockets[0]!.addEventListener("close", resolve));
    await connection.drain();
    await closed;
  },
});
