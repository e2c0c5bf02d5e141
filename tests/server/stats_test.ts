/** What a server counts, and tells of what it refuses. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { connect } from "node:tls";
import {
  type Refusal,
  serve,
  type ServeTcpOptions,
  upgradeWebSocket,
  type WebSocket,
} from "../../mod.ts";
import { clientKey } from "../../transport/address.ts";
import { CLOSE, closePayload, frame, TEXT } from "../protocol/driver.ts";
import { developmentCertificates } from "../programs.ts";
import { closed, echo, handshake, next, opened, RawClient } from "../websocket/peers.ts";

/** The counts that are not zero. */
function counted(counts: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}

/** A server that notes what it refuses. */
function refusing(options: ServeTcpOptions = {}) {
  const refused: Refusal[] = [];
  const waiting: (() => void)[] = [];
  const server = serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen() {},
    onRefused(refusal) {
      refused.push(refusal);
      for (const resolve of waiting.splice(0)) resolve();
    },
    ...options,
  }, () => new Response("hello"));
  /** Resolves once so many have been refused. */
  const reach = async (count: number) => {
    while (refused.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  return Object.assign(server, { refused, reach });
}

Deno.test("HttpServer.stats adds up the sockets that are open and those that have closed", async () => {
  const server = echo();
  const first = await opened(server.url);
  const second = await opened(server.url);
  for (const socket of [first, second]) {
    socket.send("x".repeat(10_000));
    await next(socket, "message");
  }
  const { sockets, received, sent, responses } = server.stats;
  assertEquals(sockets, { open: 2, total: 2 });
  assertEquals(received.messageBytes, 20_000);
  assertEquals(sent.messages, 2);
  assertEquals(counted(responses), { "1xx": 2 });
  await closed(first);
  await closed(second, 4321);
  await server.shutdown();
  const after = server.stats;
  assertEquals(after.sockets, { open: 0, total: 2 });
  assertEquals(after.connections, { open: 0, total: 2 });
  const wire = (way: "sent" | "received") =>
    first.stats[way].wireBytes + second.stats[way].wireBytes;
  assertEquals(after.received, { messages: 2, messageBytes: 20_000, wireBytes: wire("sent") });
  assertEquals(after.sent, { messages: 2, messageBytes: 20_000, wireBytes: wire("received") });
  assert(after.sent.wireBytes < 1000);
  assertEquals(counted(after.closes), { "1000": 1, "4xxx": 1 });
});

Deno.test("HttpServer.stats counts closes by the code that either end has failed with", async () => {
  const server = echo({ maxMessageSize: 1000, messageTimeout: 50 });
  const { port } = server.addr;
  const ways: Record<string, Uint8Array[]> = {
    "1000": [frame("server", CLOSE, closePayload(1000))],
    "1002": [frame("server", TEXT, "a", { masked: false })],
    "1005": [frame("server", CLOSE)],
    "1007": [frame("server", TEXT, [0xff])],
    "1008": [frame("server", TEXT, "begun", { fin: false })],
    "1009": [frame("server", TEXT, "x".repeat(1001))],
    "1014": [frame("server", CLOSE, closePayload(1014))],
    "3xxx": [
      frame("server", CLOSE, closePayload(3000)),
      frame("server", CLOSE, closePayload(3999)),
    ],
    "4xxx": [
      frame("server", CLOSE, closePayload(4000)),
      frame("server", CLOSE, closePayload(4999)),
    ],
  };
  for (const bytes of Object.values(ways).flat()) {
    using client = await RawClient.open(port);
    await client.write(bytes);
    await client.rest();
  }
  await server.shutdown();
  const expected = Object.entries(ways).map(([code, { length }]) => [code, length]);
  assertEquals(counted(server.stats.closes), Object.fromEntries(expected));
});

Deno.test("HttpServer.stats is a snapshot that nobody can change", async () => {
  await using server = echo();
  const { stats } = server;
  assertThrows(() => (stats.closes as { "1000": number })["1000"] = 5, TypeError);
  assertThrows(() => (stats.received as { messages: number }).messages = 5, TypeError);
  assertThrows(() => (stats as { sent: unknown }).sent = {}, TypeError);
});

Deno.test("HttpServer.stats has contexts and memory that are held for compression", async () => {
  const server = echo();
  const socket = await opened(server.url);
  socket.send("x".repeat(1000));
  await next(socket, "message");
  const { contexts, memory } = server.stats;
  // Both ends are of this process.
  assert(contexts.count >= 2 && contexts.bytes > 400_000, `${contexts.count}, ${contexts.bytes}`);
  assert(memory.held > 0 && memory.held < memory.limit, `${memory.held} of ${memory.limit}`);
  await closed(socket);
  await server.shutdown();
  assertEquals(server.stats.memory.held, 0);
});

Deno.test("HttpServer.stats counts responses by the class of their status", async () => {
  const statuses = [200, 204, 301, 404, 500];
  const server = serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response(null, { status: statuses.shift()! }),
  );
  for (const _ of [...statuses]) {
    const url = `http://127.0.0.1:${server.addr.port}/`;
    await (await fetch(url, { redirect: "manual" })).body?.cancel();
  }
  await server.shutdown();
  const { responses, connections, refusals } = server.stats;
  assertEquals(responses, { "1xx": 0, "2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1 });
  assert(connections.total >= 1);
  assertEquals(counted(refusals), {});
});

Deno.test("serve() tells onRefused of requests that no handler hears of", async () => {
  await using server = refusing({ maxHeaderBytes: 1000, maxHeaders: 5, headerTimeout: 100 });
  const requests: [string, Refusal["reason"]][] = [
    ["nonsense\r\n\r\n", "badRequest"],
    ["GET / HTTP/1.1\r\n\r\n", "badRequest"],
    ["CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "badRequest"],
    [`GET / HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(2000)}\r\n\r\n`, "headTooLarge"],
    [`GET / HTTP/1.1\r\nHost: a\r\n${"X: x\r\n".repeat(5)}\r\n`, "headTooLarge"],
    ["GET / HTTP/1.1\r\nHost: a\r\n", "headTimeout"],
  ];
  for (const [request, reason] of requests) {
    using client = await RawClient.connect(server.addr.port);
    await client.write(request);
    await client.rest();
    const refusal = server.refused.at(-1)!;
    assertEquals([refusal.reason, clientKey(refusal.remoteAddr)], [reason, "127.0.0.1"]);
    assert(refusal.cause.startsWith("Cannot "), refusal.cause);
  }
  assertEquals(server.refused.length, requests.length);
  const { refusals, responses } = server.stats;
  assertEquals(counted(refusals), { badRequest: 3, headTooLarge: 2, headTimeout: 1 });
  assertEquals(counted(responses), { "4xx": 5, "5xx": 1 });
});

Deno.test("serve() tells onRefused of TLS handshakes that fail, and why, but not of health checks", async () => {
  const { cert, key } = await developmentCertificates();
  await using server = refusing({ cert, key, handshakeTimeout: 1500 });
  const { port } = server.addr;
  // It connects and leaves, as load balancers do.
  (await RawClient.connect(port))[Symbol.dispose]();
  using plain = await RawClient.connect(port);
  await plain.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await server.reach(1);
  const distrusting = connect({ host: "127.0.0.1", port });
  distrusting.on("error", () => {});
  await server.reach(2);
  using silent = await RawClient.connect(port);
  await server.reach(3);
  await silent.rest();
  const seen = server.refused.map(({ reason, cause }) => [reason, cause.split(" (")[0]]);
  assertEquals(seen, [
    ["tlsHandshake", "received corrupt message of type InvalidContentType"],
    ["tlsHandshake", "received fatal alert: UnknownCA"],
    ["handshakeTimeout", ""],
  ]);
  assertEquals(counted(server.stats.refusals), { tlsHandshake: 2, handshakeTimeout: 1 });
});

Deno.test("serve() tells onRefused of connections beyond a limit, and at shutdown", async () => {
  const { cert, key } = await developmentCertificates();
  await using full = refusing({ maxConnections: 1 });
  using first = await RawClient.connect(full.addr.port);
  using second = await RawClient.connect(full.addr.port);
  await second.write(handshake());
  await second.rest();
  await first.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  await first.rest();
  assertEquals(full.refused.map(({ reason }) => reason), ["tooManyConnections"]);
  assertEquals(counted(full.stats.responses), { "2xx": 1, "5xx": 1 });
  const stopping = refusing({ cert, key });
  using silent = await RawClient.connect(stopping.addr.port);
  while (stopping.stats.connections.open === 0) await new Promise((resolve) => setTimeout(resolve));
  await stopping.shutdown();
  await silent.rest();
  assertEquals(counted(stopping.stats.refusals), { shuttingDown: 1 });
  const draining = refusing();
  const left = draining.shutdown({ drain: 100 });
  using late = await RawClient.connect(draining.addr.port);
  await late.write(handshake());
  await late.rest();
  await left;
  assertEquals(counted(draining.stats.refusals), { shuttingDown: 1 });
  assertEquals(counted(draining.stats.responses), { "5xx": 1 });
});

Deno.test("serve() tells onRefused of peers without a PROXY header, or that are no proxy", async () => {
  await using server = refusing({ proxyProtocol: true });
  using client = await RawClient.connect(server.addr.port);
  await client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await client.rest();
  assertEquals(server.refused[0]?.reason, "proxyHeader");
  await using strict = refusing({ proxyProtocol: true, trustProxy: ["192.0.2.1"] });
  using outsider = await RawClient.connect(strict.addr.port);
  await outsider.rest();
  assertEquals(strict.refused[0]?.reason, "untrustedPeer");
});

Deno.test("serve() goes on when onRefused fails, and prints the error", async () => {
  const original = console.error;
  const error = new Error("of the program");
  try {
    for (
      const fail of [() => {
        throw error;
      }, () => Promise.reject(error)]
    ) {
      const printed = Promise.withResolvers<unknown>();
      console.error = printed.resolve;
      await using server = refusing({ onRefused: fail });
      using client = await RawClient.connect(server.addr.port);
      await client.write("nonsense\r\n\r\n");
      assertEquals((await client.rest()).slice(0, 12), "HTTP/1.1 400");
      assertEquals(await printed.promise, error);
    }
  } finally {
    console.error = original;
  }
});

Deno.test("upgradeWebSocket() counts on the socket alone where the request came by Deno.serve", async () => {
  const sockets = Promise.withResolvers<WebSocket>();
  const options = { port: 0, hostname: "127.0.0.1", onListen() {} };
  await using server = Deno.serve(options, (request) => {
    const { socket, response } = upgradeWebSocket(request);
    sockets.resolve(socket);
    return response;
  });
  const client = await opened(`ws://127.0.0.1:${server.addr.port}/`);
  const socket = await sockets.promise;
  assertEquals([socket.stats, client.stats.received.messages], [undefined, 0]);
  const end = next<CloseEvent>(client, "close");
  socket.close(1000);
  await end;
});
