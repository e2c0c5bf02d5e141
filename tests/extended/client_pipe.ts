/** What `client.ts --stdin` holds of a long input when the server is slow. */

import { assert } from "@std/assert";
import { certificatesFolder, commandOf, serveRaw } from "../programs.ts";
import { extended, MIB, wait } from "./extended.ts";

/** What goes through: whole pieces. */
const TOTAL = 200 * 1_024_000;

/** A piece of the input: lines of 100 bytes, line end included. */
const PIECE = new TextEncoder().encode(`${"x".repeat(99)}\n`.repeat(10_240));

/** Most bytes of input that may be under way: what the network and the pipe hold, and a few MiB. */
const MOST_UNDER_WAY = 16 * MIB;

/** Most memory of the whole process: Deno itself, its garbage, and a few MiB. */
const MOST_MEMORY = 320 * MIB;

/** The most memory that a process has had, in bytes. Deno itself reads that with all permissions alone. */
async function peakMemory(pid: number): Promise<number> {
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/status`] }).output();
  const status = new TextDecoder().decode(stdout);
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
}

/** The client, fed with {@linkcode TOTAL} bytes. */
class FedClient implements AsyncDisposable {
  readonly child: Deno.ChildProcess;
  /** How many bytes it has taken. */
  taken = 0;
  readonly #fed: Promise<void>;

  constructor(url: string, cwd: string, ...flags: string[]) {
    this.child = new Deno.Command(Deno.execPath(), {
      args: [...commandOf("client"), url, "--stdin", ...flags],
      cwd,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#fed = this.#feed();
  }

  async #feed(): Promise<void> {
    const writer = this.child.stdin.getWriter();
    while (this.taken < TOTAL) {
      await writer.write(PIECE);
      this.taken += PIECE.length;
    }
    await writer.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await Promise.allSettled([this.#fed, this.child.stdout.cancel(), this.child.status]);
  }
}

/** Waits until nothing more is taken for two seconds. */
async function stalled(client: FedClient): Promise<void> {
  for (let before = -1; before !== client.taken;) {
    before = client.taken;
    await wait(2000);
  }
}

extended("client.ts --stdin reads no further than the server", async () => {
  await using folder = await certificatesFolder();
  const done = Promise.withResolvers<void>();
  await using server = await serveRaw(async (peer) => {
    await peer.accept();
    await done.promise;
  });
  const url = `wss://127.0.0.1:${server.port}/`;
  await using client = new FedClient(url, folder.path, "--wait=60s");
  await stalled(client);
  const held = client.taken;
  done.resolve();
  const memory = await peakMemory(client.child.pid);
  console.log(`taken while stalled: ${held / MIB} MiB; memory: ${Math.round(memory / MIB)} MiB`);
  assert(held > 0 && held < MOST_UNDER_WAY, `${held} bytes`);
  assert(memory < MOST_MEMORY, `${memory} bytes`);
});
