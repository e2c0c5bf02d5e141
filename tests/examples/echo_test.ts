/** `examples/echo.ts`, `examples/express.ts` and `examples/hono.ts`, which send every message back. */

import { assertEquals, assertMatch } from "@std/assert";
import { succeeds } from "../interop/peer.ts";
import {
  certificatesFolder,
  developmentCertificates,
  Folder,
  handshake,
  Program,
  projectPath,
  RawPeer,
  run,
  RUNNABLE,
  type Task,
} from "../programs.ts";
import { closed, next, opened } from "../websocket/peers.ts";

/** An example, what it imports from npm, and what it answers to requests. */
interface Example {
  task: Task;
  imports: string;
  /** Path of its WebSocket. */
  path: string;
  /** Status and body by path, of requests that ask for no WebSocket. */
  plain: Record<string, [status: number, body: string | undefined]>;
}

const WELCOME: [number, string] = [200, "The WebSocket is at /ws\n"];
const NO_PAGE: [number, string] = [426, "This is a WebSocket\n"];

const EXAMPLES: Example[] = [
  { task: "example:echo", imports: "", path: "/", plain: { "/": NO_PAGE, "/any": NO_PAGE } },
  {
    task: "example:express",
    imports: 'import "express";',
    path: "/ws",
    plain: { "/": WELCOME, "/elsewhere": [404, undefined] },
  },
  {
    task: "example:hono",
    imports: 'import "hono";',
    path: "/ws",
    plain: { "/": WELCOME, "/ws": NO_PAGE, "/elsewhere": [404, undefined] },
  },
];

async function canRun(imports: string): Promise<boolean> {
  const config = `--config=${projectPath("examples/deno.json")}`;
  return RUNNABLE &&
    await succeeds(Deno.execPath(), ["eval", "--cached-only", "--frozen", config, imports]);
}

for (const { task, imports, path, plain } of EXAMPLES) {
  Deno.test({
    name: `deno task ${task} sends messages back, compressed, and answers plain requests`,
    ignore: !await canRun(imports),
    async fn() {
      await using folder = await certificatesFolder();
      const { ca } = await developmentCertificates();
      await using program = Program.task(task, ["0"], { cwd: folder.path });
      const port = Number(/:(\d+)\/$/.exec(await program.stdout.next())![1]);

      using client = Deno.createHttpClient({ caCerts: [ca] });
      for (const [path, [status, expected]] of Object.entries(plain)) {
        const response = await fetch(`https://127.0.0.1:${port}${path}`, { client });
        const body = await response.text();
        assertEquals([response.status, expected && body], [status, expected], path);
      }
      using raw = await RawPeer.connect(port);
      const old = await raw.request(handshake(path, { "Sec-WebSocket-Version": "8" }));
      assertEquals([old.status, old.headers.get("Sec-WebSocket-Version")], [426, "13"]);

      const socket = await opened(`wss://127.0.0.1:${port}${path}`, { caCerts: [ca] });
      assertMatch(socket.extensions, /^permessage-deflate/);
      socket.send("hello ".repeat(1000));
      assertEquals((await next(socket, "message")).data, "hello ".repeat(1000));
      socket.send(new Uint8Array(1000).fill(7));
      const { data } = await next(socket, "message");
      assertEquals(new Uint8Array(data), new Uint8Array(1000).fill(7));
      assertEquals((await closed(socket)).code, 1000);
    },
  });

  Deno.test({
    name: `deno task ${task} says in one sentence why it cannot start`,
    ignore: !await canRun(imports),
    async fn() {
      await using empty = new Folder();
      assertEquals(await run(task, ["0"], { cwd: empty.path }), {
        code: 1,
        stdout: [],
        stderr: ["Cannot start: there are no certificates, make them by `deno task certs`"],
      });
      await using folder = await certificatesFolder();
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = listener.addr as Deno.NetAddr;
      assertEquals(await run(task, [`${port}`], { cwd: folder.path }), {
        code: 1,
        stdout: [],
        stderr: [
          "Cannot listen: the port is taken, name another one behind the task, such as 9443",
        ],
      });
    },
  });
}
