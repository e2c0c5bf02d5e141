/** The server's page in Debian's Chromium and Firefox. */

import { assertEquals, assertMatch } from "@std/assert";
import { Page } from "../../cli/server/page.ts";
import { sentencesIn } from "../../cli/sentences.ts";
import { serve, upgradeWebSocket } from "../../mod.ts";
import {
  certificatesFolder,
  developmentCertificates,
  Folder,
  freePort,
  Program,
  projectPath,
  RUNNABLE,
  startServer,
  stop,
} from "../programs.ts";
import { hasBrowser } from "./peer.ts";

const HOSTILE = "<img src=x onerror=alert(1)>\u202e";

const LIGHT = "rgb(244, 245, 248)";
const DARK = "rgb(15, 18, 22)";

/** What the page is tested in, if it is there. */
const BROWSERS = { chromium: "/usr/bin/chromium", firefox: "/usr/bin/firefox-esr" };

/** A browser, which plays a scene on the page of a server. */
type Browse = (scene: string, port: number, certificates: Folder, folder: Folder) => Program;

/** A test in each browser; `certutil` has it trust the server's certificate. */
async function onEachBrowser(name: string, body: (browse: Browse) => Promise<void>): Promise<void> {
  for (const [browser, file] of Object.entries(BROWSERS)) {
    Deno.test({
      name: `${name} [${browser}]`,
      ignore: !RUNNABLE || !await hasBrowser(file),
      fn: () =>
        body((scene, port, certificates, folder) =>
          new Program(
            Deno.execPath(),
            [
              ...["run", "--quiet", "--allow-all", "--frozen"],
              `--config=${projectPath("tests/interop/chromium/deno.json")}`,
              projectPath("tests/interop/chromium/visit.ts"),
              browser,
              scene,
              `https://127.0.0.1:${port}/`,
              folder.path,
              `${certificates.path}/certs/ca.crt`,
            ],
            { cwd: folder.path, env: { TMPDIR: folder.path }, limitMs: 90_000 },
          )
        ),
    });
  }
}

/** Reads the next line of JSON. */
async function next({ stdout }: Program): Promise<unknown> {
  return JSON.parse(await stdout.next());
}

/** Waits for the end of a scene in which nothing happened that should not. */
async function finish(browser: Program): Promise<void> {
  assertEquals(await next(browser), { problems: [] });
  const { code, stderr } = await browser.end();
  assertEquals([code, stderr], [0, []]);
}

await onEachBrowser(
  "The page sends and shows messages as text, and tells how a connection ends",
  async (browse) => {
    await using folder = await certificatesFolder();
    await using browsing = new Folder();
    const flags = ["--mode=echo", "--token=s3cret", "--max-message-size=5000", "--lang=en"];
    await using server = await startServer(flags, { cwd: folder.path, limitMs: 90_000 });
    await using browser = browse("client", server.port, folder, browsing);
    assertEquals(await next(browser), ["token", "connect"]);
    assertEquals(await next(browser), ["token", "true"]);
    const address = `wss://127.0.0.1:${server.port}/ws`;
    assertEquals(await next(browser), [address, "bearer.***", "permessage-deflate"]);
    assertEquals(await next(browser), ["connect", "clear", "log", "text", "kind", "send"]);
    const begin = Array(512).fill("07").join(" ");
    assertEquals(await next(browser), [
      ["Sent · text · 31 bytes", HOSTILE],
      ["Received · text · 31 bytes", HOSTILE],
      ["Sent · binary · 3 bytes", "00 ff 10"],
      ["Received · binary · 3 bytes", "00 ff 10"],
      ["Sent · binary · 600 bytes · only the beginning here", begin],
      ["Received · binary · 600 bytes · only the beginning here", begin],
      ["Connection closed: 1000, normal end"],
    ]);
    assertEquals(await next(browser), ["", 0, 0]);
    assertEquals(await next(browser), [
      500,
      "Received · text · 4,500 bytes · only the beginning here",
      4000,
    ]);
    await finish(browser);
  },
);

