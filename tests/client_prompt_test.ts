/** `client.ts --interactive` on a real pseudo-terminal, with the permissions of its task. */

import { assertEquals, assertMatch } from "@std/assert";
import type { WebSocket } from "../mod.ts";
import { Folder, once, run } from "./programs.ts";
import { HAS_TERMINAL, Terminal, type TerminalOptions } from "./terminal.ts";
import { acceptSockets } from "./websocket/peers.ts";

/** A server that the test's person talks to, and the client on its terminal. */
class Fixture implements AsyncDisposable {
  readonly folder = new Folder();
  /** The latest connection. */
  socket!: WebSocket;
  /** All that was received, with the close codes. */
  readonly received: unknown[] = [];
  readonly terminal: Terminal;
  readonly #server: ReturnType<typeof acceptSockets>;

  constructor(args: string[] = [], options: Partial<TerminalOptions> = {}) {
    this.#server = acceptSockets((socket) => {
      this.socket = socket;
      socket.binaryType = "arraybuffer";
      socket.onopen = () => socket.send("welcome");
      socket.onpong = ({ data }) => this.received.push(`pong ${new TextDecoder().decode(data)}`);
      socket.onclose = ({ code, reason }) => this.received.push(`${code} ${reason}`);
      socket.onmessage = ({ data }) => {
        this.received.push(data);
        socket.send(data);
      };
    });
    this.terminal = this.client(args, options);
  }

  /** Another client. */
  client(args: string[], options: Partial<TerminalOptions> = {}): Terminal {
    const cwd = this.folder.path;
    const env = { XDG_STATE_HOME: cwd, ...options.env };
    return Terminal.task("client:tool", [this.#server.url, "-i", ...args], {
      cwd,
      ...options,
      env,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.terminal[Symbol.asyncDispose]();
    await this.#server.shutdown();
    await this.folder[Symbol.asyncDispose]();
  }
}

function onTerminal(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !HAS_TERMINAL, fn });
}

onTerminal("client --interactive sends what is typed and edited, and keeps a history", async () => {
  await using fixture = new Fixture(["--lang=en"]);
  const { terminal, received } = fixture;
  const rows = await terminal.shows(/^< welcome$/);
  assertMatch(rows.join("\n"), /^Connecting to ws:/);
  assertMatch(rows.join("\n"), /Connected \(extensions: permessage-deflate.*\); \/help shows/);
  await terminal.type("ab漢字");
  await terminal.press("Left", "Left");
  await terminal.type("é");
  await terminal.press("Enter");
  await terminal.shows(/^< abé漢字$/);
  await terminal.enter("token=secret");
  await terminal.shows(/^< token=secret$/);
  await terminal.press("Up", "Up");
  await terminal.enter("!");
  await terminal.shows(/^< abé漢字!$/);
  await terminal.paste("one\ntwo\nthree");
  await terminal.shows(/^> three$/);
  await terminal.press("Enter");
  await terminal.shows(/^< three$/);
  await terminal.press("C-d");
  const { code, rows: last } = await terminal.end();
  assertEquals(code, 0);
  assertEquals(last.at(-1), "Connection closed: 1000 (normal closure)");
  assertEquals(received, ["abé漢字", "token=secret", "abé漢字!", "one", "two", "three", "1000 "]);

  const file = `${fixture.folder.path}/permessage-deflate/client_history`;
  assertEquals(Deno.readTextFileSync(file), "abé漢字\nabé漢字!\none\ntwo\nthree\n");
  assertEquals(Deno.statSync(file).mode! & 0o777, 0o600);
  await using again = fixture.client(["--lang=en"]);
  await again.shows(/^>/);
  await again.press("Up", "Up", "Up", "Up");
  await again.shows(/^> abé漢字!$/);
  await again.press("C-c", "C-c");
  assertEquals((await again.end()).code, 130);
});

onTerminal(
  "client --interactive prints above the line that is typed, of however many rows",
  async () => {
    await using fixture = new Fixture([], { columns: 40 });
    const { terminal } = fixture;
    await terminal.shows(/^> ?$/);
    const words = "palavra ".repeat(12);
    await terminal.type(words);
    await terminal.press("Left");
    for (let i = 0; i < 3; i++) fixture.socket.send(`mensagem ${i}`);
    await terminal.until((rows) => rows.at(-4) === "< mensagem 2");
    const rows = await terminal.screen();
    assertEquals(rows.slice(-6, -3), ["< mensagem 0", "< mensagem 1", "< mensagem 2"]);
    assertEquals(rows.slice(-3).join(""), `> ${words.trimEnd()}`);

    // Narrower, then wider: each time it is drawn once.
    for (const columns of [25, 60]) {
      await terminal.resize(columns, 24);
      fixture.socket.send(`em ${columns}`);
      const end = `<em${columns}>${words.replaceAll(" ", "")}`;
      const rows = await terminal.until((rows) => rows.join("").replaceAll(" ", "").endsWith(end));
      assertEquals(rows.filter((row) => row.startsWith("> palavra")).length, 1, rows.join("\n"));
    }
    await terminal.press("Enter");
    await terminal.until(() => fixture.received.length > 0);
    assertEquals(fixture.received, [words]);
  },
);

