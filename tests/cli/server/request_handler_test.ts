import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { RequestHandler, type RequestHandlerOptions } from "../../../cli/server/request_handler.ts";
import { AnswerMode } from "../../../cli/server/modes/answer.ts";
import type { Endpoint, Mode } from "../../../cli/server/modes/mode.ts";
import { openLog } from "../../../cli/server/log.ts";
import { sentencesIn } from "../../../cli/sentences.ts";
import type { FrameInfo, Refusal, SocketOptions } from "../../../mod.ts";
import { FakeSocket } from "../fake_socket.ts";

const LOCAL: Deno.NetAddr = { transport: "tcp", hostname: "127.0.0.1", port: 4000 };

/** A handler whose sockets are fakes, and the lines it logs. */
class Fixture {
  readonly out: string[] = [];
  readonly err: string[] = [];
  readonly sockets: FakeSocket[] = [];
  readonly upgrades: unknown[] = [];
  readonly handler: RequestHandler;

  constructor(
    options: Partial<RequestHandlerOptions> = {},
    format: "text" | "json" = "text",
    level: "info" | "debug" = "info",
  ) {
    const output = {
      out: (line: string) => void this.out.push(line),
      err: (line: string) => void this.err.push(line),
    };
    this.handler = new RequestHandler({
      path: "/ws",
      origins: [],
      mode: new AnswerMode("answer"),
      idleTimeout: 7,
      maxMessageSize: 99,
      upgradeWebSocket: (_request, upgradeOptions) => {
        const fake = new FakeSocket();
        this.sockets.push(fake);
        this.upgrades.push(upgradeOptions);
        return { socket: fake.asWebSocket, response: new Response("upgraded") };
      },
      log: openLog({ level, format, timestamps: false }, output),
      sentences: sentencesIn("en"),
      ...options,
    });
  }

  /** Answers a request for `path`. */
  handle(path: string, init: RequestInit = {}, remoteAddr: Deno.Addr = LOCAL): Response {
    return this.handler.handle(new Request(`https://localhost${path}`, init), { remoteAddr });
  }

  /** Opens a connection. */
  connect(): FakeSocket {
    this.handle("/ws", { headers: HANDSHAKE });
    const socket = this.sockets.at(-1)!;
    socket.onopen?.();
    this.out.length = 0;
    return socket;
  }
}

const HANDSHAKE = {
  Upgrade: "websocket",
  Connection: "Upgrade",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
};

/** The handshake without one of its headers. */
function without(name: keyof typeof HANDSHAKE): Record<string, string> {
  const { [name]: _, ...headers } = HANDSHAKE;
  return headers;
}

