/** The server's page in Debian's Chromium. */

import { assertEquals, assertNotEquals } from "@std/assert";
import {
  certificatesFolder,
  Folder,
  freePort,
  Program,
  projectPath,
  RUNNABLE,
  startServer,
  stop,
} from "../programs.ts";
import { succeeds } from "./peer.ts";

const ignore = !RUNNABLE || !await succeeds("/usr/bin/chromium", ["--version"]);

const HOSTILE = "<img src=x onerror=alert(1)>\u202e";

/** The browser, which plays a scene on the page of a server. */
function browse(scene: string, port: number, folder: Folder): Program {
  return new Program(
    Deno.execPath(),
    [
      ...["run", "--quiet", "--allow-all", "--frozen"],
      `--config=${projectPath("tests/interop/chromium/deno.json")}`,
      projectPath("tests/interop/chromium/visit.ts"),
      scene,
      `https://127.0.0.1:${port}/`,
      folder.path,
    ],
    { cwd: folder.path, env: { TMPDIR: folder.path }, limitMs: 90_000 },
  );
}

Deno.test({
  name: "The page sends and shows messages as text, and tells how a connection ends",
  ignore,
  async fn() {
    await using folder = await certificatesFolder();
    await using browsing = new Folder();
    const flags = ["--mode=echo", "--token=s3cret", "--max-message-size=5000", "--lang=en"];
    await using server = await startServer(flags, { cwd: folder.path, limitMs: 90_000 });
    await using browser = browse("client", server.port, browsing);
    const next = async () => JSON.parse(await browser.stdout.next());
    const address = `wss://127.0.0.1:${server.port}/ws`;
    assertEquals(await next(), [address, "bearer.***", "permessage-deflate"]);
    const begin = Array(512).fill("07").join(" ");
    assertEquals(await next(), [
      ["Sent · text · 31 bytes", HOSTILE],
      ["Received · text · 31 bytes", HOSTILE],
      ["Sent · binary · 3 bytes", "00 ff 10"],
      ["Received · binary · 3 bytes", "00 ff 10"],
      ["Sent · binary · 600 bytes · only the beginning here", begin],
      ["Received · binary · 600 bytes · only the beginning here", begin],
      ["Connection closed: 1000, normal end"],
    ]);
    assertEquals(await next(), ["", 0, 0]);
    assertEquals(await next(), [
      500,
      "Received · text · 4,500 bytes · only the beginning here",
      4000,
    ]);
    assertEquals(await next(), { problems: [] });
    const { code, stderr } = await browser.end();
    assertEquals([code, stderr], [0, []]);
  },
});

Deno.test({
  name: "The page is the chat of the room in its address, and comes back when the server does",
  ignore,
  async fn() {
    await using folder = await certificatesFolder();
    await using browsing = new Folder();
    const flags = ["--mode=broadcast", "--lang=en", `--port=${freePort()}`];
    const options = { cwd: folder.path, limitMs: 90_000 };
    await using server = await startServer(flags, options);
    await using browser = browse("chat", server.port, browsing);
    const next = async () => JSON.parse(await browser.stdout.next());
    assertEquals(await next(), [
      ["Connected"],
      ["Received · text · 31 bytes", HOSTILE],
      ["Sent · text · 8,201 bytes · only the beginning here", "long".repeat(15)],
    ]);
    assertEquals(await next(), [["Connected"]]);
    const [narrow, wide] = await next();
    assertEquals(narrow, [320, "rgb(255, 255, 255)"]);
    assertNotEquals(wide[1], narrow[1]);
    await stop(server);
    const closed = "Connection closed: 1001, the other end is going away";
    assertEquals(await next(), [["Connected"], [closed]]);
    await using _again = await startServer(flags, options);
    assertEquals(await next(), { problems: [] });
    const { code, stderr } = await browser.end();
    assertEquals([code, stderr], [0, []]);
  },
});
