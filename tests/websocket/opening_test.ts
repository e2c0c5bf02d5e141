/** How a client's socket reaches its server, what it sends, and what it tells of a refusal. */

import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { HandshakeError, WebSocket, type WebSocketOptions } from "../../mod.ts";
import { brought, developmentCertificates, Folder } from "../programs.ts";
import { HAS_UNIX_SOCKETS, onEachWay } from "../transport/ends.ts";
import { acceptSockets, closed, echo, next } from "./peers.ts";

/** Leads each connection of a server of `node:net` or `node:tls` to a port of this machine. */
function relayTo(port: number) {
  return (socket: Socket) => {
    const other = connectTcp({ host: "127.0.0.1", port });
    for (const [from, to] of [[socket, other], [other, socket]] as const) {
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.once("close", () => to.destroy());
    }
  };
}

/** Ends a server of Node's. */
function ended(server: { close(done: () => void): void }): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/** Sends a message of each kind to an echo server, and closes. */
async function exchange(url: string, options: WebSocketOptions): Promise<void> {
  const socket = new WebSocket(url, options);
  socket.binaryType = "arraybuffer";
  const failed = next<ErrorEvent>(socket, "error").then(({ error }) => Promise.reject(error));
  await Promise.race([next(socket, "open"), failed]);
  for (const data of ["hello", new Uint8Array(300_000).buffer]) {
    socket.send(data);
    const event = await Promise.race([next(socket, "message"), failed]);
    assertEquals(event.data, data);
  }
  await closed(socket);
}

/** How a connection fails. */
async function failure(url: string, options: WebSocketOptions = {}): Promise<Error> {
  const socket = new WebSocket(url, options);
  const [{ error }] = await Promise.all([
    next<ErrorEvent>(socket, "error"),
    next(socket, "close"),
  ]);
  return error;
}

for (const scheme of ["ws", "wss"]) {
  onEachWay(`WebSocket connects to a Unix socket for ${scheme}`, async () => {
    const { ca, cert, key } = await developmentCertificates();
    await using folder = new Folder();
    const path = `${folder.path}/socket`;
    const requests: Request[] = [];
    await using server = acceptSockets(
      (socket, request) => {
        requests.push(request);
        socket.binaryType = "arraybuffer";
        socket.onmessage = ({ data }) => socket.send(data);
      },
      {},
      scheme === "wss" ? { cert, key } : {},
    );
    const relay = createServer(relayTo(server.addr.port));
    await new Promise<void>((resolve) => relay.listen(path, resolve));
    for (const way of [{ unix: path }, { proxy: { transport: "unix", path } as const }]) {
      await exchange(`${scheme}://localhost/a?b`, { ...way, caCerts: [ca] });
    }
    await ended(relay);
    for (const request of requests) {
      assertEquals(request.headers.get("Host"), "localhost");
      assertEquals(new URL(request.url).pathname + new URL(request.url).search, "/a?b");
    }
    assertEquals(requests.length, 2);
    const gone = await failure(`${scheme}://localhost/`, { unix: path });
    assertEquals(gone.message, `Cannot connect to "${path}": there is no such socket`);
  }, !HAS_UNIX_SOCKETS);
}

onEachWay("WebSocket connects to the address of a proxy of transport tcp", async () => {
  await using server = echo();
  const proxy = { transport: "tcp", hostname: "127.0.0.1", port: server.addr.port } as const;
  await exchange("ws://localhost:1/", { proxy });
});

onEachWay("WebSocket takes a connection that the program brings", async () => {
  const { ca, cert, key } = await developmentCertificates();
  for (const pair of [{}, { cert, key }]) {
    await using server = echo({}, pair);
    const url = server.url;
    const targets: unknown[] = [];
    await exchange(url, {
      caCerts: [ca],
      connect: async ({ hostname, port, signal }) => {
        targets.push([hostname, port, signal instanceof AbortSignal]);
        const socket = connectTcp({ host: hostname, port });
        await new Promise((resolve) => socket.once("connect", resolve));
        return socket;
      },
    });
    assertEquals(targets, [["127.0.0.1", server.addr.port, true]]);
  }
});

