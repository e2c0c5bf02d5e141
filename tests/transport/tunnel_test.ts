/** Tunnels through proxies of HTTP, by the native handle and by the public stream. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { ProxyError, WebSocket, type WebSocketOptions } from "../../mod.ts";
import { dial } from "../../transport/dial.ts";
import { routeOf } from "../../transport/route.ts";
import { developmentCertificates, freePort } from "../programs.ts";
import { echo, next } from "../websocket/peers.ts";
import { dialOptions, End, onEachWay, pattern } from "./ends.ts";
import { TestProxy } from "./test_proxy.ts";

/** Sends messages through a socket to an echo server, and closes it. */
async function exchange(socket: WebSocket): Promise<void> {
  const failed = next<ErrorEvent>(socket, "error").then(({ error }) => Promise.reject(error));
  socket.binaryType = "arraybuffer";
  await Promise.race([next(socket, "open"), failed]);
  for (const size of [0, 1, 1000, 3_000_000]) {
    const sent = pattern(size);
    socket.send(sent);
    const { data } = await Promise.race([next(socket, "message"), failed]);
    assertEquals(new Uint8Array(data), sent);
  }
  socket.close();
  await next(socket, "close");
}

/** How a connection fails. */
async function failure(url: string, options: WebSocketOptions): Promise<Error> {
  const socket = new WebSocket(url, options);
  const [{ error }] = await Promise.all([
    next<ErrorEvent>(socket, "error"),
    next(socket, "close"),
  ]);
  return error;
}

for (const [scheme, proxyScheme] of ["ws", "wss"].flatMap((s) => [[s, "http"], [s, "https"]])) {
  onEachWay(`WebSocket goes through an ${proxyScheme} proxy to ${scheme}`, async () => {
    const { ca, cert, key } = await developmentCertificates();
    const pair = { cert, key };
    await using server = echo({}, scheme === "wss" ? pair : {});
    await using proxy = new TestProxy({ pair: proxyScheme === "https" ? pair : undefined });
    const options = { caCerts: [ca], proxy: { url: proxy.url() } };
    await exchange(new WebSocket(server.url, options));
    const host = new URL(server.url).host;
    assertEquals(proxy.heads, [
      `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: ${navigator.userAgent}\r\n\r\n`,
    ]);
  });
}

onEachWay(
  "dial() uses native handles behind a proxy of plain HTTP, and streams over TLS with the proxy",
  async (way) => {
    const { ca, cert, key } = await developmentCertificates();
    const pair = { cert, key };
    for (
      const [serverPair, proxyPair, kind] of [
        [undefined, undefined, "NativeConnection"],
        [pair, undefined, "NativeConnection"],
        [undefined, pair, "StreamConnection"],
        [pair, pair, "StreamConnection"],
      ] as const
    ) {
      await using server = echo({}, serverPair);
      await using proxy = new TestProxy({ pair: proxyPair });
      const route = routeOf({ proxy: { url: proxy.url() } });
      const end = new End();
      const connection = await dial(
        new URL(server.url),
        await dialOptions({ route, caCerts: [ca] }),
        end,
      );
      assertEquals(connection.constructor.name, way === "native" ? kind : "StreamConnection");
      connection.destroy();
      await end.closed;
    }
  },
);

Deno.test("WebSocket sends a proxy its user and password, percent-decoded", async () => {
  await using server = echo();
  await using proxy = new TestProxy();
  const cases: [Deno.Proxy, string][] = [
    [{ url: proxy.url("us%40er:p%3Aa%20s%C3%A9") }, "us@er:p:a sé"],
    [{ url: proxy.url("user") }, "user:"],
    [{ url: proxy.url("a%zz:%") }, "a%zz:%"],
    [{ url: proxy.url(), basicAuth: { username: "é\r\nX", password: "\n" } }, "é\r\nX:\n"],
    [{ url: proxy.url("a:b"), basicAuth: { username: "c", password: "d" } }, "c:d"],
    [{ url: `127.0.0.1:${proxy.port}`, transport: "http" }, ""],
  ];
  for (const [options, credentials] of cases) {
    await exchange(new WebSocket(server.url, { proxy: options }));
    const [given = ""] = /(?<=^Proxy-Authorization: Basic ).*$/m.exec(proxy.heads.at(-1)!) ?? [];
    assertEquals(new TextDecoder().decode(Uint8Array.fromBase64(given.trim())), credentials);
    assertEquals(proxy.heads.at(-1)!.match(/\r\n/g)!.length, credentials === "" ? 4 : 5);
  }
});

Deno.test("WebSocket tells what a proxy answered, and not that the server did", async () => {
  for (
    const [answer, status, header] of [
      ["HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n\r\n<html>", 407, "Basic realm=x"],
      ["HTTP/1.0 403 No\r\n\r\n", 403, null],
      ["HTTP/1.1 101 Switching Protocols\r\n\r\n", 101, null],
      ["HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/\r\n\r\n", 301, null],
      ["HTTP/1.1 100 Continue\r\n\r\n".repeat(11), 100, null],
    ] as const
  ) {
    await using proxy = new TestProxy({ answer: () => answer });
    const url = proxy.url("user:s3cret");
    const error = await failure("ws://localhost:1/", { proxy: { url } });
    assertInstanceOf(error, ProxyError);
    assertEquals([error.status, error.headers.get("Proxy-Authenticate")], [status, header]);
    assertEquals(
      error.message,
      `Cannot connect through proxy "127.0.0.1:${proxy.port}": ` +
        `proxy answered with status ${status}, must be 200`,
    );
  }
});