Deno.test("RequestHandler answers a request that is no upgrade with a status and one sentence", async () => {
  const upgrade = "Cannot upgrade to WebSocket: ";
  const key = `${upgrade}Sec-WebSocket-Key is missing or malformed, must be 16 bytes in base64.`;
  const cases: [string, RequestInit, number, string, Record<string, string>][] = [
    ["/healthz", {}, 200, "The server is running.", {}],
    ["/healthz?a=b", { method: "HEAD" }, 200, "The server is running.", {}],
    [
      "/healthz",
      { method: "POST" },
      405,
      "Only GET and HEAD are answered here.",
      { Allow: "GET, HEAD" },
    ],
    ["/*", { method: "OPTIONS" }, 200, "The server is running.", { Allow: "GET, HEAD, OPTIONS" }],
    ["/*", {}, 404, "There is nothing at this path.", {}],
    ["/", {}, 404, "There is nothing at this path.", {}],
    ["/ws/", { headers: HANDSHAKE }, 404, "There is nothing at this path.", {}],
    ["/WS", { headers: HANDSHAKE }, 404, "There is nothing at this path.", {}],
    ["/ws", {}, 426, `${upgrade}the header Upgrade: websocket is missing.`, {
      Upgrade: "websocket",
      Connection: "Upgrade",
    }],
    [
      "/ws",
      { headers: without("Connection") },
      426,
      `${upgrade}the header Upgrade: websocket is missing.`,
      { Upgrade: "websocket", Connection: "Upgrade" },
    ],
    [
      "/ws",
      { method: "POST", headers: HANDSHAKE },
      405,
      `${upgrade}the method is "POST", must be GET.`,
      { Allow: "GET" },
    ],
    [
      "/ws",
      { headers: { ...HANDSHAKE, "Sec-WebSocket-Version": "8" } },
      426,
      `${upgrade}Sec-WebSocket-Version is "8", must be 13.`,
      { "Sec-WebSocket-Version": "13" },
    ],
    [
      "/ws",
      { headers: without("Sec-WebSocket-Version") },
      426,
      `${upgrade}Sec-WebSocket-Version is "", must be 13.`,
      { "Sec-WebSocket-Version": "13" },
    ],
    ["/ws", { headers: without("Sec-WebSocket-Key") }, 400, key, {}],
    ["/ws", { headers: { ...HANDSHAKE, "Sec-WebSocket-Key": "AAAA" } }, 400, key, {}],
  ];
  const { handler, sockets } = new Fixture();
  for (const [path, init, status, sentence, headers] of cases) {
    const request = new Request(`https://localhost${path}`, init);
    const response = handler.handle(request, { remoteAddr: LOCAL });
    const what = `${request.method} ${path} ${JSON.stringify(init)}`;
    assertEquals(response.status, status, what);
    assertEquals(await response.text(), `${sentence}\n`, what);
    assertEquals(response.headers.get("Content-Type"), "text/plain; charset=utf-8", what);
    for (const [name, value] of Object.entries(headers)) {
      assertEquals(response.headers.get(name), value, what);
    }
  }
  assertEquals(sockets, []);
});

Deno.test("RequestHandler accepts the listed origins, and requests without an origin", async () => {
  const fixture = new Fixture({ origins: ["https://a.example", "null"] });
  for (const origin of ["https://a.example", "https://A.example", "null", undefined]) {
    const headers = { ...HANDSHAKE, ...origin !== undefined && { Origin: origin } };
    assertEquals(fixture.handle("/ws", { headers }).status, 200, origin);
  }
  assertEquals(fixture.sockets.length, 4);
  for (const origin of ["https://b.example", "https://a.example:8443", "https://a.example/", ""]) {
    const response = fixture.handle("/ws", { headers: { ...HANDSHAKE, Origin: origin } });
    assertEquals(response.status, 403);
    const sentence = `Cannot upgrade to WebSocket: the origin "${origin}" is not allowed.\n`;
    assertEquals(await response.text(), sentence);
  }
  assertEquals(fixture.sockets.length, 4);
});

Deno.test("RequestHandler accepts any origin if none is listed", () => {
  const headers = { ...HANDSHAKE, Origin: "https://anywhere.example" };
  assertEquals(new Fixture().handle("/ws", { headers }).status, 200);
});

Deno.test("RequestHandler escapes the headers of a refused request before it shows them", async () => {
  const fixture = new Fixture({ origins: ["https://a.example"] });
  const headers = { ...HANDSHAKE, Origin: `\x1b[2J"${"x".repeat(5000)}` };
  const body = await fixture.handle("/ws", { headers }).text();
  for (const text of [body, ...fixture.err]) {
    assertEquals(text.includes("\x1b"), false);
    assertEquals(text.length < 400, true);
    assertStringIncludes(text, "5005 bytes");
  }
});

Deno.test("RequestHandler logs each handshake, and a refusal as an error", () => {
  const fixture = new Fixture();
  fixture.handle("/ws");
  fixture.handle("/elsewhere");
  assertEquals(fixture.out, ["Handshake received"]);
  assertEquals(fixture.err, [
    "Error upgrading to WebSocket: the header Upgrade: websocket is missing",
  ]);
});

