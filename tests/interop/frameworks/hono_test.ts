import { assertEquals } from "@std/assert";
import { Hono } from "hono";
import { cors } from "hono/cors";
import { upgradeWebSocket as honoUpgrade } from "hono/deno";
import { defineWebSocketHelper, type UpgradeWebSocket, WSContext } from "hono/ws";
import {
  serve,
  upgradeWebSocket,
  type UpgradeWebSocketOptions,
  type WebSocket,
} from "../../../mod.ts";
import { assertEchoes, closed, next, opened } from "../../websocket/peers.ts";

/** hono's helper by our options: what `hono/deno` has, in a user's own lines. */
const ownUpgrade = defineWebSocketHelper<WebSocket, UpgradeWebSocketOptions>(
  (c, events, options) => {
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket") return;
    const { socket, response } = upgradeWebSocket(c.req.raw, options);
    const context = new WSContext<WebSocket>({
      send: (data, options) => socket.send(data, options),
      close: (code, reason) => socket.close(code, reason),
      raw: socket,
      get readyState() {
        return socket.readyState;
      },
    });
    socket.onopen = (event) => events.onOpen?.(event, context);
    socket.onmessage = (event) => events.onMessage?.(event, context);
    socket.onclose = (event) => events.onClose?.(event, context);
    socket.onerror = (event) => events.onError?.(event, context);
    return response;
  },
);

/** An app of hono, with an endpoint that says the events it has. */
function appWith(upgrade: UpgradeWebSocket<globalThis.WebSocket>, said: string[]): Hono {
  const app = new Hono();
  app.use(cors({ origin: "https://example.com" }));
  app.use(async (c, next) => {
    await next();
    c.header("X-After", "set");
  });
  app.get("/plain", (c) => c.text("plain"));
  app.get(
    "/ws",
    upgrade(() => ({
      onOpen: (_, socket) => socket.send("welcome"),
      onMessage: ({ data }, socket) => socket.send(data as string | ArrayBuffer),
      onClose: ({ code, reason }) => said.push(`${code} ${reason}`),
    })),
  );
  return app;
}

async function exchange(app: Hono, said: string[]): Promise<void> {
  await using server = serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, app.fetch);

  const plain = await fetch(`http://127.0.0.1:${server.addr.port}/plain`);
  assertEquals([await plain.text(), plain.headers.get("X-After")], ["plain", "set"]);

  const socket = await opened(`ws://127.0.0.1:${server.addr.port}/ws`);
  assertEquals((await next(socket, "message")).data, "welcome");
  await assertEchoes(socket);
  await closed(socket, 4000, "enough");
  await server.shutdown();
  assertEquals(said, ["4000 enough"]);
}

Deno.test("upgradeWebSocket() serves hono/deno in the place of Deno's, behind cors() and headers set after", async () => {
  const upgradeOfDeno = Deno.upgradeWebSocket;
  Object.assign(Deno, { upgradeWebSocket });
  try {
    const said: string[] = [];
    await exchange(appWith(honoUpgrade, said), said);
  } finally {
    Object.assign(Deno, { upgradeWebSocket: upgradeOfDeno });
  }
});

Deno.test("upgradeWebSocket() serves hono by a helper of one's own, behind cors() and headers set after", async () => {
  const said: string[] = [];
  await exchange(appWith(ownUpgrade, said), said);
});
