import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { generateCertificates } from "../../certs/generate.ts";
import {
  serve,
  type ServeHandler,
  type ServeTcpOptions,
  upgradeWebSocket,
  WebSocket,
} from "../../mod.ts";
import { memoryBudget } from "../../transport/memory_budget.ts";
import { BINARY, frame, PING } from "../protocol/driver.ts";
import { onEachWay } from "../transport/ends.ts";
import { acceptSockets, closed, echo, handshake, next, RawClient } from "../websocket/peers.ts";

function start(options: ServeTcpOptions, handler: ServeHandler<Deno.NetAddr> = describe) {
  return serve({ port: 0, hostname: "127.0.0.1", onListen() {}, ...options }, handler);
}

/** What a handler learns of the client. */
const describe: ServeHandler<Deno.NetAddr> = (request, { remoteAddr: { hostname, port } }) =>
  new Response(`${hostname} ${port === 0 ? "0" : "port"} ${request.url}`);

/** The body of the answer to a request with these header lines, or its status if that is no 200. */
async function ask(port: number, headers: string[] = [], before: string | Uint8Array = "") {
  using client = await RawClient.connect(port);
  try {
    await client.write(before);
    await client.write(
      ["GET /a HTTP/1.1", "Host: here", "Connection: close", ...headers, "", ""].join("\r\n"),
    );
  } catch (error) {
    // Cut off already.
    if (
      !(error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset)
    ) {
      throw error;
    }
  }
  const [, status, body] = /^HTTP\/1\.1 (\d+)[^]*?\r\n\r\n(?:\w+\r\n)?([^\r]*)/
    .exec(await client.rest()) ?? [];
  return status === "200" ? body : status;
}

const XFF = "X-Forwarded-For: 192.0.2.1";
const ALL = [XFF, "X-Forwarded-Proto: https", "X-Forwarded-Host: there:444"];

Deno.test("serve() believes what trusted proxies say, for remoteAddr and the URL", async () => {
  await using server = start({ trustProxy: ["127.0.0.0/8", "10.0.0.0/8", "::1"] });
  const { port } = server.addr;
  assertEquals(await ask(port, ALL), "192.0.2.1 0 https://there:444/a");
  assertEquals(await ask(port, ["X-Forwarded-For: 192.0.2.1:80"]), "192.0.2.1 port http://here/a");
  assertEquals(
    await ask(port, [
      "X-Forwarded-For: 192.0.2.1, 192.0.2.2, 10.0.0.1",
      "x-forwarded-for: 10.0.0.2",
    ]),
    "192.0.2.2 0 http://here/a",
  );
  assertEquals(
    await ask(port, ['Forwarded: for="[2001:db8::1]:4711";proto=https;host=there']),
    "2001:db8::1 port https://there/a",
  );
  assertEquals(await ask(port), "127.0.0.1 port http://here/a");
  assertEquals(await ask(port, ["X-Forwarded-For: unknown"]), "127.0.0.1 port http://here/a");
});

Deno.test("serve() takes no header about the client from anybody else", async () => {
  for (const trustProxy of [undefined, [], ["192.0.2.0/24", "::/0", "unix"]]) {
    await using server = start(trustProxy === undefined ? {} : { trustProxy });
    const { port } = server.addr;
    for (const headers of [ALL, ["Forwarded: for=192.0.2.1;proto=https;host=there"]]) {
      assertEquals(await ask(port, headers), "127.0.0.1 port http://here/a");
    }
  }
});

Deno.test("serve() counts the connections of each client behind a trusted proxy", async () => {
  await using server = acceptSockets(() => {}, {}, {
    trustProxy: ["127.0.0.1"],
    maxConnectionsPerAddress: 1,
  });
  const { port } = server.addr;
  const connect = async (address: string) => {
    const client = await RawClient.connect(port);
    await client.write(handshake().replace("\r\n\r\n", `\r\nX-Forwarded-For: ${address}\r\n\r\n`));
    const head = await client.head();
    return { client, status: head.slice(9, 12) };
  };
  const [first, second, third] = [
    await connect("192.0.2.1"),
    await connect("192.0.2.1"),
    await connect("192.0.2.2"),
  ];
  // The places of the clients are theirs, and not the proxy's.
  assertEquals([first, second, third].map(({ status }) => status), ["101", "503", "101"]);
  for (const { client } of [first, second, third]) client[Symbol.dispose]();
  for (;;) {
    const { client, status } = await connect("192.0.2.1");
    using _ = client;
    if (status === "101") break;
  }
});