Deno.test("RequestHandler answers 400 if the transport refuses the handshake", async () => {
  const fixture = new Fixture({
    upgradeWebSocket() {
      throw new TypeError("no\nsuch thing");
    },
  });
  const response = fixture.handle("/ws", { headers: HANDSHAKE });
  assertEquals(response.status, 400);
  assertEquals(
    await response.text(),
    "Cannot upgrade to WebSocket: the request is not a valid handshake.\n",
  );
  assertEquals(fixture.err, ["Error upgrading to WebSocket: no such thing"]);
});

Deno.test("RequestHandler upgrades with its idle timeout, and returns the transport's response", async () => {
  const fixture = new Fixture({ path: "/a/b" });
  const response = fixture.handle("/a/b?c", { headers: HANDSHAKE });
  assertEquals(await response.text(), "upgraded");
  assertEquals(fixture.upgrades, [{ idleTimeout: 7, maxMessageSize: 99 }]);
});

Deno.test("RequestHandler answers each message in its type", () => {
  const fixture = new Fixture();
  const socket = fixture.connect();
  socket.receive("text");
  socket.receive(new Uint8Array([1, 2]));
  assertEquals(socket.sent, ["answer", new TextEncoder().encode("answer").buffer]);
  assertEquals(fixture.out, [
    "Message received from the client: text",
    "Message sent back to the client: answer",
    "Message received from the client: 0102 (2 bytes)",
    "Message sent back to the client: 616e73776572 (6 bytes)",
  ]);
});

Deno.test("RequestHandler echoes in mode echo", () => {
  const socket = new Fixture({ mode: new AnswerMode(undefined) }).connect();
  const bytes = new Uint8Array([1, 2]);
  socket.receive("text");
  socket.receive(bytes);
  assertEquals(socket.sent, ["text", bytes.buffer]);
});

/** A mode that has something at `/room`. */
function modeWith(endpoint: Partial<Endpoint>, trouble?: string): Mode {
  return {
    endpoint: (below) =>
      below === "" || below === "/room" ? { received() {}, ...endpoint } : undefined,
    trouble,
    close: () => Promise.resolve(),
  };
}

Deno.test("RequestHandler asks its mode what is below its path", () => {
  const headers = HANDSHAKE;
  for (const [path, above] of [["/ws", "/ws"], ["/", ""], ["/a/", "/a"]] as const) {
    const fixture = new Fixture({ path, mode: modeWith({}) });
    const statuses = [path, `${above}/room`, `${above}/room/`, `${above}/other`, "/elsewhere"]
      .map((path) => fixture.handle(path, { headers }).status);
    assertEquals(statuses, [200, 200, 404, 404, 404], path);
    assertEquals(fixture.handle(`${above}/room`).status, 426);
    assertEquals(fixture.handle("/healthz", { headers }).status, 200);
    assertEquals(fixture.sockets.length, 2);
  }
});

Deno.test("RequestHandler has its mode take part in the life of a socket", () => {
  const calls: string[] = [];
  const fixture = new Fixture({
    mode: modeWith({
      accept: ({ binaryType }) => void calls.push(`accept ${binaryType}`),
      opened: (_, log) => log("info", "joined", () => ({ room: "room" })),
      received: (_, data) => void calls.push(`received ${data}`),
      closed: (log) => log("info", "left", () => ({ room: "room" })),
    }),
  });
  fixture.handle("/ws/room", { headers: HANDSHAKE });
  const socket = fixture.sockets[0]!;
  socket.onopen?.();
  socket.receive("text");
  socket.end(1000);
  assertEquals(calls, ["accept arraybuffer", "received text"]);
  assertEquals(fixture.out, [
    "Handshake received",
    "WebSocket connection established!",
    'Joined room "room"',
    "Message received from the client: text",
    "WebSocket connection closed!",
    'Left room "room"',
  ]);
});

