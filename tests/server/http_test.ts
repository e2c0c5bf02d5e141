/** HTTP/1.1 beside WebSocket: kept connections, bodies both ways, and what could smuggle a request. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { deadline } from "@std/async/deadline";
import { Readable } from "node:stream";
import { serve, type ServeHandler, type ServeTcpOptions, upgradeWebSocket } from "../../mod.ts";
import { developmentCertificates } from "../programs.ts";
import { concat, frame, TEXT } from "../protocol/driver.ts";
import { handshake, RawClient } from "../websocket/peers.ts";

function start(handler: ServeHandler<Deno.NetAddr>, options: ServeTcpOptions = {}) {
  return serve({ port: 0, hostname: "127.0.0.1", onListen() {}, ...options }, handler);
}

/** Sends the size of a request's body back. */
const measure = async (request: Request) =>
  new Response(`${request.method} ${(await request.bytes()).length}`);

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

Deno.test("serve() keeps a connection, and answers requests in their order", async () => {
  const paths: string[] = [];
  await using server = start(async (request) => {
    const { pathname } = new URL(request.url);
    paths.push(pathname);
    if (pathname === "/") await new Promise((resolve) => setTimeout(resolve, 10));
    return new Response(`<${pathname}>`);
  });
  using client = await RawClient.connect(server.addr.port);
  await client.write(GET + GET + LAST);
  const answers = await client.rest();
  assertEquals(answers.match(/<.*?>/g), ["</>", "</>", "</last>"]);
  assertEquals(answers.match(/HTTP\/1\.1 200 OK/g)?.length, 3);
  assertMatch(answers, /\r\nConnection: keep-alive\r\n[^]*\r\nConnection: close\r\n/i);
});

Deno.test("serve() upgrades a connection that it has kept", async () => {
  await using server = start((request) => {
    if (!request.headers.has("Upgrade")) return new Response("plain");
    const { socket, response } = upgradeWebSocket(request);
    socket.onmessage = ({ data }) => socket.send(data);
    return response;
  });
  using client = await RawClient.connect(server.addr.port);
  await client.write(GET);
  assertStringIncludes(await client.head(), "200 OK");
  assertEquals(await client.bytes(5), new TextEncoder().encode("plain"));
  const message = frame("server", TEXT, "hello");
  await client.write(concat(new TextEncoder().encode(handshake("permessage-deflate")), message));
  assertMatch(
    await client.head(),
    /^HTTP\/1\.1 101 [^]*\r\nsec-websocket-extensions: permessage-deflate\r\n/i,
  );
  assertEquals((await client.bytes(7)).subarray(2), new TextEncoder().encode("hello"));
});

Deno.test("serve() reads bodies with a length, in chunks, and after it asked for them", async () => {
  await using server = start(measure);
  const port = server.addr.port;
  const url = `http://127.0.0.1:${port}/`;
  for (const size of [0, 1, 70_000, 3_000_000]) {
    const body = new Uint8Array(size);
    assertEquals(await (await fetch(url, { method: "POST", body })).text(), `POST ${size}`);
    const stream = new Blob([body]).stream();
    assertEquals(await (await fetch(url, { method: "PUT", body: stream })).text(), `PUT ${size}`);
  }
  using client = await RawClient.connect(port);
  await client.write(
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
  );
  assertEquals(await client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
  await client.write("abc");
  assert((await client.rest()).endsWith("POST 3"));
});

Deno.test("serve() asks for no body that the handler does not read", async () => {
  await using server = start(() => new Response("unread"));
  using client = await RawClient.connect(server.addr.port);
  await client.write(
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
  );
  assertMatch(await client.rest(), /^HTTP\/1\.1 200 [^]*unread$/);
});

Deno.test("serve() streams a body back while it comes", async () => {
  await using server = start((request) => new Response(request.body));
  using client = await RawClient.connect(server.addr.port);
  await client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const part of ["one", "three"]) {
    await client.write(`${part.length}\r\n${part}\r\n`);
    if (part === "one") await client.head();
    const echoed = `${part.length}\r\n${part}\r\n`;
    assertEquals(new TextDecoder().decode(await client.bytes(echoed.length)), echoed);
  }
  await client.write("0\r\nTrailer: dropped\r\n\r\n");
  assertEquals(new TextDecoder().decode(await client.bytes(5)), "0\r\n\r\n");
});

