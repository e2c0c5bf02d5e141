/** A WebSocket behaves alike however it came: by `serve` on each network, or by a server of Node's. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import {
  attach,
  serve,
  type ServeHandler,
  upgradeWebSocket,
  type UpgradeWebSocketOptions,
  WebSocket,
  type WebSocketOptions,
} from "../../mod.ts";
import { developmentCertificates, Folder } from "../programs.ts";
import { HAS_UNIX_SOCKETS } from "../transport/ends.ts";
import { closed, next } from "../websocket/peers.ts";

/** What a WebSocket comes by. */
interface Way extends AsyncDisposable {
  url: string;
  options: WebSocketOptions;
}

/** Starts a server that answers each handshake by `accept`. */
type Open = (
  accept: (request: Request | IncomingMessage, more: object) => Response,
) => Promise<Way>;

async function byServe(network: "TCP" | "TLS" | "Unix", accept: Parameters<Open>[0]): Promise<Way> {
  const { ca, cert, key } = await developmentCertificates();
  const folder = network === "Unix" ? new Folder() : undefined;
  const handler = (request: Request) => accept(request, {});
  const onListen = () => {};
  const server = folder !== undefined
    ? serve({ path: `${folder.path}/a.sock`, onListen }, handler)
    : serve(
      { port: 0, hostname: "127.0.0.1", onListen, ...(network === "TLS" && { cert, key }) },
      handler,
    );
  const { addr } = server;
  const host = "port" in addr ? `127.0.0.1:${addr.port}` : "localhost";
  return {
    url: `${network === "TLS" ? "wss" : "ws"}://${host}/`,
    options: { caCerts: [ca], ...("path" in addr && { unix: addr.path }) },
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await folder?.[Symbol.asyncDispose]();
    },
  };
}

