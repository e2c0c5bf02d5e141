import { assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { upgradeWebSocket, WebSocket } from "../../../mod.ts";
import { RUNNABLE } from "../../programs.ts";
import { EmittingSocket } from "./emitting_socket.ts";

Deno.test({
  name: "WebSocket and upgradeWebSocket() carry tRPC: a query, a subscription, a reconnection",
  ignore: !RUNNABLE,
  async fn() {
    const { initTRPC } = await import("@trpc/server");
    const { applyWSSHandler } = await import("@trpc/server/adapters/ws");
    const { WebSocketServer } = await import("ws");
    const t = initTRPC.create();
    const router = t.router({
      echo: t.procedure.input(String).query(({ input }) => input),
      count: t.procedure.input(Number).subscription(async function* ({ input }) {
        for (let count = 1; count <= input; count++) yield count;
      }),
    });
    // It gives tRPC the sockets, and makes none.
    const wss = new WebSocketServer({ noServer: true });
    applyWSSHandler({ wss, router });
    const sockets: WebSocket[] = [];
    const server = createServer().listen(0, "127.0.0.1");
    server.on("upgrade", (request, socket, head) => {
      const upgrade = upgradeWebSocket(request, { socket: socket as Socket, head });
      upgrade.socket.onopen = () =>
        wss.emit("connection", new EmittingSocket(upgrade.socket), request);
      sockets.push(upgrade.socket);
    });
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;

    const { createTRPCClient, createWSClient, wsLink } = await import("@trpc/client");
    const lost = Promise.withResolvers<unknown>();
    const connection = createWSClient({
      url: `ws://127.0.0.1:${port}/trpc`,
      WebSocket,
      retryDelayMs: () => 0,
      onClose: lost.resolve,
    });
    const client = createTRPCClient<typeof router>({ links: [wsLink({ client: connection })] });
    const text = "hello ".repeat(1000);
    assertEquals(await client.echo.query(text), text);
    const counts: number[] = [];
    await new Promise<void>((onComplete, onError) =>
      client.count.subscribe(3, { onData: (count) => counts.push(count), onComplete, onError })
    );
    assertEquals(counts, [1, 2, 3]);
    assertMatch(sockets[0]!.extensions, /^permessage-deflate/);

    sockets[0]!.terminate();
    await lost.promise;
    assertEquals(await client.echo.query("again"), "again");
    assertEquals(sockets.length, 2);

    await connection.close();
    server.close();
    await once(server, "close");
  },
});
