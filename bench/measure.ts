/**
 * One measurement: a server or a client is started, loaded, and stopped.
 *
 * @module
 */

import type { ClientJob } from "./client.ts";
import { measureOnce, measurePipe } from "./command.ts";
import { dial, type Endpoint, writeAll } from "./connection.ts";
import { measureEngine } from "./engine.ts";
import type { Job, Outcome } from "./load.ts";
import type { Kind, Load } from "./loads.ts";
import { isBinary } from "./messages.ts";
import type { Stretch } from "./meter.ts";
import { Probe } from "./probe.ts";
import { attack as startAttack, besiege } from "./siege.ts";
import { capture, type Pinning, projectPath, ServerProcess } from "./process.ts";
import { isInWorkers, OURS, type Ready, type Rival, WS_VARIABLES } from "./rivals.ts";

/** A contestant that is here. */
export interface Contestant extends Ready {
  rival: Rival;
}

/** Where it is measured. */
export interface Arena {
  pinning: Pinning;
  /** The folder of the certificate. */
  folder: string;
  /** Who serves while clients are measured. */
  host: Ready;
}

/** The loads of which the contestants are clients, all of the same server. */
const CLIENT_KINDS: ReadonlySet<Kind> = new Set(["client", "once", "pipe"]);

/** Longest time a load may take besides what is measured, and for opening each connection, in milliseconds. */
const LOAD_LIMIT = 60_000;
const OPENING_LIMIT = 20;

/** Measures one contestant under one load, once. */
export async function measure(
  load: Load,
  stretch: Stretch,
  { rival, start, client }: Contestant,
  arena: Arena,
): Promise<Outcome> {
  const { kind, mode, connections, size, depth, batched, upload, tls } = load;
  if (kind === "engine") {
    const way = rival.id === OURS ? "topics" : "alone";
    const pin = (cpu: 0 | 1, command: string[]) => arena.pinning.on(cpu, command);
    const figures = await measureEngine(way, load.engine!, stretch.duration, pin);
    return { figures: { ...figures }, extensions: "" };
  }
  if (kind === "start") return await measureStart(start(load), rival, arena);

  const serve = CLIENT_KINDS.has(kind) ? arena.host.start : start;
  const command = serve(load);
  const pinned = isInWorkers(load) ? command : arena.pinning.on(0, command);
  await using server = await ServerProcess.start(pinned);
  const { pid, port } = server;
  if (kind === "latency" || kind === "fairness") {
    return await measureAnswers(load, stretch, { port, webSocket: rival.webSocket }, arena);
  }
  if (kind === "once" || kind === "pipe") {
    const command = arena.pinning.on(1, client!(load, port));
    const ca = `${arena.folder}/ca.crt`;
    const figures = kind === "once"
      ? await measureOnce(command, ca)
      : await measurePipe(command, Number(size), ca);
    return { figures, extensions: "" };
  }
  const shared = { mode, connections, size, depth, batched, ...stretch };
  if (kind === "client") {
    const job: ClientJob = { kind, client: rival.id, port, ...shared };
    return await run("client.ts", [`--allow-env=${WS_VARIABLES}`], job, arena);
  }
  const endpoint = { port, webSocket: rival.webSocket, tls };
  const job: Job = { kind, endpoint, pid, ...shared, upload };
  return await run("load.ts", ["--allow-run=sh"], job, arena, !isInWorkers(load));
}

async function run(
  file: string,
  permissions: string[],
  job: Job | ClientJob,
  { pinning, folder }: Arena,
  isPinned = true,
): Promise<Outcome> {
  const command = [
    Deno.execPath(),
    "run",
    "--no-prompt",
    `--cert=${folder}/ca.crt`,
    "--allow-net=127.0.0.1",
    ...permissions,
    projectPath(`bench/${file}`),
    JSON.stringify(job),
  ];
  const limit = LOAD_LIMIT + OPENING_LIMIT * job.connections + job.warmUp + job.duration;
  const pinned = isPinned ? pinning.on(1, command) : command;
  return JSON.parse(await capture(pinned, {}, limit));
}

/** Milliseconds that the last answers are waited for. */
const PATIENCE = 2500;

/** What honest peers see of a server, alone or beside others. */
async function measureAnswers(
  { kind, connections, size, parts = 1, interval = 0, attack, attackers = 0 }: Load,
  { duration }: Stretch,
  endpoint: Endpoint,
  { pinning, folder }: Arena,
): Promise<Outcome> {
  const options = {
    ca: `${folder}/ca.crt`,
    pin: (command: string[]) => pinning.on(1, command),
  };
  const job = {
    endpoint,
    connections,
    interval,
    duration,
    patience: PATIENCE,
    size: Number(size),
    binary: isBinary(size),
    parts,
    newcomers: kind === "fairness",
  };
  const start = async () =>
    attack && await startAttack({ endpoint, attack, connections: attackers }, options);
  const { asked, answered, p50, p99, worst, newcomer } = await besiege(job, start, options);
  return { figures: { answered: answered / asked, p50, p99, worst, newcomer }, extensions: "" };
}

/** From before the process is there to the first bytes of its answer to a handshake or request. */
async function measureStart(command: string[], rival: Rival, arena: Arena): Promise<Outcome> {
  const caCerts = [await Deno.readTextFile(`${arena.folder}/ca.crt`)];
  const startedAt = performance.now();
  await using server = await ServerProcess.start(arena.pinning.on(0, command));
  const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  const request = `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n${rival.webSocket ? upgrade : ""}\r\n`;
  using connection = await dial(server.port, caCerts);
  await writeAll(connection, new TextEncoder().encode(request));
  const answer = new Uint8Array(1024);
  const count = await connection.read(answer) ?? 0;
  const start = performance.now() - startedAt;
  const status = new TextDecoder().decode(answer.subarray(0, count)).split("\r\n")[0]!;
  if (!status.startsWith(rival.webSocket ? "HTTP/1.1 101" : "HTTP/1.1 200")) {
    throw new Error(`Cannot measure: the server answered "${status}"`);
  }
  await using probe = new Probe();
  const { resident } = await probe.read(server.pid);
  return { figures: { start, resident }, extensions: "" };
}
