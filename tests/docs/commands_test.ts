/** Each command of the documents does what it says, and prints what stands beside it. */

import { assert, assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import {
  developmentCertificates,
  type Ending,
  granted,
  heard,
  Peer,
  type Program,
  projectPath,
  RUNNABLE,
  type Task,
} from "../programs.ts";
import { HAS_TERMINAL, Terminal } from "../terminal.ts";
import { type Code, placeOf } from "./documents.ts";
import { takenBy } from "./takers.ts";
import { isThere, PORT, Workshop } from "./workshop.ts";

/** What is not run as it stands: why, and what is done in its place. */
interface Exception {
  command: RegExp;
  /** Why it is not run. */
  reason: string;
  /** What is run instead, made of the command. */
  instead?: (command: string) => string;
  /** The test that runs it, a file or a folder, and how it names the command; by default by its task. */
  runBy?: [test: string, name?: string];
}

const EXCEPTIONS: Exception[] = [
  { command: /^deno task test(:\w+)?( |$)/, reason: "they are these tests, and take minutes" },
  {
    command: /^deno (?:test -A tests\/extended\/|run -A bench\/soak\.ts )/,
    reason: "it measures for minutes, or for an hour",
  },
  {
    command: /deno task fuzz/,
    reason: "a million inputs take minutes",
    instead: (command) => `FUZZ_INPUTS=1000 ${command}`,
  },
  {
    command: /^deno task bench/,
    reason: "it takes half an hour, and with --quick a minute of all CPUs",
    instead: (command) => command.replace(" --only=...", "") + " --from=bench/results.json",
  },
  {
    command: /^deno task compile$/,
    reason: "it downloads a runtime to put programs into",
    runBy: ["tests/compile_test.ts"],
  },
  {
    command: /^deno task check$/,
    reason: "a minute of type checks, which .ci/run does",
    runBy: [".ci/run"],
  },
  {
    command: /^(?:CHAT_BACKPLANE=\S+ )?deno task example:/,
    reason: "each example has a test of its own, and some have packages to download",
    runBy: ["tests/examples/"],
  },
  {
    command: /^deno publish$/,
    reason: "it sends the package to JSR",
    runBy: ["tests/packages/jsr.ts", '"publish"'],
  },
  {
    command: /^deno task pack$/,
    reason: "it needs packages that the other commands do not",
    runBy: ["tests/packages/npm.ts"],
  },
  { command: /^deno (?:add|install .+) jsr:/, reason: "the package is not published yet" },
  {
    command: /^deno run \S+ \S+ main\.ts$/,
    reason: "main.ts is a program of the reader's project",
    runBy: ["tests/docs/programs_test.ts", '"--allow-net", "--allow-read=certs"'],
  },
  {
    command: /^npm install \S+\.tgz$/,
    reason: "the archive of deno task pack is needed for it",
    runBy: ["tests/packages/npm.ts", '"npm", ["install"'],
  },
  { command: /^npm publish$/, reason: "it sends the package to npm" },
  {
    command: /^(docker|kubectl|systemctl|journalctl) /,
    reason: "it needs containers, a cluster, or the unit in the machine's own systemd",
  },
  { command: /^testssl /, reason: "it takes minutes" },
  {
    command: /^openssl pkcs12 /,
    reason: "it asks for the password of a file that is not there",
    instead: (command) =>
      `openssl pkcs12 -export -in me.crt -inkey me.key -out me.p12 -passout pass: && ${command} -passin pass:`,
  },
  {
    command: /^(npx -y deno@[\d.]+|deno (run|task|install -g)|npm install|openssl verify)$/,
    reason: "the name of a program, without what it is to do",
  },
  {
    command: /^deno run --v8-flags=--prof$/,
    reason: "the flag alone",
  },
];

/** A client that a person types at. */
const AT_PROMPT = /\bclient\b.* (-i|--interactive)\b/;

/** The lines of a block that are commands, each with the output that is shown below it, if any. */
function commandsOf({ text }: Code): { command: string; output: string[] }[] {
  const commands: { command: string; output: string[] }[] = [];
  const isSession = text.startsWith("$ ");
  for (const line of text.trimEnd().replaceAll(/\\\n\s*/g, "").split("\n")) {
    if (isSession && !line.startsWith("$ ")) {
      commands.at(-1)!.output.push(line);
    } else if (!/^\s*(#|$)/.test(line)) {
      const command = line.replace(/^\$ /, "").replace(/ +# .*$/, "");
      commands.push({ command, output: [] });
    }
  }
  return commands;
}

/** Whether a command serves until it is stopped. */
function isServer(command: string): boolean {
  return /(?:\bwss-server|\btask serve\S*|\brun .*\bserver\.ts)\b/.test(command) &&
    !/ (?:--help|--version|-h|-V)\b/.test(command);
}

function exceptionFor(command: string): Exception | undefined {
  const bare = command.replace(/^npx -y deno@[\d.]+ /, "deno ");
  return EXCEPTIONS.find((exception) => exception.command.test(bare));
}

/** A server that listens, started by a command of a block. */
class Server implements AsyncDisposable {
  readonly command: string;
  readonly #program: Program;
  /** All that it writes is read from the start, as a full pipe would stop it. */
  readonly #ending: Promise<Ending>;

  private constructor(command: string, program: Program) {
    this.command = command;
    this.#program = program;
    this.#ending = program.end();
    this.#ending.catch(() => {});
  }

  static async start(workshop: Workshop, command: string): Promise<Server> {
    const program = workshop.start(command);
    try {
      await program.stdout.match(/\bporta? \d+|https?:\/\/\S+:\d+/);
      return new Server(command, program);
    } catch {
      await using _ = program;
      throw new Error(`${command}: ${(await program.stderr.all()).join("\n")}`);
    }
  }

  async stop(): Promise<void> {
    this.#program.kill("SIGTERM");
    const { code, stderr } = await this.#ending;
    assertEquals(code, 0, `${this.command}\n${stderr.join("\n")}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}

/** What a server sends back to `hello`; nothing where it sends that to others alone. */
function answerOf(command: string): string | undefined {
  const reply = / --reply=(?:"([^"]*)"|(\S+))/.exec(command);
  if (reply !== null) return reply[1] ?? reply[2]!;
  const mode = / --mode=(\w+)/.exec(command)?.[1];
  if (mode === "broadcast") return undefined;
  return mode === "echo" ? "hello" : "Retorno do servidor!";
}

/** Speaks to a server as its command says it is spoken to, by WebSockets and by HTTP. */
async function ask(workshop: Workshop, command: string): Promise<void> {
  const here = workshop.here(command);
  const port = / --port=(\d+)/.exec(here)?.[1] ?? workshop.portFor("8443");
  const path = / --path=(\S+)/.exec(here)?.[1] ?? "/ws";
  const token = /(?:WSS_TOKEN| --token)=(\S+)/.exec(here)?.[1];
  const url = `wss://127.0.0.1:${port}${path}${token === undefined ? "" : `?token=${token}`}`;
  await using peer = await Peer.open(url);
  await using other = await Peer.open(url);
  const answer = answerOf(command);
  const say = () => peer.socket.send("hello");
  assertEquals(await heard(say, answer === undefined ? other : peer), answer ?? "hello");
  using client = Deno.createHttpClient({ caCerts: [(await developmentCertificates()).ca] });
  const health = await fetch(`https://127.0.0.1:${port}/healthz`, { client });
  assertEquals([health.status, (await health.text()) !== ""], [200, true]);
  const metrics = / --metrics=(\d+)/.exec(here)?.[1];
  if (metrics !== undefined) {
    const text = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
    assert(text.includes("websocket_connections"), command);
  }
}

/**
 * A line as it is compared: where a figure differs from run to run, its place. Sizes may come in another unit, and a
 * table's columns may be further apart.
 */
function shapeOf(line: string): string {
  return line
    .replaceAll(PORT, "<port>")
    .replaceAll(/\d[\d.,]* ?(?:k|M|G)?B\b(\/s)?/g, "<bytes>$1")
    .replaceAll(/\d[\d.,]* ?(?:ms|µs|s)\b/g, "<time>")
    .replaceAll(/\d[\d.,]*(?= ?%|\/s)|\d+\.\d+/g, "<figure>")
    .replaceAll(/ +/g, " ").trimEnd();
}

function assertOutput(actual: string[], expected: string[], command: string): void {
  const [actualShapes, expectedShapes] = [actual, expected].map((lines) => lines.map(shapeOf));
  assertEquals(actualShapes, expectedShapes, `${command}\n${actual.join("\n")}`);
}

/** Runs a command that ends, beside a server on port 8443 if the block above has started none. */
async function runCommand(
  workshop: Workshop,
  command: string,
  output: string[],
  hasServer: boolean,
): Promise<void> {
  const isClient = /\btask client|wss-client|client\.ts/.test(command);
  const mode = command.includes("--load") ? "echo" : "reply";
  await using server = isClient && !hasServer && !command.includes("//example.com/")
    ? await Server.start(workshop, `deno task serve --mode=${mode} --port=8443`)
    : undefined;
  if (AT_PROMPT.test(command)) {
    await typeAtPrompt(workshop, command, output);
  } else {
    await runToEnd(workshop, command, output);
    // What is shown in one language has as many lines in the other.
    const other = command.replace("--lang=en", "--lang=pt-BR");
    if (output.length > 0 && other !== command) {
      const { length } = await runToEnd(workshop, other, []);
      assertEquals(length, output.length, other);
    }
  }
  await server?.stop();
}

/** Runs a command, compares what it prints with what is shown of it, and returns that. */
async function runToEnd(
  workshop: Workshop,
  command: string,
  output: string[],
): Promise<string[]> {
  const { code, stdout } = await workshop.run(`{ ${command}\n} 2>&1`);
  assertEquals(code, 0, `${command}\n${stdout.join("\n")}`);
  // But for what Deno itself says of a task.
  const lines = stdout.filter((line) => !line.startsWith("Task "));
  if (output.length > 0) assertOutput(lines, output, command);
  return lines;
}

/** A session at a prompt: what stands behind `> ` is typed. */
async function typeAtPrompt(workshop: Workshop, command: string, output: string[]): Promise<void> {
  const [, task, args] = /^deno task (\S+) (.*)$/.exec(workshop.here(command))!;
  await using terminal = Terminal.task(task as Task, args!.split(" "), {
    cwd: workshop.path,
    env: { XDG_STATE_HOME: workshop.path },
    columns: 100,
    rows: 50,
  });
  let shown = 0;
  for (const line of output) {
    shown++;
    if (line.startsWith("> ")) {
      await terminal.shows(/^>$/);
      await terminal.enter(line.slice(2));
    } else {
      await terminal.until((rows) => shapeOf(rows[shown - 1] ?? "") === shapeOf(line));
    }
  }
  await terminal.press("C-d");
  const { code, rows } = await terminal.end();
  assertEquals(code, 0, command);
  assertOutput(rows.slice(0, shown), output, command);
}

/** Does in place of a command what its exception says. */
async function doInstead(workshop: Workshop, command: string, exception: Exception): Promise<void> {
  const { instead, runBy } = exception;
  const [, task] = /\bdeno(?:@[\d.]+)? task (\S+)/.exec(command) ?? [];
  if (task !== undefined) assert(Object.hasOwn(config.tasks, task), `${command}: no such task`);
  if (runBy !== undefined) {
    const [test, name = task!] = runBy;
    const texts = await Promise.all(filesOf(test).map((file) => Deno.readTextFile(file)));
    assert(texts.some((text) => text.includes(name)), `${test} does not run ${command}`);
  }
  if (instead !== undefined) {
    const { code, stdout, stderr } = await workshop.run(instead(command));
    assertEquals(code, 0, `${instead(command)}\n${[...stdout, ...stderr].join("\n")}`);
  }
  // The test that runs it needs its files, and main.ts is none of this project's.
  if (runBy !== undefined) return;
  await assertFilter(task === undefined ? command : config.tasks[task as Task].command, command);
}

/** A file of the project, or those in a folder. */
function filesOf(path: string): string[] {
  if (!path.endsWith("/")) return [projectPath(path)];
  return [...Deno.readDirSync(projectPath(path))].map(({ name }) => projectPath(path + name));
}

/** Whether the files that are run are there, and a test of theirs has each name that `--filter` gives. */
async function assertFilter(run: string, command: string): Promise<void> {
  const files = run.split(" ").filter((word) => /^[^-].*\.ts$/.test(word));
  const texts = await Promise.all(files.map((file) => Deno.readTextFile(projectPath(file))));
  const filter = / --filter "\/(.*)\/"/.exec(command)?.[1];
  for (const name of filter?.split("|") ?? []) {
    assert(texts.some((text) => text.includes(name)), `No test of that name: ${name}`);
  }
}

/** The command that starts the server a block speaks to, if the block above in its section ends with one. */
function serverAbove(block: Code): string | undefined {
  const { document, section, line, language } = block;
  if (language !== "sh" || commandsOf(block).some(({ command }) => isServer(command))) return;
  const above = blocks.findLast((other) =>
    other.document === document && other.section === section && other.language === "sh" &&
    other.line < line
  );
  const last = above && commandsOf(above).at(-1)!.command;
  return last !== undefined && isServer(last) ? last : undefined;
}

/** Does all that a block says, from its first line to its last. */
async function runBlock(workshop: Workshop, block: Code, below: string[]): Promise<void> {
  await workshop.prepare();
  if (/\bwss-(client|server)\b/.test(block.text)) await workshop.install();
  const commands = commandsOf(block);
  const above = serverAbove(block);
  await using server = above === undefined ? undefined : await Server.start(workshop, above);
  // Lines such as `cd` and `export` hold for those that follow.
  let before = "";
  for (const [at, { command, output }] of commands.entries()) {
    const exception = exceptionFor(command);
    const isLast = at === commands.length - 1;
    if (exception !== undefined) {
      await doInstead(workshop, command, exception);
    } else if (/^(cd|export) /.test(command)) {
      before += `${command}\n`;
    } else if (command.startsWith("alias ")) {
      for (const [, meant] of command.matchAll(/='(.+?)'/g)) {
        await runToEnd(workshop, `${meant} --version`, []);
      }
    } else if (isServer(command)) {
      const isAlone = isLast && !command.endsWith("&");
      assert(isAlone, `${command}: nothing behind it waits until it listens; end the block here`);
      await using started = await Server.start(workshop, before + command);
      await ask(workshop, command);
      await started.stop();
    } else {
      const shown = isLast ? [...output, ...below] : output;
      await runCommand(workshop, before + command, shown, server !== undefined);
    }
  }
  await server?.stop();
}

const code = await granted("read") ? await takenBy("tests/docs/commands_test.ts") : [];
const blocks = code.filter(({ text, outputOf }) => outputOf === undefined || text.startsWith("$ "));

/** The lines that are shown below a block as its output. */
function outputBelow(block: Code): string[] {
  const output = code.find((other) =>
    !blocks.includes(other) && other.outputOf?.line === block.line &&
    other.document === block.document
  );
  return output === undefined ? [] : output.text.trimEnd().split("\n");
}

/** Programs of others that commands need. */
const TOOLS = ["certutil", "curl", "jq", "openssl"];

/** What is the same in two documents, or twice in one, is run for the first. */
const run = new Set<string>();

for (const document of new Set(blocks.map(({ document }) => document))) {
  const steps = blocks.filter((block) => {
    const key = block.text + outputBelow(block);
    if (block.document !== document || run.has(key)) return false;
    run.add(key);
    return true;
  });
  if (steps.length === 0) continue;
  Deno.test({
    name: `The commands of ${document} do what they say`,
    ignore: !RUNNABLE,
    async fn(test) {
      await using workshop = await Workshop.open();
      for (const block of steps) {
        await test.step({
          name: `${placeOf(block)} ${block.text.split("\n")[0]}`,
          ignore: AT_PROMPT.test(block.text) && !HAS_TERMINAL ||
            !TOOLS.every((tool) => isThere(tool) || !block.text.includes(`${tool} `)),
          fn: () => runBlock(workshop, block, outputBelow(block)),
        });
      }
    },
  });
}

// Where nothing may be read, none of the above is known.
if (blocks.length === 0) {
  Deno.test({ name: "The commands of the documents do what they say", ignore: true, fn() {} });
}
