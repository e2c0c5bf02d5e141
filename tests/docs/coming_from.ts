/**
 * The commands of `docs/coming-from.md`, and a server that tells what it has seen of them.
 *
 * @module
 */

import { type HttpServer, serve, upgradeWebSocket } from "../../mod.ts";
import {
  certificatesFolder,
  developmentCertificates,
  type Folder,
  inheritedVariables,
  projectPath,
  shellCommandOf,
} from "../programs.ts";

/** The commands of one row: those of another tool, and ours. */
export interface Row {
  theirs: string;
  ours: string;
}

/** The document. */
export function comingFrom(): Promise<string> {
  return Deno.readTextFile(projectPath("docs/coming-from.md"));
}

/** The rows of two commands. */
export async function rows(): Promise<Row[]> {
  return (await comingFrom()).split("\n").flatMap((line) => {
    const [, theirs, ours] = /^\| `(.+?)` +\| `(.+?)` +\|$/.exec(line) ?? [];
    if (theirs === undefined || ours === undefined || !/\b(client|server) /.test(ours)) return [];
    return [{ theirs: unescaped(theirs), ours: unescaped(ours) }];
  });
}

/** The text of a table's cell, where `\|` stands for a bar. */
function unescaped(cell: string): string {
  return cell.replaceAll("\\|", "|");
}

/** What a server has seen of a client. */
export interface Seen {
  path: string;
  headers: Record<string, string>;
  messages: (string | Uint8Array)[];
}

/** Headers that a client is told to send. */
const HEADERS = ["authorization", "host", "origin", "sec-websocket-protocol", "x-api-key"];

/** Stands for example.com: sends back what comes, three prices at `/prices`, and redirects `/old`. */
export class StandIn implements AsyncDisposable {
  /** What the client of the latest command has shown, once its connection has ended; `undefined` without any. */
  seen: Promise<Seen | undefined> = Promise.resolve(undefined);
  readonly folder: Folder;
  readonly #server: HttpServer<Deno.NetAddr>;

  private constructor(folder: Folder, pair: { cert: string; key: string }) {
    this.folder = folder;
    const options = { hostname: "127.0.0.1", port: 0, onListen() {}, ...pair };
    this.#server = serve(options, (request) => this.#answer(request));
  }

  static async start(): Promise<StandIn> {
    const { cert, key, ca } = await developmentCertificates();
    const folder = await certificatesFolder();
    const files = {
      "ca.crt": ca,
      "me.crt": cert,
      "me.key": key,
      "lines.txt": "one\ntwo\n",
      "records": "one\0two\n\0",
      "photo.png": "PNG\r\n",
    };
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder.path}/${name}`, text);
    }
    return new StandIn(folder, { cert, key });
  }

  get port(): number {
    return this.#server.addr.port;
  }

  /** The command with this server in the place of example.com. */
  here(command: string): string {
    return command.replaceAll("//example.com/", `//localhost:${this.port}/`);
  }

  /** Runs a command by a shell that knows `client`, and `wscat` by the variable `WSCAT`. */
  async run(
    command: string,
    env: Record<string, string> = {},
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    this.seen = Promise.resolve(undefined);
    const child = new Deno.Command("timeout", {
      args: [
        ...["30", "sh", "-c"],
        `client() { ${shellCommandOf("client:tool", [])} "$@"; }
wscat() { "$WSCAT" "$@"; }
${this.here(command)}`,
      ],
      cwd: this.folder.path,
      clearEnv: true,
      env: {
        ...inheritedVariables(),
        DENO_NO_UPDATE_CHECK: "1",
        NO_COLOR: "1",
        NODE_EXTRA_CA_CERTS: "certs/ca.crt",
        WSS_LANG: "en",
        ...env,
      },
      // wscat leaves at the end of its input.
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const [{ code }, stdout, stderr] = await Promise.all([
      child.status,
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    await child.stdin.close().catch(() => {});
    return { code, stdout, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    await this.folder[Symbol.asyncDispose]();
  }

  #answer(request: Request): Response {
    const path = new URL(request.url).pathname;
    if (path === "/old") return new Response(null, { status: 302, headers: { Location: "/" } });
    const headers = HEADERS.flatMap((name) => {
      const value = request.headers.get(name);
      return value === null ? [] : [[name, value.replaceAll(", ", ",")]];
    });
    const seen: Seen = { path, headers: Object.fromEntries(headers), messages: [] };
    const [protocol] = request.headers.get("Sec-WebSocket-Protocol")?.split(",") ?? [];
    const { socket, response } = upgradeWebSocket(
      request,
      protocol === undefined ? {} : { protocol },
    );
    const ended = Promise.withResolvers<Seen>();
    this.seen = ended.promise;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (path === "/prices") { for (const price of ["12", "13", "14"]) socket.send(price); }
    };
    socket.onmessage = ({ data }) => {
      seen.messages.push(typeof data === "string" ? data : new Uint8Array(data));
      socket.send(data);
      if (data === "subscribe") socket.close(1000);
    };
    socket.onclose = () => ended.resolve(seen);
    return response;
  }
}
