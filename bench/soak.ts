/**
 * An hour of everyday life against the library's server in a process of its own: clients that come and go and
 * send messages of every size, rooms, requests with bodies, connections that are lost and come back all at
 * once, and attackers. Prints memory, file descriptors and what was answered each minute. Fails when an answer
 * is wrong or does not come.
 *
 * `deno run --allow-net=127.0.0.1 --allow-run --allow-read --allow-write --allow-env bench/soak.ts --minutes=60`
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { deadline } from "@std/async/deadline";
import { mib, Victim } from "../tests/attacks.ts";
import { closed, next, opened } from "../tests/websocket/peers.ts";
import { FLOODS } from "./attacker.ts";
import { dial, writeAll } from "./connection.ts";
import { sleep } from "./meter.ts";
import { attack } from "./siege.ts";
import { TEXT, wireFrame } from "./wire.ts";

/** Most minutes: a day. */
const MOST_MINUTES = 24 * 60;

const MINUTE_MS = 60_000;

/** Longest wait for an answer: attackers have connections on the same two cores. */
const ANSWER_MS = 60_000;

/** Clients of each kind that are there at a time. */
const TALKERS = 40;
const ROOMS = 8;
const MEMBERS = 5;
const REQUESTERS = 8;

/** Sockets that are cut off together and come back together. */
const RETURNING = 100;

/** Longest pause of a client between two messages or requests. */
const PAUSE_MS = 300;

/** Attackers at a time, and how long each attack goes on. */
const ATTACKERS = 8;
const ATTACK_MS = 15_000;

/** Memory and descriptors are read for the last time when the last handshake has run into its limit. */
const SETTLING_MS = 12_000;

const { minutes: given } = parseArgs(Deno.args, { string: ["minutes"] });
const minutes = Math.min(Number(given ?? 60), MOST_MINUTES);
if (!(minutes > 0)) {
  console.error("Cannot soak: --minutes must be a number over 0");
  Deno.exit(2);
}

const end = performance.now() + minutes * MINUTE_MS;
await using victim = await Victim.start(
  { tls: true, serve: { maxConnections: 1000 } },
  (minutes + 5) * MINUTE_MS,
);
const caCerts = [victim.ca];
const descriptorsBefore = victim.descriptors();

/** What was done and answered so far. */
const done = { connections: 0, messages: 0, room: 0, requests: 0, returns: 0, attacks: 0 };
/** The longest wait for an answer since the last line of the report, in milliseconds. */
let worst = 0;

const isOver = () => performance.now() >= end;

/** Between `least` and `most`, each size as likely as its double. */
function anySize(least: number, most: number): number {
  return Math.floor(least * (most / least) ** Math.random());
}

async function timed<T>(answer: Promise<T>): Promise<T> {
  const start = performance.now();
  const value = await deadline(answer, ANSWER_MS);
  worst = Math.max(worst, performance.now() - start);
  return value;
}

/** Sends a text and awaits it back. */
async function ask(socket: WebSocket, text: string): Promise<void> {
  const answer = next(socket, "message");
  socket.send(text);
  if ((await timed(answer)).data !== text) throw new Error("The answer is another");
}

/** Ends a socket: one in five without a closing handshake. */
async function leave(socket: Awaited<ReturnType<typeof opened>>): Promise<void> {
  if (Math.random() >= 0.2) return void await timed(closed(socket));
  const gone = next(socket, "close");
  socket.terminate();
  await gone;
}

/** One client after another, each with a few messages. */
async function talk(): Promise<void> {
  while (!isOver()) {
    const socket = await timed(opened(victim.url, { caCerts, compression: Math.random() < 0.8 }));
    done.connections++;
    for (let count = 1 + Math.random() * 200; count > 0 && !isOver(); count--) {
      const size = anySize(10, 100_000);
      await ask(socket, `${count} `.repeat(size / 4).slice(0, size));
      done.messages++;
      await sleep(PAUSE_MS * Math.random());
    }
    await leave(socket);
  }
}

/** One member of a room after another: its messages must come back to it, in order, among those of the others. */
async function meet(room: number, member: number): Promise<void> {
  while (!isOver()) {
    const socket = await timed(opened(`${victim.url}room/${room}`, { caCerts }));
    done.connections++;
    const own = `${member}:`;
    let received = 0;
    let heard = Promise.withResolvers<void>();
    socket.onmessage = ({ data }) => {
      done.room++;
      if (!data.startsWith(own)) return;
      if (data.startsWith(`${own}${received++} `)) heard.resolve();
      else heard.reject(new Error("A message of the room is missing or in another place"));
    };
    for (let count = 0; count < 300 && !isOver(); count++) {
      heard = Promise.withResolvers();
      socket.send(`${own}${count} ${"x".repeat(anySize(1, 4000))}`);
      await timed(heard.promise);
      await sleep(PAUSE_MS * Math.random());
    }
    await leave(socket);
  }
}