Deno.test("RequestHandler answers 503 with Retry-After if its mode lets nobody in", async () => {
  const fixture = new Fixture({ mode: modeWith({ refusal: "rooms" }), token: "secret" });
  assertEquals(fixture.handle("/ws/room", { headers: HANDSHAKE }).status, 401);
  const headers = { ...HANDSHAKE, Authorization: "Bearer secret" };
  const response = fixture.handle("/ws/room", { headers });
  assertEquals([response.status, response.headers.get("Retry-After")], [503, "5"]);
  assertEquals(
    await response.text(),
    "Cannot upgrade to WebSocket: the limit of rooms (--max-rooms) is reached.\n",
  );
  assertEquals(fixture.sockets, []);
});

Deno.test("RequestHandler is alive when something of its mode does not work, and says so", async () => {
  const fixture = new Fixture({ mode: modeWith({}, "its backplane is away") });
  const response = fixture.handle("/healthz");
  assertEquals(
    [response.status, await response.text()],
    [200, "The server is running, but its backplane is away.\n"],
  );
  fixture.handler.unready();
  assertEquals(fixture.handle("/healthz").status, 503);
});

Deno.test("RequestHandler logs an answer that cannot be sent as an error, and not as sent", () => {
  const fixture = new Fixture();
  const socket = fixture.connect();
  socket.failure = new Error("socket is\nCLOSING");
  socket.receive("text");
  assertEquals(fixture.out, ["Message received from the client: text"]);
  assertEquals(fixture.err, ["Error sending message: socket is CLOSING"]);
});

Deno.test("RequestHandler logs a clean close as no error, whatever its code", () => {
  for (const code of [1000, 1001, 1005, 4000]) {
    const fixture = new Fixture();
    fixture.connect().end(code, "done");
    assertEquals([fixture.out, fixture.err], [["WebSocket connection closed!"], []]);
  }
});

Deno.test("RequestHandler logs a lost connection, and one that failed, as errors", () => {
  const lost = new Fixture();
  lost.connect().end(1006, "", false);
  assertEquals(lost.err, ["Error reading message: 1006"]);
  assertEquals(lost.out, ["WebSocket connection closed!"]);

  const failed = new Fixture();
  const socket = failed.connect();
  socket.onerror?.(new ErrorEvent("error", { message: "invalid\x1b frame" }));
  socket.end(1002, "", true);
  assertEquals(failed.err, ["Error reading message: invalid\\u{1b} frame"]);
  assertEquals(failed.out, ["WebSocket connection closed!"]);
});

Deno.test("RequestHandler names the client in its records", () => {
  const addresses: [Deno.Addr, string][] = [
    [LOCAL, "127.0.0.1:4000"],
    [{ ...LOCAL, hostname: "::ffff:192.0.2.1" }, "192.0.2.1:4000"],
    [{ ...LOCAL, hostname: "2001:db8::1" }, "[2001:db8::1]:4000"],
    [{ transport: "unix", path: "/run/socket" }, "unix"],
  ];
  for (const [address, name] of addresses) {
    const fixture = new Fixture({}, "json");
    fixture.handle("/ws", { headers: HANDSHAKE }, address);
    const expected = { event: "handshake", client: name, connection: 1 };
    assertEquals(JSON.parse(fixture.out[0]!).properties, expected);
  }
});

Deno.test("RequestHandler numbers connections, and tells of 404s, at debug", () => {
  const fixture = new Fixture({}, "text", "debug");
  fixture.handle("/ws", { headers: HANDSHAKE });
  fixture.handle("/ws", { headers: HANDSHAKE }, { ...LOCAL, port: 4001 });
  fixture.handle("/favicon.ico?token=secret");
  fixture.handle(`/${"x".repeat(1000)}`, { method: "POST" });
  assertEquals(fixture.out.slice(0, 3), [
    "#1 127.0.0.1:4000 Handshake received",
    "#2 127.0.0.1:4001 Handshake received",
    "127.0.0.1:4000 Nothing at /favicon.ico (GET)",
  ]);
  assertEquals(fixture.out[3]!.length < 400, true);
  const silent = new Fixture();
  silent.handle("/favicon.ico");
  assertEquals(silent.out, []);
});

