/**
 * TLS handshakes of both roles, by the native handle and by the public stream: those that succeed, those
 * that must not, and those that never end.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, type TLSSocket } from "node:tls";
import { serve, upgradeWebSocket, WebSocket } from "../../mod.ts";
import { dial } from "../../transport/dial.ts";
import type { Incoming } from "../../transport/listener.ts";
import { brought, developmentCertificates, granted } from "../programs.ts";
import {
  connectionFrom,
  dialOptions,
  End,
  heldSockets,
  listen,
  onEachWay,
  pattern,
  portOf,
} from "./ends.ts";

/** Serves each connection by sending back what comes. */
function echo(ends: Set<End>) {
  return async (incoming: Incoming) => {
    const end = new End();
    const connection = await connectionFrom(incoming, end);
    if (connection === undefined) return;
    end.connection = connection;
    end.before.onBytes = (bytes) => void connection.write(bytes.slice());
    end.before.onEnd = () => connection.destroy();
    ends.add(end);
    connection.resume();
  };
}

/** Destroys the connections of {@linkcode echo}, and waits for their end. */
async function endAll(ends: Set<End>): Promise<void> {
  for (const end of ends) end.connection.destroy();
  for (const end of ends) await end.closed;
}

onEachWay("dial() says what is wrong with a certificate, and trusts it if it is to", async () => {
  const good = await developmentCertificates();
  const cases = [
    [good, [], "UnknownIssuer"],
    [await brought({ names: ["other.example"] }), "ca", "not valid for name"],
    [await brought({ to: -1 }), "ca", "expired"],
    [await brought({ from: 1 }), "ca", "not yet valid"],
    [await brought({ selfSigned: true }), [], "self-signed"],
    [good, "ca", undefined],
    [good, "both", undefined],
  ] as const;
  const other = await brought();
  for (const [pair, trusted, problem] of cases) {
    const ends = new Set<End>();
    using listener = listen(echo(ends), { pair });
    const url = new URL(`wss://127.0.0.1:${portOf(listener)}/`);
    const caCerts = trusted === "ca"
      ? [pair.ca]
      : trusted === "both"
      ? [other.ca, pair.ca]
      : [...trusted];
    const end = new End();
    if (problem !== undefined) {
      const error = await assertRejects(
        async () => await dial(url, await dialOptions({ caCerts }), end),
        Error,
      );
      assertStringIncludes(error.message, 'Cannot connect to "127.0.0.1": ');
      assertStringIncludes(error.message, problem);
      assertEquals(end.count, 0);
    }
    // Whatever is wrong with it, who is told not to look does not.
    const options = problem === undefined ? { caCerts } : { caCerts, insecure: true };
    end.connection = await dial(url, await dialOptions(options), end);
    end.connection.resume();
    await end.write(pattern(100));
    assertEquals(await end.read(100), pattern(100));
    end.connection.destroy();
    await end.closed;
    await endAll(ends);
  }
});

onEachWay("dial() gives up at once when its signal says so, in any stage", async () => {
  const reason = new Error("Enough");
  // A server that accepts, and says nothing.
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = silent.addr as Deno.NetAddr;
  for (const stage of ["before", "connecting", "handshake"] as const) {
    const abort = new AbortController();
    if (stage === "before") abort.abort(reason);
    const { caCerts } = await dialOptions();
    const options = { caCerts, insecure: false, signal: abort.signal };
    const dialled = dial(new URL(`wss://127.0.0.1:${port}/`), options, new End());
    if (stage === "connecting") abort.abort(reason);
    if (stage !== "handshake") {
      assertEquals(await dialled.catch((error) => error), reason);
      continue;
    }
    // The peer of a connection given up before it was accepted has ended.
    for (;;) {
      using peer = await silent.accept();
      if (await peer.read(new Uint8Array(1024)).catch(() => null) === null) continue;
      abort.abort(reason);
      assertEquals(await dialled.catch((error) => error), reason);
      while (await peer.read(new Uint8Array(1024)).catch(() => null) !== null);
      break;
    }
  }
});

onEachWay(
  "dial() rejects when the server ends or resets in the middle of the handshake",
  async () => {
    for (const how of ["end", "garbage", "refused"] as const) {
      const server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = server.addr as Deno.NetAddr;
      const serving = how === "refused" ? Promise.resolve(server.close()) : (async () => {
        using peer = await server.accept();
        await peer.read(new Uint8Array(4096));
        if (how === "garbage") await peer.write(new TextEncoder().encode("HTTP/1.1 400\r\n\r\n"));
      })().finally(() => server.close());
      const error = await assertRejects(
        async () => await dial(new URL(`wss://127.0.0.1:${port}/`), await dialOptions(), new End()),
        Error,
      );
      assertStringIncludes(error.message, 'Cannot connect to "127.0.0.1": ');
      await serving;
    }
  },
);