/** Requests with a body that is sent back; one in ten is given up before its answer. */
async function request(): Promise<void> {
  using client = Deno.createHttpClient({ caCerts });
  const url = victim.url.replace("wss", "https");
  while (!isOver()) {
    const body = new Uint8Array(anySize(1, 1_000_000)).fill(Math.random() * 256);
    const isGivenUp = Math.random() < 0.1;
    const signal = isGivenUp ? AbortSignal.timeout(5) : null;
    try {
      const response = await timed(fetch(url, { method: "POST", body, client, signal }));
      const answer = await timed(response.bytes());
      if (answer.length !== body.length || answer.some((byte) => byte !== body[0])) {
        throw new Error("The body that came back is another");
      }
      done.requests++;
    } catch (error) {
      if (!isGivenUp) throw error;
    }
    await sleep(PAUSE_MS * Math.random());
  }
}

/** Sockets that are lost all at once, and connect again all at once, as behind a network that failed. */
async function comeBack(): Promise<void> {
  while (!isOver()) {
    const sockets = await timed(Promise.all(
      Array.from({ length: RETURNING }, () => opened(victim.url, { caCerts })),
    ));
    await Promise.all(sockets.map((socket) => ask(socket, "back")));
    done.returns += sockets.length;
    const gone = sockets.map((socket) => next(socket, "close"));
    for (const socket of sockets) socket.terminate();
    await Promise.all(gone);
    await sleep(MINUTE_MS / 4);
  }
}

/** Does something to `ATTACKERS` TLS connections, and holds them for the time of an attack. */
async function assail(harm: (connection: Deno.TlsConn) => Promise<unknown>): Promise<void> {
  const stop = performance.now() + ATTACK_MS;
  await Promise.all(Array.from({ length: ATTACKERS }, async () => {
    while (performance.now() < stop) {
      // The server may refuse the connection, cut it off, or stop reading: all are right.
      const connection = await dial(victim.port, caCerts).catch(() => undefined);
      if (connection === undefined) continue;
      const closing = setTimeout(() => connection.close(), Math.max(stop - performance.now(), 0));
      await harm(connection).catch(() => {});
      clearTimeout(closing);
      try {
        connection.close();
      } catch {
        // Closed at the end of the attack.
      }
    }
  }));
}

const HANDSHAKE =
  "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const write = (connection: Deno.Conn, text: string) =>
  writeAll(connection, new TextEncoder().encode(text));

/** Reads to the end. */
async function drain(connection: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  while (await connection.read(buffer) !== null);
}

/** What hostile peers do, one kind after another. */
const ATTACKS: (() => Promise<void>)[] = [
  ...([...FLOODS, "bombs-text", "bombs-binary", "unread"] as const).map((kind) => async () => {
    const job = {
      endpoint: { port: victim.port, webSocket: true },
      attack: kind,
      connections: ATTACKERS,
    };
    await using _attackers = await attack(job, { ca: victim.caFile });
    await sleep(ATTACK_MS);
  }),
  // A head that never ends.
  () =>
    assail(async (connection) => {
      await write(connection, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n");
      await drain(connection);
    }),
  // A body that never ends.
  () =>
    assail(async (connection) => {
      await write(
        connection,
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nhalf",
      );
      await drain(connection);
    }),
  // Bytes that are no HTTP, and bytes that are no frames.
  () =>
    assail(async (connection) => {
      if (Math.random() < 0.5) await write(connection, HANDSHAKE);
      await writeAll(connection, crypto.getRandomValues(new Uint8Array(anySize(1, 60_000))));
      await drain(connection);
    }),
  // A message that never ends.
  () =>
    assail(async (connection) => {
      await write(connection, HANDSHAKE);
      await writeAll(connection, wireFrame(TEXT, "x".repeat(1_000_000), { fin: false }));
      await drain(connection);
    }),
];

async function harm(): Promise<void> {
  for (let i = 0; !isOver(); i++) {
    await ATTACKS[i % ATTACKS.length]!();
    done.attacks++;
    await sleep(ATTACK_MS / 3);
  }
}

async function report(): Promise<void> {
  const started = end - minutes * MINUTE_MS;
  console.log(row(["minute", "memory", "descriptors", ...Object.keys(done), "worst ms"]));
  for (let minute = 0; minute <= minutes; minute++) {
    await sleep(Math.max(started + minute * MINUTE_MS - performance.now(), 0));
    const memory = mib(await victim.collected());
    console.log(
      row([minute, memory, victim.descriptors(), ...Object.values(done), Math.ceil(worst)]),
    );
    worst = 0;
  }
}

function row(cells: (string | number)[]): string {
  return cells.map((cell) => String(cell).padEnd(11)).join("  ").trimEnd();
}

try {
  await Promise.all([
    report(),
    harm(),
    comeBack(),
    ...Array.from({ length: TALKERS }, talk),
    ...Array.from({ length: REQUESTERS }, request),
    ...Array.from({ length: ROOMS * MEMBERS }, (_, i) => meet(i % ROOMS, Math.floor(i / ROOMS))),
  ]);
} catch (error) {
  console.error("Failed:", error);
  await victim[Symbol.asyncDispose]();
  Deno.exit(1);
}
await sleep(SETTLING_MS);
const descriptors = victim.descriptors();
console.log(`at the end: ${mib(await victim.collected())}, ${descriptors} descriptors`);
// One is of the connection by which its memory was asked for.
if (descriptors > descriptorsBefore + 1) {
  console.error(`Descriptors were left open: ${descriptors}, at the start ${descriptorsBefore}`);
  Deno.exitCode = 1;
}
