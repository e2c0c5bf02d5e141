/**
 * What `client.ts --load` costs beside the server that it loads, and whether it sees what a load generator in Go
 * sees. Both compare processes that share the CPUs, so they are run by hand, on a machine that does nothing else:
 * `deno test -A tests/extended/load.ts`.
 */

import { assert, assertEquals } from "@std/assert";
import { ServerProcess } from "../../bench/process.ts";
import { main } from "../../client.ts";
import { compileGo, HAS_GORILLA } from "../interop/go.ts";
import { certificatesFolder, projectPath, runHere } from "../programs.ts";
import { extended, ms } from "./extended.ts";

const CONNECTIONS = 1000;
const RATE = 20_000;
const SIZE = 64;
const SECONDS = 10;

/** An echo on `Deno.serve`, over TLS. */
function serveEcho(folder: string): Promise<ServerProcess> {
  const file = projectPath("bench/servers/deno_native.ts");
  return ServerProcess.start([
    Deno.execPath(),
    "run",
    "--no-prompt",
    `--config=${projectPath("deno.json")}`,
    "--allow-net",
    "--allow-read",
    file,
    `${folder}/certs`,
  ]);
}

/** CPU time of another process so far, in milliseconds; the kernel counts in hundredths of a second. */
function cpuTimeOf(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).replace(/^.*\) /s, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** CPU time of this process so far, in milliseconds. */
function ownCpuTime(): number {
  const { user, system } = (globalThis as unknown as {
    process: { cpuUsage(): { user: number; system: number } };
  }).process.cpuUsage();
  return (user + system) / 1000;
}

/** Loads a server from this process. */
async function load(server: ServerProcess, rate: number, seconds: number) {
  const before = { server: cpuTimeOf(server.pid), own: ownCpuTime() };
  const { stdout } = await runHere((output) =>
    main([
      `wss://127.0.0.1:${server.port}/`,
      "--load",
      "--json",
      "--insecure",
      "--compression=off",
      `--connections=${CONNECTIONS}`,
      `--rate=${rate}`,
      `--duration=${seconds}s`,
      `--size=${SIZE}`,
    ], output)
  );
  const { latency, errors } = JSON.parse(stdout.at(-1)!);
  assertEquals(errors, {});
  return {
    latency: latency as { p50: number; p99: number },
    server: cpuTimeOf(server.pid) - before.server,
    own: ownCpuTime() - before.own,
  };
}

extended(
  "client.ts --load needs less CPU time for its messages than the echo of Deno.serve",
  async () => {
    await using folder = await certificatesFolder();
    await using server = await serveEcho(folder.path);
    // What the connections cost is not of the messages.
    const connected = await load(server, 1, 1);
    const loaded = await load(server, RATE, SECONDS);
    const own = loaded.own - connected.own;
    const echo = loaded.server - connected.server;
    console.log(`load: ${ms(own)} of CPU time, the echo's ${ms(echo)}: ${(own / echo).toFixed(2)}`);
    assert(own < echo);
  },
);

extended("client.ts --load tells the p99 that a generator in Go tells, within 15 %", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveEcho(folder.path);
  const generator = await compileGo("load");
  await load(server, RATE, 1);
  const { p99 } = (await load(server, RATE, SECONDS)).latency;
  const args = [
    `-url=wss://127.0.0.1:${server.port}/`,
    `-connections=${CONNECTIONS}`,
    `-rate=${RATE}`,
    `-duration=${SECONDS}s`,
    `-size=${SIZE}`,
  ];
  const { stdout } = await new Deno.Command(generator, { args }).output();
  const go = JSON.parse(new TextDecoder().decode(stdout));
  console.log(`p99: ${ms(p99)}, in Go ${ms(go.p99)}: ${(p99 / go.p99).toFixed(2)}`);
  assert(Math.abs(p99 / go.p99 - 1) <= 0.15);
}, !HAS_GORILLA);