async function byNode(
  isSecure: boolean,
  isAttached: boolean,
  accept: Parameters<Open>[0],
): Promise<Way> {
  const { ca, cert, key } = await developmentCertificates();
  const server: Server = isSecure ? createSecureServer({ cert, key }) : createServer();
  if (isAttached) attach(server, ((request) => accept(request, {})) as ServeHandler);
  else {
    server.on(
      "upgrade",
      (message: IncomingMessage, socket: Socket, head: Uint8Array) =>
        void accept(message, { socket, head }),
    );
  }
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `${isSecure ? "wss" : "ws"}://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    options: { caCerts: [ca] },
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const WAYS: Record<string, Open> = {
  "serve() over TCP": (accept) => byServe("TCP", accept),
  "serve() over TLS": (accept) => byServe("TLS", accept),
  ...(HAS_UNIX_SOCKETS && { "serve() over Unix": (accept) => byServe("Unix", accept) }),
  "upgradeWebSocket() on node:http": (accept) => byNode(false, false, accept),
  "upgradeWebSocket() on node:https": (accept) => byNode(true, false, accept),
  "attach() to node:http": (accept) => byNode(false, true, accept),
  "attach() to node:https": (accept) => byNode(true, true, accept),
};

/** What each of them must do. */
interface Behaviour {
  /** Of the server's socket. */
  options?: UpgradeWebSocketOptions;
  serve(socket: WebSocket): void;
  /** Of the client's. */
  clientOptions?: WebSocketOptions;
  check(socket: WebSocket): Promise<void>;
}

const echo = (socket: WebSocket) => {
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => socket.send(data);
};

async function sendsBack(socket: WebSocket, data: string | Uint8Array<ArrayBuffer>): Promise<void> {
  const answer = next(socket, "message");
  socket.send(data);
  const got = (await answer).data;
  assertEquals(typeof got === "string" ? got : new Uint8Array(got), data);
}

const BEHAVIOURS: Record<string, Behaviour> = {
  "agrees on compression and a subprotocol": {
    options: { protocol: "chat" },
    clientOptions: { protocols: ["other", "chat"] },
    serve: echo,
    async check(socket) {
      assertMatch(socket.extensions, /^permessage-deflate/);
      assertEquals(socket.protocol, "chat");
      await sendsBack(socket, "text ".repeat(1000));
    },
  },
  "goes without compression": {
    options: { compression: false },
    serve: echo,
    async check(socket) {
      assertEquals(socket.extensions, "");
      await sendsBack(socket, "text");
    },
  },
  "takes messages of every size": {
    serve: echo,
    async check(socket) {
      for (const size of [0, 1, 125, 126, 65_535, 65_536, 3_000_000]) {
        await sendsBack(socket, new Uint8Array(size).map((_, index) => index * index));
      }
    },
  },
  "sends before anything was received": {
    serve: (socket) => socket.onopen = () => socket.send("first"),
    check: async (socket) => assertEquals((await next(socket, "message")).data, "first"),
  },
  "closes with the code of the server": {
    serve: (socket) => socket.onopen = () => socket.close(4009, "over"),
    async check(socket) {
      const { code, reason, wasClean } = await next<CloseEvent>(socket, "close");
      assertEquals([code, reason, wasClean], [4009, "over", true]);
    },
  },
  "ends a message over its limit with 1009": {
    options: { maxMessageSize: 10 },
    serve: echo,
    async check(socket) {
      socket.send("x".repeat(11));
      assertEquals((await next<CloseEvent>(socket, "close")).code, 1009);
    },
  },
  "ends with 1011 when its handler throws": {
    serve: (socket) =>
      socket.onmessage = () => {
        throw new Error("thrown");
      },
    async check(socket) {
      const { error } = console;
      console.error = () => {};
      try {
        socket.send("text");
        assertEquals((await next<CloseEvent>(socket, "close")).code, 1011);
      } finally {
        console.error = error;
      }
    },
  },
  "answers pings": {
    serve: echo,
    check: async (socket) => assert(await socket.ping() >= 0),
  },
};

for (const [way, open] of Object.entries(WAYS)) {
  for (const [name, { options, serve, clientOptions, check }] of Object.entries(BEHAVIOURS)) {
    Deno.test(`${way} gives a WebSocket that ${name}`, async () => {
      const ended = Promise.withResolvers<void>();
      await using server = await open((request, more) => {
        const { socket, response } = upgradeWebSocket(request, { ...options, ...more });
        socket.addEventListener("close", () => ended.resolve());
        serve(socket);
        return response;
      });
      const socket = new WebSocket(server.url, { ...server.options, ...clientOptions });
      socket.binaryType = "arraybuffer";
      const opened = next<Event>(socket, "open");
      await opened;
      await check(socket);
      if (socket.readyState !== WebSocket.CLOSED) await closed(socket);
      await ended.promise;
    });
  }
}

Deno.test("attach() sends what refuses, and answers for a handler that throws", async () => {
  const server = createServer((_, response) => response.end("plain"));
  const errors: unknown[] = [];
  using attached = attach(server, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/throws") throw new Error("thrown");
    return new Response("no", { status: 403, headers: { "x-why": pathname } });
  }, {
    onError(error) {
      errors.push(error);
      return new Response("sorry", { status: 503 });
    },
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const refusal = async (path: string) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
    const { error } = await next<ErrorEvent>(socket, "error");
    return [error.status, error.headers.get("x-why"), error.body];
  };
  assertEquals(await refusal("/a"), [403, "/a", "no"]);
  assertEquals(await refusal("/throws"), [503, null, "sorry"]);
  assertEquals(errors.length, 1);
  assertEquals(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "plain");
  attached.detach();
  assertEquals(server.listenerCount("upgrade"), 0);
  await new Promise((resolve) => server.close(resolve));
});

Deno.test("attach() refuses what is no server, or no handler", () => {
  const handler = () => new Response();
  assertThrows(() => attach({} as Server, handler), TypeError, "node:http or node:https");
  assertThrows(() => attach(undefined as unknown as Server, handler), TypeError, "node:http");
  assertThrows(() => attach(createServer(), undefined as never), TypeError, "no handler");
  assertThrows(() => attach(createServer(), handler, { responseTimeout: -1 }), RangeError);
});
