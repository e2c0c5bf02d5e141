/** `examples/echo.ts`, `examples/express.ts` and `examples/hono.ts`, which send every message back. */

import { assertEquals } from "@std/assert";
import {
  certificatesFolder,
  developmentCertificates,
  handshake,
  listeningPort,
  Program,
  RawPeer,
  type Task,
} from "../programs.ts";
import { assertEchoes, closed, opened } from "../websocket/peers.ts";
import { isDownloaded } from "./downloaded.ts";

/** An example, what it imports from npm, and what it answers to requests. */
interface Example {
  task: Task;
  imports: string[];
  /** Path of its WebSocket. */
  path: string;
  /** Status and body by path, of requests that ask for no WebSocket. */
  plain: Record<string, [status: number, body: string | undefined]>;
}

const WELCOME: [number, string] = [200, "The WebSocket is at /ws\n"];
const NO_PAGE: [number, string] = [426, "This is a WebSocket\n"];

const EXAMPLES: Example[] = [
  { task: "example:echo", imports: [], path: "/", plain: { "/": NO_PAGE, "/any": NO_PAGE } },
  {
    task: "example:express",
    imports: ["express"],
    path: "/ws",
    plain: { "/": WELCOME, "/elsewhere": [404, undefined] },
  },
  {
    task: "example:hono",
    imports: ["hono"],
    path: "/ws",
    plain: { "/": WELCOME, "/ws": NO_PAGE, "/elsewhere": [404, undefined] },
  },
];

for (const { task, imports, path, plain } of EXAMPLES) {
  Deno.test({
    name: `deno task ${task} sends messages back, compressed, and answers plain requests`,
    ignore: !await isDownloaded(...imports),
    async fn() {
      await using folder = await certificatesFolder();
      const { ca } = await developmentCertificates();
      await using program = Program.task(task, ["0"], { cwd: folder.path });
      const port = await listeningPort(program);

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
      await assertEchoes(socket);
      assertEquals((await closed(socket)).code, 1000);
    },
  });
}
