/** `server.ts --mode=interactive` on a real pseudo-terminal, with the permissions of its task. */

import { assertEquals, assertMatch } from "@std/assert";
import { certificatesFolder, once, Peer, run } from "./programs.ts";
import { HAS_TERMINAL, Terminal } from "./terminal.ts";

function onTerminal(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !HAS_TERMINAL, fn });
}

/** The flags of a server on a free port. */
const FLAGS = ["--mode=interactive", "--host=127.0.0.1", "--port=0"];

/** The URL that a server at its prompt tells. */
async function urlOn(terminal: Terminal): Promise<string> {
  const rows = await terminal.shows(/^> ?$/);
  return /wss:[^;]+/.exec(rows.at(-2)!)![0];
}

onTerminal("server --mode=interactive lets a person answer all, or one", async () => {
  await using folder = await certificatesFolder();
  await using terminal = Terminal.task("serve", [...FLAGS, "--lang=en"], {
    cwd: folder.path,
    columns: 100,
  });
  const url = await urlOn(terminal);
  await terminal.enter("too early");
  await terminal.shows(/^Nobody is connected$/);

  await using first = await Peer.open(url);
  await using second = await Peer.open(url);
  await terminal.shows(/^#2 has connected \(extensions: -\)$/);
  first.socket.send("hi\x1b[2J\nthere");
  await terminal.until((rows) => rows.includes("#1 < hi\\u{1b}[2J") && rows.includes("  there"));
  await terminal.enter("to all");
  assertEquals([await first.next(), await second.next()], ["to all", "to all"]);

  await terminal.enter("/to 2");
  await terminal.shows(/^Messages go to #2 alone; \/to all: to all again$/);
  await terminal.enter("//alone");
  await terminal.enter("/binary 00 ff");
  assertEquals(await second.next(), "/alone");
  assertEquals(await second.next(), new Uint8Array([0, 255]));
  await terminal.enter("/list");
  await terminal.shows(/^ {2}#1 {2}127\.0\.0\.1:\d+$/);
  await terminal.shows(/^\* #2 {2}127\.0\.0\.1:\d+$/);
  await terminal.enter("/ping 1");
  await terminal.shows(/^#1 Pong in [\d.]+ ms$/);

  await terminal.type("/close #2 4001 bye");
  first.socket.send("meanwhile");
  await terminal.until((rows) =>
    rows.at(-2) === "#1 < meanwhile" && rows.at(-1) === "> /close #2 4001 bye"
  );
  await terminal.press("Enter");
  const { code, reason } = await second.closed;
  assertEquals([code, reason], [4001, "bye"]);
  await terminal.shows(/^#2 has closed: 4001 \(code of the application\)/);
  await terminal.enter("only for #2");
  await terminal.shows(/^#2 is not connected; \/list shows who is, \/to chooses another$/);
  await terminal.enter("/to all");
  await terminal.enter("again");
  assertEquals(await first.next(), "again");
  await terminal.enter("/close");
  await terminal.shows(/\/close N \[CODE \[REASON\]\]$/);
  await terminal.press("C-d");
  assertEquals((await first.closed).code, 1001);
  assertEquals((await terminal.end()).code, 0);
});

onTerminal("server --mode=interactive speaks Portuguese, and ends at a second Ctrl-C", async () => {
  await using folder = await certificatesFolder();
  const flags = [...FLAGS, "--compression=off", "--log-level=debug"];
  await using terminal = Terminal.task("serve", flags, {
    cwd: folder.path,
    columns: 100,
  });
  const url = await urlOn(terminal);
  await using peer = await Peer.open(url);
  await terminal.shows(/^#1 conectou-se/);
  // What the log tells stands above the line, too.
  await terminal.shows(/^#1 127\.0\.0\.1:\d+ Handshake recebido$/);
  await terminal.enter("/ping 1");
  await terminal.shows(/^O WebSocket do próprio Deno não faz isso/);
  await terminal.enter("/help");
  await terminal.shows(/^ {2}\/to N\|all +a quem vão as mensagens$/);
  await terminal.press("C-c");
  await terminal.shows(/^Ctrl-C outra vez encerra o servidor, como Ctrl-D$/);
  await terminal.press("C-c");
  assertEquals((await peer.closed).code, 1001);
  assertEquals((await terminal.end()).code, 0);
});

once(
  "server --mode=interactive refuses workers, a reply, and to run without a terminal",
  async () => {
    await using folder = await certificatesFolder();
    for (
      const [flag, expected] of [
        ["--workers=2", /--mode=interactive: "--workers"/],
        ["--reply=x", /--mode=interactive: "--reply"/],
        ["--lang=en", /^--mode=interactive needs a terminal/],
      ] as const
    ) {
      const { code, stderr } = await run("serve", [...FLAGS, flag], { cwd: folder.path });
      assertEquals(code, 2);
      assertMatch(stderr.join("\n"), expected);
    }
  },
);