onTerminal(
  "client --interactive keeps a server's control characters from the terminal",
  async () => {
    await using fixture = new Fixture(["--pretty"]);
    const { terminal } = fixture;
    await terminal.shows(/^> ?$/);
    fixture.socket.send("a\x1b[2J\x07\r\n> forged\u202e");
    fixture.socket.send('{"id":12345678901234567890,"list":[true]}');
    fixture.socket.send("x".repeat(100_000));
    fixture.socket.send(new Uint8Array(600));
    fixture.socket.close(4000, "\x1b[31mred");
    const { code } = await terminal.end();
    assertEquals(code, 0);
    const rows = await terminal.screen();
    assertMatch(rows.join(""), /x… \(100000 bytes\)< 0{70}/);
    assertMatch(rows.join(""), /0… \(600 bytes\)Conexão encerrada: 4000 .*"\\u\{1b\}\[31mred"/);

    await using second = fixture.client(["--pretty"], { rows: 40 });
    await second.shows(/^> ?$/);
    fixture.socket.send("a\x1b[2J\x07\r\n> forged\u202e");
    fixture.socket.send('{"id":12345678901234567890,"list":[true]}');
    const told = (await second.shows(/^ {2}\}$/)).join("\n");
    assertMatch(told, /^< a\\u\{1b\}\[2J\\u\{7\}\n {2}> forged\\u\{202e\}$/m);
    assertMatch(told, /^< \{\n {4}"id": 12345678901234567890,\n {4}"list": \[\n {6}true\n {4}\]/m);
  },
);

onTerminal(
  "client --interactive: Ctrl-C clears the line, a second one leaves with 130",
  async () => {
    await using fixture = new Fixture(["--lang=en"]);
    const { terminal } = fixture;
    await terminal.shows(/^> ?$/);
    await terminal.type("never sent");
    await terminal.press("C-c");
    await terminal.until((rows) => /Ctrl-C again leaves/.test(rows.at(-2)!) && rows.at(-1) === ">");
    await terminal.enter("sent");
    await terminal.shows(/^< sent$/);
    await terminal.press("C-c", "C-z", "C-c");
    await terminal.until((rows) => rows.filter((row) => /again leaves/.test(row)).length === 3);
    await terminal.press("C-c");
    assertEquals((await terminal.end()).code, 130);
    assertEquals(fixture.received, ["sent", "1000 "]);
  },
);

onTerminal("client --interactive has colours and times, as far as they are wanted", async () => {
  await using fixture = new Fixture(["--timestamps", "--lang=en"]);
  await fixture.terminal.shows(/^\d{4}-\d\d-\d\dT[\d:.]+Z < welcome$/);
  // Dim, then cyan.
  const colored = (await fixture.terminal.screen(true)).join().replaceAll("\x1b", "ESC");
  assertMatch(colored, /ESC\[2m\d{4}-.*ESC\[36m</);
  await using plain = fixture.client(["--lang=en"], { env: { NO_COLOR: "1" } });
  await plain.shows(/^< welcome$/);
  assertEquals((await plain.screen(true)).join().includes("\x1b"), false);
});

/** What a command's line answers, in both languages. */
const COMMANDS: [line: string, language: string, answer: RegExp][] = [
  ["/stats", "en", /^Received: 1 message, 7 B as \d+ B/],
  ["/stats", "pt-BR", /^Recebid.* 7 B/],
  ["/ping", "en", /^Pong in \d+(\.\d)? ms$/],
  ["/ping data", "pt-BR", /^Pong em \d+(,\d)? ms$/],
  ["/help", "en", /^ {2}\/close \[CODE \[REASON\]\] +close; 1000, or 3000 to 4999$/],
  ["/help", "pt-BR", /^ {2}\/close \[CÓDIGO \[MOTIVO\]\] +encerra; 1000, ou 3000 a 4999$/],
  ["/binary 00 fF10", "en", /^< 00ff10 \(3 bytes\)$/],
  ["/binary 0", "en", /^Cannot run the command: .* as in \/binary HEX\|@FILE$/],
  ["/binary @bytes", "pt-BR", /^< 6f6c/],
  ["/binary @none", "en", /^the file "none" cannot be read/],
  ["/text @bytes", "en", /^< olá$/],
  ["/text /quit", "en", /^< \/quit$/],
  ["//quit", "pt-BR", /^< \/quit$/],
  ["/compress off", "en", /^Messages are not compressed from now on$/],
  ["/compress on", "pt-BR", /^As próximas mensagens são comprimidas$/],
  ["/compress", "pt-BR", /^Não é possível executar .* \/compress on\|off$/],
  ["/pong early", "en", /^> \/pong early$/],
  ["/clos", "en", /^Unknown command "\/clos", perhaps "\/close"; /],
  ["/nothing", "pt-BR", /^Comando desconhecido "\/nothing"; /],
  ["/close 1001", "en", /^Cannot run the command: .* \/close \[CODE \[REASON\]\]$/],
  ["/close", "en", /^Connection closed: 1000 \(normal closure\)$/],
  ["/close 4001 até logo", "pt-BR", /^Conexão encerrada: 4001 \(código da aplicação\)/],
];

for (const language of ["en", "pt-BR"]) {
  onTerminal(`client --interactive: each command answers [${language}]`, async () => {
    await using fixture = new Fixture([`--lang=${language}`, "--history-file=off"], {
      columns: 120,
    });
    const { terminal, folder } = fixture;
    Deno.writeTextFileSync(`${folder.path}/bytes`, "olá\n");
    await terminal.shows(/^< welcome$/);
    for (const [line, of, answer] of COMMANDS) {
      if (of !== language) continue;
      await terminal.press("C-l");
      await terminal.until((rows) => rows.length <= 1);
      await terminal.enter(line);
      await terminal.shows(answer);
    }
    await terminal.enter("/quit");
    assertEquals((await terminal.end()).code, 0);
    assertEquals(fixture.received.includes("pong early"), language === "en");
  });
}

onTerminal("client --interactive stays after /close, and connects again when asked", async () => {
  await using fixture = new Fixture(["--lang=en", "--message=first"]);
  const { terminal, received } = fixture;
  await terminal.shows(/^< first$/);
  await terminal.enter("/close 4001 bye now");
  await terminal.shows(/^No connection: \/reconnect connects again, \/quit leaves$/);
  await terminal.enter("lost");
  await terminal.shows(/^Nothing was sent: there is no open connection/);
  await terminal.enter("/reconnect");
  await terminal.until((rows) => rows.filter((row) => row === "< first").length === 2);
  await terminal.enter("/reconnect");
  await terminal.until((rows) => rows.filter((row) => row === "< first").length === 3);
  await terminal.enter("/quit");
  assertEquals((await terminal.end()).code, 0);
  assertEquals(received, ["first", "4001 bye now", "first", "1000 ", "first", "1000 "]);
});

onTerminal(
  "client --interactive leaves when the server closes, unless it is to reconnect",
  async () => {
    await using fixture = new Fixture(["--lang=en", "--fail-on-close"]);
    await fixture.terminal.shows(/^> ?$/);
    await fixture.terminal.type("not sent");
    await fixture.terminal.shows(/^> not sent$/);
    fixture.socket.close(1008, "out");
    const { code, rows } = await fixture.terminal.end();
    assertEquals(code, 4);
    assertEquals(rows.slice(-2), [
      'Connection closed: 1008 (policy violation), "out"',
      "> not sent",
    ]);

    await using kept = fixture.client(["--lang=en", "--reconnect=2"]);
    await kept.shows(/^> ?$/);
    await kept.type("kept");
    fixture.socket.close(1012);
    await kept.until((rows) => rows.filter((row) => row === "< welcome").length === 2);
    await kept.press("Enter");
    await kept.shows(/^< kept$/);
  },
);

onTerminal(
  "client --interactive ends with 143 and gives the terminal back on SIGTERM",
  async () => {
    await using fixture = new Fixture(["--lang=en"]);
    await fixture.terminal.shows(/^> ?$/);
    fixture.terminal.signal("SIGTERM");
    assertEquals((await fixture.terminal.end()).code, 143);
  },
);

once("client --interactive refuses to run without a terminal", async () => {
  await using folder = new Folder();
  const { code, stderr } = await run("client", ["-i", "--lang=en"], { cwd: folder.path });
  assertEquals([code, stderr], [2, [
    "--interactive needs a terminal, for input and output; for programs there are --stdin and --follow",
  ]]);
});
