/** Clients that send broken, hidden and unfinished requests, or nothing at all: each is answered or ended. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { serve, type ServeTcpOptions, upgradeWebSocket } from "../../mod.ts";
import { Random } from "../fuzz/random.ts";
import { developmentCertificates } from "../programs.ts";
import { handshake, RawClient } from "../websocket/peers.ts";

/** Short, so that a client that waits is soon ended. */
const TIMEOUTS = {
  headerTimeout: 150,
  bodyTimeout: 100,
  keepAliveTimeout: 50,
  responseTimeout: 200,
};

/** A server that reads each body and notes each path. */
async function start(paths: string[], secure: boolean, options: ServeTcpOptions = {}) {
  const { ca, cert, key } = await developmentCertificates();
  const server = serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen() {},
    onError: () => new Response("error", { status: 500 }),
    ...TIMEOUTS,
    ...(secure && { cert, key }),
    ...options,
  }, async (request) => {
    const { pathname } = new URL(request.url);
    paths.push(pathname);
    if (request.headers.has("Upgrade")) return upgradeWebSocket(request).response;
    if (pathname === "/long") return new Response(new Uint8Array(50_000_000));
    await request.bytes();
    return new Response(`<${pathname}>`);
  });
  const { port } = server.addr;
  const hostname = "127.0.0.1";
  return Object.assign(server, {
    async connect() {
      return new RawClient(
        secure
          ? await Deno.connectTls({ hostname, port, caCerts: [ca] })
          : await Deno.connect({ hostname, port }),
      );
    },
  });
}

type Hostile = Awaited<ReturnType<typeof start>>;

/** Sends bytes in parts and ends; reads what comes. A server may end the connection at any time. */
async function answersTo(server: Hostile, parts: Uint8Array[]): Promise<string> {
  using client = await server.connect();
  try {
    for (const part of parts) await client.write(part);
    await client.connection.closeWrite();
    return await client.rest();
  } catch (error) {
    if (ENDS.some((type) => error instanceof type)) return "";
    throw error;
  }
}

/** What a client meets whose connection was ended while it sends. */
const ENDS = [
  Deno.errors.BrokenPipe,
  Deno.errors.ConnectionReset,
  Deno.errors.NotConnected,
  Deno.errors.UnexpectedEof,
];

