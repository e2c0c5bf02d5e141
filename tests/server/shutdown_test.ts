import {
  assert,
  assertEquals,
  assertMatch,
  assertNotMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  type HandshakeError,
  serve,
  type ServeHandler,
  type ServeTcpOptions,
  type ShutdownOptions,
  upgradeWebSocket,
  WebSocket,
} from "../../mod.ts";
import { CLOSE } from "../protocol/driver.ts";
import {
  acceptSockets,
  closed,
  echo,
  handshake,
  next,
  opened,
  RawClient,
} from "../websocket/peers.ts";

/** Longer than any test: what waits for it waits for ever. */
const LONG = 600_000;

function start(handler: ServeHandler<Deno.NetAddr>, options: ServeTcpOptions = {}) {
  return serve({ port: 0, hostname: "127.0.0.1", onListen() {}, ...options }, handler);
}

const GET = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/** One request on a connection of its own, and the whole answer, behind which the server ends the connection. */
async function ask(port: number, request = GET): Promise<string> {
  using client = await RawClient.connect(port);
  await client.write(request);
  return await client.rest();
}

/** A message and its answer. */
async function echoed(socket: WebSocket): Promise<unknown> {
  const answer = next(socket, "message");
  socket.send("hello");
  return (await answer).data;
}

Deno.test("HttpServer.shutdown() with drain answers requests and messages, and refuses upgrades with 503", async () => {
  let handled = 0;
  const server = start((request): Response => {
    handled++;
    if (!request.headers.has("upgrade")) return new Response(`ready: ${server.ready}`);
    const { socket, response } = upgradeWebSocket(request);
    socket.onmessage = ({ data }) => socket.send(data);
    return response;
  });
  const { port } = server.addr;
  const url = `ws://127.0.0.1:${port}/`;
  const socket = await opened(url);
  using kept = await RawClient.connect(port);
  await kept.write(GET);
  const before = await kept.head();
  assertNotMatch(before, /connection: close/i);
  assertEquals(new TextDecoder().decode(await kept.bytes(11)), "ready: true");
  assert(server.ready);

  const stopped = server.shutdown({ drain: LONG });
  assert(!server.ready);
  // On a connection that was kept, and on a new one: each answer is the last of its connection.
  await kept.write(GET);
  for (const answer of [await kept.rest(), await ask(port)]) {
    assertMatch(answer, /^HTTP\/1\.1 200 OK\r\n/);
    assertMatch(answer, /\r\nconnection: close\r\n/i);
    assertStringIncludes(answer, "ready: false");
  }
  const refused = new WebSocket(url);
  const { error } = await next<ErrorEvent>(refused, "error") as { error: HandshakeError };
  assertEquals(error.status, 503);
  const seconds = Number(error.headers.get("Retry-After"));
  assert(Number.isInteger(seconds) && seconds >= 1 && seconds <= LONG / 1000, `${seconds}`);
  assertStringIncludes(await ask(port, handshake()), "the server is stopping");
  assertEquals(handled, 4);
  assertEquals(await echoed(socket), "hello");

  const end = next<CloseEvent>(socket, "close");
  await Promise.all([stopped, server.shutdown()]);
  assertEquals((await end).code, 1001);
  await assertRejects(() => RawClient.connect(port), Deno.errors.ConnectionRefused);
});

Deno.test("HttpServer.shutdown() ends its drain by itself, and closes with the code it is given", async () => {
  const server = echo();
  const socket = await opened(server.url);
  const end = next<CloseEvent>(socket, "close");
  await server.shutdown({ drain: 20, spread: 20, code: 1012 });
  const { code, wasClean } = await end;
  assertEquals([code, wasClean], [1012, true]);
});

Deno.test("HttpServer.shutdown() with spread accepts nothing, while sockets that wait are served", async () => {
  const server = echo();
  const socket = await opened(server.url);
  const end = next<CloseEvent>(socket, "close");
  const stopped = server.shutdown({ spread: LONG });
  await assertRejects(() => RawClient.connect(server.addr.port), Deno.errors.ConnectionRefused);
  assertEquals(await echoed(socket), "hello");
  // It hurries, and the latest code that is given counts.
  await Promise.all([stopped, server.shutdown({ spread: 10, code: 1012 })]);
  assertEquals((await end).code, 1012);
});