Deno.test("RequestHandler has frames told at debug alone, of a socket that can, within the log's limit", () => {
  const frame: FrameInfo = {
    direction: "received",
    opcode: 1,
    fin: true,
    rsv1: true,
    masked: true,
    wireLength: 31,
    payloadLength: 64,
  };
  const onFrameOf = ({ upgrades }: Fixture) => (upgrades[0] as Partial<SocketOptions>).onFrame;
  const fixture = new Fixture({ compression: {} }, "text", "debug");
  fixture.connect();
  const onFrame = onFrameOf(fixture)!;
  onFrame(frame);
  onFrame({
    ...frame,
    direction: "sent",
    opcode: 10,
    rsv1: false,
    wireLength: 3,
    payloadLength: 1,
  });
  assertEquals(fixture.out, [
    "#1 127.0.0.1:4000 Frame received: TEXT FIN RSV1, 31 bytes on the wire, payload of 64 bytes",
    "#1 127.0.0.1:4000 Frame sent: PONG FIN, 3 bytes on the wire, payload of 1 byte",
  ]);
  for (let i = 0; i < 40_000; i++) onFrame(frame);
  assertEquals(fixture.out.length < 31_000, true);
  fixture.handler.flushLog();

  const json = new Fixture({ compression: {} }, "json", "debug");
  json.connect();
  onFrameOf(json)!(frame);
  const { direction: _, ...properties } = frame;
  assertEquals(JSON.parse(json.out[0]!).properties, {
    event: "frameReceived",
    client: "127.0.0.1:4000",
    connection: 1,
    frame: "TEXT FIN RSV1",
    ...properties,
  });

  const atInfo = new Fixture({ compression: {} });
  atInfo.connect();
  const ofRuntime = new Fixture({}, "text", "debug");
  ofRuntime.connect();
  assertEquals([onFrameOf(atInfo), onFrameOf(ofRuntime)], [undefined, undefined]);
});

Deno.test("RequestHandler.refused() says at debug why something was refused, within the log's limit", () => {
  const causes: [Refusal["reason"], string, string][] = [
    [
      "tlsHandshake",
      "received fatal alert: UnknownCA",
      "the client does not accept the certificate (received fatal alert: UnknownCA)",
    ],
    [
      "tlsHandshake",
      "received corrupt message of type InvalidContentType (SSL routines)",
      "the client does not speak TLS, as with ws:// in place of wss://",
    ],
    ["tlsHandshake", "peer\x1b", "the TLS handshake failed (peer\\u{1b})"],
    ["tooManyConnections", "", sentencesIn("en").refused.tooManyConnections],
    [
      "badRequest",
      "Cannot read request: it is malformed",
      "the request cannot be served (Cannot read request: it is malformed)",
    ],
  ];
  const fixture = new Fixture({}, "text", "debug");
  for (const [reason, cause] of causes) {
    fixture.handler.refused({ reason, remoteAddr: LOCAL, cause });
  }
  assertEquals(fixture.out, causes.map(([, , line]) => `127.0.0.1:4000 Refused: ${line}`));
  const refusal: Refusal = { reason: "handshakeTimeout", remoteAddr: LOCAL, cause: "" };
  for (let i = 0; i < 40_000; i++) fixture.handler.refused(refusal);
  assertEquals(fixture.out.length < 31_000, true);
  fixture.handler.flushLog();
  const silent = new Fixture();
  silent.handler.refused(refusal);
  assertEquals([silent.out, silent.err], [[], []]);
});

Deno.test("RequestHandler.close() closes every open socket with 1001 and waits for them", async () => {
  const fixture = new Fixture();
  const [gone, one, two] = [fixture.connect(), fixture.connect(), fixture.connect()];
  gone.end(1000);
  let done = false;
  const closing = fixture.handler.close({}, 600_000).then(() => done = true);
  assertEquals([gone.closes, one.closes, two.closes], [[], [1001], [1001]]);
  one.end(1001);
  // If `close()` did not wait for the second socket, it would have settled by the next task.
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals(done, false);
  two.end(1001);
  await closing;
});

