/** Each program of the documents passes the type check, and does as a process what the document says. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { type FrameInfo, HandshakeError, WebSocket, type WebSocketOptions } from "../../mod.ts";
import {
  certificatesFolder,
  developmentCertificates,
  Folder,
  freePort,
  granted,
  Program,
  projectPath,
  RUNNABLE,
} from "../programs.ts";
import { closed, echo, next } from "../websocket/peers.ts";
import { type Code, placeOf } from "./documents.ts";
import { takenBy } from "./takers.ts";
import { isThere } from "./workshop.ts";

/** What comments behind `console.log` say about what is printed, where they do not say what it is. */
const PROSE: Record<string, RegExp> = {
  "the round trip, in milliseconds": /^\d+(\.\d+)?$/,
};

/** A program of a document that serves. */
class Served implements AsyncDisposable {
  readonly port: number;
  readonly program: Program;
  readonly #client: Deno.HttpClient;

  constructor(program: Program, port: number, ca: string) {
    this.program = program;
    this.port = port;
    this.#client = Deno.createHttpClient({ caCerts: [ca] });
  }

  /** The answer to a `GET`. */
  async get(path: string, headers: Record<string, string> = {}): Promise<[number, string]> {
    const url = `https://localhost:${this.port}${path}`;
    const response = await fetch(url, { headers, client: this.#client });
    return [response.status, await response.text()];
  }

  /** A WebSocket that is open, and compresses. */
  async open(path = "/ws", options: WebSocketOptions = {}): Promise<WebSocket & AsyncDisposable> {
    const { ca } = await developmentCertificates();
    const url = `wss://localhost:${this.port}${path}`;
    const socket = new WebSocket(url, { caCerts: [ca], ...options });
    const opened = Promise.withResolvers<void>();
    socket.onopen = () => opened.resolve();
    socket.onerror = (event) => opened.reject((event as ErrorEvent).error);
    await opened.promise;
    assertMatch(socket.extensions, /^permessage-deflate/);
    return Object.assign(socket, {
      async [Symbol.asyncDispose]() {
        if (socket.readyState !== WebSocket.CLOSED) await closed(socket);
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await this.program[Symbol.asyncDispose]();
  }
}

/** Sends a message, and returns the next that comes. */
async function ask(socket: WebSocket, message: string): Promise<string> {
  const answer = next(socket, "message");
  socket.send(message);
  return (await answer).data;
}

/** What is done with the server of a section; others are to send back what they get. */
const CASES: Record<string, (served: Served) => Promise<void>> = {
  async Authentication(served) {
    const authorized = { headers: { Authorization: "Bearer sesame" } };
    await using socket = await served.open("/", authorized);
    assertEquals(await ask(socket, "hello"), "ada: hello");
    await assertRejects(() => served.open("/"), HandshakeError, "401");
    const headers = { ...authorized.headers, Origin: "https://elsewhere.example" };
    await assertRejects(() => served.open("/", { headers }), HandshakeError, "403");
  },
  async Subprotocols(served) {
    await using socket = await served.open("/", { protocols: ["chat.v1", "other"] });
    assertEquals([socket.protocol, await ask(socket, "hello")], ["chat.v1", "chat.v1: hello"]);
  },
  async Limits(served) {
    await using socket = await served.open();
    assertEquals(await ask(socket, "hello"), "hello");
    const end = next<CloseEvent>(socket, "close");
    socket.send(new Uint8Array(64 * 1024 + 1));
    assertEquals((await end).code, 1009);
  },
  async Rooms(served) {
    await using one = await served.open("/?room=7");
    await using two = await served.open("/?room=7");
    await using other = await served.open("/?room=8");
    const elsewhere: string[] = [];
    other.onmessage = ({ data }) => elsewhere.push(data);
    const heard = next(two, "message");
    one.send("hello");
    assertEquals((await heard).data, "hello");
    // An answer on the third connection comes after what was published before it.
    await other.ping();
    assertEquals(elsewhere, []);
  },
  async Certificates(served) {
    await echoes(served);
    served.program.kill("SIGHUP");
    await echoes(served);
  },
  async Secrets(served) {
    const compressed: boolean[] = [];
    const onFrame = ({ direction, rsv1 }: FrameInfo) => {
      if (direction === "received") compressed.push(rsv1);
    };
    await using socket = await served.open("/ws", { onFrame });
    assertMatch((await next(socket, "message")).data, /^token [\da-f-]{36}$/);
    const long = "hello ".repeat(100);
    assertEquals(await ask(socket, long), long);
    assertEquals(compressed, [false, true]);
  },
  async Shutdown(served) {
    assertEquals(await served.get("/healthz"), [200, ""]);
    await using socket = await served.open();
    assertEquals(await ask(socket, "hello"), "hello");
    const end = next<CloseEvent>(socket, "close");
    served.program.kill("SIGTERM");
    assertEquals((await end).code, 1012);
    assertEquals((await served.program.end()).code, 0);
  },
};

/** Programs that neither serve nor end by themselves. */
const OTHERS: Record<string, (program: Code, folder: Folder) => Promise<void>> = {
  async "Topics on many machines"(program, folder) {
    const port = freePort();
    await using engine = new Program("nats-server", ["-a", "127.0.0.1", "-p", String(port)], {
      cwd: folder.path,
    });
    await engine.stderr.match(/Server is ready/);
    await using running = await start(program, folder, port);
    assertEquals(await running.stdout.next(), "true undefined");
  },
};

/** Sends back what it gets, and says something to who asks by HTTP. */
async function echoes(served: Served): Promise<void> {
  const [status, text] = await served.get("/");
  assert([200, 426].includes(status), `GET /: ${status}`);
  assert(text !== "");
  await using socket = await served.open();
  assertEquals(await ask(socket, "hello"), "hello");
}

const HAS_NATS = RUNNABLE && isThere("nats-server");

const blocks = await granted("read") ? await takenBy("tests/docs/programs_test.ts") : [];

const isServer = ({ text }: Code) => /\bserve\(|\.listen\(/.test(text);

/** A program's text with `port` in the place of the document's, and shorter waits. */
function textOf(block: Code, port: string): string {
  return block.text.replaceAll(/\b(?:8443|4222)\b/g, port)
    .replace("drain: 10_000, spread: 5000", "drain: 100, spread: 100");
}

function fileOf(block: Code): string {
  return `${block.document.replaceAll(/\W/g, "_")}_${block.line}.ts`;
}

/** A project of one's own, as the READMEs say how it finds the library; other documents name what this one has. */
const PROJECT = { links: [projectPath("")] };

/** How Deno is told what a program imports. */
function configurationOf({ document, text }: Code): string[] {
  if (document.startsWith("README")) return ["--config=deno.json", "--no-lock"];
  const path = /deflate\/(nats|redis)"/.test(text) ? "topics/engines.json" : "deno.json";
  return [`--config=${projectPath(path)}`, "--frozen"];
}

async function start(block: Code, folder: Folder, port: number): Promise<Program> {
  await Deno.writeTextFile(`${folder.path}/${fileOf(block)}`, textOf(block, String(port)));
  return new Program(Deno.execPath(), [
    ...["run", "--no-check", "--no-prompt", ...configurationOf(block)],
    ...["--allow-net", "--allow-read=certs", fileOf(block)],
  ], { cwd: folder.path });
}

async function serve(block: Code, folder: Folder): Promise<Served> {
  const port = freePort();
  const program = await start(block, folder, port);
  try {
    await program.stdout.match(new RegExp(`:${port}\\b`));
    return new Served(program, port, (await developmentCertificates()).ca);
  } catch {
    await using _ = program;
    throw new Error(`${placeOf(block)}: ${(await program.stderr.all()).join("\n")}`);
  }
}

/** What makes a program print what a comment gives as an example: `such as 401`. */
const EXAMPLES: Record<string, (text: string) => string> = {
  Authentication: (text) => text.replace("sesame", "wrong"),
};

/** Runs a client to its end, and compares what it prints with the comments behind its lines. */
async function runClient(block: Code, folder: Folder, port: number): Promise<void> {
  const comments = [...block.text.matchAll(/console\.log\(.*\); \/\/ (.+)$/gm)].map(([, text]) =>
    text!
  );
  const isExample = (text: string) => text.startsWith("such as ");
  const [examples, said] = [
    comments.filter(isExample),
    comments.filter((text) => !isExample(text)),
  ];
  const lines = await linesOf(block, folder, port);
  for (const comment of said) {
    const pattern = PROSE[comment];
    const isPrinted = lines.some((line) => pattern?.test(line) ?? line === comment);
    assert(isPrinted, `"${comment}" is not among: ${lines.join("\n")}`);
  }
  if (examples.length === 0) return;
  const changed = { ...block, text: EXAMPLES[block.section]!(block.text) };
  const others = await linesOf(changed, folder, port);
  for (const example of examples) {
    const start = example.slice("such as ".length);
    assert(others.some((line) => line.startsWith(start)), `"${start}" is not in: ${others}`);
  }
}

/** The lines that a program prints. */
async function linesOf(block: Code, folder: Folder, port: number): Promise<string[]> {
  await using program = await start(block, folder, port);
  const { code, stdout, stderr } = await program.end();
  assertEquals([code, stderr], [0, []]);
  return stdout;
}

Deno.test({
  name: "The programs of the documents pass the type check",
  ignore: !RUNNABLE,
  async fn() {
    await using folder = new Folder();
    const comingFrom = await takenBy("tests/docs/coming_from_test.ts");
    const all = [...blocks, ...comingFrom.filter(({ language }) => language === "ts")];
    for (const block of all) {
      await Deno.writeTextFile(`${folder.path}/${fileOf(block)}`, textOf(block, "8443"));
    }
    await Deno.writeTextFile(`${folder.path}/deno.json`, JSON.stringify(PROJECT));
    const configurations = Map.groupBy(all, (block) => JSON.stringify(configurationOf(block)));
    for (const [configuration, checked] of configurations) {
      await using program = new Program(Deno.execPath(), [
        ...["check", ...JSON.parse(configuration), ...checked.map(fileOf)],
      ], { cwd: folder.path, limitMs: 120_000 });
      const { code, stderr } = await program.end();
      assertEquals(code, 0, stderr.join("\n"));
    }
  },
});

/** Runs the programs of a section: a server, and the clients that connect to it, or to one that sends back. */
async function runSection(section: string, programs: Code[], folder: Folder): Promise<void> {
  await using stack = new AsyncDisposableStack();
  let port: number | undefined;
  for (const program of programs) {
    if (isServer(program)) {
      const served = stack.use(await serve(program, folder));
      await (CASES[section] ?? echoes)(served);
      ({ port } = served);
    } else if (section in OTHERS) {
      await OTHERS[section]!(program, folder);
    } else {
      port ??= await standIn(stack);
      await runClient(program, folder, port);
    }
  }
}

/** A server that sends back what it gets. */
async function standIn(stack: AsyncDisposableStack): Promise<number> {
  const server = echo({}, await developmentCertificates());
  stack.defer(() => server.shutdown());
  return server.addr.port;
}

for (const [document, programs] of Map.groupBy(blocks, ({ document }) => document)) {
  Deno.test({
    name: `The programs of ${document} do what they say`,
    ignore: !RUNNABLE,
    async fn(test) {
      await using folder = await certificatesFolder();
      await Deno.writeTextFile(`${folder.path}/deno.json`, JSON.stringify(PROJECT));
      for (const [section, parts] of Map.groupBy(programs, ({ section }) => section)) {
        await test.step({
          name: `${placeOf(parts[0]!)} ${section}`,
          ignore: parts.some(({ text }) => text.includes("NatsBackplane")) && !HAS_NATS,
          fn: () => runSection(section, parts, folder),
        });
      }
    },
  });
}
