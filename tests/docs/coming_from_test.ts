/** Each command and each program of `docs/coming-from.md` does what the document says. */

import { assertEquals, assertMatch } from "@std/assert";
import { takenBy } from "./takers.ts";
import { isThere } from "./workshop.ts";
import { comingFrom, rows, type Seen, StandIn } from "./coming_from.ts";
import {
  certificatesFolder,
  Folder,
  freePort,
  heard,
  once,
  Peer,
  Program,
  projectPath,
  RUNNABLE,
  startServer,
} from "../programs.ts";
import { SocksServer } from "../socks_server.ts";
import { HAS_TERMINAL, Terminal } from "../terminal.ts";
import { TestProxy } from "../transport/test_proxy.ts";
import { echo } from "../websocket/peers.ts";

/** What a command of the client's is to have as its effect. */
interface Effect {
  /** What the server has seen, as far as it is given. */
  seen?: Partial<Seen>;
  stdout?: RegExp;
  stderr?: RegExp;
}

const HELLO: Effect = { seen: { messages: ["hello"] }, stdout: /: hello\n$/ };
const PROMPT: Effect = { seen: { messages: ["hello"] }, stdout: /^< hello$/m };
const LINES: Effect = { seen: { messages: ["one", "two"] }, stdout: /^one\ntwo\n$/ };

/** Each command of the client's, in which `URL` stands for `wss://example.com/`. */
const EFFECTS: Record<string, Effect> = {
  "client URL -i": PROMPT,
  "client URL -i --frames": { ...PROMPT, stdout: /TEXT/ },
  "client URL -i --insecure": PROMPT,
  "client URL -i --idle-timeout=30s": PROMPT,
  'client URL -i -H "X-Api-Key: abc"': header("x-api-key", "abc"),
  'client URL -i -H "Origin: https://app.example"': header("origin", "https://app.example"),
  "client URL -i --protocol=v1": header("sec-websocket-protocol", "v1"),
  "client URL -i --user=me:secret": header("authorization", "Basic bWU6c2VjcmV0"),
  "client URL --message=one --message=two": { seen: { messages: ["one", "two"] } },
  "client URL --message=hello --follow --duration=3s": { ...HELLO, stdout: /^hello\n$/ },
  "client URL --message=subscribe --follow": { stdout: /^subscribe\n$/ },
  'client URL --message=hello -H "X-Api-Key: abc"': header("x-api-key", "abc"),
  "client URL --message=hello --user=me:secret": header("authorization", "Basic bWU6c2VjcmV0"),
  "client URL --message=hello --protocol=v1 --protocol=v2": header(
    "sec-websocket-protocol",
    "v1,v2",
  ),
  'client URL --message=hello -H "Origin: https://app.example"': header(
    "origin",
    "https://app.example",
  ),
  "client URL --message=hello --host=app.example": header("host", "app.example"),
  "client URL --message=hello --cacert=ca.crt": HELLO,
  "client URL --message=hello --insecure": HELLO,
  "client URL --message=hello --cert=me.crt --key=me.key": HELLO,
  "client URL --message=hello --proxy=http://localhost:3128": HELLO,
  "client URLold --message=hello --location": { seen: { path: "/", messages: ["hello"] } },
  "echo hello | client URL --stdin --count=1": { ...HELLO, stdout: /^hello\n$/ },
  "client URL --message=hello --raw": { ...HELLO, stdout: /^hello\n$/ },
  "client URL --stdin --count=2 <lines.txt": LINES,
  "client URL --stdin --wait=1ms <lines.txt >/dev/null": { seen: LINES.seen!, stdout: /^$/ },
  "client URLprices --follow --count=3 | grep 3": { stdout: /^13\n$/ },
  "client URLprices --follow --raw --count=3": { stdout: /^12\n13\n14\n$/ },
  "client URL --stdin --binary --count=1 <photo.png": {
    seen: { messages: [new TextEncoder().encode("PNG\r\n")] },
    stdout: /^PNG\r\n$/,
  },
  "client URL --stdin --null --count=2 <records": {
    seen: { messages: ["one", "two\n"] },
    stdout: /^one\0two\n\0$/,
  },
  "client URL --hex=00ff --raw --output-format=base64": { stdout: /^AP8=\n$/ },
  "client URL --message=hello --proxy=socks5h://127.0.0.1:9050": HELLO,
  "client ws://localhost/ws --message=hello --unix=/run/app.sock": { stdout: /: hello\n$/ },
  "client URL --follow --duration=4s --ping=1": { stderr: /Pong.* ms/ },
  "client URL --message=hello --show-headers": { ...HELLO, stderr: /^> GET \/ HTTP\/1\.1$/m },
  "client URL --message=hello --frames": { ...HELLO, stderr: /TEXT/ },
  "client URL --message=hello --quiet": { ...HELLO, stderr: /^$/ },
  "client URL --message=hello --max-message-size=1M": HELLO,
  "client URL --message=hello --sni=localhost": HELLO,
  "client URL --message=hello --reconnect=10": HELLO,
};