Deno.test("WebSocket takes any 2xx of a proxy, behind interim responses", async () => {
  await using server = echo();
  await using proxy = new TestProxy({
    opens: "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.0 299 Ok\r\nContent-Length: 5\r\n\r\n",
  });
  await exchange(new WebSocket(server.url, { proxy: { url: proxy.url() } }));
});

Deno.test("WebSocket says what is wrong with a proxy that does not speak HTTP, ends, or is not there", async () => {
  const { cert, key } = await developmentCertificates();
  const cases: [string | undefined, RegExp][] = [
    ["SSH-2.0-OpenSSH\r\n\r\n", /through proxy "127.0.0.1:\d+": Cannot read response/],
    [`HTTP/1.1 200 Ok\r\nX: ${"y".repeat(20_000)}`, /through proxy .* over 16384 bytes/],
    ["HTTP/1.1 200 Ok\r\n", /to proxy "127.0.0.1:\d+": server closed the connection/],
    ["", /to proxy "127.0.0.1:\d+": server closed the connection/],
  ];
  for (const [answer, wanted] of cases) {
    await using proxy = new TestProxy({ answer: () => answer });
    const error = await failure("ws://localhost:1/", { proxy: { url: proxy.url("u:s3cret") } });
    assertMatch(error.message, wanted);
    assert(!error.message.includes("s3cret"));
  }
  const port = freePort();
  const gone = await failure("ws://localhost:1/", {
    proxy: { url: `http://u:s3cret@127.0.0.1:${port}` },
  });
  assertEquals(gone.message, `Cannot connect to proxy "127.0.0.1:${port}": connection refused`);
  await using untrusted = new TestProxy({ pair: { cert, key } });
  const error = await failure("ws://localhost:1/", {
    proxy: { url: untrusted.url("u:s3cret") },
    insecure: true,
  });
  assertMatch(error.message, /to proxy "127.0.0.1:\d+": invalid peer certificate: UnknownIssuer/);
  assertEquals(untrusted.heads, []);
});

onEachWay("WebSocket loses no byte that comes behind a proxy's answer", async () => {
  // What a server says first is the answer to no handshake: it must come all the same.
  for (
    const [scheme, greeting, problem] of [
      ["ws", "HTTP/1.1 418 Early\r\nContent-Length: 0\r\n\r\n", /status 418/],
      ["wss", "no TLS record at all", /Cannot connect to "127.0.0.1": .*(TLS|tls|corrupt|message)/],
    ] as const
  ) {
    await using server = echo();
    await using proxy = new TestProxy({ greeting });
    const error = await failure(server.url.replace(/^ws/, scheme), {
      proxy: { url: proxy.url() },
    });
    assertMatch(error.message, problem);
  }
});

Deno.test("WebSocket asks a proxy for an address of IPv6 in brackets", async () => {
  await using proxy = new TestProxy({ answer: () => "HTTP/1.1 502 No\r\n\r\n" });
  await failure("wss://[::1]/", { proxy: { url: proxy.url() } });
  assertStringIncludes(
    proxy.heads[0]!,
    "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n",
  );
});

for (const silentAt of ["connection", "answer", "TLS", "handshake"]) {
  for (const how of ["signal", "timeout", "terminate"]) {
    onEachWay(
      `WebSocket gives up by ${how} while a proxy is silent at its ${silentAt}`,
      async () => {
        const { ca, cert, key } = await developmentCertificates();
        const reached = Promise.withResolvers<void>();
        using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
        const left = (async () => {
          using connection = await silent.accept();
          reached.resolve();
          while (await connection.read(new Uint8Array(4096)) !== null);
        })().catch(() => {});
        const isProxySilent = ["connection", "answer"].includes(silentAt);
        const scheme = silentAt === "connection" ? "https" : "http";
        await using proxy = new TestProxy({ pair: { cert, key } });
        const proxyUrl = isProxySilent ? `${scheme}://127.0.0.1:${silent.addr.port}` : proxy.url();
        const target = `127.0.0.1:${isProxySilent ? 1 : silent.addr.port}`;
        const controller = new AbortController();
        const socket = new WebSocket(`${silentAt === "TLS" ? "wss" : "ws"}://${target}/`, {
          proxy: { url: proxyUrl },
          caCerts: [ca],
          signal: controller.signal,
          ...how === "timeout" && { handshakeTimeout: 300 },
        });
        const failed = next<ErrorEvent>(socket, "error");
        const closed = next(socket, "close");
        await reached.promise;
        if (how === "signal") controller.abort(new Error("enough"));
        if (how === "terminate") socket.terminate();
        const { message } = await failed;
        if (how === "signal") assertEquals(message, "enough");
        if (how === "timeout") assertEquals(message, "Cannot open WebSocket: it took over 300 ms");
        await closed;
        // The connection has been given back.
        await left;
      },
    );
  }
}