Deno.test("RequestHandler.close() waits no longer than the grace period", async () => {
  const fixture = new Fixture();
  const socket = fixture.connect();
  await fixture.handler.close({}, 1);
  assertEquals(socket.closes, [1001]);
});

Deno.test("RequestHandler.unready() has /healthz answer 503 , and all else goes on", () => {
  const fixture = new Fixture();
  fixture.handler.unready();
  const { status, headers } = fixture.handle("/healthz");
  assertEquals([status, headers.get("Connection")], [503, "close"]);
  assertEquals(fixture.handle("/elsewhere").status, 404);
  fixture.connect().receive("message");
  assertEquals(fixture.sockets[0]!.sent, ["answer"]);
});

Deno.test("RequestHandler.close() drains: upgrades are refused, requests and messages answered", async () => {
  const fixture = new Fixture();
  const socket = fixture.connect();
  const closing = fixture.handler.close({ drain: 20, code: 1012 }, 600_000);
  const { status, headers } = fixture.handle("/ws", { headers: HANDSHAKE });
  assertEquals([status, headers.get("Retry-After")], [503, "1"]);
  assertEquals(fixture.handle("/healthz").status, 503);
  assertEquals(fixture.handle("/elsewhere").status, 404);
  socket.receive("message");
  assertEquals([socket.sent, socket.closes], [["answer"], []]);
  socket.close = (code) => {
    assertEquals(fixture.handle("/elsewhere").status, 503);
    socket.closes.push(code);
    socket.end(1012);
  };
  await closing;
  assertEquals(socket.closes, [1012]);
});

Deno.test("RequestHandler.close() spreads the closes, and waits for the last", async () => {
  const fixture = new Fixture();
  const sockets = Array.from({ length: 5 }, () => fixture.connect());
  let closes = 0;
  for (const socket of sockets) {
    socket.close = () => {
      closes++;
      socket.end(1001);
    };
  }
  const closing = fixture.handler.close({ spread: 20 }, 600_000);
  assertEquals(closes, 0);
  await closing;
  assertEquals(closes, 5);
});

Deno.test("RequestHandler accepts origins below a name, and no others", () => {
  const origins = ["https://*.example.com", "https://example.org", "null"];
  const fixture = new Fixture({ origins });
  const status = (Origin: string) =>
    fixture.handle("/ws", { headers: { ...HANDSHAKE, Origin } }).status;
  for (
    const origin of ["https://a.example.com", "https://A.b.Example.com", "https://example.org"]
  ) {
    assertEquals(status(origin), 200, origin);
  }
  const refused = [
    "https://example.com",
    "http://a.example.com",
    "https://a.example.com.evil.org",
    "https://evilexample.com",
    "https://a.example.org",
    "https://.example.com",
  ];
  for (const origin of refused) assertEquals(status(origin), 403, origin);
});

Deno.test("RequestHandler asks for its token in a header, the query or a subprotocol", () => {
  const token = "s3cret-token";
  const fixture = new Fixture({ token });
  const open = (path: string, headers: Record<string, string> = {}) =>
    fixture.handle(path, { headers: { ...HANDSHAKE, ...headers } });
  assertEquals(open("/ws", { Authorization: `Bearer ${token}` }).status, 200);
  assertEquals(open(`/ws?token=${token}`).status, 200);
  assertEquals(
    open("/ws", { "Sec-WebSocket-Protocol": `bearer.${token}, chat` }).status,
    200,
  );
  assertEquals(fixture.upgrades.at(-1), { idleTimeout: 7, maxMessageSize: 99, protocol: "chat" });
  assertEquals(open("/ws", { "Sec-WebSocket-Protocol": `bearer.${token}` }).status, 200);
  for (
    const refused of [
      open("/ws"),
      open("/ws", { Authorization: "Bearer wrong" }),
      open("/ws", { Authorization: `Basic ${token}` }),
      open("/ws?token="),
      open(`/ws?token=${token}x`, {}),
      open("/ws", { "Sec-WebSocket-Protocol": "bearer.wrong" }),
    ]
  ) {
    assertEquals(refused.status, 401);
    assertEquals(refused.headers.get("WWW-Authenticate"), "Bearer");
  }
  assertEquals([...fixture.out, ...fixture.err].join().includes(token), false);
});

