import { setLeastRate } from "../../transport/patience.ts";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { generateCertificates } from "../../certs/generate.ts";
import {
  serve,
  type ServeHandler,
  type ServeTcpOptions,
  upgradeWebSocket,
  WebSocket,
} from "../../mod.ts";
import { memoryBudget } from "../../transport/memory_budget.ts";
import { BINARY, CLOSE, concat, CONTINUATION, frame, TEXT } from "../protocol/driver.ts";
import {
  acceptSockets,
  closed,
  echo,
  handshake,
  next,
  opened,
  RawClient,
} from "../websocket/peers.ts";

function start(handler: ServeHandler<Deno.NetAddr>, options: ServeTcpOptions = {}) {
  return serve({ port: 0, hostname: "127.0.0.1", onListen() {}, ...options }, handler);
}

/** One request in bytes, the last of its connection, and the whole answer. */
async function ask(port: number, request: string): Promise<string> {
  using client = await RawClient.connect(port);
  await client.write(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
  return await client.rest();
}

const GET = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

Deno.test("serve() takes a handler alone, or among the options", async () => {
  const log = console.log;
  const lines: string[] = [];
  console.log = (line: string) => lines.push(line);
  try {
    await using server = serve({
      port: 0,
      hostname: "127.0.0.1",
      handler: () => new Response("options"),
    });
    assertStringIncludes(await ask(server.addr.port, GET), "options");
    assertEquals(lines, [`Listening on http://127.0.0.1:${server.addr.port}/`]);
  } finally {
    console.log = log;
  }
  assertThrows(() => serve({} as never), TypeError, "no handler");
  assertThrows(() => start(() => new Response(), { cert: "x" }), TypeError, "together");
});

Deno.test("serve() gives the handler a Request and the client's address", async () => {
  const seen: unknown[] = [];
  await using server = start((request, { remoteAddr }) => {
    assertInstanceOf(request, Request);
    seen.push(request.method, request.url, request.headers.get("x-a"), remoteAddr.hostname);
    return new Response();
  });
  await ask(
    server.addr.port,
    "DELETE /a/b?c=%20d HTTP/1.1\r\nHost: example.com:99\r\nX-A: 1\r\nx-a:  2 \r\n\r\n",
  );
  assertEquals(seen, ["DELETE", "http://example.com:99/a/b?c=%20d", "1, 2", "127.0.0.1"]);
});

Deno.test("serve() resolves completed once the response is sent, and rejects it otherwise", async () => {
  const completed: Promise<void>[] = [];
  await using server = start((_, info) => {
    completed.push(info.completed);
    if (completed.length === 1) return new Response("fine");
    return new Response(new ReadableStream({ pull: (c) => c.error(new Error("broken body")) }));
  });
  await ask(server.addr.port, GET);
  await completed[0];
  await ask(server.addr.port, GET);
  await assertRejects(() => completed[1]!, Error, "broken body");
});

Deno.test("serve() streams a body in chunks, HEAD and 204 without one", async () => {
  await using server = start((request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/204") return new Response(null, { status: 204 });
    if (pathname === "/empty") return new Response();
    if (pathname === "/length") {
      return new Response("12345", { headers: { "Content-Length": "5" } });
    }
    return new Response(
      new ReadableStream({
        async pull(controller) {
          await null;
          controller.enqueue(new TextEncoder().encode("one"));
          controller.enqueue(new TextEncoder().encode("two!"));
          controller.close();
        },
      }),
    );
  });
  const { port } = server.addr;
  const get = (path: string, method = "GET", version = "1.1") =>
    ask(port, `${method} ${path} HTTP/${version}\r\nHost: localhost\r\n\r\n`);
  assertStringIncludes(await get("/"), "\r\n\r\n3\r\none\r\n4\r\ntwo!\r\n0\r\n\r\n");
  const old = await get("/", "GET", "1.0");
  assert(old.endsWith("\r\n\r\nonetwo!"));
  assertEquals(/transfer-encoding/i.test(old), false);
  assert((await get("/length")).endsWith("\r\n\r\n12345"));
  assertMatch(await get("/length"), /content-length: 5\r\n/i);
  assertMatch(await get("/empty"), /content-length: 0\r\n/i);
  const head = await get("/length", "HEAD");
  assert(head.endsWith("\r\n\r\n"));
  assertMatch(head, /content-length: 5\r\n/i);
  const none = await get("/204");
  assert(none.endsWith("\r\n\r\n"));
  assertEquals(/content-length|transfer-encoding/i.test(none), false);
});

Deno.test("serve() lets onError answer for a handler that fails", async () => {
  await using server = start((request) => {
    if (request.url.endsWith("/type")) return "not a response" as never;
    if (request.url.endsWith("/async")) return Promise.reject(new Error("async"));
    throw new Error("sync");
  }, {
    onError: (error) => new Response(String(error), { status: 503 }),
  });
  const { port } = server.addr;
  const get = (path: string) => ask(port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  assertMatch(await get("/"), /^HTTP\/1\.1 503 [^]*Error: sync/);
  assertMatch(await get("/async"), /Error: async/);
  assertMatch(await get("/type"), /must return a Response/);
});

Deno.test("serve() prints the error and answers 500 without onError", async () => {
  const original = console.error;
  const errors: unknown[] = [];
  console.error = (error: unknown) => errors.push(error);
  try {
    await using server = start(() => {
      throw new Error("told once");
    });
    assertMatch(await ask(server.addr.port, GET), /^HTTP\/1\.1 500 Internal Server Error\r\n/);
  } finally {
    console.error = original;
  }
  assertEquals(errors.map(String), ["Error: told once"]);
});

Deno.test("serve() refuses what no request of ours looks like", async () => {
  let handled = 0;
  await using server = start(() => {
    handled++;
    return new Response();
  }, { maxHeaderBytes: 512, maxHeaders: 5 });
  const { port } = server.addr;
  const host = "Host: localhost\r\n";
  const refused: [string, number][] = [
    [`GET / HTTP/1.1\r\n\r\n`, 400],
    [`GET / HTTP/1.1\r\n${host}${host}\r\n`, 400],
    [`GET / HTTP/1.1\n${host}\r\n`, 400],
    [`GET / HTTP/1.1\r\n${host}A: b\r\n folded\r\n\r\n`, 400],
    [`GET / HTTP/1.1\r\n${host}A : b\r\n\r\n`, 400],
    [`GET / HTTP/1.1\r\n${host}A: b\0\r\n\r\n`, 400],
    [`GET http://other@localhost/ HTTP/1.1\r\n${host}\r\n`, 400],
    [`GET * HTTP/1.1\r\n${host}\r\n`, 400],
    [`GET / HTTP/1.1\r\nHost: localhost:99999\r\n\r\n`, 400],
    [`CONNECT localhost:1 HTTP/1.1\r\n${host}\r\n`, 501],
    [`TRACE / HTTP/1.1\r\n${host}\r\n`, 501],
    [`get / HTTP/1.1\r\n${host}\r\n`, 400],
    [`GET / HTTP/2.0\r\n${host}\r\n`, 505],
    [`POST / HTTP/1.1\r\n${host}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n`, 400],
    [`POST / HTTP/1.1\r\n${host}Content-Length: 0\r\nContent-Length: 0\r\n\r\n`, 400],
    [`POST / HTTP/1.1\r\n${host}Content-Length: +1\r\n\r\n`, 400],
    [`GET /${"a".repeat(600)} HTTP/1.1\r\n${host}\r\n`, 431],
    [`GET / HTTP/1.1\r\n${host}${"A: b\r\n".repeat(5)}\r\n`, 431],
  ];
  for (const [request, status] of refused) {
    const answer = await ask(port, request);
    assertMatch(answer, new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(request));
    assertMatch(answer, /\r\nX-Content-Type-Options: nosniff\r\n[^]*\.\n$/);
  }
  assertEquals(handled, 0);
  assertMatch(await ask(port, GET), /^HTTP\/1\.1 200 /);
});

Deno.test("serve() answers no CONNECT in place of the request before it", async () => {
  await using server = start(() => new Response());
  using client = await RawClient.connect(server.addr.port);
  const host = "Host: here\r\n\r\n";
  await client.write(`GET / HTTP/1.1\r\n${host}CONNECT here:1 HTTP/1.1\r\n${host}`);
  assertEquals(await client.rest(), "");
});

Deno.test("serve() takes what ordinary clients and load balancers send (RFC 9112)", async () => {
  await using server = start((request) => {
    const { method, url, headers } = request;
    return new Response(`${method} ${url} ${headers.get("host")} ${headers.get("cookie")}`);
  }, { keepAliveTimeout: 50 });
  const { port } = server.addr;
  const here = `http://127.0.0.1:${port}`;
  const taken: [string, string][] = [
    // A health check in HTTP/1.0, as haproxy and many load balancers send it.
    ["GET /healthz HTTP/1.0\r\n\r\n", `GET ${here}/healthz null null`],
    ["GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", `GET ${here}/ null null`],
    ["GET / HTTP/1.1\r\nHost:\r\n\r\n", `GET ${here}/  null`],
    ["\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a/ a null"],
    ["OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS http://a/* a null"],
    ["PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", "PROPFIND http://a/ a null"],
    ["GET http://b/c HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://b/c b null"],
    [
      "GET / HTTP/1.1\r\nHost: a\r\nCookie: b=c, d\r\nX: y\r\ncookie: e=f\r\n\r\n",
      "GET http://a/ a b=c, d; e=f",
    ],
  ];
  for (const [request, body] of taken) {
    const answer = await ask(port, request);
    assertMatch(answer, /^HTTP\/1\.1 200 OK\r\n/, JSON.stringify(request));
    if (request.includes("HTTP/1.0")) assertEquals(/transfer-encoding/i.test(answer), false);
    assertStringIncludes(answer, body);
  }
});

Deno.test("serve() names localhost where it listens on all interfaces and no host is asked for", async () => {
  await using server = start((request) => new Response(request.url), { hostname: "0.0.0.0" });
  const { port } = server.addr;
  assertStringIncludes(await ask(port, "GET / HTTP/1.0\r\n\r\n"), `http://localhost:${port}/`);
});

Deno.test("serve() cuts off a client that is slow with the head, and serves the others", async () => {
  await using server = start(() => new Response("served"), { headerTimeout: 100 });
  const { port } = server.addr;
  using silent = await RawClient.connect(port);
  using slow = await RawClient.connect(port);
  await slow.write("GET / HT");
  assertStringIncludes(await ask(port, GET), "served");
  assertMatch(await slow.rest(), /^HTTP\/1\.1 408 /);
  assertEquals(await silent.rest(), "");
});

Deno.test("serve() survives clients that speak no TLS, or leave in the middle", async () => {
  const { ca, cert, key } = await generateCertificates();
  await using server = echo({}, { cert, key });
  const { port } = server.addr;
  using garbage = await RawClient.connect(port);
  await garbage.write("GET / HTTP/1.1\r\n\r\n");
  await garbage.rest();
  for (let i = 0; i < 20; i++) (await RawClient.connect(port))[Symbol.dispose]();
  const socket = await opened(server.url, { caCerts: [ca] });
  socket.send("served");
  assertEquals((await next(socket, "message")).data, "served");
  await closed(socket);
});

Deno.test("HttpServer.shutdown() closes sockets with 1001 and answers requests to the end", async () => {
  const arrived = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const server = start(async (request) => {
    if (request.headers.has("upgrade")) return upgradeWebSocket(request).response;
    arrived.resolve();
    await release.promise;
    return new Response("to the end");
  });
  const { port } = server.addr;
  using _idle = await RawClient.connect(port);
  const socket = await opened(`ws://127.0.0.1:${port}/`);
  const answer = ask(port, GET);
  await arrived.promise;
  const end = next<CloseEvent>(socket, "close");
  const stopped = server.shutdown();
  assertEquals((await end).code, 1001);
  release.resolve();
  assertStringIncludes(await answer, "to the end");
  await Promise.all([stopped, server.finished]);
  await assertRejects(() => RawClient.connect(port), Deno.errors.ConnectionRefused);
});

Deno.test("serve() shuts down at its signal", async () => {
  const controller = new AbortController();
  const server = start(() => new Response(), { signal: controller.signal });
  controller.abort();
  await server.finished;
});

Deno.test("serve() throws when the port cannot be had", async () => {
  await using server = start(() => new Response());
  assertThrows(
    () => start(() => new Response(), { port: server.addr.port }),
    Deno.errors.AddrInUse,
  );
});

Deno.test("upgradeWebSocket() answers the handshake of RFC 6455 section 1.3", async () => {
  await using server = echo();
  using client = await RawClient.connect(server.addr.port);
  await client.write(handshake("permessage-deflate; client_max_window_bits"));
  const head = await client.head();
  assertMatch(head, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
  assertStringIncludes(head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
  // What the client did not offer is not asked of it: some refuse that, or keep their context all the same.
  assertMatch(head, /sec-websocket-extensions: permessage-deflate\r\n/i);
});

Deno.test("upgradeWebSocket() receives bytes as an ArrayBuffer, as Deno's own does", async () => {
  const received = Promise.withResolvers<unknown>();
  await using server = acceptSockets((socket) => {
    assertEquals(socket.binaryType, "arraybuffer");
    socket.onmessage = ({ data }) => received.resolve(data);
  });
  const socket = await opened(server.url);
  socket.send(Uint8Array.of(1, 2));
  assertEquals(await received.promise, Uint8Array.of(1, 2).buffer);
  await closed(socket);
});

Deno.test("upgradeWebSocket() takes frames that come with the handshake", async () => {
  await using server = echo();
  using client = await RawClient.connect(server.addr.port);
  const request = new TextEncoder().encode(handshake());
  await client.write(new Uint8Array([...request, 0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
  await client.head();
  assertEquals([...await client.bytes(4)], [0x81, 2, 0x68, 0x69]);
});

Deno.test("upgradeWebSocket() sends headers that the handler adds to the response", async () => {
  await using server = start((request) => {
    const { response } = upgradeWebSocket(request);
    response.headers.set("Set-Cookie", "a=b");
    return response;
  });
  using client = await RawClient.connect(server.addr.port);
  await client.write(handshake());
  assertMatch(await client.head(), /set-cookie: a=b\r\n/i);
});

Deno.test("upgradeWebSocket() throws for what is no handshake, or an option out of range", async () => {
  const messages: string[] = [];
  await using server = start((request) => {
    const attempts: [typeof TypeError | typeof RangeError, () => unknown][] = [
      [TypeError, () => upgradeWebSocket(request)],
      [RangeError, () => upgradeWebSocket(request, { idleTimeout: -1 })],
      [RangeError, () => upgradeWebSocket(request, { maxMessageSize: -1 })],
      [RangeError, () => upgradeWebSocket(request, { compression: { level: 10 } })],
    ];
    for (const [type, attempt] of attempts) messages.push(assertThrows(attempt, type).message);
    return new Response();
  });
  await ask(server.addr.port, GET);
  assertEquals(messages.length, 4);
});

Deno.test("upgradeWebSocket() throws for a subprotocol that was not offered", async () => {
  const errors: unknown[] = [];
  await using server = acceptSockets(() => {}, { protocol: "c" }, {
    onError(error) {
      errors.push(error);
      return new Response(null, { status: 400 });
    },
  });
  using client = await RawClient.connect(server.addr.port);
  await client.write(handshake().replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"));
  assertMatch(await client.head(), /^HTTP\/1\.1 400 /);
  assertInstanceOf(errors[0], TypeError);
});

Deno.test("upgradeWebSocket() hands a request of Deno.serve over to Deno's own", async () => {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => {
      const { socket, response } = upgradeWebSocket(request);
      socket.onmessage = ({ data }) => socket.send(`native ${data}`);
      return response;
    },
  );
  const socket = await opened(`ws://127.0.0.1:${server.addr.port}/`);
  assertEquals(socket.extensions, "");
  socket.send("hello");
  assertEquals((await next(socket, "message")).data, "native hello");
  await closed(socket);
});

Deno.test("upgradeWebSocket() closes a message over maxMessageSize with 1009", async () => {
  await using server = echo({ maxMessageSize: 1000 });
  for (const compression of [false, true]) {
    const socket = await opened(server.url, { compression });
    socket.send("a".repeat(1000));
    assertEquals((await next(socket, "message")).data.length, 1000);
    socket.send("a".repeat(1001));
    // Told by the Close frame of who fails; what the other side saw is a close with that code.
    assertEquals((await next<CloseEvent>(socket, "close")).code, 1009);
  }
});

Deno.test("HttpServer.setCertificate() serves new connections with it, and keeps the old ones", async () => {
  const first = await generateCertificates();
  const second = await generateCertificates();
  await using server = echo({}, { cert: first.cert, key: first.key });
  const old = await opened(server.url, { caCerts: [first.ca] });
  for (let i = 0; i < 5; i++) {
    await server.setCertificate(second.cert, second.key);
    const renewed = await opened(server.url, { caCerts: [second.ca] });
    await closed(renewed);
    await server.setCertificate(first.cert, first.key);
    await closed(await opened(server.url, { caCerts: [first.ca] }));
  }
  await assertRejects(() => server.setCertificate(first.cert, second.key));
  await assertRejects(() => server.setCertificate("garbage", second.key));
  await closed(await opened(server.url, { caCerts: [first.ca] }));
  old.send("still here");
  assertEquals((await next(old, "message")).data, "still here");
  await closed(old);
});

Deno.test("serve() answers 503 beyond its connections, and serves those it has", async () => {
  for (const limit of [{ maxConnections: 2 }, { maxConnectionsPerAddress: 2 }]) {
    await using server = echo({}, limit);
    const sockets = [await opened(server.url), await opened(server.url)];
    assertMatch(await ask(server.addr.port, GET), /^HTTP\/1\.1 503 /);
    for (const socket of sockets) {
      socket.send("served");
      assertEquals((await next(socket, "message")).data, "served");
    }
    await closed(sockets.pop()!);
    // The place is free once the server has seen the end.
    for (;;) {
      const socket = new WebSocket(server.url);
      const event = await Promise.race([next<Event>(socket, "open"), next<Event>(socket, "close")]);
      if (event.type === "open") {
        await closed(socket);
        break;
      }
    }
    await closed(sockets.pop()!);
  }
});

Deno.test("serve() gives a client up that does not take its answer", async () => {
  // What a slow client is given time for would take minutes.
  const before = setLeastRate(4 * 1024 * 1024);
  using stack = new DisposableStack();
  stack.defer(() => void setLeastRate(before));
  const failed = Promise.withResolvers<unknown>();
  await using server = start((_, { completed }) => {
    completed.catch(failed.resolve);
    return new Response(new Uint8Array(64 * 1024 * 1024));
  }, { responseTimeout: 100 });
  using client = await RawClient.connect(server.addr.port);
  await client.write(GET);
  assertInstanceOf(await failed.promise, Error);
  assertMatch(await ask(server.addr.port, GET.replace("GET", "HEAD")), /^HTTP\/1\.1 200 /);
});

Deno.test("serve() keeps a client that is slow with a long body, but takes something", async () => {
  const size = 16 * 1024 * 1024;
  const completed = Promise.withResolvers<void>();
  await using server = start((_request, info) => {
    info.completed.then(completed.resolve, completed.reject);
    return new Response(new Uint8Array(size));
  }, { responseTimeout: 300 });
  using client = await RawClient.connect(server.addr.port);
  await client.write(GET);
  await client.head();
  // Longer than the timeout for all of it, never as long for a part.
  let taken = 0;
  while (taken < size) {
    const part = await client.bytes(Math.min(1024 * 1024, size - taken));
    if (part.length === 0) break;
    taken += part.length;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assertEquals(taken, size);
  await completed.promise;
});

Deno.test("serve() gives up a TLS handshake that does not come", async () => {
  const { ca, cert, key } = await generateCertificates();
  const limits = { handshakeTimeout: 100, maxConnections: 1 };
  await using server = echo({}, { cert, key, ...limits });
  using _silent = await RawClient.connect(server.addr.port);
  const refused = new WebSocket(server.url, { caCerts: [ca] });
  assertEquals((await next<ErrorEvent>(refused, "error")).error.status, 503);
  // The one place is free again once the silent client's time is up.
  for (let served = false; !served;) {
    const socket = new WebSocket(server.url, { caCerts: [ca] });
    const event = await Promise.race([next<Event>(socket, "open"), next<Event>(socket, "close")]);
    served = event.type === "open";
    if (served) await closed(socket);
  }
});

Deno.test("serve() refuses limits that are none", () => {
  for (
    const limit of [
      { maxConnections: -1 },
      { headerTimeout: NaN },
      { gracePeriod: Infinity },
      { maxHeaders: "5" },
      { port: -1 },
      { port: 65_536 },
    ]
  ) {
    assertThrows(() => start(() => new Response(), limit as ServeTcpOptions), RangeError);
  }
  for (const port of [NaN, 45.1, null, true, "a"]) {
    assertThrows(() => start(() => new Response(), { port } as ServeTcpOptions), TypeError, "port");
  }
});

Deno.test("HttpServer.shutdown() answers what has come, then closes with 1001", async () => {
  const received = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const server = acceptSockets((socket) => {
    socket.onmessage = async ({ data }) => {
      received.resolve();
      await release.promise;
      socket.send(`answer to ${data}`);
    };
  });
  const socket = await opened(server.url);
  const answers: string[] = [];
  socket.onmessage = ({ data }) => answers.push(data);
  socket.send("one");
  socket.send("two");
  await received.promise;
  const stopped = server.shutdown();
  const end = next<CloseEvent>(socket, "close");
  release.resolve();
  assertEquals((await end).code, 1001);
  assertEquals(answers, ["answer to one", "answer to two"]);
  await stopped;
});

Deno.test("HttpServer.shutdown() answers what the network has brought and nobody has read", async () => {
  const server = echo();
  using client = await RawClient.open(server.addr.port);
  const count = 20;
  // More than one read takes; all of it is there before the server can look.
  await client.write(
    concat(...Array.from({ length: count }, (_, i) => frame("server", TEXT, `${i}`.padEnd(2000)))),
  );
  const stopped = server.shutdown();
  for (let i = 0; i < count; i++) {
    assertEquals((await client.bytes(4))[0], 0x81);
    assertEquals(new TextDecoder().decode(await client.bytes(2000)).trim(), `${i}`);
  }
  assertEquals(await client.bytes(4), Uint8Array.of(0x88, 2, 1001 >> 8, 1001 & 0xff));
  await client.write(frame("server", CLOSE, Uint8Array.of(1001 >> 8, 1001 & 0xff)));
  await stopped;
});

Deno.test("HttpServer.shutdown() waits for the answer of a socket whose messages are read as a stream", async () => {
  const received = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const server = acceptSockets(async (socket) => {
    const writer = socket.writable.getWriter();
    for await (const message of socket.readable) {
      received.resolve();
      await release.promise;
      await writer.write(`answer to ${message}`);
    }
    ended.resolve();
  });
  const socket = await opened(server.url);
  socket.send("one");
  await received.promise;
  const answer = next(socket, "message");
  const end = next<CloseEvent>(socket, "close");
  const stopped = server.shutdown();
  // Two looks of the server come before this, and find its reader at work.
  await new Promise((resolve) => setTimeout(resolve, 50));
  release.resolve();
  assertEquals((await answer).data, "answer to one");
  assertEquals((await end).code, 1001);
  await Promise.all([stopped, ended.promise]);
});

Deno.test("HttpServer.shutdown() does not wait for a client that never stops asking", async () => {
  const server = echo({}, { gracePeriod: 200 });
  const socket = await opened(server.url);
  socket.onmessage = ({ data }) => socket.send(data);
  socket.send("on and on");
  const end = next<CloseEvent>(socket, "close");
  await server.shutdown();
  assertEquals((await end).code, 1001);
});

Deno.test("HttpServer.shutdown() cuts off a client that does not end within the grace period", async () => {
  const end = Promise.withResolvers<CloseEvent>();
  const server = acceptSockets((socket) => socket.onclose = end.resolve, {}, { gracePeriod: 100 });
  using client = await RawClient.open(server.addr.port);
  await server.shutdown();
  assertEquals((await end.promise).code, 1006);
  assertEquals([...(await client.bytes(4))].slice(0, 1), [0x88]);
});

Deno.test("HttpServer.shutdown() waits for no handler and no body beyond its grace period", async () => {
  const handlers: ServeHandler<Deno.NetAddr>[] = [
    () => new Promise(() => {}),
    () => new Response(new ReadableStream({ pull: () => new Promise(() => {}) })),
  ];
  for (const handler of handlers) {
    const called = Promise.withResolvers<void>();
    const server = start((...given) => {
      called.resolve();
      return handler(...given);
    }, { gracePeriod: 50 });
    using client = await RawClient.connect(server.addr.port);
    await client.write(GET);
    await called.promise;
    await server.shutdown();
  }
});

Deno.test("serve() cancels the body of a client that has gone", async () => {
  const cancelled = Promise.withResolvers<void>();
  await using server = start(() =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(new TextEncoder().encode("event")),
        cancel: () => cancelled.resolve(),
      }),
    )
  );
  const client = await RawClient.connect(server.addr.port);
  await client.write(GET);
  await client.head();
  client[Symbol.dispose]();
  await cancelled.promise;
});

Deno.test("serve() takes methods as they are written", async () => {
  await using server = echo();
  assertMatch(
    await ask(server.addr.port, handshake().replace("GET", "get")),
    /^HTTP\/1\.1 400 /,
  );
});

Deno.test("serve() answers 500 for a Response that cannot be sent", async () => {
  const original = console.error;
  console.error = () => {};
  try {
    const used = new Response("used");
    await used.text();
    for (const response of [Response.error(), used]) {
      await using server = start(() => response);
      assertMatch(await ask(server.addr.port, GET), /^HTTP\/1\.1 500 /);
    }
    await using server = start(() => new Response(), {
      onError: () => "nothing" as never,
    });
    assertMatch(await ask(server.addr.port, GET), /^HTTP\/1\.1 200 /);
  } finally {
    console.error = original;
  }
});

Deno.test("serve() leaves no listener behind when onListen throws", async () => {
  let port = 0;
  assertThrows(
    () =>
      start(() => new Response(), {
        onListen(address) {
          port = address.port;
          throw new Error("not here");
        },
      }),
    Error,
    "not here",
  );
  await assertRejects(() => RawClient.connect(port));
});

Deno.test("HttpServer.setCertificate() takes the last of several", async () => {
  const pairs = await Promise.all([1, 2, 3].map(() => generateCertificates()));
  await using server = echo({}, { cert: pairs[0]!.cert, key: pairs[0]!.key });
  await Promise.all(pairs.map(({ cert, key }) => server.setCertificate(cert, key)));
  await closed(await opened(server.url, { caCerts: [pairs[2]!.ca] }));
});

Deno.test("HttpServer.setCertificate() resets no connection that waits to be accepted", async () => {
  const { cert, key, ca } = await generateCertificates();
  const hostname = "127.0.0.1";
  const server = serve({ port: 0, hostname, cert, key, onListen() {} }, () => new Response("hi"));
  const { port } = server.addr;
  for (let i = 0; i < 5; i++) {
    const connections = await Promise.all(
      Array.from({ length: 50 }, () => Deno.connect({ hostname, port })),
    );
    await server.setCertificate(cert, key);
    for (const connection of connections) {
      using tls = await Deno.startTls(connection, { hostname, caCerts: [ca] });
      await tls.handshake();
    }
  }
  await server.shutdown();
});

Deno.test("serve() ends the connection that holds most beyond maxMemory with 1013", async () => {
  const before = memoryBudget.limits;
  await using server = echo({}, { maxMemory: 600_000 });
  try {
    const { port } = server.addr;
    using greedy = await RawClient.open(port);
    using modest = await RawClient.open(port);
    const part = (size: number) => frame("server", BINARY, new Uint8Array(size), { fin: false });
    await modest.write(part(1000));
    await greedy.write(part(500_000));
    const [first, , ...code] = await greedy.bytes(4);
    assertEquals([first, ...code], [0x80 | CLOSE, 1013 >> 8, 1013 & 0xff]);
    await modest.write(frame("server", CONTINUATION, "end"));
    assertEquals([...await modest.bytes(4)], [0x80 | BINARY, 126, 1003 >> 8, 1003 & 0xff]);
  } finally {
    memoryBudget.configure(before);
  }
});

Deno.test("serve() refuses limits that are no numbers", () => {
  for (const value of [null, NaN, -1, "5", "", true, {}]) {
    for (const name of ["maxMemory", "maxMemoryPerAddress", "maxConnections", "gracePeriod"]) {
      const options = {
        port: 0,
        hostname: "127.0.0.1",
        [name]: value,
      } as unknown as ServeTcpOptions;
      assertThrows(() => serve(options, () => new Response()), RangeError, name);
    }
  }
});
