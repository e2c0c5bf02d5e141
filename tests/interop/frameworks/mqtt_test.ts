import { assertEquals, assertMatch } from "@std/assert";
import { Duplex } from "node:stream";
import { serve, upgradeWebSocket, WebSocket } from "../../../mod.ts";
import { Folder, Program, RUNNABLE } from "../../programs.ts";
import { succeeds } from "../peer.ts";

/** Subscribes, publishes and receives by the package mqtt; returns the socket that it did so by. */
async function exchange(url: string): Promise<WebSocket> {
  const { default: mqtt } = await import("mqtt");
  const sockets: WebSocket[] = [];
  const client = await mqtt.connectAsync(url, {
    forceNativeWebSocket: true,
    createWebsocket(url: string, protocols: string[]) {
      const socket = new WebSocket(url, protocols);
      sockets.push(socket);
      return socket;
    },
  });
  const received = new Promise<[string, Uint8Array]>((resolve) =>
    client.on("message", (topic, payload) => resolve([topic, payload]))
  );
  await client.subscribeAsync("room/1", { qos: 1 });
  await client.publishAsync("room/1", "hello ".repeat(1000), { qos: 1 });
  const [topic, payload] = await received;
  assertEquals([topic, new TextDecoder().decode(payload)], ["room/1", "hello ".repeat(1000)]);
  const closed = new Promise((resolve) => sockets[0]!.addEventListener("close", resolve));
  await client.endAsync();
  await closed;
  return sockets[0]!;
}

Deno.test({
  name: "WebSocket and upgradeWebSocket() carry mqtt, with the broker aedes",
  ignore: !RUNNABLE,
  async fn() {
    const { Aedes } = await import("aedes");
    const broker = await Aedes.createBroker();
    await using server = serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
      const { socket, response } = upgradeWebSocket(request, { protocol: "mqtt" });
      // The types of Deno's streams and of Node's differ.
      broker.handle(Duplex.fromWeb(socket as never));
      return response;
    });
    const socket = await exchange(`ws://127.0.0.1:${server.addr.port}/mqtt`);
    assertMatch(socket.extensions, /^permessage-deflate/);
    assertEquals(socket.protocol, "mqtt");
    await new Promise<void>((resolve) => broker.close(resolve));
  },
});

/** Debian's, in a folder that not every PATH has. */
const MOSQUITTO = "/usr/sbin/mosquitto";

Deno.test({
  name: "WebSocket carries mqtt, with Debian's mosquitto, which does not compress",
  ignore: !RUNNABLE || !await succeeds("test", ["-x", MOSQUITTO]),
  async fn() {
    // It takes no port 0, and opens the port that is free now.
    const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = free.addr as Deno.NetAddr;
    free.close();
    await using folder = new Folder();
    // Version 2.0.11 ends if all that it listens on is WebSocket: hence the socket in the folder.
    await Deno.writeTextFile(
      `${folder.path}/mosquitto.conf`,
      [
        ...["listener 0 mqtt.sock", `listener ${port} 127.0.0.1`, "protocol websockets"],
        ...["user root", "allow_anonymous true"],
      ].map((line) => `${line}\n`).join(""),
    );
    await using broker = new Program(MOSQUITTO, ["-c", "mosquitto.conf"], { cwd: folder.path });
    await broker.stderr.match(/ running$/);
    const socket = await exchange(`ws://127.0.0.1:${port}/mqtt`);
    assertEquals([socket.extensions, socket.protocol], ["", "mqtt"]);
  },
});
