import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { serve, upgradeWebSocket, type UpgradeWebSocketOptions, WebSocket } from "../../mod.ts";
import { net, tls } from "../../transport/node.ts";
import { concat, frame, TEXT } from "../protocol/driver.ts";
import { developmentCertificates } from "../programs.ts";
import { onEachWay } from "../transport/ends.ts";
import { closed, echo, handshake, next, opened, RawClient } from "../websocket/peers.ts";

/** The opening handshake with a header besides its own, of bytes from 0 to 255. */
function handshakeWith(line: string): Uint8Array {
  const text = handshake().replace("\r\n\r\n", `\r\n${line}\r\n\r\n`);
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

Deno.test("upgradeWebSocket() takes no longer than the headers are long", async () => {
  await using server = echo({}, { maxHeaderBytes: 2 ** 20 });
  const spaces = " ".repeat(100_000);
  for (const name of ["Sec-WebSocket-Protocol", "Connection", "Upgrade"]) {
    using client = await RawClient.connect(server.addr.port);
    const start = performance.now();
    await client.write(handshakeWith(`${name}: a${spaces}b`));
    assertMatch(await client.head(), /^HTTP\/1\.1 101 /);
    // Some milliseconds; where each run of spaces is gone over from each of its spaces, eight seconds.
    assert(performance.now() - start < 2000, name);
  }
});

Deno.test("upgradeWebSocket() chooses no subprotocol that is not ASCII, and goes on", async () => {
  // A handler that takes the first that is offered, whatever it is.
  await using server = serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen() {},
    onError: () => new Response(null, { status: 400 }),
  }, (request) => {
    const [protocol] = request.headers.get("Sec-WebSocket-Protocol")!.split(", ");
    const { socket, response } = upgradeWebSocket(request, { protocol: protocol! });
    socket.onmessage = ({ data }) => socket.send(data);
    return response;
  });
  for (
    const [names, status] of [
      ["caf\xe9", 400],
      ["caf\xe9, chat", 400],
      ["\xff\xfe", 400],
      ["chat, caf\xe9", 101],
    ]
  ) {
    using client = await RawClient.connect(server.addr.port);
    await client.write(handshakeWith(`Sec-WebSocket-Protocol: ${names}`));
    assertMatch(await client.head(), new RegExp(`^HTTP/1\\.1 ${status} `));
  }
  const socket = await opened(`ws://127.0.0.1:${server.addr.port}/`, { protocols: ["chat"] });
  socket.send("served");
  assertEquals((await next(socket, "message")).data, "served");
  await closed(socket);
});

/** Runs without the lines that faults of handlers print. */
async function quietly(run: () => Promise<void>): Promise<void> {
  const original = console.error;
  console.error = () => {};
  try {
    await run();
  } finally {
    console.error = original;
  }
}

Deno.test("upgradeWebSocket() ends the socket of a handler that throws after it, and answers 500", () =>
  quietly(async () => {
    const ends: Promise<unknown>[] = [];
    await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
      const { socket } = upgradeWebSocket(request);
      ends.push(next<ErrorEvent>(socket, "error").then(({ message }) => message));
      ends.push(next<CloseEvent>(socket, "close").then(({ code }) => code));
      throw new Error("Broken handler");
    });
    using client = await RawClient.connect(server.addr.port);
    await client.write(handshake());
    assertMatch(await client.head(), /^HTTP\/1\.1 500 /);
    assertEquals(await Promise.all(ends), ["Broken handler", 1006]);
  }));

Deno.test("upgradeWebSocket() ends the socket whose response the handler does not return, and answers 500", async () => {
  const end = Promise.withResolvers<CloseEvent>();
  await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    upgradeWebSocket(request).socket.onclose = end.resolve;
    return new Response("Not today", { status: 403 });
  });
  using client = await RawClient.connect(server.addr.port);
  await client.write(handshake());
  assertMatch(await client.head(), /^HTTP\/1\.1 500 /);
  assertEquals((await end.promise).code, 1006);
});

Deno.test("upgradeWebSocket() makes a response for one request, which no other can be answered with", () =>
  quietly(async () => {
    let first: Response | undefined;
    let opens = 0;
    await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
      if (first !== undefined) return first;
      const { socket, response } = upgradeWebSocket(request);
      socket.onopen = () => opens++;
      socket.onmessage = ({ data }) => socket.send(data);
      return first = response;
    });
    using one = await RawClient.open(server.addr.port);
    using two = await RawClient.connect(server.addr.port);
    await two.write(handshake());
    assertMatch(await two.head(), /^HTTP\/1\.1 500 /);
    await one.write(frame("server", TEXT, "still served"));
    assertEquals((await one.bytes(14)).subarray(2), new TextEncoder().encode("still served"));
    assertEquals(opens, 1);
  }));

