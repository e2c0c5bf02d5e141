import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { attach, upgradeWebSocket, type UpgradeWebSocketOptions, WebSocket } from "../../mod.ts";
import { developmentCertificates } from "../programs.ts";
import { concat, frame, TEXT } from "../protocol/driver.ts";
import { onEachWay } from "../transport/ends.ts";
import { closed, handshake, next, opened, RawClient } from "../websocket/peers.ts";

/** A server of `node:http`, or of `node:https`, that hands each upgrade to `onUpgrade`. */
async function listening(
  onUpgrade: (message: IncomingMessage, socket: Socket, head: Uint8Array) => void,
  secure = false,
): Promise<{ url: string; port: number } & AsyncDisposable> {
  const { cert, key } = await developmentCertificates();
  const server: Server = secure ? createSecureServer({ cert, key }) : createServer();
  server.on("request", (_, response) => response.end("plain"));
  server.on("upgrade", onUpgrade as (message: IncomingMessage, socket: unknown) => void);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `${secure ? "wss" : "ws"}://127.0.0.1:${port}/`,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Sends every message back. */
function echo(
  message: IncomingMessage,
  socket: Socket,
  head: Uint8Array,
  options: UpgradeWebSocketOptions = {},
) {
  const upgrade = upgradeWebSocket(message, { socket, head, ...options });
  upgrade.socket.onmessage = ({ data }) => upgrade.socket.send(data);
  return upgrade;
}

for (const secure of [false, true]) {
  onEachWay(
    `upgradeWebSocket() takes the socket of a ${secure ? "node:https" : "node:http"} server`,
    async () => {
      const { ca } = await developmentCertificates();
      await using server = await listening((message, socket, head) => {
        const { socket: webSocket } = echo(message, socket, head, { protocol: "chat" });
        assertEquals(webSocket.url, `${server.url}room?a=b`);
        assertEquals((webSocket.remoteAddr as Deno.NetAddr | undefined)?.hostname, undefined);
        webSocket.onopen = () => {
          assertEquals((webSocket.remoteAddr as Deno.NetAddr).hostname, "127.0.0.1");
        };
      }, secure);
      const socket = await opened(`${server.url}room?a=b`, { protocols: ["chat"], caCerts: [ca] });
      assertMatch(socket.extensions, /^permessage-deflate/);
      assertEquals(socket.protocol, "chat");
      for (const message of ["text", "long text ".repeat(100_000)]) {
        const answer = next(socket, "message");
        socket.send(message);
        assertEquals((await answer).data, message);
      }
      assertEquals((await closed(socket)).code, 1000);
    },
  );
}

Deno.test("upgradeWebSocket() takes a Request with the socket of node:http, as Deno's own does", async () => {
  await using server = await listening((message, socket, head) => {
    const request = new Request(`http://${message.headers.host}${message.url}`, {
      headers: message.headers as HeadersInit,
    });
    const upgrade = upgradeWebSocket(request, { socket, head });
    upgrade.socket.onmessage = ({ data }) => upgrade.socket.send(data);
  });
  const socket = await opened(server.url);
  socket.send("hello");
  assertEquals((await next(socket, "message")).data, "hello");
  await closed(socket);
});

onEachWay("upgradeWebSocket() loses nothing that came before it was called", async () => {
  const { cert: _, ...rest } = await developmentCertificates();
  for (const secure of [false, true]) {
    const called = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    await using server = await listening(async (message, socket, head) => {
      called.resolve();
      await release.promise;
      echo(message, socket, head);
    }, secure);
    const { port } = server;
    const connection = secure
      ? await Deno.connectTls({ hostname: "localhost", port, caCerts: [rest.ca] })
      : await Deno.connect({ hostname: "127.0.0.1", port });
    using client = new RawClient(connection);
    await client.write(concat(new TextEncoder().encode(handshake()), frame("server", TEXT, "one")));
    await called.promise;
    await client.write(frame("server", TEXT, "two"));
    await client.write(frame("server", TEXT, "x".repeat(50_000)));
    release.resolve();
    assertMatch(await client.head(), /^HTTP\/1\.1 101 /);
    const echoed = new TextDecoder().decode(await client.bytes(10));
    assert(echoed.includes("one") && echoed.includes("two"), echoed);
    assertEquals((await client.bytes(50_004)).length, 50_004);
  }
});

Deno.test("upgradeWebSocket() sends headers that are set on the response in the same task", async () => {
  await using server = await listening((message, socket, head) => {
    const { response } = echo(message, socket, head);
    response.headers.set("X-Room", "1");
    response.headers.append("Set-Cookie", "a=1");
    response.headers.append("Set-Cookie", "b=2");
  });
  using client = await RawClient.connect(server.port);
  await client.write(handshake());
  const head = await client.head();
  assertMatch(head, /x-room: 1\r\n/i);
  assertEquals(head.match(/set-cookie: /gi)?.length, 2);
});

Deno.test("upgradeWebSocket() throws before it writes, so that node:http can answer", async () => {
  await using server = await listening((message, socket, head) => {
    assertThrows(() => upgradeWebSocket(message), TypeError, "needs its socket");
    assertThrows(
      () => upgradeWebSocket(message, { socket, head }),
      TypeError,
      "key of the request",
    );
    assertThrows(() => upgradeWebSocket(message, { head }), TypeError, "socket must be that of");
    assertThrows(
      () => upgradeWebSocket(message, { socket: {} as Socket }),
      TypeError,
      "socket must be that of",
    );
    socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  });
  using client = await RawClient.connect(server.port);
  await client.write(handshake().replace("dGhlIHNhbXBsZSBub25jZQ==", "short"));
  assertMatch(await client.rest(), /^HTTP\/1\.1 400 /);
});

Deno.test("upgradeWebSocket() ends the socket of a client that has left before it was called", async () => {
  const ended = Promise.withResolvers<[string, number]>();
  await using server = await listening((message, socket, head) => {
    socket.once("close", () => {
      const { socket: webSocket } = echo(message, socket, head);
      webSocket.onclose = ({ code }) => ended.resolve(["close", code]);
    });
    socket.destroy();
  });
  using client = await RawClient.connect(server.port);
  await client.write(handshake());
  assertEquals(await ended.promise, ["close", 1006]);
});

Deno.test("upgradeWebSocket() keeps its limits on the socket of node:http", async () => {
  const ended = Promise.withResolvers<number>();
  await using server = await listening((message, socket, head) => {
    const { socket: webSocket } = echo(message, socket, head, { maxMessageSize: 10 });
    webSocket.onclose = ({ code }) => ended.resolve(code);
  });
  const socket = new WebSocket(server.url);
  socket.onopen = () => socket.send("x".repeat(11));
  assertEquals((await next<CloseEvent>(socket, "close")).code, 1009);
  await ended.promise;
});

Deno.test("attach() and upgradeWebSocket() end a connection whose upgrade did not wait for the answer before", async () => {
  for (const isAttached of [true, false]) {
    const asked = Promise.withResolvers<ServerResponse>();
    const server = createServer((_, response) => asked.resolve(response));
    const code = Promise.withResolvers<number>();
    const closes = new Promise<void>((resolve) => {
      server.once("connection", (socket: Socket) => socket.once("close", () => resolve()));
    });
    if (isAttached) {
      attach(server, () => {
        throw new Error("must not be called");
      });
      code.resolve(1006);
    } else {
      server.on("upgrade", (message: IncomingMessage, socket: Socket, head: Uint8Array) => {
        echo(message, socket, head).socket.onclose = (event) => code.resolve(event.code);
      });
    }
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    using client = await RawClient.connect((server.address() as AddressInfo).port);
    await client.write("GET /slow HTTP/1.1\r\nHost: here\r\n\r\n" + handshake());
    await closes;
    assertEquals(await code.promise, 1006);
    // An answer that comes too late does no harm.
    (await asked.promise).end("late");
    assertEquals(await client.rest(), "");
    await new Promise((resolve) => server.close(resolve));
  }
});
