/** Each program of `docs/frameworks.md` passes the type check, and does as a process what the document says. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { createTRPCClient, createWSClient, wsLink } from "@trpc/client";
import { createClient } from "graphql-ws";
import mqtt from "mqtt";
import { WebSocket, type WebSocketOptions } from "../../../mod.ts";
import {
  certificatesFolder,
  developmentCertificates,
  Folder,
  freePort,
  Program,
  projectPath,
  RUNNABLE,
} from "../../programs.ts";
import { closed, next } from "../../websocket/peers.ts";
import { succeeds } from "../peer.ts";

/** The programs, by the heading above them and their number below it, as `hono 1`. */
const programs = new Map<string, string>();
if (RUNNABLE) {
  const document = await Deno.readTextFile(projectPath("docs/frameworks.md"));
  for (const section of document.split(/^## /m).slice(1)) {
    const title = section.slice(0, section.indexOf("\n"));
    for (const [index, [, code]] of [...section.matchAll(/^```ts\n(.*?)^```$/gms)].entries()) {
      programs.set(`${title} ${index + 1}`, code!);
    }
  }
}

/** The folder of this configuration, which has the packages. */
const CONFIG = `--config=${projectPath("tests/interop/frameworks/deno.json")}`;

/** Starts a program, with `port` in the place of 8443. */
async function start(title: string, folder: string, port: number): Promise<Program> {
  const code = programs.get(title);
  assert(code !== undefined && code.includes("8443"), title);
  const file = `${folder}/${title.replaceAll(" ", "_")}.ts`;
  await Deno.writeTextFile(file, code.replaceAll("8443", String(port)));
  const permissions = ["--allow-net", "--allow-read", "--allow-env", "--allow-sys"];
  return new Program(
    Deno.execPath(),
    ["run", "--no-check", "--frozen", "--no-prompt", CONFIG, ...permissions, file],
    { cwd: folder },
  );
}

/** A server of the document. */
interface Served {
  port: number;
  folder: string;
  options: WebSocketOptions;
}

/** A test of a program that serves. */
function serves(title: string, body: (served: Served) => Promise<void>): void {
  tested.add(title);
  Deno.test({
    name: `The program of docs/frameworks.md under "${title}" serves a client that compresses`,
    ignore: !RUNNABLE,
    async fn() {
      await using folder = await certificatesFolder();
      const port = freePort();
      await using program = await start(title, folder.path, port);
      await program.stdout.match(/Listening on|listening on/i);
      const { ca } = await developmentCertificates();
      await body({ port, folder: folder.path, options: { caCerts: [ca] } });
    },
  });
}

const tested = new Set<string>();

/** An open socket that has agreed on compression. */
async function open({ port, options }: Served, path: string): Promise<WebSocket> {
  const socket = new WebSocket(`wss://localhost:${port}${path}`, options);
  socket.binaryType = "arraybuffer";
  const opened = Promise.withResolvers<void>();
  socket.onopen = () => opened.resolve();
  socket.onerror = (event) => opened.reject((event as ErrorEvent).error);
  await opened.promise;
  assertMatch(socket.extensions, /^permessage-deflate/);
  return socket;
}

/** Our class with the authority of the tests, for clients that make sockets of it; and the sockets made. */
function trusting(options: WebSocketOptions) {
  const sockets: WebSocket[] = [];
  class Trusting extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, { ...options, ...(protocols !== undefined && { protocols }) });
      sockets.push(this);
    }
  }
  return { Trusting, sockets };
}

/** A page says hello, and a WebSocket sends back what it gets. */
async function echoes(served: Served, path = "/ws", prefix = ""): Promise<void> {
  using client = Deno.createHttpClient({ caCerts: served.options.caCerts! });
  const page = await fetch(`https://localhost:${served.port}/`, { client });
  assertEquals(await page.text(), "hello");
  const socket = await open(served, path);
  const text = "hello ".repeat(1000);
  const answer = next(socket, "message");
  socket.send(text);
  const { data } = await answer;
  assertEquals(typeof data === "string" ? data : new TextDecoder().decode(data), prefix + text);
  const { code, wasClean } = await closed(socket, 4000, "enough");
  assertEquals([code, wasClean], [4000, true]);
}

serves("Without a framework 1", async (served) => {
  await echoes(served, "/ws/7", "7: ");
  using client = Deno.createHttpClient({ caCerts: served.options.caCerts! });
  for (const [path, status] of [["/ws/7", 426], ["/other", 404]] as const) {
    const response = await fetch(`https://localhost:${served.port}${path}`, { client });
    await response.body?.cancel();
    assertEquals(response.status, status, path);
  }
});
for (
  const title of ["hono 1", "hono 2", "express 1", "fastify 1", "h3 and srvx 1", "h3 and srvx 2"]
) {
  serves(title, (served) => echoes(served));
}