/** Whether somebody else is served at the same time. */
async function assertServes(server: Hostile): Promise<void> {
  using client = await server.connect();
  await client.write("GET /honest HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  assertMatch(await client.rest(), /^HTTP\/1\.1 200 OK\r\n[^]*<\/honest>$/);
}

/** Characters as bytes. */
function latin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** Bytes cut at random places. */
function cut(random: Random, bytes: Uint8Array): Uint8Array[] {
  const ends = random.one(2) ? [] : random.cuts(bytes.length);
  return [0, ...ends].map((start, index) => bytes.subarray(start, ends[index] ?? bytes.length));
}

const HIDDEN = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKS = `0\r\n\r\n${HIDDEN}`;

/** Headers and a body, which readers that disagree would take for two requests. */
const SMUGGLED: [headers: string, body: string][] = [
  // A length and chunks, whichever comes first (RFC 9112 section 6.1).
  ["Content-Length: 6\r\nTransfer-Encoding: chunked", CHUNKS],
  ["Transfer-Encoding: chunked\r\nContent-Length: 6", CHUNKS],
  [`Content-Length: ${5 + HIDDEN.length}\r\nTransfer-Encoding: chunked`, CHUNKS],
  // Encodings that are none, or written in ways that one reader takes and another does not.
  ...[
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: chunked\x00",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    "Transfer-Encoding\x00: chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    " Transfer-Encoding: chunked",
    "Content-Length: 5\r\nTransfer\x2dEncoding:\x20chunked",
  ].map((headers): [string, string] => [headers, CHUNKS]),
  // Lengths that differ, or are none.
  ...[
    "Content-Length: 3\r\nContent-Length: 4",
    "Content-Length: 3, 4",
    "Content-Length: 3,",
    "Content-Length: +3",
    "Content-Length: -3",
    "Content-Length: 0x3",
    "Content-Length: 3 4",
    "Content-Length: 3\x00",
    "Content-Length: 3.0",
    "Content-Length: 3e0",
    "Content-Length : 3",
    "Content-Length:\r\n 3",
    "Content-Length: 18446744073709551619",
  ].map((headers): [string, string] => [headers, `abc${HIDDEN}`]),
  // Chunks that one reader ends elsewhere than another.
  ...[
    `-3\r\nabc\r\n${CHUNKS}`,
    `0x3\r\nabc\r\n${CHUNKS}`,
    `3 \r\nabc\r\n${CHUNKS}`.replace("3 ", "3 4"),
    `3\nabc\n0\n\n${HIDDEN}`,
    `3\rabc\r0\r\r${HIDDEN}`,
    `3\r\nabcd\r\n${CHUNKS}`,
    `3;a=\n\r\nabc\r\n${CHUNKS}`,
    `3;a\x00\r\nabc\r\n${CHUNKS}`,
    `10000000000000003\r\nabc\r\n${CHUNKS}`,
    `ffffffffffffffff\r\nabc\r\n${CHUNKS}`,
    `\r\n${CHUNKS}`,
  ].map((body): [string, string] => ["Transfer-Encoding: chunked", body]),
];

/** Requests that are right, before something is changed in them. */
const WHOLE = [
  "GET /a?b HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\n\r\n",
  "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
  "PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nA: b\r\n\r\n",
  "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
  "HEAD / HTTP/1.0\r\n\r\n",
  "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
  handshake("permessage-deflate"),
  handshake() + handshake(),
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n" + handshake(),
];

/** What is put into them. */
const PIECES = [
  "\r\n",
  "\n",
  "\r",
  "\0",
  " ",
  "\t",
  ":",
  ";",
  ",",
  "é",
  "\r\n folded\r\n",
  "Host: b\r\n",
  "Content-Length: 3\r\n",
  "Content-Length: 99999999\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Upgrade: websocket\r\nConnection: upgrade\r\n",
  "Connection: close\r\n",
  "HTTP/1.1",
  "HTTP/2.0",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "0\r\n\r\n",
  "ffffffff\r\n",
  "-1",
  "X: ".padEnd(20_000, "y"),
  "X: y\r\n".repeat(120),
  "%00",
  "http://b/",
];

for (const secure of [false, true]) {
  const over = secure ? "TLS" : "TCP";

  Deno.test(`serve() over ${over} takes no request from what another hides, however it comes`, async () => {
    const paths: string[] = [];
    await using server = await start(paths, secure);
    for (const [index, [headers, body]] of SMUGGLED.entries()) {
      const random = new Random(`smuggled ${index}`);
      for (const before of ["", "GET /before HTTP/1.1\r\nHost: a\r\n\r\n"]) {
        const request = `${before}POST / HTTP/1.1\r\nHost: a\r\n${headers}\r\n\r\n${body}`;
        const answers = await answersTo(server, cut(random, latin1(request)));
        assert(!paths.includes("/hidden"), JSON.stringify([headers, body]));
        const statuses = Array.from(
          answers.matchAll(/HTTP\/1\.1 (\d{3}) /g),
          ([, status]) => status!,
        );
        const most = before === "" ? 1 : 2;
        assert(statuses.length <= most, JSON.stringify([headers, body, answers]));
        // One that is broken in its body may have no answer, and gets none of success.
        if (before === "") {
          assert(!/^2/.test(statuses[0] ?? "400"), JSON.stringify([headers, body]));
        }
      }
    }
    await assertServes(server);
  });

  Deno.test(`serve() over ${over} answers or ends every broken request, and serves the others`, async () => {
    const paths: string[] = [];
    await using server = await start(paths, secure, { maxBodySize: 10_000 });
    const random = new Random("broken requests");
    for (let i = 0; i < 300; i++) {
      const bytes = random.mutated(latin1(random.pick(WHOLE)), PIECES);
      const answers = await answersTo(server, cut(random, bytes));
      if (answers !== "") assertMatch(answers, /^HTTP\/1\.1 [1-5]\d\d /);
      if (i % 50 === 0) await assertServes(server);
    }
    await assertServes(server);
  });

  Deno.test(`serve() over ${over} ends clients that stop anywhere, and frees their places`, async () => {
    const paths: string[] = [];
    await using server = await start(paths, secure, { maxConnections: 8 });
    const stopping = [
      "",
      "G",
      "GET / HTTP/1.1\r\nHost: a\r\nX",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /long HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    const clients: RawClient[] = [];
    for (const text of stopping) {
      const client = await server.connect();
      clients.push(client);
      await client.write(text);
    }
    // Nothing is read of the long answer until the server has given it up, which frees its place.
    for (const [index, client] of clients.entries()) {
      if (!stopping[index]!.includes("/long")) await client.rest().catch(() => {});
    }
    await assertServes(server);
    for (const client of clients) client[Symbol.dispose]();
  });
}

Deno.test("serve() keeps 1,000 idle connections of HTTP, and ends each after keepAliveTimeout", async () => {
  const paths: string[] = [];
  await using server = await start(paths, false, {
    headerTimeout: 10_000,
    keepAliveTimeout: 4000,
  });
  const clients: RawClient[] = [];
  const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (let i = 0; i < 1000; i++) clients.push(await server.connect());
  await clients[0]!.write(request);
  const { length } = await clients[0]!.head() + "</>";
  await clients[0]!.bytes("</>".length);
  for (let round = 0; round < 2; round++) {
    for (const client of clients) await client.write(request);
    for (const client of clients) {
      const answer = new TextDecoder().decode(await client.bytes(length));
      assert(answer.startsWith("HTTP/1.1 200 OK\r\n") && answer.endsWith("\r\n\r\n</>"), answer);
    }
  }
  await assertServes(server);
  // Each is ended by the server; otherwise this would never come to an end.
  for (const client of clients) {
    assertEquals(await client.rest(), "");
    client[Symbol.dispose]();
  }
  assertEquals(paths.length, 2002);
});
