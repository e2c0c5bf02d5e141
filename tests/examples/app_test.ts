/** `examples/app.ts`, asked as by curl and by sockets. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { HandshakeError, type WebSocket } from "../../mod.ts";
import { Program, projectPath, RawPeer } from "../programs.ts";
import { hasBrowser } from "../interop/peer.ts";
import { closed, next } from "../websocket/peers.ts";
import { App, CAN_RUN, PASSWORD } from "./app.ts";

const MIB = 1024 * 1024;

function test(name: string, fn: (app: App) => Promise<void>): void {
  Deno.test({
    name,
    ignore: !CAN_RUN,
    async fn() {
      await using app = await App.start();
      await fn(app);
    },
  });
}

/** A body of so many bytes, made as it is read; before the last MiB, it waits for `last`. */
function body(size: number, last?: () => Promise<void>): ReadableStream<Uint8Array<ArrayBuffer>> {
  let left = size;
  return new ReadableStream({
    async pull(controller) {
      if (left <= MIB) await last?.();
      controller.enqueue(new Uint8Array(Math.min(left, MIB)).fill(left / MIB));
      left -= MIB;
      if (left <= 0) controller.close();
    },
  });
}

test("examples/app.ts lets in by the password alone, with a cookie for its own pages", async (app) => {
  assertEquals((await app.ask("/api/session")).status, 401);
  const wrong = [await app.logIn("ada", "wrong"), await app.logIn("bob", PASSWORD)];
  for (const { status, headers } of wrong) {
    assertEquals([status, headers.has("Set-Cookie")], [401, false]);
  }
  const { status, headers } = await app.logIn("ada", PASSWORD);
  assertEquals(status, 204);
  assertMatch(
    headers.get("Set-Cookie")!,
    /^__Host-session=[\w-]{43}; Max-Age=28800; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
  );
  const session = await app.session();
  assertEquals((await app.ask("/api/session", { headers: session })).body, '{"user":"ada"}');
  const logout = await app.ask("/api/logout", { method: "POST", headers: session });
  assertEquals(logout.status, 204);
  assertMatch(logout.headers.get("Set-Cookie")!, /^__Host-session=; Max-Age=0;/);
  assertEquals((await app.ask("/api/session", { headers: session })).status, 401);
});

test("examples/app.ts limits attempts to log in, also those made at once", async (app) => {
  const attempts = Array.from({ length: 8 }, () => app.logIn("ada", "wrong"));
  const statuses = (await Promise.all(attempts)).map(({ status }) => status);
  assertEquals(statuses.toSorted(), [401, 401, 401, 401, 401, 429, 429, 429]);
  const { status, headers } = await app.logIn("ada", PASSWORD);
  assertEquals([status, headers.get("Retry-After")], [429, "60"]);
  const long = await app.logIn("ada", "x".repeat(5000));
  assertEquals(long.status, 413);
});