function header(name: string, value: string): Effect {
  return { seen: { headers: { [name]: value }, messages: ["hello"] } };
}

/** Each command of the server's: its path if not `/ws`, and what it sends to which of two clients. */
const SERVERS: Record<string, { path?: string; answer: string; to?: "other" }> = {
  "server --mode=interactive": { answer: "typed" },
  "server --mode=echo --host=127.0.0.1": { answer: "hello" },
  "server --mode=broadcast --host=127.0.0.1": { answer: "hello", to: "other" },
  "server --reply=hi --host=127.0.0.1": { answer: "hi" },
  "server --path=/chat": { path: "/chat", answer: "Retorno do servidor!" },
  "server --max-connections=10": { answer: "Retorno do servidor!" },
  "server --metrics=9090": { answer: "Retorno do servidor!" },
  "server --cert=certs/server.crt --key=certs/server.key": { answer: "Retorno do servidor!" },
};

const commands = RUNNABLE
  ? new Set(
    (await rows()).map(({ ours }) =>
      ours.replace("wss://example.com/", "URL").replace(" --port=8080", "")
    ),
  )
  : new Set();

const isInteractive = (command: string) => / (-i|--mode=interactive)( |$)/.test(command);

/** The effects that are to be had at a prompt, or those that are not. */
function effects(atPrompt: boolean): [string, Effect][] {
  return Object.entries(EFFECTS).filter(([command]) => isInteractive(command) === atPrompt);
}

async function assertEffect(
  command: string,
  { seen: expected = {}, stdout = /^/, stderr = /^/ }: Effect,
  standIn: StandIn,
  output: { stdout: string; stderr: string },
): Promise<void> {
  assertMatch(output.stdout, stdout, command);
  assertMatch(output.stderr, stderr, command);
  const seen = await standIn.seen;
  const { path = seen?.path, messages = seen?.messages, headers = {} } = expected;
  assertEquals([seen?.path, seen?.messages], [path, messages], command);
  for (const [name, value] of Object.entries(headers)) {
    assertEquals(seen?.headers[name], value, command);
  }
}

Deno.test({
  name: "The commands of docs/coming-from.md are the tested ones",
  ignore: !RUNNABLE,
  fn() {
    assertEquals(new Set([...Object.keys(EFFECTS), ...Object.keys(SERVERS)]), commands);
  },
});

/** The options of websocat 1 that its short help shows, but those for help and version. */
const WEBSOCAT =
  "-e -E -0 -1 --oneshot --print-ping-rtts -q -s -S -k -u -U -v -b -n -t --base64 --base64-text " +
  "--jsonrpc --socks5 --basic-auth -B --close-reason --close-status-code -H --server-header --header-to-env " +
  "--max-messages --max-messages-rev --conncap --origin --pkcs12-der --pkcs12-passwd -p -P --prometheus " +
  "--restrict-uri -F --protocol --server-protocol --websocket-version --ping-interval --ping-timeout";