Deno.test("HttpServer.shutdown() with spread ends as soon as no connection is left", async () => {
  const server = echo();
  const socket = await opened(server.url);
  const stopped = server.shutdown({ spread: LONG });
  socket.close();
  await stopped;
});

Deno.test("HttpServer.shutdown() counts the grace period from the last Close frame on", async () => {
  const server = echo({}, { gracePeriod: 50 });
  const clients = await Promise.all([1, 2, 3, 4].map(() => RawClient.open(server.addr.port)));
  const stopped = server.shutdown({ spread: 500 });
  // None answers: with a grace period from the beginning on, some would be cut off without a word.
  for (const client of clients) {
    using _ = client;
    assertEquals((await client.bytes(4))[0], 0x80 | CLOSE);
  }
  await stopped;
});

Deno.test("HttpServer.shutdown() closes a socket in its turn that was opening when the drain began", async () => {
  const arrived = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const open = Promise.withResolvers<void>();
  const server = start(async (request) => {
    arrived.resolve();
    await release.promise;
    const { socket, response } = upgradeWebSocket(request);
    socket.onopen = () => open.resolve();
    return response;
  });
  const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`);
  const end = next<CloseEvent>(socket, "close");
  await arrived.promise;
  const stopped = server.shutdown({ spread: LONG });
  release.resolve();
  await open.promise;
  await Promise.all([stopped, server.shutdown()]);
  assertEquals((await end).code, 1001);
});

Deno.test("HttpServer.shutdown() answers a request that was at work when the drain began, and keeps its connection no longer", async () => {
  const arrived = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const server = start(async () => {
    arrived.resolve();
    await release.promise;
    return new Response("to the end");
  });
  const answer = ask(server.addr.port);
  await arrived.promise;
  const stopped = server.shutdown({ drain: LONG });
  release.resolve();
  assertMatch(await answer, /\r\nconnection: close\r\n[^]*to the end$/i);
  await Promise.all([stopped, server.shutdown()]);
});

Deno.test("HttpServer.shutdown() is hurried by the signal, and by the end of its scope", async () => {
  const controller = new AbortController();
  const first = start(() => new Response(), { signal: controller.signal });
  const stopped = first.shutdown({ drain: LONG, spread: LONG });
  controller.abort();
  await Promise.all([stopped, first.finished]);

  const second = start(() => new Response());
  const alsoStopped = second.shutdown({ drain: LONG });
  await second[Symbol.asyncDispose]();
  await alsoStopped;
});

Deno.test("HttpServer.shutdown() is not made slower by a later call", async () => {
  const server = start(() => new Response());
  const stopped = server.shutdown({ drain: 20 });
  await Promise.all([stopped, server.shutdown({ drain: LONG, spread: LONG })]);
});

Deno.test("HttpServer.shutdown() rejects what is out of range, and goes on serving", async () => {
  await using server = start(() => new Response("served"));
  for (
    const options of [
      { drain: -1 },
      { drain: NaN },
      { spread: Infinity },
      { spread: "5" },
      { code: 1000 },
      { code: "1001" },
      { code: null },
    ]
  ) {
    await assertRejects(
      () => server.shutdown(options as ShutdownOptions),
      RangeError,
      "Cannot shut down",
    );
  }
  assert(server.ready);
  const answer = await ask(
    server.addr.port,
    GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
  );
  assertStringIncludes(answer, "served");
});

Deno.test("HttpServer.shutdown() resolves after the handlers of close, and what they await at once", async () => {
  const said: string[] = [];
  const server = acceptSockets((socket) => {
    socket.onclose = async () => {
      for (let i = 0; i < 20; i++) await undefined;
      said.push("close");
    };
  });
  const client = await opened(server.url);
  await closed(client);
  await server.shutdown();
  assertEquals(said, ["close"]);
});