onEachWay(
  "Listener answers ALPN with HTTP/1.1 or 1.0, and serves clients that do without",
  async () => {
    const { ca, cert, key } = await developmentCertificates();
    const ends = new Set<End>();
    using listener = listen(echo(ends), { pair: { cert, key } });
    const cases = [
      [["h2", "http/1.1"], "http/1.1"],
      // As curl asks with `--http1.0`.
      [["http/1.0"], "http/1.0"],
      [undefined, null],
    ] as const;
    for (const [offered, chosen] of cases) {
      const options = offered && { alpnProtocols: [...offered] };
      using peer = await Deno.connectTls({
        hostname: "127.0.0.1",
        port: portOf(listener),
        caCerts: [ca],
        ...options,
      });
      const { alpnProtocol } = await peer.handshake();
      assertEquals(alpnProtocol ?? null, chosen);
      await peer.write(pattern(10));
      const buffer = new Uint8Array(100);
      assertEquals(buffer.subarray(0, await peer.read(buffer) ?? 0), pattern(10));
    }
    await endAll(ends);
  },
);

onEachWay("Listener speaks TLS 1.2 and 1.3", async () => {
  const { ca, cert, key } = await developmentCertificates();
  const ends = new Set<End>();
  using listener = listen(echo(ends), { pair: { cert, key } });
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const peer: TLSSocket = connect({
      host: "127.0.0.1",
      port: portOf(listener),
      ca,
      minVersion: version,
      maxVersion: version,
    });
    await new Promise<void>((resolve, reject) => {
      peer.once("secureConnect", resolve);
      peer.once("error", reject);
    });
    assertEquals(peer.getProtocol(), version);
    const answer = new Promise<Uint8Array>((resolve) => peer.once("data", resolve));
    peer.write(pattern(10));
    assertEquals(new Uint8Array(await answer), pattern(10));
    const closed = new Promise<void>((resolve) => peer.once("close", () => resolve()));
    peer.destroy();
    await closed;
  }
  await endAll(ends);
});

onEachWay("Incoming.open() gives what came in the same packet as the handshake's end", async () => {
  const { ca, cert, key } = await developmentCertificates();
  for (const size of [1, 1000, 100_000]) {
    const ends = new Set<End>();
    using listener = listen(echo(ends), { pair: { cert, key } });
    // Between client and server, so that the client's last part of the handshake waits for its request.
    using relay = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const relaying = (async () => {
      using client = await relay.accept();
      using server = await Deno.connect({ hostname: "127.0.0.1", port: portOf(listener) });
      const back = (async () => {
        const buffer = new Uint8Array(65_536);
        for (let read; (read = await server.read(buffer)) !== null;) {
          await writeAll(client, buffer.subarray(0, read));
        }
      })();
      await writeAll(server, await records(client, 0x16, 1));
      // Two records of application data: Finished, which is encrypted, and the request's first.
      await writeAll(server, await records(client, 0x17, 2));
      const buffer = new Uint8Array(65_536);
      for (let read; (read = await client.read(buffer)) !== null;) {
        await writeAll(server, buffer.subarray(0, read));
      }
      await server.closeWrite();
      await back;
    })();
    const { port } = relay.addr as Deno.NetAddr;
    const peer = await Deno.connectTls({ hostname: "127.0.0.1", port, caCerts: [ca] });
    const sent = pattern(size);
    const writing = writeAll(peer, sent);
    const came = new Uint8Array(size);
    for (let at = 0; at < size;) at += await peer.read(came.subarray(at)) ?? size;
    await writing;
    assertEquals(came, sent);
    peer.close();
    await endAll(ends);
    await relaying;
  }
});

async function writeAll(to: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
}

/** Reads TLS records until `count` of a type have come. */
async function records(from: Deno.Conn, type: number, count: number): Promise<Uint8Array> {
  let bytes = new Uint8Array(0);
  let at = 0;
  for (let seen = 0; seen < count;) {
    while (
      bytes.length < at + 5 || bytes.length < at + 5 + (bytes[at + 3]! << 8 | bytes[at + 4]!)
    ) {
      const buffer = new Uint8Array(16_384);
      const read = await from.read(buffer);
      if (read === null) throw new Error("The client left in the middle of the handshake");
      bytes = Uint8Array.from([...bytes, ...buffer.subarray(0, read)]);
    }
    if (bytes[at] === type) seen++;
    at += 5 + (bytes[at + 3]! << 8 | bytes[at + 4]!);
  }
  return bytes;
}

