/**
 * Attacks on a server, and what they are measured by: a server in a process of its own, its memory and
 * file descriptors, and a client that behaves and must be served meanwhile.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { deflateRawSync } from "node:zlib";
import type { ServeTcpOptions } from "../mod.ts";
import {
  developmentCertificates,
  Folder,
  Program,
  projectPath,
  v8FlagsOf,
  variablesOf,
} from "./programs.ts";
import { BINARY, frame, RSV1 } from "./protocol/driver.ts";
import { closed, next, opened, RawClient } from "./websocket/peers.ts";

/** How a {@linkcode victim} serves. */
export interface VictimOptions {
  /** By `Deno.serve`, for comparison. */
  native?: boolean;
  tls?: boolean;
  idleTimeout?: number;
  /** A network namespace to run in; its address is 10.213.77.2. */
  namespace?: string;
  /** Whether it prints how each socket ended. */
  tell?: boolean;
  /** Whether a text is answered in three messages, 2 ms apart. */
  parts?: boolean;
  /** Options of `serve`. */
  serve?: ServeTcpOptions;
  /** Most file descriptors that it may have. */
  descriptors?: number;
}

/** A server in a process of its own. */
export class Victim implements AsyncDisposable {
  private constructor(
    readonly program: Program,
    readonly pid: number,
    readonly port: number,
    readonly url: string,
    readonly ca: string,
    readonly folder: Folder,
  ) {}

  static async start(options: VictimOptions = {}, limitMs?: number): Promise<Victim> {
    const { native = false, tls = false, idleTimeout = 30, namespace, tell = false } = options;
    const { parts = false, serve = {}, descriptors } = options;
    const host = namespace === undefined ? "127.0.0.1" : "10.213.77.2";
    const folder = new Folder();
    const made = await developmentCertificates();
    await Deno.writeTextFile(`${folder.path}/server.crt`, made.cert);
    await Deno.writeTextFile(`${folder.path}/server.key`, made.key);
    await Deno.writeTextFile(`${folder.path}/ca.crt`, made.ca);
    const inside = namespace === undefined ? [] : ["ip", "netns", "exec", namespace];
    const limited = descriptors === undefined
      ? []
      : ["bash", "-c", `ulimit -n ${descriptors}; exec "$@"`, "bash"];
    const [file, ...args] = [
      ...inside,
      ...limited,
      Deno.execPath(),
      "run",
      `--config=${projectPath("deno.json")}`,
      "--no-prompt",
      // As the task has it, and to collect garbage when asked to.
      `${v8FlagsOf("serve")},--expose-gc`,
      `--allow-net=${host}`,
      "--allow-read=.",
      "--allow-sys",
      projectPath("tests/extended/server.ts"),
      ...native ? ["native"] : [],
      ...tls ? ["tls"] : [],
      `idle=${idleTimeout}`,
      `host=${host}`,
      ...tell ? ["tell"] : [],
      ...parts ? ["parts"] : [],
      `serve=${JSON.stringify(serve)}`,
    ];
    const program = new Program(file!, args, {
      cwd: folder.path,
      env: variablesOf("serve"),
      ...limitMs !== undefined && { limitMs },
    });
    const port = Number(await program.stdout.next());
    const url = `${tls ? "wss" : "ws"}://${host}:${port}/`;
    return new Victim(program, program.pid, port, url, made.ca, folder);
  }

  /** Lets it serve a client that behaves, so that what is measured later is the attack's alone. */
  async warmUp(): Promise<number> {
    const client = await opened(this.url, { caCerts: [this.ca] });
    for (let i = 0; i < 300; i++) {
      client.send(new Uint8Array(64 * 1024).fill(i));
      await next(client, "message");
    }
    await closed(client);
    return await this.collected();
  }

  /** A line of `/proc/PID/status` in bytes: `VmRSS` is the memory held now, `VmHWM` the most so far. */
  memory(field: "VmRSS" | "VmHWM"): number {
    const status = output("cat", `/proc/${this.pid}/status`);
    return 1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)![1]);
  }

  /** Its memory after a garbage collection. */
  async collected(): Promise<number> {
    await this.#collect();
    return this.memory("VmRSS");
  }

  /** What its engine has in use after a garbage collection: that memory less what is kept for later. */
  async used(): Promise<number> {
    const { heapUsed, external } = await this.#collect();
    return heapUsed + external;
  }

  async #collect(): Promise<Deno.MemoryUsage> {
    using client = Deno.createHttpClient({ caCerts: [this.ca] });
    const url = this.url.replace("ws", "http") + "memory";
    return await (await fetch(url, { client })).json();
  }

  /** Whether its process is there. */
  isAlive(): boolean {
    return output("cat", `/proc/${this.pid}/status`).includes("VmRSS");
  }

  /** The file of the authority that its certificate is of. */
  get caFile(): string {
    return `${this.folder.path}/ca.crt`;
  }

  /** Its open file descriptors. */
  descriptors(): number {
    return descriptorsOf(this.pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

/** The open file descriptors of a process. */
export function descriptorsOf(pid: number): number {
  return output("ls", `/proc/${pid}/fd`).trimEnd().split("\n").length;
}

/** What a command writes: Deno itself reads nothing below `/proc` unless it is allowed everything. */
function output(command: string, ...args: string[]): string {
  return new TextDecoder().decode(new Deno.Command(command, { args }).outputSync().stdout);
}

/** Bytes as MiB, for people. */
export function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

/**
 * Runs an attack while a client asks again and again, each time anew on its connection.
 *
 * @returns The longest that it waited for an answer, in milliseconds.
 */
export async function served(
  url: string,
  attack: () => Promise<void>,
  caCerts: string[] = [],
): Promise<number> {
  const client = await opened(url, { caCerts });
  const lost = next<CloseEvent>(client, "close").then(({ code }) => {
    throw new Error(`The client that behaves was cut off: ${code}`);
  });
  lost.catch(() => {});
  let attacking = true;
  let longest = 0;
  let asked = 0;
  const asking = (async () => {
    while (attacking || asked === 0) {
      const start = performance.now();
      const answer = next(client, "message");
      client.send(`question ${asked}`);
      assertEquals((await Promise.race([answer, lost])).data, `question ${asked++}`);
      longest = Math.max(longest, performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  try {
    await attack();
  } finally {
    attacking = false;
    await asking;
    await closed(client);
  }
  return longest;
}

/**
 * Clients that send as fast as they can, and never read.
 *
 * @param meanwhile Done at the end, while they are still there.
 */
export async function sendWithoutReading(
  port: number,
  count: number,
  ms: number,
  meanwhile: () => void | Promise<void> = () => {},
): Promise<void> {
  const clients = await Promise.all(
    Array.from({ length: count }, () => RawClient.open(port)),
  );
  const message = frame("server", BINARY, new Uint8Array(64 * 1024));
  const writing = clients.map(async (client) => {
    try {
      for (;;) await client.write(message);
    } catch {
      // Closed below, or cut off.
    }
  });
  await new Promise((resolve) => setTimeout(resolve, ms));
  await meanwhile();
  for (const client of clients) client.connection.close();
  await Promise.all(writing);
}

/** Sends one message that decompresses to a thousand times its size. Returns the close code. */
export async function sendBomb(port: number, size: number): Promise<number> {
  const payload = deflateRawSync(new Uint8Array(size), { level: 9 });
  assert(size / payload.length > 900);
  using client = await RawClient.open(port, "permessage-deflate");
  await client.write(frame("server", BINARY, payload, { rsv: RSV1 }));
  const head = await client.bytes(4);
  return head[2]! << 8 | head[3]!;
}