await onEachBrowser(
  "The page is the chat of the room in its address, and comes back when the server does",
  async (browse) => {
    await using folder = await certificatesFolder();
    await using browsing = new Folder();
    const flags = ["--mode=broadcast", "--lang=en", `--port=${freePort()}`];
    const options = { cwd: folder.path, limitMs: 90_000 };
    await using server = await startServer(flags, options);
    await using browser = browse("chat", server.port, folder, browsing);
    assertEquals(await next(browser), [
      ["Connected"],
      ["Received · text · 31 bytes", HOSTILE],
      ["Sent · text · 8,201 bytes · only the beginning here", "long".repeat(15)],
    ]);
    assertEquals(await next(browser), [["Connected"]]);
    assertEquals(await next(browser), [[true, DARK], [true, DARK]]);
    await stop(server);
    const closed = "Connection closed: 1001, the other end is going away";
    assertEquals(await next(browser), [["Connected"], [closed]]);
    await using _again = await startServer(flags, options);
    await finish(browser);
  },
);

await onEachBrowser(
  "The page shows and plots what all workers count, and says when it cannot",
  async (browse) => {
    await using folder = await certificatesFolder();
    await using browsing = new Folder();
    const flags = ["--mode=echo", "--lang=en", "--metrics=0", "--workers=2"];
    await using server = await startServer(flags, { cwd: folder.path, limitMs: 90_000 });
    await using browser = browse("figures", server.port, folder, browsing);
    const figures = await next(browser) as string[];
    assertEquals(figures.slice(0, 4), ["1", "5", "5", "10 kB"]);
    assertMatch(figures[4]!, /^\d{3} bytes$/);
    assertMatch(figures[5]!, /^9\.\d+ kB \(9\d%\)$/);
    const [messages, saved] = await next(browser) as string[];
    assertMatch(messages!, /^Messages a second, in the last 3 minutes: \d+ now, \d+ at most$/);
    assertMatch(saved!, /^Bytes saved a second, in the last 3 minutes: .+ now, .+ at most$/);
    assertEquals(await next(browser), [true, LIGHT]);
    await stop(server);
    await finish(browser);
  },
);

await onEachBrowser(
  "The page has no figures without --metrics, and says so where nothing is counted",
  async (browse) => {
    await using folder = await certificatesFolder();
    const cases: [string, string[]][] = [
      ["--compression=on", []],
      [
        "--compression=off",
        ["figures", "The server, live", "With --compression=off the server counts nothing."],
      ],
    ];
    for (const [flag, figures] of cases) {
      await using browsing = new Folder();
      const options = { cwd: folder.path, limitMs: 90_000 };
      await using server = await startServer([flag, "--lang=en"], options);
      await using browser = browse("noFigures", server.port, folder, browsing);
      assertEquals(await next(browser), figures);
      await finish(browser);
      await stop(server);
    }
  },
);

await onEachBrowser("The page holds out against a hostile server", async (browse) => {
  await using folder = await certificatesFolder();
  await using browsing = new Folder();
  const page = new Page({
    path: "/ws",
    hasRooms: false,
    asksToken: false,
    maxMessageSize: 1000,
    isCounting: true,
    sentences: sentencesIn("en"),
  });
  const { cert, key } = await developmentCertificates();
  const tls = { hostname: "127.0.0.1", port: 0, cert, key, onListen() {} };
  await using server = serve(tls, (request) => {
    const file = page.answer(new URL(request.url), request.headers);
    if (file !== undefined) return file;
    if (request.headers.get("Upgrade") === null) return new Response(null, { status: 404 });
    const { socket, response } = upgradeWebSocket(request);
    socket.onopen = () => {
      for (let i = 0; i < 20_000; i++) socket.send(`${HOSTILE}${i}`);
      socket.send("a".repeat(8_000_000));
      socket.send(new Uint8Array(8_000_000));
      socket.send(`\u202e\u2066${"\u0335\u0489".repeat(1000)}</pre><script>alert(1)</script>`);
      socket.close(1008, `<b>bye</b>\u202e`);
    };
    return response;
  });
  await using browser = browse("hostile", server.addr.port, folder, browsing);
  assertEquals(await next(browser), [500, "20,003 in all; the latest 500 are shown"]);
  assertEquals(await next(browser), [
    ["Received · text · 8,000,000 bytes · only the beginning here", "a".repeat(60)],
    [
      "Received · binary · 8,000,000 bytes · only the beginning her",
      "00 ".repeat(20),
    ],
    [
      "Received · text · 4,037 bytes",
      `\u202e\u2066${"\u0335\u0489".repeat(29)}`,
    ],
    ["Connection closed: 1008, against the server's rules; reason:"],
  ]);
  assertEquals(await next(browser), [0, true]);
  await finish(browser);
});