Deno.test("upgradeWebSocket() makes a response that middleware may copy", async () => {
  await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const { socket, response } = upgradeWebSocket(request, { protocol: "chat" });
    socket.onmessage = ({ data }) => socket.send(data);
    const copy = new Response(response.body, response);
    copy.headers.set("X-Middleware", "was here");
    return copy;
  });
  const socket = await opened(`ws://127.0.0.1:${server.addr.port}/`, { protocols: ["chat"] });
  assertEquals(socket.protocol, "chat");
  socket.send("served");
  assertEquals((await next(socket, "message")).data, "served");
  await closed(socket);
});

onEachWay(
  "upgradeWebSocket() finds that a client has left while the handler was at work",
  async () => {
    const { cert, key } = await developmentCertificates();
    for (const pair of [{}, { cert, key }]) {
      const called = Promise.withResolvers<void>();
      const release = Promise.withResolvers<void>();
      const closing = Promise.withResolvers<CloseEvent>();
      const messages: string[] = [];
      const options = { port: 0, hostname: "127.0.0.1", onListen() {}, ...pair };
      await using server = serve(options, async (request) => {
        called.resolve();
        await release.promise;
        const { socket, response } = upgradeWebSocket(request, { idleTimeout: 0 });
        socket.onmessage = ({ data }) => messages.push(data);
        socket.onclose = closing.resolve;
        return response;
      });
      const { port } = server.addr;
      const client = "cert" in pair
        ? tls().connect({ host: "127.0.0.1", port, rejectUnauthorized: false })
        : net().connect({ host: "127.0.0.1", port });
      const gone = new Promise((resolve) => client.once("close", resolve));
      client.on("error", () => {});
      client.end(
        concat(new TextEncoder().encode(handshake()), frame("server", TEXT, "last words")),
      );
      client.resume();
      await called.promise;
      // The end has come by then.
      await new Promise((resolve) => setTimeout(resolve, 50));
      release.resolve();
      assertEquals([(await closing.promise).code, messages], [1006, ["last words"]]);
      await gone;
    }
  },
);

Deno.test("upgradeWebSocket() refuses limits that are half written, whoever serves", async () => {
  const handler = (request: Request) => {
    for (const value of [null, "1000", NaN, -1]) {
      for (
        const name of [
          "maxMessageSize",
          "messageTimeout",
          "idleTimeout",
          "highWaterMark",
          "maxBufferedAmount",
          "maxPingsPerSecond",
        ]
      ) {
        assertThrows(() => upgradeWebSocket(request, { [name]: value }), RangeError, name);
      }
    }
    for (const compression of [null, "off", { level: null }, { serverNoContextTakeover: 1 }]) {
      assertThrows(() => upgradeWebSocket(request, { compression } as UpgradeWebSocketOptions));
    }
    return new Response("refused");
  };
  const options = { port: 0, hostname: "127.0.0.1", onListen() {} };
  await using ours = serve(options, handler);
  await using own = Deno.serve(options, handler);
  for (const { addr } of [ours, own]) {
    using client = await RawClient.connect(addr.port);
    await client.write(handshake());
    assertMatch(await client.head(), /^HTTP\/1\.1 200 /);
  }
});

Deno.test("upgradeWebSocket() refuses under Deno.serve what that cannot keep", async () => {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => {
      assertThrows(
        () => upgradeWebSocket(request, { maxMessageSize: 1000, messageTimeout: 0, onFrame() {} }),
        TypeError,
        "cannot keep maxMessageSize, messageTimeout, onFrame",
      );
      return new Response("refused");
    },
  );
  using client = await RawClient.connect(server.addr.port);
  await client.write(handshake());
  assertMatch(await client.head(), /^HTTP\/1\.1 200 /);
});

/** Whether two types are the same. */
type Same<A, B> = [A] extends [B] ? [B] extends [A] ? true : false : false;

Deno.test("upgradeWebSocket() keeps data with the socket, by either server", async () => {
  interface User {
    name: string;
  }
  const names: string[] = [];
  const handler = (request: Request) => {
    const { socket, response } = upgradeWebSocket(request, { data: { name: "Ana" } as User });
    const typed: Same<typeof socket.data, User> = true;
    socket.onopen = () => {
      names.push(`${socket.data.name} ${typed}`);
      socket.data = { name: "Bea" };
      names.push(socket.data.name);
      socket.close();
    };
    return response;
  };
  const listen = { port: 0, hostname: "127.0.0.1", onListen() {} };
  await using ours = serve(listen, handler);
  await using native = Deno.serve(listen, handler);
  for (const { addr } of [ours, native]) {
    const client = new WebSocket(`ws://127.0.0.1:${addr.port}/`);
    assertEquals(client.data, undefined);
    await new Promise((resolve) => client.onclose = resolve);
  }
  assertEquals(names, ["Ana true", "Bea", "Ana true", "Bea"]);
});