/** The first bytes of a handshake that never goes on. */
const PARTS: Record<string, Uint8Array> = {
  nothing: new Uint8Array(0),
  "a request without TLS": new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
  garbage: pattern(1000),
  "half a ClientHello": Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5),
  "a record of no length": Uint8Array.of(0x16, 3, 1, 0, 0),
  "an alert": Uint8Array.of(0x15, 3, 3, 0, 2, 2, 40),
};

onEachWay(
  "Incoming.open() resolves with nothing when the client leaves or sends garbage",
  async () => {
    const { cert, key } = await developmentCertificates();
    for (const [name, bytes] of Object.entries(PARTS)) {
      for (const how of ["close", "closeWrite"] as const) {
        const opened = Promise.withResolvers<unknown>();
        const closed = Promise.withResolvers<void>();
        const end = new End();
        using listener = listen(async (incoming) => {
          void incoming.closed.then(closed.resolve);
          opened.resolve(await connectionFrom(incoming, end));
        }, { pair: { cert, key } });
        const peer = await Deno.connect({ hostname: "127.0.0.1", port: portOf(listener) });
        await writeAll(peer, bytes);
        if (how === "close") peer.close();
        else await peer.closeWrite();
        assertEquals(await opened.promise, undefined, name);
        await closed.promise;
        assertEquals(end.calls, []);
        if (how === "closeWrite") peer.close();
      }
    }
  },
);

onEachWay(
  "Incoming.destroy() in the middle of handshakes gives all descriptors back",
  async () => {
    const { cert, key } = await developmentCertificates();
    const COUNT = 200;
    const incomings: Incoming[] = [];
    const opened: Promise<unknown>[] = [];
    const all = Promise.withResolvers<void>();
    using listener = listen((incoming) => {
      opened.push(connectionFrom(incoming, new End()));
      if (incomings.push(incoming) === COUNT) all.resolve();
    }, { pair: { cert, key } });
    const peers: Deno.Conn[] = [];
    for (let i = 0; i < COUNT; i++) {
      const peer = await Deno.connect({ hostname: "127.0.0.1", port: portOf(listener) });
      await writeAll(peer, Object.values(PARTS)[i % 2 === 0 ? 0 : 3]!);
      peers.push(peer);
    }
    await all.promise;
    assertEquals(heldSockets(portOf(listener)), COUNT);
    for (const incoming of incomings) incoming.destroy();
    assert((await Promise.all(opened)).every((connection) => connection === undefined));
    await Promise.all(incomings.map(({ closed }) => closed));
    assertEquals(heldSockets(portOf(listener)), 0);
    for (const peer of peers) peer.close();
  },
  // Deno 2.9.5 was seen to close descriptors here that others had meanwhile ("Bad file descriptor").
  Deno.build.os !== "linux" || !await granted("run") || Deno.version.deno === "2.9.5",
);

onEachWay(
  "serve() gives places and descriptors back when clients stay silent past handshakeTimeout",
  async () => {
    const { ca, cert, key } = await developmentCertificates();
    const COUNT = 200;
    await using server = serve({
      ...{ port: 0, hostname: "127.0.0.1", onListen() {} },
      ...{
        cert,
        key,
        handshakeTimeout: 500,
        maxConnections: COUNT,
        maxConnectionsPerAddress: COUNT,
      },
    }, (request) => {
      const { socket, response } = upgradeWebSocket(request);
      socket.onmessage = ({ data }) => socket.send(data);
      return response;
    });
    const { port } = server.addr;
    const silent = await Promise.all(
      Array.from({ length: COUNT }, () => Deno.connect({ hostname: "127.0.0.1", port })),
    );
    for (const peer of silent) {
      assertEquals(await peer.read(new Uint8Array(1)).catch(() => null), null);
    }
    assertEquals(heldSockets(port), 0);
    const socket = new WebSocket(`wss://127.0.0.1:${port}/`, { caCerts: [ca] });
    const answer = new Promise<MessageEvent>((resolve, reject) => {
      socket.onmessage = resolve;
      socket.onerror = reject;
    });
    socket.onopen = () => socket.send("hello");
    assertEquals((await answer).data, "hello");
    const closed = new Promise((resolve) => socket.onclose = resolve);
    socket.close();
    await closed;
    for (const peer of silent) peer.close();
  },
  Deno.build.os !== "linux" || !await granted("run"),
);