test("examples/app.ts serves files with ETag and Range, and none from elsewhere", async (app) => {
  const script = await Deno.readTextFile(projectPath("examples/app/static/app.js"));
  const { status, headers, body } = await app.ask("/app.js");
  assertEquals([status, body], [200, script]);
  assertMatch(headers.get("Content-Security-Policy")!, /^default-src 'self';/);
  const tag = headers.get("ETag")!;
  const cached = await app.ask("/app.js", { headers: { "If-None-Match": tag } });
  assertEquals([cached.status, cached.body], [304, ""]);
  const part = await app.ask("/app.js", { headers: { Range: "bytes=6-9" } });
  assertEquals(
    [part.status, part.body, part.headers.get("Content-Range")],
    [206, script.slice(6, 10), `bytes 6-9/${script.length}`],
  );
  const beyond = await app.ask("/app.js", { headers: { Range: `bytes=${script.length}-` } });
  assertEquals(beyond.status, 416);
  const gzip = await app.ask("/app.js", { headers: { "Accept-Encoding": "gzip" } });
  assertEquals([gzip.status, gzip.body], [200, script]);
  const head = await app.ask("/", { method: "HEAD" });
  assertEquals([head.status, head.body], [200, ""]);

  for (
    const path of [
      "/../app.ts",
      "/../sessions.ts",
      "/..%2fsessions.ts",
      "/%2e%2e/sessions.ts",
      "/%2e%2e%2fsessions.ts",
      "/..\\sessions.ts",
      "//etc/passwd",
      "/.%00/app.js",
    ]
  ) {
    using peer = await RawPeer.connect(app.port);
    const { status } = await peer.request(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert(status === 404 || status === 400, `${path}: ${status}`);
  }
});

test("examples/app.ts writes an upload to the disk as it comes", async (app) => {
  const headers = await app.session();
  const upload = (body: BodyInit, own: Record<string, string> = headers) =>
    app.ask("/api/upload", { method: "PUT", headers: own, body });
  assertEquals((await upload(body(MIB), {})).status, 401);
  assertEquals((await upload("")).status, 400);

  const saved = `${app.folder.path}/uploads/ada`;
  const { status, body: answer } = await upload(body(20 * MIB, async () => {
    let size = 0;
    while (size < 15 * MIB) size = (await Deno.stat(`${saved}.part`)).size;
  }));
  assertEquals([status, answer], [201, `{"size":${20 * MIB}}`]);
  assertEquals(await Deno.readFile(saved), await new Response(body(20 * MIB)).bytes());

  assertEquals((await upload(body(65 * MIB))).status, 413);
  assertEquals((await upload(new Uint8Array(65 * MIB))).status, 413);
  assertEquals((await Deno.stat(saved)).size, 20 * MIB);
});

test("examples/app.ts takes one upload of a user at a time, and goes on when its client leaves", async (app) => {
  const headers = await app.session();
  const second = () => app.ask("/api/upload", { method: "PUT", headers, body: "second" });
  {
    using peer = await RawPeer.connect(app.port);
    const { status } = await peer.request(
      `PUT /api/upload HTTP/1.1\r\nHost: a\r\nCookie: ${headers.Cookie}\r\n` +
        "Expect: 100-continue\r\nContent-Length: 100\r\n\r\n",
    );
    // The body is asked for.
    assertEquals(status, 100);
    assertEquals((await second()).status, 409);
  }
  let status: number;
  do ({ status } = await second()); while (status === 409);
  assertEquals(status, 201);
  const files = Array.from(Deno.readDirSync(`${app.folder.path}/uploads`), ({ name }) => name);
  assertEquals(files, ["ada"]);
});

test("examples/app.ts opens its WebSocket for a session and its own pages alone, until it ends", async (app) => {
  const headers = await app.session();
  assertEquals(await refusal(app.connect({})), 401);
  assertEquals(await refusal(app.connect({ ...headers, Origin: "https://example.com" })), 403);
  assertEquals((await app.ask("/api/live", { headers })).status, 426);

  const socket = app.connect(headers);
  await next(socket, "open");
  assertMatch(socket.extensions, /^permessage-deflate/);
  const other = app.connect(await app.session());
  await next(other, "open");
  const told = [next(socket, "message"), next(other, "message")];
  await app.ask("/api/upload", { method: "PUT", headers, body: "0123456789" });
  for (const { data } of await Promise.all(told)) assertEquals(data, '{"user":"ada","size":10}');

  const end = next<CloseEvent>(socket, "close");
  await app.ask("/api/logout", { method: "POST", headers });
  const { code, reason } = await end;
  assertEquals([code, reason], [4001, "The session has ended"]);
  assertEquals(await refusal(app.connect(headers)), 401);
  await closed(other);
});

/** The status that a socket is refused with. */
async function refusal(socket: WebSocket): Promise<number | undefined> {
  const { error } = await next<ErrorEvent>(socket, "error");
  assert(error instanceof HandshakeError);
  return error.status;
}

test("examples/app.ts refuses what a page of another origin asks for", async (app) => {
  const headers = { ...await app.session(), Origin: "https://example.com" };
  for (const [method, path] of [["POST", "/login"], ["POST", "/api/logout"], ["GET", "/"]]) {
    assertEquals((await app.ask(path!, { method: method!, headers })).status, 403);
  }
});

test("examples/app.ts says goodbye to its sockets at SIGTERM", async (app) => {
  const socket = app.connect(await app.session());
  await next(socket, "open");
  const end = next<CloseEvent>(socket, "close");
  app.program.kill("SIGTERM");
  assertEquals((await end).code, 1001);
  assertEquals((await app.program.end()).code, 0);
});

Deno.test({
  name: "examples/app.ts shows an upload's progress and its live message in Chromium",
  ignore: !CAN_RUN || !await hasBrowser("/usr/bin/chromium"),
  async fn() {
    await using app = await App.start();
    const { path } = app.folder;
    const program = projectPath("tests/examples/app_browser.ts");
    const config = `--config=${projectPath("tests/interop/chromium/deno.json")}`;
    await using browser = new Program(
      Deno.execPath(),
      [
        ...["run", "--quiet", "--allow-all", "--frozen", config, program],
        ...[app.origin, PASSWORD, path, `${path}/certs/ca.crt`],
      ],
      { cwd: path, env: { TMPDIR: path } },
    );
    const { code, stdout, stderr } = await browser.end();
    assertEquals([code, stderr], [0, []]);
    const [refused, socket, { progress }, live, problems] = stdout.map((line) => JSON.parse(line));
    assertEquals([refused, socket, live, problems], [
      { refused: "Wrong name or password" },
      { socket: "/api/live" },
      { live: ["ada uploaded 20000000 bytes"] },
      { problems: [] },
    ]);
    assert(progress.some((part: number) => part > 0 && part < 1), `${progress}`);
    assertEquals(progress, progress.toSorted((a: number, b: number) => a - b));
    assertEquals(progress.at(-1), 1);
  },
});
