/** `examples/chat/`, as two servers that NATS joins, with two pages in a real browser. */

import { assert, assertEquals } from "@std/assert";
import { Balancer } from "../balancer.ts";
import { hasBrowser, succeeds } from "../interop/peer.ts";
import {
  certificatesFolder,
  Folder,
  freePort,
  handshake,
  listeningPort,
  Program,
  projectPath,
  RawPeer,
  run,
  RUNNABLE,
} from "../programs.ts";
import { isDownloaded } from "./downloaded.ts";

const NATS = "/usr/sbin/nats-server";

const canRun = await isDownloaded(projectPath("nats.ts"));

/** Starts a server of the chat. */
async function start(cwd: string, env: Record<string, string> = {}) {
  const program = Program.task("example:chat", ["0"], { cwd, env, limitMs: 90_000 });
  const port = await listeningPort(program);
  return { program, port, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

Deno.test({
  name: "examples/chat/ joins two servers, and a page whose server ends comes back at the other",
  ignore: !canRun || !await succeeds(NATS, ["--version"]) ||
    !await hasBrowser("/usr/bin/chromium"),
  async fn() {
    await using folder = await certificatesFolder();
    await using browsing = new Folder();
    const cwd = folder.path;
    const port = String(freePort());
    await using nats = new Program(NATS, ["-a", "127.0.0.1", "-p", port], { cwd, limitMs: 90_000 });
    await nats.stderr.match(/Server is ready/);
    const env = { CHAT_BACKPLANE: `nats://127.0.0.1:${port}` };
    await using one = await start(cwd, env);
    await using two = await start(cwd, env);
    await using balancer = new Balancer();
    await balancer.add(two.port);

    const program = projectPath("tests/examples/chat_browser.ts");
    const config = `--config=${projectPath("tests/interop/chromium/deno.json")}`;
    const urls = [one, balancer].map(({ port }) => `https://127.0.0.1:${port}/`);
    await using browser = new Program(
      Deno.execPath(),
      [
        ...["run", "--quiet", "--allow-all", "--frozen", config, program, ...urls],
        ...[browsing.path, `${cwd}/certs/ca.crt`],
      ],
      { cwd: browsing.path, env: { TMPDIR: browsing.path }, limitMs: 90_000 },
    );
    const before = ["Ada: Hello", "<b>Bob</b>: <img src=x onerror=alert(1)>"];
    assertEquals(JSON.parse(await browser.stdout.next()), before);
    // Bob's page, which knows the balancer alone, finds the other server behind it.
    await balancer.add(one.port);
    two.program.kill("SIGKILL");
    const after = [...before, "Ada: Where are you?", "<b>Bob</b>: Back"];
    assertEquals(JSON.parse(await browser.stdout.next()), after);
    assertEquals(JSON.parse(await browser.stdout.next()), after);
    assertEquals(JSON.parse(await browser.stdout.next()), { problems: [] });
    const { code, stderr } = await browser.end();
    assertEquals([code, stderr], [0, []]);
  },
});

Deno.test({
  name: "examples/chat/ refuses what does not fit, and pages of another origin",
  ignore: !canRun,
  async fn() {
    await using folder = await certificatesFolder();
    await using server = await start(folder.path);
    const status = async (path: string, headers: Record<string, string> = {}) => {
      using raw = await RawPeer.connect(server.port);
      const host = { Host: `127.0.0.1:${server.port}` };
      return (await raw.request(handshake(path, { ...host, ...headers }))).status;
    };
    const own = { Origin: `https://127.0.0.1:${server.port}` };
    assertEquals(await status("/chat?room=a&name=b", own), 101);
    assertEquals(await status("/chat?room=a&name=b"), 101);
    assertEquals(await status("/chat?room=a&name=b", { Origin: "https://example.com" }), 403);
    for (const query of ["", "room=a", "room=a&name=%20", "room=a&name=%00", "name=b&room="]) {
      assertEquals(await status(`/chat?${query}`, own), 400, query);
    }
    assertEquals(await status(`/chat?room=a&name=${"x".repeat(33)}`, own), 400);
    assertEquals(await status("/elsewhere", own), 404);
  },
});

Deno.test({
  name: "examples/chat/ tells when its rooms are not shared, and when they are again",
  ignore: !canRun || !await succeeds(NATS, ["--version"]),
  async fn() {
    await using folder = await certificatesFolder();
    const cwd = folder.path;
    const port = String(freePort());
    await using server = await start(cwd, { CHAT_BACKPLANE: `nats://127.0.0.1:${port}` });
    const { stderr } = server.program;
    const away = `Rooms are not shared: Cannot reach the engine at 127.0.0.1:${port}: `;
    assertEquals(await stderr.next(), `${away}connection refused`);
    await using nats = new Program(NATS, ["-a", "127.0.0.1", "-p", port], { cwd });
    assertEquals(await stderr.next(), "Rooms are shared");
    nats.kill("SIGKILL");
    assert((await stderr.next()).startsWith(away));
  },
});

Deno.test({
  name: "examples/chat/ refuses a backplane that is none of NATS, and does not show what it is",
  ignore: !canRun,
  async fn() {
    await using folder = await certificatesFolder();
    for (const value of ["foo", "redis://user:secret@127.0.0.1"]) {
      const env = { CHAT_BACKPLANE: value };
      assertEquals(await run("example:chat", ["0"], { cwd: folder.path, env }), {
        code: 1,
        stdout: [],
        stderr: [
          "Cannot start: CHAT_BACKPLANE is malformed, must be a URL of NATS, such as nats://127.0.0.1",
        ],
      });
    }
  },
});

Deno.test({
  name: "examples/chat/ is less than 200 lines",
  ignore: !RUNNABLE,
  async fn() {
    const files = ["server.ts", "page.html"].map((name) => projectPath(`examples/chat/${name}`));
    const texts = await Promise.all(files.map((path) => Deno.readTextFile(path)));
    const lines = texts.join("").split("\n").length - 1;
    assert(lines < 200, `${lines} lines`);
  },
});