Deno.test({
  name: "docs/coming-from.md names each daily option of websocat",
  ignore: !RUNNABLE,
  async fn() {
    const section = (await comingFrom()).split(/^## /m).find((text) =>
      text.startsWith("websocat")
    )!;
    for (const option of WEBSOCAT.split(" ")) {
      assertMatch(section, new RegExp(`[ \`]${option}[ =\`]`), option);
    }
  },
});

once("The client's commands of docs/coming-from.md do what they say", async () => {
  await using standIn = await StandIn.start();
  await using proxy = new TestProxy();
  await using socks = new SocksServer(standIn.port);
  const socket = `${standIn.folder.path}/app.sock`;
  await using plain = echo();
  await using relay = new Program(Deno.execPath(), [
    ...["run", "-A", "--unstable-net", projectPath("tests/unix_relay.ts")],
    ...[socket, String(plain.addr.port)],
  ], { cwd: standIn.folder.path });
  await relay.stdout.match(/listening/);
  for (const [command, effect] of effects(false)) {
    const here = command.replace("URL", "wss://example.com/")
      .replace("localhost:3128", `127.0.0.1:${proxy.port}`)
      .replace("127.0.0.1:9050", `127.0.0.1:${socks.port}`)
      .replace("/run/app.sock", socket);
    const { code, ...output } = await standIn.run(here);
    assertEquals(code, 0, `${command}\n${output.stderr}`);
    await assertEffect(command, effect, standIn, output);
  }
  assertEquals([proxy.heads.length, socks.asked.length], [1, 1]);
});

onTerminal("The client's prompts of docs/coming-from.md do what they say", async () => {
  await using standIn = await StandIn.start();
  for (const [command, effect] of effects(true)) {
    const here = standIn.here(command.replace("URL", "wss://example.com/"));
    await using terminal = Terminal.task("client:tool", wordsOf(here), {
      cwd: standIn.folder.path,
      env: { WSS_LANG: "en", XDG_STATE_HOME: standIn.folder.path },
    });
    await terminal.shows(/^> ?$/);
    await terminal.enter("hello");
    await terminal.shows(/^< hello$/);
    await terminal.press("C-d");
    const { code, rows } = await terminal.end();
    assertEquals(code, 0, command);
    await assertEffect(command, effect, standIn, { stdout: rows.join("\n"), stderr: "" });
  }
});

once("The server's commands of docs/coming-from.md do what they say", async () => {
  await using folder = await certificatesFolder();
  const metrics = freePort();
  for (const [command, { path = "/ws", answer, to }] of Object.entries(SERVERS)) {
    if (isInteractive(command)) continue;
    const args = wordsOf(command.replace("9090", String(metrics)));
    await using server = await startServer(args, { cwd: folder.path });
    const url = `wss://localhost:${server.port}${path}`;
    await using sender = await Peer.open(url);
    await using other = await Peer.open(url);
    const say = () => sender.socket.send("hello");
    assertEquals(await heard(say, to === "other" ? other : sender), answer);
    if (command.includes("--metrics")) {
      assertMatch(await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text(), /websocket_/);
    }
  }
});

onTerminal("The server's prompt of docs/coming-from.md answers a client", async () => {
  await using folder = await certificatesFolder();
  const [command] = Object.keys(SERVERS).filter(isInteractive);
  await using terminal = Terminal.task(
    "serve",
    [...wordsOf(command!), "--host=127.0.0.1", "--port=0", "--lang=en"],
    { cwd: folder.path, columns: 100 },
  );
  const rows = await terminal.shows(/^> ?$/);
  const { port } = new URL(/wss:[^;]+/.exec(rows.at(-2)!)![0]);
  await using peer = await Peer.open(`wss://localhost:${port}/ws`);
  await terminal.shows(/^#1 has connected/);
  await terminal.enter("typed");
  assertEquals(await peer.next(), SERVERS[command!]!.answer);
  await terminal.press("C-d");
  await terminal.end();
});

/** The arguments of a command without a shell's operators. */
function wordsOf(command: string): string[] {
  const [, ...words] = command.match(/(?:"[^"]*"|[^\s"])+/g)!;
  return words.map((word) => word.replaceAll('"', ""));
}

function onTerminal(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !HAS_TERMINAL, fn });
}