Deno.test("serve() refuses a body over maxBodySize with 413, told or found out", async () => {
  let handled = 0;
  await using server = start((request) => {
    handled++;
    return measure(request);
  }, { maxBodySize: 1000 });
  const url = `http://127.0.0.1:${server.addr.port}/`;
  const ask = async (size: number, body: BodyInit = new Uint8Array(size)) => {
    const response = await fetch(url, { method: "POST", body });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals([await ask(1000), await ask(1001), handled], [200, 413, 1]);
  assertEquals(await ask(1000, new Blob([new Uint8Array(1000)]).stream()), 200);
  assertEquals(await ask(1001, new Blob([new Uint8Array(1001)]).stream()), 413);
});

Deno.test("serve() gives a body up that stops coming with 408, and one that is cut off", async () => {
  await using server = start(measure, { bodyTimeout: 50 });
  const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
  using slow = await RawClient.connect(server.addr.port);
  await slow.write(head);
  assertMatch(await slow.rest(), /^HTTP\/1\.1 408 /);
  using cut = await RawClient.connect(server.addr.port);
  await cut.write(head);
  await cut.connection.closeWrite();
  await cut.rest();
  using next = await RawClient.connect(server.addr.port);
  await next.write(LAST);
  assertStringIncludes(await next.rest(), "GET 0");
});

Deno.test("serve() fails a body that its client has cut off, and ends a connection without a request", async () => {
  const failed = Promise.withResolvers<unknown>();
  await using server = start(async (request) => {
    try {
      return await measure(request);
    } catch (error) {
      failed.resolve(error);
      throw error;
    }
  }, {
    bodyTimeout: 60_000,
    keepAliveTimeout: 60_000,
    headerTimeout: 60_000,
    onError: Response.error,
  });
  using cut = await RawClient.connect(server.addr.port);
  await cut.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  await cut.connection.closeWrite();
  assertInstanceOf(await deadline(failed.promise, 10_000), Deno.errors.ConnectionReset);
  assertEquals(await cut.rest(), "");

  using kept = await RawClient.connect(server.addr.port);
  await kept.write(GET);
  await kept.head();
  await kept.connection.closeWrite();
  assertEquals(await kept.rest(), "GET 0");

  using half = await RawClient.connect(server.addr.port);
  await half.write("GET / HTTP/1.1\r\nHo");
  await half.connection.closeWrite();
  assertEquals(await half.rest(), "");
});

Deno.test("serve() ends an answer over TLS whose end follows its last part at once", async () => {
  const { ca, cert, key } = await developmentCertificates();
  await using server = start(({ url }) => {
    const headers = url.endsWith("/length") ? { "Content-Length": "900" } : undefined;
    // Neither all of it is there at once, nor does the end come in a later turn.
    const body = Readable.from([new Uint8Array(900)]) as unknown as BodyInit;
    return new Response(body, headers && { headers });
  }, { cert, key });
  const { port } = server.addr;
  const connect = async () =>
    new RawClient(await Deno.connectTls({ hostname: "127.0.0.1", port, caCerts: [ca] }));

  using kept = await connect();
  await kept.write("GET /length HTTP/1.1\r\nHost: a\r\n\r\n");
  await kept.head();
  await kept.bytes(900);
  await kept.write(LAST);
  assertMatch(await deadline(kept.rest(), 10_000), /^HTTP\/1\.1 200 /);

  using old = await connect();
  await old.write("GET / HTTP/1.0\r\n\r\n");
  const answer = await deadline(old.rest(), 10_000);
  assertEquals(answer.length - answer.indexOf("\r\n\r\n") - 4, 900);
});

Deno.test("serve() answers before a body has come, and takes no request from what is left of it", async () => {
  const paths: string[] = [];
  await using server = start((request) => {
    paths.push(new URL(request.url).pathname);
    return new Response("early");
  });
  using client = await RawClient.connect(server.addr.port);
  await client.write(
    `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${10 + LAST.length}\r\n\r\n0123456789`,
  );
  const head = await client.head();
  assertMatch(head, /\r\nConnection: close\r\n/i);
  await client.write(LAST + LAST);
  await client.rest();
  assertEquals(paths, ["/"]);
});

Deno.test("serve() closes a kept connection that stays idle, and one whose next head is slow", async () => {
  await using server = start(() => new Response("ok"), {
    keepAliveTimeout: 50,
    headerTimeout: 100,
  });
  using idle = await RawClient.connect(server.addr.port);
  await idle.write(GET);
  assert((await idle.rest()).endsWith("ok"));
  using slow = await RawClient.connect(server.addr.port);
  await slow.write(`${GET}GET /s`);
  assertMatch(await slow.rest(), /200 OK[^]*ok(HTTP\/1\.1 408 |$)/);
});

Deno.test("serve() takes no request that is hidden in another (RFC 9112 section 11.2)", async () => {
  const paths: string[] = [];
  await using server = start(async (request) => {
    paths.push(new URL(request.url).pathname);
    await request.bytes();
    return new Response("ok");
  });
  const hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
  const post = (headers: string, body: string) =>
    `POST / HTTP/1.1\r\nHost: a\r\n${headers}\r\n${body}`;
  for (
    const request of [
      post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", `0\r\n\r\n${hidden}`),
      post("Content-Length: 3\r\nContent-Length: 4\r\n", `abc${hidden}`),
      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", `0\r\n\r\n${hidden}`),
      post("Transfer-Encoding: xchunked\r\n", `0\r\n\r\n${hidden}`),
      post("Transfer-Encoding: gzip, chunked\r\n", `0\r\n\r\n${hidden}`),
      post("Transfer-Encoding : chunked\r\n", `0\r\n\r\n${hidden}`),
      post("Content-Length: 0x3\r\n", `abc${hidden}`),
      post("Content-Length: 3 4\r\n", `abc${hidden}`),
      post("X: a\r\n Content-Length: 3\r\n", `abc${hidden}`),
      post("Transfer-Encoding: chunked\r\n", `3;a=\n\r\nabc\r\n0\r\n\r\n${hidden}`),
      post("Transfer-Encoding: chunked\r\n", `-3\r\nabc\r\n0\r\n\r\n${hidden}`),
    ]
  ) {
    using client = await RawClient.connect(server.addr.port);
    await client.write(request);
    const answer = await client.rest();
    assert(!paths.includes("/hidden"), JSON.stringify(request));
    // One that is broken in the middle of its body is cut off.
    assertMatch(answer, /^(HTTP\/1\.1 (400|501) |$)/, JSON.stringify(request));
  }
  // A handshake with a body, and one that does not wait for the answer before it.
  for (
    const request of [
      handshake().replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc"),
      `${GET}${handshake()}`,
    ]
  ) {
    using client = await RawClient.connect(server.addr.port);
    await client.write(request);
    assertStringIncludes(await client.rest(), "HTTP/1.1 400 ");
  }
});

Deno.test("serve() sends a head at once whose body takes its time, and several cookies", async () => {
  const release = Promise.withResolvers<void>();
  await using server = start(() => {
    const stream = new ReadableStream({
      async pull(controller) {
        await release.promise;
        controller.enqueue(new TextEncoder().encode("data: 1\n\n"));
        controller.close();
      },
    });
    const response = new Response(stream, { headers: { "Content-Type": "text/event-stream" } });
    response.headers.append("Set-Cookie", "a=1");
    response.headers.append("Set-Cookie", "b=2");
    return response;
  });
  using client = await RawClient.connect(server.addr.port);
  await client.write(LAST);
  const head = await client.head();
  assertEquals(head.match(/^set-cookie: .*$/gim)?.length, 2);
  assertMatch(head, /^Date: /im);
  release.resolve();
  assertStringIncludes(await client.rest(), "data: 1");
});