Deno.test("serve() counts the memory of each client behind a trusted proxy", async () => {
  const before = memoryBudget.limits;
  try {
    await using server = acceptSockets(() => {}, {}, {
      trustProxy: ["127.0.0.1"],
      maxMemoryPerAddress: 1024 * 1024,
    });
    const send = async (address: string) => {
      const client = await RawClient.connect(server.addr.port);
      await client.write(
        handshake().replace("\r\n\r\n", `\r\nX-Forwarded-For: ${address}\r\n\r\n`),
      );
      await client.head();
      // The larger part of a message.
      await client.write(frame("server", BINARY, new Uint8Array(700_000)).subarray(0, 600_000));
      return client;
    };
    using one = await send("192.0.2.1");
    using other = await send("192.0.2.2");
    using second = await send("192.0.2.1");
    // The two of the same client are too much together: one is told 1013, and the other client is served on.
    const ended = await Promise.race([one, second].map((client) => client.bytes(4)));
    assertEquals([ended[0], ended[2], ended[3]], [0x88, 0x03, 0xf5]);
    await other.write(frame("server", BINARY, new Uint8Array(700_000)).subarray(600_000));
    await other.write(frame("server", PING));
    assertEquals((await other.bytes(2))[0], 0x8a);
  } finally {
    memoryBudget.configure(before);
  }
});

Deno.test("serve() gives a socket the client's address", async () => {
  const seen: unknown[] = [];
  await using server = acceptSockets(
    (socket, request) => {
      seen.push(request.url);
      socket.onopen = () => seen.push(socket.remoteAddr);
    },
    {},
    { trustProxy: ["127.0.0.1"] },
  );
  const socket = new WebSocket(server.url, {
    headers: { "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "wss" },
  });
  await next(socket, "open");
  await closed(socket);
  assertEquals(seen, [
    `https://127.0.0.1:${server.addr.port}/`,
    { transport: "tcp", hostname: "192.0.2.1", port: 0 },
  ]);
});

Deno.test("serve() refuses a trustProxy that it cannot keep", () => {
  for (const name of ["", "localhost", "10.0.0.0/33", "*", 1 as never]) {
    assertThrows(
      () => start({ trustProxy: ["127.0.0.1", name] }),
      TypeError,
      `Cannot serve: trustProxy has "${name}", must be an address`,
    );
  }
  assertThrows(() => start({ trustProxy: "127.0.0.1" as never }), TypeError, "must be an array");
  assertThrows(
    () => start({ proxyProtocol: 1 as never }),
    TypeError,
    'Cannot serve: proxyProtocol is "1", must be true or false',
  );
});

const FIRST = "PROXY TCP4 192.0.2.1 198.51.100.7 49152 443\r\n";
const SECOND = Uint8Array.from([
  ...[0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a],
  ...[0x21, 0x11, 0x00, 0x0f],
  ...[192, 0, 2, 1, 198, 51, 100, 7, 0xc0, 0x00, 0x01, 0xbb],
  ...[0x04, 0x00, 0x00],
]);
const LOCAL = Uint8Array.from([...SECOND.subarray(0, 12), 0x20, 0x00, 0x00, 0x00]);

onEachWay("serve() reads the PROXY header before all else", async () => {
  await using server = start({ proxyProtocol: true });
  const { port } = server.addr;
  for (const header of [FIRST, SECOND]) {
    assertEquals(await ask(port, ALL, header), "192.0.2.1 port http://here/a");
  }
  for (const header of ["PROXY UNKNOWN\r\n", LOCAL]) {
    assertEquals(await ask(port, [], header), "127.0.0.1 port http://here/a");
  }
  // Byte for byte, and with the request right behind it.
  using client = await RawClient.connect(port);
  for (const byte of SECOND.subarray(0, -1)) await client.write(Uint8Array.of(byte));
  const request = new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n");
  await client.write(Uint8Array.from([SECOND.at(-1)!, ...request]));
  assertMatch(await client.rest(), /\r\n\r\n192\.0\.2\.1 port /);
});

onEachWay("serve() cuts off a connection without a PROXY header, without a word", async () => {
  let handled = 0;
  await using server = start({ proxyProtocol: true, handshakeTimeout: 100 }, () => {
    handled++;
    return new Response();
  });
  const { port } = server.addr;
  assertEquals(await ask(port), undefined);
  assertEquals(await ask(port, [], "PROXY TCP4 192.0.2.1\r\n"), undefined);
  // One that never comes, in part or at all, is given up after `handshakeTimeout`.
  for (const part of [new Uint8Array(0), "PROXY TCP4 ", SECOND.subarray(0, 20)]) {
    using client = await RawClient.connect(port);
    await client.write(part);
    assertEquals(await client.rest(), "");
  }
  // One that ends in the middle.
  using client = await RawClient.connect(port);
  await client.write(SECOND.subarray(0, 20));
  await client.connection.closeWrite();
  assertEquals(await client.rest(), "");
  assertEquals(handled, 0);
});

onEachWay("serve() reads the PROXY header before TLS, and leaves TLS its bytes", async () => {
  const { ca, cert, key } = await generateCertificates();
  await using server = start({ proxyProtocol: true, cert, key });
  for (const header of [FIRST, SECOND]) {
    const bytes = typeof header === "string" ? new TextEncoder().encode(header) : header;
    await using proxy = forwarder(server.addr.port, bytes);
    using client = Deno.createHttpClient({ caCerts: [ca] });
    const response = await fetch(`https://127.0.0.1:${proxy.port}/b`, { client });
    assertEquals(await response.text(), `192.0.2.1 port https://127.0.0.1:${proxy.port}/b`);
  }
});

onEachWay("serve() compresses and echoes over TLS behind a PROXY header", async () => {
  const { ca, cert, key } = await generateCertificates();
  await using server = echo({}, { proxyProtocol: true, cert, key });
  await using proxy = forwarder(server.addr.port, SECOND);
  const socket = new WebSocket(`wss://127.0.0.1:${proxy.port}/`, { caCerts: [ca] });
  socket.binaryType = "arraybuffer";
  await next(socket, "open");
  assertEquals(socket.extensions.startsWith("permessage-deflate"), true);
  for (const size of [1, 100_000, 3_000_000]) {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += 50_000) {
      crypto.getRandomValues(bytes.subarray(at, at + 50_000));
    }
    const answer = next(socket, "message");
    socket.send(bytes);
    assertEquals(new Uint8Array((await answer).data), bytes);
  }
  await closed(socket);
});

