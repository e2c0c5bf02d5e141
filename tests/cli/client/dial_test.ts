import {
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { deadline } from "@std/async/deadline";
import { AwaitableSocket } from "../../../cli/client/awaitable_socket.ts";
import { dial, type Dialled, type DialOptions } from "../../../cli/client/dial.ts";
import { Refusal } from "../../../cli/client/refusal.ts";
import { sentencesIn } from "../../../cli/sentences.ts";
import { Failure } from "../../../cli/failure.ts";
import {
  brought,
  developmentCertificates,
  freePort,
  OPCODE,
  type RawPeer,
  serveHttp,
  serveRaw,
} from "../../programs.ts";

const SENTENCES = sentencesIn("en");

/** Dials with the WebSocket that `compression` chooses. */
function dialWith(url: string, options: Partial<DialOptions>): Dialled {
  const defaults = { compression: true, protocols: [], headers: [], caCerts: [], insecure: false };
  return dial(new URL(url), { ...defaults, ...options }, SENTENCES);
}

/** How a connection to `url` fails. */
async function failureOf(url: string, options: Partial<DialOptions>): Promise<Failure> {
  using dialled = dialWith(url, options);
  const awaitable = new AwaitableSocket(dialled.socket, 10_000, SENTENCES);
  const opened = awaitable.opened(new URL(url).host, dialled.explain);
  return await assertRejects(() => opened, Failure);
}

/** Why a connection to `url` fails, in words. */
async function failure(url: string, options: Partial<DialOptions>): Promise<string> {
  return (await failureOf(url, options)).message;
}

/** A server over plain TCP. */
function servePlain(handler: (request: Request) => Response): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, handler);
}

/** A test that runs with both WebSockets. */
function onBoth(name: string, body: (compression: boolean) => Promise<void>): void {
  for (const compression of [true, false]) {
    Deno.test(`${name} [${compression ? "compressing" : "runtime"}]`, () => body(compression));
  }
}

onBoth("dial() opens a connection with its protocols and headers", async (compression) => {
  let seen = new Headers();
  await using server = await serveHttp((request) => {
    seen = new Headers(request.headers);
    return Deno.upgradeWebSocket(request, { protocol: "b" }).response;
  });
  using dialled = dialWith(`wss://127.0.0.1:${server.port}/`, {
    compression,
    protocols: ["a", "b"],
    headers: [["X-Test", "1"]],
    caCerts: [(await developmentCertificates()).ca],
  });
  const { socket } = dialled;
  await new Promise((resolve) => socket.onopen = resolve);
  assertEquals([socket.protocol, seen.get("X-Test")], ["b", "1"]);
  assertEquals(/^permessage-deflate/.test(seen.get("Sec-WebSocket-Extensions") ?? ""), compression);
  const closed = new Promise((resolve) => socket.onclose = resolve);
  socket.close();
  await closed;
});

onBoth(
  "dial() can end a connection before it is open and after",
  async (compression) => {
    const { ca } = await developmentCertificates();
    for (const opens of [false, true]) {
      const arrived = Promise.withResolvers<RawPeer>();
      const ended = Promise.withResolvers<void>();
      await using server = await serveRaw(async (peer) => {
        await (opens ? peer.accept() : peer.readRequest());
        arrived.resolve(peer);
        // Once open, the runtime's own WebSocket can only ask its peer to close.
        if (opens && !compression) assertEquals((await peer.readFrame()).opcode, OPCODE.close);
        else await peer.readToEnd();
        ended.resolve();
      });
      const url = `wss://127.0.0.1:${server.port}/`;
      const dialled = dialWith(url, { compression, caCerts: [ca] });
      const opened = new Promise((resolve) => dialled.socket.onopen = resolve);
      const closed = new Promise((resolve) => dialled.socket.onclose = resolve);
      const peer = await arrived.promise;
      if (opens) await opened;
      dialled[Symbol.dispose]();
      try {
        await deadline(ended.promise, 10_000);
      } finally {
        peer.close();
      }
      await closed;
    }
  },
);

onBoth("dial() explains that no server listens", async (compression) => {
  const port = freePort();
  for (const scheme of ["ws", "wss"]) {
    assertEquals(
      await failure(`${scheme}://127.0.0.1:${port}/`, { compression }),
      `nobody answers at 127.0.0.1:${port}; check that the server is running and that the port is right`,
    );
  }
});

onBoth("dial() explains that one side speaks TLS and the other does not", async (compression) => {
  await using plain = servePlain(() => new Response());
  assertEquals(
    await failure(`wss://127.0.0.1:${plain.addr.port}/`, { compression }),
    "the server does not speak TLS on that port; use ws:// instead of wss://, or another port",
  );
  await using tls = await serveHttp(() => new Response());
  assertEquals(
    await failure(`ws://127.0.0.1:${tls.port}/`, { compression }),
    "the server speaks TLS on that port; use wss:// instead of ws://",
  );
});