onEachWay("WebSocket puts TLS on a connection over TLS that the program brings", async () => {
  const { ca, cert, key } = await developmentCertificates();
  for (const pair of [{}, { cert, key }]) {
    await using server = echo({}, pair);
    let relayed = 0;
    const relay = createTlsServer({ cert, key }, (socket) => {
      relayed++;
      relayTo(server.addr.port)(socket);
    });
    await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
    const { port } = relay.address() as { port: number };
    await exchange(server.url, {
      caCerts: [ca],
      connect: async () => {
        const socket = connectTls({ host: "127.0.0.1", port, ca: [ca] });
        await new Promise((resolve) => socket.once("secureConnect", resolve));
        return socket;
      },
    });
    await ended(relay);
    assertEquals(relayed, 1);
  }
});

Deno.test("WebSocket fails with what connect rejects with, or with its wrong result", async () => {
  const url = "ws://localhost:1/";
  const wrong =
    'Cannot connect to "localhost": connect gave what is no connected socket of node:net';
  const cases: [() => unknown, string][] = [
    [() => Promise.reject(new Error("no way")), "no way"],
    [() => {
      throw new Error("at once");
    }, "at once"],
    [() => undefined, wrong],
    [() => ({ destroy() {} }), wrong],
    [() => connectTcp({ host: "127.0.0.1", port: 1 }).on("error", () => {}), wrong],
  ];
  for (const [connect, message] of cases) {
    const error = await failure(url, { connect: connect as () => Promise<Socket> });
    assertEquals(error.message, message);
  }
});

Deno.test("WebSocket destroys the connection of connect that comes too late", async () => {
  await using server = echo();
  const controller = new AbortController();
  const brought = Promise.withResolvers<Socket>();
  const asked = Promise.withResolvers<void>();
  const connect = () => {
    asked.resolve();
    return brought.promise;
  };
  const failed = failure(server.url, { connect, signal: controller.signal });
  await asked.promise;
  controller.abort(new Error("enough"));
  assertEquals((await failed).message, "enough");
  const socket = connectTcp({ host: "127.0.0.1", port: server.addr.port });
  await new Promise((resolve) => socket.once("connect", resolve));
  const end = new Promise((resolve) => socket.once("close", resolve));
  brought.resolve(socket);
  await end;
});

Deno.test("WebSocket does not ask for a connection that was given up before", async () => {
  let asked = 0;
  const connect = () => Promise.reject(new Error(`asked ${++asked} times`));
  const signal = AbortSignal.abort(new Error("enough"));
  assertEquals((await failure("ws://localhost:1/", { connect, signal })).message, "enough");
  const controller = new AbortController();
  const failed = failure("ws://localhost:1/", { connect, signal: controller.signal });
  controller.abort(new Error("enough"));
  assertEquals((await failed).message, "enough");
  assertEquals(asked, 0);
});

Deno.test("WebSocket shows its certificate to a server that demands one", async () => {
  const { ca, cert, key } = await developmentCertificates();
  const own = await brought();
  await using server = echo();
  const relay = createTlsServer(
    { cert, key, ca: [own.ca], requestCert: true, rejectUnauthorized: true },
    relayTo(server.addr.port),
  );
  relay.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  const url = `wss://127.0.0.1:${(relay.address() as { port: number }).port}/`;
  for (let i = 0; i < 2; i++) {
    await exchange(url, { caCerts: [ca], cert: own.cert, key: own.key });
    assert(await failure(url, { caCerts: [ca] }) instanceof Error);
    assert(await failure(url, { caCerts: [ca], cert, key }) instanceof Error);
  }
  await ended(relay);
});

