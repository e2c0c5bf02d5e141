import { assertEquals } from "@std/assert";
import { serve, upgradeWebSocket } from "../../../mod.ts";
import { RUNNABLE } from "../../programs.ts";
import { assertEchoes, closed, next, opened } from "../../websocket/peers.ts";

/** An app of h3, with an endpoint of crossws that says the events it has. */
async function makeApp(said: string[]) {
  const { defineWebSocketHandler, H3 } = await import("h3");
  const app = new H3();
  app.get("/plain", () => "plain");
  app.get(
    "/ws",
    defineWebSocketHandler({
      open: (peer) => void peer.send("welcome"),
      message: (peer, { rawData }) => void peer.send(rawData),
      close: () => void said.push("close"),
    }),
  );
  return app;
}

async function exchange(port: number): Promise<void> {
  const plain = await fetch(`http://127.0.0.1:${port}/plain`);
  assertEquals(await plain.text(), "plain");
  const socket = await opened(`ws://127.0.0.1:${port}/ws`);
  assertEquals((await next(socket, "message")).data, "welcome");
  await assertEchoes(socket);
  await closed(socket);
}

/** A test with members of `Deno` replaced, as a user's program has them from its start. */
function test(name: string, members: Record<string, unknown>, body: () => Promise<void>): void {
  Deno.test({
    name,
    ignore: !RUNNABLE,
    async fn() {
      const { serve, upgradeWebSocket } = Deno;
      Object.assign(Deno, members);
      try {
        await body();
      } finally {
        Object.assign(Deno, { serve, upgradeWebSocket });
      }
    },
  });
}

test("serve() serves h3 by crossws's adapter for Deno", { upgradeWebSocket }, async () => {
  const { default: crossws } = await import("crossws/adapters/deno");
  const said: string[] = [];
  const app = await makeApp(said);
  const sockets = crossws({
    resolve: async (request) => Reflect.get(await app.fetch(request), "crossws"),
  });
  const server = serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request, info) =>
      request.headers.get("upgrade") === "websocket"
        ? sockets.handleUpgrade(request, info)
        : app.fetch(request),
  );
  await exchange(server.addr.port);
  await server.shutdown();
  assertEquals(said, ["close"]);
});

test("serve() serves h3 in the place of Deno.serve", { serve, upgradeWebSocket }, async () => {
  const [{ serve }, { plugin }] = await Promise.all([import("h3"), import("crossws/server")]);
  const said: string[] = [];
  const app = await makeApp(said);
  const server = serve(app, {
    hostname: "127.0.0.1",
    port: 0,
    silent: true,
    gracefulShutdown: false,
    plugins: [
      plugin({ resolve: async (request) => Reflect.get(await app.fetch(request), "crossws") }),
    ],
  });
  await server.ready();
  await exchange(Number(new URL(server.url!).port));
  await server.close();
  assertEquals(said, ["close"]);
});