/** How a program is run, and which line tells that it listens. */
interface Runtime {
  command: string;
  args: string[];
  /** Behind the program of the document. */
  last?: string;
}

const DENO: Runtime = {
  command: Deno.execPath(),
  args: [
    ...["run", "--no-check", "--frozen", "--no-prompt", `--config=${projectPath("deno.json")}`],
    ...["--allow-net", "--allow-env"],
  ],
};

/** The program of a section, ours or theirs, on a free port. */
async function startProgram(
  title: string,
  folder: Folder,
  language = "ts",
  { command, args, last = "" }: Runtime = DENO,
): Promise<Program & { port: number }> {
  const block = (await takenBy("tests/docs/coming_from_test.ts")).find((code) =>
    code.section === title && code.language === language
  )!;
  const port = freePort();
  const file = `program.${language.slice(0, 2)}`;
  const text = block.text.replace("8080", String(port));
  await Deno.writeTextFile(`${folder.path}/${file}`, text + last);
  const program = new Program(command, [...args, file], { cwd: folder.path });
  await program.stdout.match(/listening/i);
  return Object.assign(program, { port });
}

/** Sends from each of two clients to the other. */
async function assertSendsToOthers(port: number): Promise<void> {
  await using first = await Peer.open(`ws://127.0.0.1:${port}/`);
  await using second = await Peer.open(`ws://127.0.0.1:${port}/`);
  const say = () => second.socket.send("to the first");
  assertEquals(await heard(say, first), "to the first");
  first.socket.send(new Uint8Array([0, 255]));
  assertEquals(await second.next(), new Uint8Array([0, 255]));
}

once("The programs of docs/coming-from.md with ws and beside it send to all others", async () => {
  await using folder = new Folder();
  await using ours = await startProgram("ws", folder);
  await assertSendsToOthers(ours.port);
  const last = 'server.on("listening", () => console.log("Listening"));';
  await using theirs = await startProgram("ws", folder, "js ignore", { ...DENO, last });
  await assertSendsToOthers(theirs.port);
});

/** Refuses a plain request, and publishes what one of two clients says with its name. */
async function assertPublishes(port: number): Promise<void> {
  const refused = await fetch(`http://127.0.0.1:${port}/`);
  assertEquals([refused.status, await refused.text()], [426, "This is a WebSocket"]);
  await using first = await Peer.open(`ws://127.0.0.1:${port}/?name=ana`);
  await using second = await Peer.open(`ws://127.0.0.1:${port}/?name=bo`);
  assertEquals(await heard(() => second.socket.send("hi"), first), "bo: hi");
  first.socket.send("hi bo");
  assertEquals(await second.next(), "ana: hi bo");
}

once("The program of docs/coming-from.md beside Bun has names and a topic", async () => {
  await using folder = new Folder();
  await using program = await startProgram("Bun", folder);
  await assertPublishes(program.port);
});

Deno.test({
  name: "The program of docs/coming-from.md with Bun has names and a topic",
  ignore: !RUNNABLE || !isThere("bun"),
  async fn() {
    await using folder = new Folder();
    const bun = { command: "bun", args: ["run"], last: 'console.log("Listening");' };
    await using program = await startProgram("Bun", folder, "js ignore", bun);
    await assertPublishes(program.port);
  },
});

once("The program of docs/coming-from.md beside socket.io has rooms", async () => {
  await using folder = new Folder();
  await using program = await startProgram("Rooms of socket.io", folder);
  const url = `ws://127.0.0.1:${program.port}/`;
  await using first = await Peer.open(url);
  await using second = await Peer.open(url);
  const say = (peer: Peer, event: string, room: string, text = "") =>
    peer.socket.send(JSON.stringify({ event, room, text }));
  say(first, "join", "room 7");
  say(second, "join", "room 8");
  const fromElsewhere = () => say(first, "say", "room 8", "from the other room");
  assertEquals(await heard(fromElsewhere, second), '{"said":"from the other room"}');
  say(second, "say", "room 8", "to oneself");
  say(second, "say", "room 7", "back");
  assertEquals(await first.next(), '{"said":"back"}');
});