serves("graphql-ws 1", async ({ port, options }) => {
  const { Trusting, sockets } = trusting(options);
  const url = `wss://localhost:${port}/graphql`;
  const client = createClient({ url, webSocketImpl: Trusting, lazy: false });
  for await (const { data } of client.iterate({ query: "{ hello }" })) {
    assertEquals(data, { hello: "hello" });
  }
  const counts: unknown[] = [];
  for await (const { data } of client.iterate({ query: "subscription { count(to: 3) }" })) {
    counts.push(data?.["count"]);
  }
  assertEquals(counts, [1, 2, 3]);
  assertMatch(sockets[0]!.extensions, /^permessage-deflate/);
  await client.dispose();
});

serves("tRPC 1", async ({ port, options }) => {
  const { Trusting, sockets } = trusting(options);
  const connection = createWSClient({
    url: `wss://localhost:${port}/trpc`,
    WebSocket: Trusting as never,
  });
  // deno-lint-ignore no-explicit-any -- the type of the router is in the document
  const client = createTRPCClient<any>({ links: [wsLink({ client: connection })] }) as any;
  assertEquals(await client.hello.query(), "hello");
  const counts: number[] = [];
  await new Promise<void>((onComplete, onError) =>
    client.count.subscribe(3, {
      onData: (count: number) => counts.push(count),
      onComplete,
      onError,
    })
  );
  assertEquals(counts, [1, 2, 3]);
  assertMatch(sockets[0]!.extensions, /^permessage-deflate/);
  await connection.close();
});

serves("MQTT 1", async ({ port, options }) => {
  const sockets: WebSocket[] = [];
  const client = await mqtt.connectAsync(`wss://localhost:${port}/mqtt`, {
    forceNativeWebSocket: true,
    createWebsocket(url: string, protocols: string[]) {
      const socket = new WebSocket(url, { ...options, protocols });
      sockets.push(socket);
      return socket;
    },
  });
  const received = new Promise<string>((resolve) =>
    client.on("message", (_, payload) => resolve(new TextDecoder().decode(payload)))
  );
  await client.subscribeAsync("greetings");
  await client.publishAsync("greetings", "hello ".repeat(1000));
  assertEquals(await received, "hello ".repeat(1000));
  assertMatch(sockets[0]!.extensions, /^permessage-deflate/);
  const end = next<CloseEvent>(sockets[0]!, "close");
  await client.endAsync();
  await end;
});

tested.add("Clients 2");
serves("socket.io 1", async (served) => {
  const client = await start("Clients 2", served.folder, served.port);
  await using _ = client;
  assertEquals(await client.end(), { code: 0, stdout: ["hello"], stderr: [] });

  // What its engine takes, in the words of its own protocol.
  const socket = await open(served, "/socket.io/?EIO=4&transport=websocket");
  assertMatch((await next(socket, "message")).data, /^0\{"sid":/);
  await closed(socket);
});

/** Debian's, in a folder that not every PATH has. */
const NATS_SERVER = "/usr/sbin/nats-server";

tested.add("Clients 1");
Deno.test({
  name: 'The program of docs/frameworks.md under "Clients 1" speaks to Debian\'s nats-server',
  ignore: !RUNNABLE || !await succeeds(NATS_SERVER, ["--version"]),
  async fn() {
    await using folder = await certificatesFolder();
    const port = freePort();
    await Deno.writeTextFile(
      `${folder.path}/nats.conf`,
      `listen: "127.0.0.1:-1"
      websocket {
        listen: "127.0.0.1:${port}"
        compression: true
        tls { cert_file: "certs/server.crt", key_file: "certs/server.key" }
      }`,
    );
    await using nats = new Program(NATS_SERVER, ["-c", "nats.conf"], { cwd: folder.path });
    await nats.stderr.match(/Server is ready/);
    await using client = await start("Clients 1", folder.path, port);
    assertEquals(await client.end(), { code: 0, stdout: ["hello"], stderr: [] });
  },
});

Deno.test({
  name: "Each program of docs/frameworks.md is among the tested ones, and passes the type check",
  ignore: !RUNNABLE,
  async fn() {
    assertEquals([...tested].sort(), [...programs.keys()].sort());
    await using folder = new Folder();
    const files = [...programs.values()].map((_, index) => `${folder.path}/${index}.ts`);
    for (const [index, code] of [...programs.values()].entries()) {
      await Deno.writeTextFile(files[index]!, code);
    }
    await using check = new Program(
      Deno.execPath(),
      ["check", "--quiet", "--frozen", CONFIG, ...files],
      { cwd: folder.path, limitMs: 120_000 },
    );
    assertEquals(await check.end(), { code: 0, stdout: [], stderr: [] });
  },
});