Deno.test("RequestHandler sends headers that keep a browser from interpreting an answer", () => {
  const { headers } = new Fixture().handle("/healthz");
  assertEquals(headers.get("X-Content-Type-Options"), "nosniff");
  assertMatch(headers.get("Content-Security-Policy")!, /default-src 'none'/);
  assertEquals(headers.has("Strict-Transport-Security"), false);
});

for (const format of ["text", "json"] as const) {
  Deno.test(`RequestHandler bounds the lines of a flood, and says how many it left out [${format}]`, () => {
    const fixture = new Fixture({}, format);
    const socket = fixture.connect();
    for (let i = 0; i < 20_000; i++) socket.receive("");
    // Failing handshakes of the same address.
    for (let i = 0; i < 20_000; i++) fixture.handle("/ws");
    const lines = fixture.out.length + fixture.err.length;
    assertEquals(lines < 31_000, true, `${lines} lines`);
    // Another address is not concerned.
    fixture.out.length = fixture.err.length = 0;
    fixture.handle("/ws", {}, { ...LOCAL, hostname: "192.0.2.1" });
    assertEquals([fixture.out.length, fixture.err.length], [1, 1]);
    fixture.err.length = 0;

    fixture.handler.flushLog();
    assertEquals(fixture.err.length, 1);
    const leftOut = /\d+$/.exec(
      format === "text" ? fixture.err[0]! : JSON.parse(fixture.err[0]!).message,
    );
    assertEquals(lines + Number(leftOut), 80_000);
  });
}

Deno.test("RequestHandler bounds the bytes of a flood of long lines", () => {
  const fixture = new Fixture();
  const socket = fixture.connect();
  // Each character becomes eight.
  for (let i = 0; i < 20_000; i++) socket.receive("\u202e".repeat(256));
  fixture.handler.flushLog();
  const bytes = fixture.out.reduce((sum, line) => sum + line.length, 0);
  assertEquals(bytes < 30_000 * 350, true, `${bytes} bytes`);
});

Deno.test("RequestHandler does not count lines that the level leaves out", () => {
  const fixture = new Fixture();
  openLog({ level: "error", format: "text", timestamps: false }, {
    out: (line) => void fixture.out.push(line),
    err: (line) => void fixture.err.push(line),
  });
  const socket = fixture.connect();
  for (let i = 0; i < 20_000; i++) socket.receive("");
  socket.end(1006, "", false);
  fixture.handler.flushLog();
  assertEquals([fixture.out, fixture.err], [[], ["Error reading message: 1006"]]);
});

Deno.test("RequestHandler.handle() gives up a socket that never opens, and whose close is never told", async () => {
  const ended = Promise.withResolvers<void>();
  const socket = new FakeSocket();
  socket.readyState = WebSocket.CONNECTING;
  let accepted = 0;
  const endpoint: Endpoint = {
    accept: () => void accepted++,
    received() {},
    closed: () => ended.resolve(),
  };
  const { handler, err } = new Fixture({
    openTimeout: 1,
    mode: { endpoint: () => endpoint, close: () => Promise.resolve() },
    upgradeWebSocket: () => ({ socket: socket.asWebSocket, response: new Response("upgraded") }),
  });
  const request = new Request("https://localhost/ws", { headers: HANDSHAKE });
  handler.handle(request, { remoteAddr: LOCAL, completed: Promise.resolve() });
  assertEquals(accepted, 1);
  // The wait for it lets the process end.
  const process = setInterval(() => {}, 1000);
  await ended.promise;
  clearInterval(process);
  assertEquals(socket.closes, [undefined]);
  assertEquals([socket.onopen, socket.onclose], [null, null]);
  assertMatch(err.join(), /1006/);
  // It waits for no such socket.
  await handler.close({}, 1000);
});