onBoth("dial() explains the status that refused the handshake", async (compression) => {
  // As with a WebSocket server, the status depends on the headers of the handshake.
  const handler = ({ headers }: Request) => {
    const upgrade = headers.get("Upgrade") === "websocket" &&
      headers.get("Sec-WebSocket-Version") === "13" &&
      headers.get("Sec-WebSocket-Protocol") === "chat";
    return new Response(null, { status: upgrade ? Number(headers.get("X-Status")) : 400 });
  };
  await using plain = servePlain(handler);
  await using tls = await serveHttp(handler);
  const caCerts = [(await developmentCertificates()).ca];
  const other = "check that the URL is that of a WebSocket server";
  const hints = {
    200: other,
    301: "follow the redirect with --location",
    401: "it wants credentials, send them with --header",
    403: "it refuses this client or this origin",
    404: "check the path of the URL",
    418: other,
    426:
      "a proxy on the way may have taken out the header Upgrade, or it speaks another version of the protocol",
    429: "it gets too many requests, try again later",
    500: "it failed; its log says why",
    502: "a proxy on the way does not reach the server",
    503: "it is at its limit or stopping, try again later",
    504: "a proxy on the way gets no answer from the server",
  };
  for (const [status, hint] of Object.entries(hints)) {
    for (const url of [`ws://127.0.0.1:${plain.addr.port}/`, `wss://127.0.0.1:${tls.port}/`]) {
      const headers: [string, string][] = [["X-Status", status]];
      assertEquals(
        await failure(url, { headers, protocols: ["chat"], caCerts, compression }),
        `the server answered HTTP ${status} instead of 101; ${hint}`,
      );
    }
  }
});

onBoth("dial() passes on the server's Retry-After", async (compression) => {
  for (const asked of ["7", undefined]) {
    const headers = asked === undefined ? {} : { "Retry-After": asked };
    const handler = () => new Response(null, { status: 503, headers });
    await using plain = servePlain(handler);
    await using tls = await serveHttp(handler);
    const caCerts = [(await developmentCertificates()).ca];
    for (const url of [`ws://127.0.0.1:${plain.addr.port}/`, `wss://127.0.0.1:${tls.port}/`]) {
      const refusal = await failureOf(url, { caCerts, compression });
      assertInstanceOf(refusal, Refusal);
      assertEquals(refusal.headers.get("Retry-After") ?? undefined, asked);
    }
  }
});

onBoth("dial() explains what is wrong with the server's certificate", async (compression) => {
  const cases: [Parameters<typeof brought>[0], boolean, RegExp][] = [
    [{}, false, /^the server's certificate is not from a known authority; trust it with --cacert/],
    [{ names: ["a.example"] }, true, /^the server's certificate is not valid for "127\.0\.0\.1"; /],
    [{ to: -1 }, true, /^the server's certificate has expired; renew it on the server$/],
    [{ from: 1 }, true, /^the server's certificate is not valid yet; set the clocks right/],
    [
      { forged: true },
      true,
      /^the signature of the server's certificate is not that of the authority/,
    ],
    [{ usage: "1.3.6.1.5.5.7.3.2" }, true, /^the server's certificate is not for servers; /],
    [
      { selfSigned: true },
      true,
      // As OpenSSL and browsers do, our own takes a certificate that is trusted itself.
      compression
        ? /^the server answered HTTP 404/
        : /^the server's certificate is that of an authority, and may not be a server's; /,
    ],
  ];
  for (const [options, trusted, sentence] of cases) {
    const { ca, ...pair } = await brought(options);
    await using server = await serveHttp(() => new Response(null, { status: 404 }), pair);
    const url = `wss://127.0.0.1:${server.port}/`;
    const caCerts = trusted ? [ca] : [];
    assertMatch(await failure(url, { compression, caCerts }), sentence);
    assertMatch(
      await failure(url, { compression, caCerts, insecure: true }),
      // If the certificate can be accepted, the handshake gets as far as the status.
      compression
        ? /^the server answered HTTP 404/
        : /: leave --compression=off out, or run deno task client:insecure in the clone$/,
    );
  }
});

Deno.test("dial() hides the token of a subprotocol when it explains a failure", async () => {
  using dialled = dialWith(`ws://127.0.0.1:${freePort()}/`, {});
  const error = new Error('server chose subprotocol "bearer.s3cret, chat", which was not offered');
  assertEquals(
    (await dialled.explain(error)).message,
    'the server did not complete the WebSocket handshake (server chose subprotocol "bearer.***", ' +
      "which was not offered)",
  );
  await new Promise((resolve) => dialled.socket.onclose = resolve);
});

onBoth("dial() explains other failures by their cause, on one line", async (compression) => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const response =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n";
  const served = (async () => {
    for await (const connection of listener) {
      using _ = connection;
      await connection.read(new Uint8Array(4096));
      await connection.write(new TextEncoder().encode(response));
    }
  })();
  const sentence = await failure(`ws://127.0.0.1:${port}/`, { compression });
  listener.close();
  await served;
  assertMatch(sentence, /^the server did not complete the WebSocket handshake \(\S.*\)$/);
});

Deno.test({
  name: "dial() explains at once that the network is not allowed",
  permissions: { net: ["127.0.0.1"] },
  fn() {
    assertThrows(() => dialWith("wss://localhost:1/", {}), Failure, "localhost");
  },
});