Deno.test("WebSocket refuses a certificate or a key that will not do, at once", async () => {
  const { cert, key } = await developmentCertificates();
  const other = await brought();
  const { InvalidData } = Deno.errors;
  const cases: [WebSocketOptions, typeof TypeError | typeof InvalidData, string][] = [
    [{ cert }, TypeError, "key is missing, must be PEM"],
    [{ key }, TypeError, "cert is missing, must be PEM"],
    [{ cert, key: 1 as unknown as string }, TypeError, "key is not a text, must be PEM"],
    [{ cert, key: "x" }, InvalidData, "key is no private key in PEM"],
    [{ cert: "x", key }, InvalidData, "cert is no certificate in PEM"],
    [{ cert: key, key }, InvalidData, "cert is no certificate in PEM"],
    [{ cert, key: other.key }, InvalidData, "the key is not the certificate's"],
  ];
  for (const [options, type, message] of cases) {
    assertThrows(() => new WebSocket("wss://localhost:1/", options), type, message);
  }
});

Deno.test("WebSocket refuses a client of Deno's, and names what to use", () => {
  using client = Deno.createHttpClient({});
  const options = { client } as unknown as WebSocketOptions;
  assertThrows(
    () => new WebSocket("ws://localhost:1/", options),
    TypeError,
    "client is given, must not be; use caCerts, cert, key and proxy",
  );
});

Deno.test("WebSocket sends a Host of the caller once, and refuses the handshake's own headers", async () => {
  const heads: string[] = [];
  const server = createServer((socket) => {
    socket.once("data", (data: Uint8Array) => {
      heads.push(new TextDecoder().decode(data));
      socket.end("HTTP/1.1 403 No\r\n\r\n");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `ws://127.0.0.1:${(server.address() as { port: number }).port}/`;
  await failure(url, { headers: { Host: "virtual.example:8443" } });
  assertEquals(heads[0]!.match(/^host: .*$/gim), ["Host: virtual.example:8443"]);
  for (const name of ["Connection", "Sec-WebSocket-Key"]) {
    assertThrows(
      () => new WebSocket(url, { headers: { [name]: "x" } }),
      TypeError,
      "must not be given",
    );
  }
  await ended(server);
  assertEquals(heads.length, 1);
});

/** A server that answers each connection with the same bytes, and ends it or not. */
async function answering(answer: string, ends: boolean) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => ends ? socket.end(answer) : socket.write(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as { port: number }).port}/`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await ended(server);
    },
  };
}

Deno.test("HandshakeError has the headers and the body of a refusal, however it ends", async () => {
  const head = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nLocation: /x\r\nRetry-After: 9\r\n";
  const long = "é".repeat(3000);
  const cases: [rest: string, ends: boolean, body: string][] = [
    ["Content-Length: 6\r\n\r\ncafé\n+++", false, "café\n"],
    ["Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", false, "abc"],
    ["\r\nuntil the end", true, "until the end"],
    ["\r\nno end", false, "no end"],
    ["Content-Length: 0\r\n\r\n", false, ""],
    [`\r\n${long}`, false, long.slice(0, 2048)],
    ["Content-Length: 9\r\n\r\nshort", true, "short"],
  ];
  await Promise.all(cases.map(async ([rest, ends, body]) => {
    await using server = await answering(head + rest, ends);
    const error = await failure(server.url);
    assertInstanceOf(error, HandshakeError);
    assertEquals([error.status, error.body], [401, body]);
    for (
      const [name, value] of [["WWW-Authenticate", "Basic"], ["Location", "/x"], [
        "Retry-After",
        "9",
      ]]
    ) {
      assertEquals(error.headers.get(name!), value);
    }
  }));
});

Deno.test("HandshakeError of a response that was not read has no status, no headers and no body", async () => {
  await using server = await answering("nothing of HTTP\r\n\r\n", true);
  const error = await failure(server.url);
  assertInstanceOf(error, HandshakeError);
  assertEquals([error.status, [...error.headers], error.body], [undefined, [], ""]);
});

Deno.test("WebSocket gives up a server that sends interim responses alone", async () => {
  await using server = await answering("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(11), false);
  const { message } = await failure(server.url);
  assertEquals(message, "Cannot open WebSocket: server sent over 10 interim responses (1xx)");
});