onEachWay(
  "serve() believes a PROXY header of trusted proxies alone, and cuts others off",
  async () => {
    await using trusting = start({ proxyProtocol: true, trustProxy: ["127.0.0.1"] });
    assertEquals(await ask(trusting.addr.port, ALL, FIRST), "192.0.2.1 port http://here/a");
    await using other = start({ proxyProtocol: true, trustProxy: ["192.0.2.9"] });
    assertEquals(await ask(other.addr.port, [], FIRST), undefined);
  },
);

onEachWay("serve() reads the headers of a proxy that a PROXY header names", async () => {
  await using server = start({ proxyProtocol: true, trustProxy: ["127.0.0.1", "192.0.2.1"] });
  assertEquals(
    await ask(server.addr.port, ["X-Forwarded-For: 198.51.100.1, 198.51.100.2"], FIRST),
    "198.51.100.2 0 http://here/a",
  );
});

onEachWay("serve() counts the connections of each client that a PROXY header names", async () => {
  await using server = start(
    { proxyProtocol: true, maxConnectionsPerAddress: 1 },
    (request) => upgradeWebSocket(request).response,
  );
  const connect = async (address: string) => {
    const client = await RawClient.connect(server.addr.port);
    await client.write(FIRST.replace("192.0.2.1", address) + handshake());
    return { client, status: (await client.head()).slice(9, 12) };
  };
  const all = [await connect("192.0.2.1"), await connect("192.0.2.1"), await connect("192.0.2.2")];
  assertEquals(all.map(({ status }) => status), ["101", "503", "101"]);
  for (const { client } of all) client[Symbol.dispose]();
});

Deno.test("serve() counts no connection for its client that had no place", async () => {
  await using server = start({
    proxyProtocol: true,
    maxConnections: 1,
    maxConnectionsPerAddress: 1,
  });
  const { port } = server.addr;
  {
    using first = await RawClient.connect(port);
    await first.write(FIRST.replace("192.0.2.1", "192.0.2.2"));
    await first.write("GET / HTTP/1.1\r\nHost: here\r\n\r\n");
    await first.head();
    assertEquals(await ask(port, [], FIRST), "503");
  }
  while (server.stats.connections.open > 0) await new Promise((resolve) => setTimeout(resolve));
  assertEquals(await ask(port, [], FIRST), "192.0.2.1 port http://here/a");
});

/** Passes connections on, with `header` before all else. */
function forwarder(to: number, header: Uint8Array): AsyncDisposable & { port: number } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.Conn>();
  const pass = async (from: Deno.Conn, to: Deno.Conn) => {
    try {
      await from.readable.pipeTo(to.writable);
    } catch {
      // One of them has ended.
    }
  };
  const served = (async () => {
    const all: Promise<unknown>[] = [];
    for await (const incoming of listener) {
      const outgoing = await Deno.connect({ hostname: "127.0.0.1", port: to });
      open.add(incoming).add(outgoing);
      const writer = outgoing.writable.getWriter();
      await writer.write(header);
      writer.releaseLock();
      all.push(pass(incoming, outgoing), pass(outgoing, incoming));
    }
    await Promise.all(all);
  })();
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const connection of open) {
        try {
          connection.close();
        } catch {
          // It has ended.
        }
      }
      await served;
    },
  };
}
