/**
 * A user's machine: a clone of the project, a home, and a path on which the commands of the documents are found.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { type HttpServer, serve, upgradeWebSocket } from "../../mod.ts";
import { writeCertificates } from "../../certs/generate.ts";
import {
  denoDir,
  developmentCertificates,
  type Ending,
  Folder,
  freePort,
  freshClone,
  Program,
} from "../programs.ts";

/** A port of a document, which may be taken here. */
export const PORT =
  /(?<=--port=|--metrics=|_PORT=|localhost:|127\.0\.0\.1:|0\.0\.0\.0:|\[::\]:|\bporta? |\bport: )\d{4,5}\b/g;

/** Stands for `npx`: there is a Deno, so that none is downloaded. */
const NPX = `#!/bin/sh
case "$1 $2" in
"-y deno@"*) shift 2; exec deno "$@" ;;
*) echo "Only npx -y deno@VERSION is known here" >&2; exit 1 ;;
esac
`;

/** A file that a message is read from, by its name in a command. */
const MESSAGE_FILE = /--message=@([\w.]+)/g;

/** What does not end by itself, or takes long, and what stands for it here. */
const ENDLESS: [RegExp, string][] = [
  [/tail -f \S+/g, "printf 'one\\ntwo\\n'"],
  [/--stdin(?!.*--(?:count|wait)=)/g, "--stdin --wait=100ms"],
  [/--(drain|spread)=\d+s/g, "--$1=100ms"],
  [/--load(?!.*--duration=)/g, "--load --duration=1s"],
  [/(\/\/example\.com\/)( --follow)(?!.*--(?:count|duration)=)/g, "$1prices$2 --count=3"],
];

/** A clone with what a user has around it. */
export class Workshop implements AsyncDisposable {
  readonly #clone: Folder;
  readonly #home = new Folder();
  readonly #variables: Record<string, string>;
  readonly #example: HttpServer<Deno.NetAddr>;
  /** The ports of a block, and those that stand for them. */
  readonly #ports = new Map<string, number>();

  #isInstalled = false;

  private constructor(clone: Folder, cache: string, pair: { cert: string; key: string }) {
    this.#clone = clone;
    const home = this.#home.path;
    this.#variables = {
      HOME: home,
      DENO_DIR: cache,
      DENO_INSTALL_ROOT: "",
      XDG_DATA_HOME: "",
      XDG_STATE_HOME: "",
      PATH: `${home}/bin:${home}/.deno/bin:${Deno.env.get("PATH")}`,
    };
    const options = { hostname: "127.0.0.1", port: 0, onListen() {}, ...pair };
    this.#example = serve(options, example);
  }

  static async open(): Promise<Workshop> {
    const [clone, cache, certificates] = await Promise.all([
      freshClone([]),
      denoDir(),
      developmentCertificates(),
    ]);
    const workshop = new Workshop(clone, cache, certificates);
    const home = workshop.#home.path;
    await Deno.mkdir(`${home}/bin`);
    await Deno.symlink(Deno.execPath(), `${home}/bin/deno`);
    await Deno.writeTextFile(`${home}/bin/npx`, NPX, { mode: 0o755 });
    // The installed programs have those of the tests too.
    await writeCertificates(`${home}/.local/share/permessage-deflate`, certificates);
    await Deno.writeTextFile(`${clone.path}/me.crt`, certificates.cert);
    await Deno.writeTextFile(`${clone.path}/me.key`, certificates.key);
    return workshop;
  }

  /** The folder of the clone. */
  get path(): string {
    return this.#clone.path;
  }

  /** The port that stands for one of a document. */
  portFor(port: string): number {
    if (!this.#ports.has(port)) this.#ports.set(port, freePort());
    return this.#ports.get(port)!;
  }

  /** Makes ready for a block: its ports are new, and the certificates those of the tests. */
  async prepare(): Promise<void> {
    this.#ports.clear();
    await writeCertificates(`${this.path}/certs`, await developmentCertificates());
  }

  /** A command of a document with what is here in the places of what is there. */
  here(command: string): string {
    let text = command;
    for (const [endless, ending] of ENDLESS) text = text.replaceAll(endless, ending);
    return text
      .replaceAll(/\[URL\]|\bURL\b/g, "wss://localhost:8443/ws")
      // A client that is told no URL connects to port 8443.
      .replaceAll(
        /\b(?:task client(?::\w+)?|wss-client|client\.ts)\b(?![^|;&]*(?:wss?:\/\/|--help|--version|-V))/g,
        "$& wss://localhost:8443/ws",
      )
      .replaceAll("192.0.2.1", "127.0.0.1")
      .replaceAll(/(?<=--(?:cert|key)=)\/\S+\//g, "certs/")
      .replaceAll(PORT, (port) => String(this.portFor(port)))
      .replaceAll("//example.com/", `//localhost:${this.#example.addr.port}/`);
  }

  /** Starts a command. */
  start(command: string): Program {
    for (const [, name] of command.matchAll(MESSAGE_FILE)) {
      const path = `${this.path}/${name}`;
      if (!existsSync(path)) Deno.writeTextFileSync(path, '{"order":7}\n');
    }
    return new Program("bash", ["-c", this.here(command)], {
      cwd: this.path,
      env: { WSS_PORT: String(this.portFor("8443")), ...this.#variables },
      isShell: true,
    });
  }

  /** Installs `wss-server` and `wss-client`. */
  async install(): Promise<void> {
    if (this.#isInstalled) return;
    const { code, stderr } = await this.run("deno task install");
    if (code !== 0) throw new Error(stderr.join("\n"));
    this.#isInstalled = true;
  }

  /** Runs a command to its end. */
  async run(command: string): Promise<Ending> {
    await using program = this.start(command);
    return await program.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#example.shutdown();
    await this.#home[Symbol.asyncDispose]();
    await this.#clone[Symbol.asyncDispose]();
  }
}

/** Stands for example.com: sends back what comes, and three prices at `/prices`. */
function example(request: Request): Response {
  const { socket, response } = upgradeWebSocket(request);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    if (new URL(request.url).pathname !== "/prices") return;
    for (const price of [12, 13, 14]) socket.send(JSON.stringify({ price }));
  };
  socket.onmessage = ({ data }) => socket.send(data);
  return response;
}

/** Whether there is a program of others. */
export function isThere(program: string): boolean {
  try {
    return new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" })
      .outputSync().code < 126;
  } catch {
    return false;
  }
}
