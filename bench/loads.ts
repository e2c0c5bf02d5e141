/**
 * The loads: what the servers and clients are put to, and for how long.
 *
 * @module
 */

import { type Attack, FLOODS } from "./attacker.ts";
import type { Engine } from "./engine.ts";
import type { Mode } from "./frames.ts";
import type { Size } from "./messages.ts";
import type { Stretch } from "./meter.ts";

/** What is measured: a server by the load generator, a server's start, or a client, as a class or a command. */
export type Kind =
  | "echo"
  | "workers"
  | "broadcast"
  | "deliveries"
  | "idle"
  | "handshakes"
  | "start"
  | "client"
  | "latency"
  | "fairness"
  | "http"
  | "once"
  | "pipe"
  | "engine";

/** One load. */
export interface Load {
  /** Names it, on the command line too. */
  id: string;
  kind: Kind;
  mode: Mode;
  /** Sockets that are open, or for handshakes, being opened. */
  connections: number;
  size: Size;
  /** Messages that a connection has on their way. */
  depth: number;
  /** Whether the next messages are sent when all that are on their way are back. */
  batched?: boolean;
  /** The level at which servers compress, where it can be set. */
  level: number;
  /** The curve that this is a point of: ours alone, in one table with the others. */
  curve?: Curve;
  /** Whether only contestants that a target names take part, unless others are asked for. */
  targetsOnly?: boolean;
  /** Messages of an answer, which the server sends 2 ms apart. @default {1} */
  parts?: number;
  /** Milliseconds between the questions of a connection; without, each waits for the last answer. */
  interval?: number;
  /** Whether a short text is answered whatever was sent, so that a bomb's answer is small. */
  reply?: boolean;
  /** What goes on beside the connections that are measured, and on how many others. */
  attack?: Attack;
  attackers?: number;
  /** Bytes of the body of each HTTP request; without, it asks for a body of `size`. */
  upload?: number;
  /** Whether the server speaks TLS. @default {true} */
  tls?: boolean;
  /** What joins two processes. */
  engine?: Engine;
}

/** What is to cost the same however much there is of it. */
export type Curve = "connections" | "idle connections" | "size";

/** How much is measured. */
export interface Plan {
  loads: Load[];
  rounds: number;
  times: Record<Kind, Stretch>;
  /** Whether only what a target speaks of is measured. */
  targetsOnly: boolean;
}

function echo(mode: Mode, size: Size, connections = 50, depth = 1, level = 1): Load {
  const suffix = level === 1 ? "" : `-level${level}`;
  const id = `${mode}-${size}${suffix}-${connections}x${depth}`;
  return { id, kind: "echo", mode, connections, size, depth, level };
}

function client(mode: Mode, size: Size): Load {
  const id = `client-${mode}-${size}`;
  return { id, kind: "client", mode, connections: 50, size, depth: 1, level: 1 };
}

function broadcast(mode: Mode, size: Size, connections: number): Load {
  const many = connections > 1000 ? `${connections}-` : "";
  const id = `broadcast-${many}${mode}-${size}`;
  return { id, kind: "broadcast", mode, connections, size, depth: 1, level: 1 };
}

function idle(mode: Mode, connections: number): Load {
  return {
    id: `idle-${mode}-${connections}`,
    kind: "idle",
    mode,
    connections,
    size: 512,
    depth: 1,
    level: 1,
  };
}

/** A load that no picture shows. */
function targetsOnly(load: Load): Load {
  return { ...load, targetsOnly: true };
}

/** How promptly a server answers, alone or beside others that keep it busy. */
function latency(name: string, size: Size, others: Partial<Load> = {}): Load {
  const id = `latency-${name}`;
  return {
    id,
    kind: "latency",
    mode: "plain",
    connections: 1,
    size,
    depth: 1,
    level: 1,
    ...others,
  };
}

/** How promptly a server answers while it is attacked. */
function fairness(attack: Attack, answer: "echo" | "reply"): Load {
  const bombs = attack.startsWith("bombs");
  return {
    id: `fairness-${attack}-${answer}`,
    kind: "fairness",
    mode: bombs ? "no-context" : "plain",
    connections: 50,
    size: 64,
    depth: 1,
    level: 1,
    interval: 100,
    reply: answer === "reply",
    attack,
    attackers: bombs ? 100 : 1,
  };
}

/** Answers to one connection; and messages that timers send, while others leave the server no rest. */
const LATENCIES = [
  latency("parts", 64, { parts: 3 }),
  latency("65536", 65_536),
  latency("busy", 64, { parts: 3, connections: 10, interval: 100, attack: "busy", attackers: 40 }),
];

/** In two of them, peers are attacked as well. */
const ATTACKS = [
  ...FLOODS.map((attack) =>
    attack === "tiny" ? fairness(attack, "echo") : targetsOnly(fairness(attack, "echo"))
  ),
  targetsOnly(fairness("bombs-text", "reply")),
  targetsOnly(fairness("bombs-binary", "reply")),
  fairness("bombs-text", "echo"),
  targetsOnly(fairness("bombs-binary", "echo")),
];

/** HTTP beside the WebSockets: one request after another on each of the kept connections. */
function http(name: string, tls: boolean, upload?: number): Load {
  return {
    id: `http-${name}-${tls ? "tls" : "tcp"}`,
    kind: "http",
    mode: "plain",
    connections: 50,
    size: upload === undefined ? 1024 : 64,
    depth: 1,
    level: 1,
    tls,
    ...upload !== undefined && { upload },
  };
}

const REQUESTS = [http("get", false), http("get", true), http("upload", true, 65_536)];

/** The client as a command: one message from its start to its exit, and lines through a pipe. */
const ONCE: Load = {
  id: "once",
  kind: "once",
  mode: "plain",
  connections: 1,
  size: 64,
  depth: 1,
  level: 1,
};

const PIPES = (["plain", "context"] as const).map((mode): Load => ({
  id: `pipe-${mode}`,
  kind: "pipe",
  mode,
  connections: 1,
  size: 100,
  depth: 1,
  level: 1,
}));

/** From one process to another, over an engine. */
const ENGINES = (["nats", "redis"] as const).map((engine): Load => ({
  id: `engine-${engine}`,
  kind: "engine",
  mode: "plain",
  connections: 1,
  size: 200,
  depth: 1,
  level: 1,
  engine,
}));

/** Large, and alike: much to do for the server, and few bytes for the load generator beside it. */
const WORKERS: Load = {
  id: "workers",
  kind: "workers",
  mode: "no-context",
  connections: 64,
  size: "reports",
  depth: 1,
  level: 1,
};

/** Small, and to few enough that what is not read yet fits into the system's buffers. */
const DELIVERIES: Load = {
  id: "deliveries",
  kind: "deliveries",
  mode: "plain",
  connections: 500,
  size: 200,
  depth: 1,
  level: 1,
};

/** So many are opened at once that a server waits for none of them, whatever else it waits for. */
const HANDSHAKES: Load = {
  id: "handshakes",
  kind: "handshakes",
  mode: "plain",
  connections: 128,
  size: 64,
  depth: 1,
  level: 1,
};

const START: Load = {
  id: "start",
  kind: "start",
  mode: "plain",
  connections: 1,
  size: 64,
  depth: 1,
  level: 1,
};

/** One load for every row of the targets. */
const TARGETED = [
  echo("plain", 64),
  targetsOnly({ ...echo("plain", 64, 50, 16), id: "batched-64-50x16", batched: true }),
  echo("plain", 64, 50, 16),
  echo("plain", 4096),
  echo("plain", 65_536),
  echo("plain", 262_144),
  echo("no-context", 512),
  echo("no-context", 4096),
  targetsOnly(echo("no-context", "events")),
  echo("context", "events"),
  targetsOnly(echo("no-context", "events", 50, 1, 3)),
  targetsOnly(echo("context", "events", 50, 1, 3)),
];

/** The run of two minutes: shows that it works, and what is grossly wrong. */
export const QUICK: Plan = {
  loads: [
    ...TARGETED,
    broadcast("no-context", 4096, 250),
    idle("no-context", 250),
    HANDSHAKES,
    START,
    WORKERS,
    DELIVERIES,
    client("plain", 64),
    ...LATENCIES,
    fairness("empty", "echo"),
    http("get", true),
    ONCE,
  ],
  rounds: 2,
  times: {
    echo: { warmUp: 300, duration: 300 },
    workers: { warmUp: 300, duration: 700 },
    broadcast: { warmUp: 300, duration: 300 },
    deliveries: { warmUp: 300, duration: 500 },
    idle: { warmUp: 300, duration: 700 },
    handshakes: { warmUp: 300, duration: 300 },
    start: { warmUp: 0, duration: 0 },
    client: { warmUp: 300, duration: 300 },
    latency: { warmUp: 0, duration: 1000 },
    fairness: { warmUp: 0, duration: 2000 },
    http: { warmUp: 300, duration: 300 },
    once: { warmUp: 0, duration: 0 },
    pipe: { warmUp: 0, duration: 0 },
    engine: { warmUp: 0, duration: 1000 },
  },
  targetsOnly: true,
};

/** What is to cost the same however many connections there are, and however long the messages. */
const CURVES: Load[] = [
  ...[10, 100, 1000, 5000].map((connections): Load => ({
    ...echo("no-context", 512, connections),
    curve: "connections",
  })),
  ...[10, 100, 1000, 5000].map((connections): Load => ({
    ...idle("no-context", connections),
    curve: "idle connections",
  })),
  ...[1, 4, 16, 64, 256, 1024, 4096, 16_384].map((size): Load => ({
    ...echo("plain", 1024 * size, 1),
    curve: "size",
  })),
].map((load) => ({ ...load, id: `curve-${load.id}` }));

/** The run of half an hour and some minutes. */
export const DEFAULT: Plan = {
  loads: [
    ...TARGETED,
    echo("plain", 512),
    echo("plain", 512, 1000),
    broadcast("plain", 200, 1000),
    broadcast("no-context", 4096, 1000),
    targetsOnly(broadcast("plain", 200, 10_000)),
    idle("no-context", 2000),
    HANDSHAKES,
    START,
    WORKERS,
    DELIVERIES,
    client("plain", 64),
    ...LATENCIES,
    ...ATTACKS,
    ...REQUESTS,
    ONCE,
    ...PIPES,
    ...ENGINES,
    ...CURVES,
  ],
  rounds: 5,
  times: {
    echo: { warmUp: 600, duration: 500 },
    workers: { warmUp: 500, duration: 1500 },
    broadcast: { warmUp: 500, duration: 1000 },
    deliveries: { warmUp: 300, duration: 600 },
    idle: { warmUp: 500, duration: 1000 },
    handshakes: { warmUp: 300, duration: 600 },
    start: { warmUp: 0, duration: 0 },
    client: { warmUp: 300, duration: 600 },
    latency: { warmUp: 0, duration: 1500 },
    fairness: { warmUp: 0, duration: 2000 },
    http: { warmUp: 500, duration: 600 },
    once: { warmUp: 0, duration: 0 },
    pipe: { warmUp: 0, duration: 0 },
    engine: { warmUp: 0, duration: 1000 },
  },
  targetsOnly: false,
};

/** Bytes on their way at once, more than which would measure the kernel's buffers. */
const MAX_IN_FLIGHT = 64 * 1024 * 1024;

/** Every combination of mode, connections, size and messages in flight that a machine can hold. */
function* matrix(): Generator<Load> {
  for (const mode of ["plain", "no-context", "context"] as const) {
    for (const connections of [1, 50, 1000]) {
      for (const size of [64, 512, 4096, 262_144]) {
        for (const depth of [1, 16]) {
          if (connections * size * depth > MAX_IN_FLIGHT) continue;
          yield echo(mode, size, connections, depth);
        }
      }
    }
  }
}

/** The run of some hours: everything. */
export const FULL: Plan = {
  ...DEFAULT,
  loads: [
    ...new Map(
      [
        ...DEFAULT.loads,
        ...matrix(),
        echo("plain", 64, 1),
        echo("no-context", 512, 1000),
        client("plain", 4096),
        client("no-context", 512),
        idle("plain", 1000),
        idle("context", 1000),
        broadcast("context", 4096, 1000),
        broadcast("plain", 512, 1000),
      ].map((load) => [load.id, load]),
    ).values(),
  ],
};

/** Whether `name` is the whole of an id, or what it begins with up to a hyphen. */
export function isNamed(id: string, name: string): boolean {
  return id === name || id.startsWith(`${name}-`);
}

const MODES: Record<Mode, string> = {
  "plain": "plain",
  "no-context": "compressed without context",
  "context": "compressed with context",
};

const ATTACK_NAMES: Record<Attack, string> = {
  "empty": "empty text",
  "tiny": "text of 1 B",
  "pings": "pings",
  "fragments": "fragments of 1 B",
  "bombs-text": "bombs of 16 MiB, text",
  "bombs-binary": "bombs of 16 MiB, binary",
  "busy": "4 KiB",
  "broadcast": "200 B to all of them",
  "unread": "64 KiB, whose answers are not read",
};

const ENGINE_NAMES: Record<Engine, string> = { nats: "NATS", redis: "Redis" };

const UNITS = ["B", "KiB", "MiB"];

/** How many bytes, in words: `4 KiB`. */
function sizeText(size: Size): string {
  if (size === "events") return "JSON events";
  if (size === "reports") return "JSON reports of 64 KiB";
  let unit = 0;
  let count = size;
  for (; count >= 1024 && count % 1024 === 0 && unit < UNITS.length - 1; unit++) count /= 1024;
  return `${count} ${UNITS[unit]}`;
}

/** A load in words. */
export function titleOf(load: Load): string {
  const { kind, mode, connections, size, depth, level, batched, attack } = load;
  const many = new Intl.NumberFormat("en").format(connections);
  const sockets = `${many} connection${connections === 1 ? "" : "s"}`;
  const flight = depth === 1 ? "ping-pong" : `${depth} in flight${batched ? ", batched" : ""}`;
  switch (kind) {
    case "echo": {
      const how = mode === "plain" || level === 1
        ? MODES[mode]
        : `${MODES[mode]} at level ${level}`;
      return `${sizeText(size)}, ${how}, ${sockets}, ${flight}`;
    }
    case "workers":
      return `Workers: ${sizeText(size)}, ${MODES[mode]}, ${sockets}, on both CPUs`;
    case "client":
      return `Client: ${sizeText(size)}, ${MODES[mode]}, ${sockets}, ${flight}`;
    case "broadcast":
      return `Broadcast: ${sizeText(size)}, ${MODES[mode]}, ${sockets}`;
    case "deliveries":
      return `Workers: broadcast of ${sizeText(size)}, ${MODES[mode]}, ${sockets}, on both CPUs`;
    case "idle":
      return `Idle: ${MODES[mode]}, ${sockets}`;
    case "handshakes":
      return `Handshakes, ${many} at once`;
    case "start":
      return "Start to first answer";
    case "latency": {
      const { parts = 1, attackers } = load;
      const how = parts === 1 ? "echo" : `answered in ${parts} messages 2 ms apart`;
      const beside = attack === undefined ? "" : `, beside ${attackers} that echo without a pause`;
      return `Latency: ${sizeText(size)}, ${how}, ${sockets}${beside}`;
    }
    case "http": {
      const { upload, tls } = load;
      const what = upload === undefined
        ? `GET of ${sizeText(size)}`
        : `POST of ${sizeText(upload)}`;
      return `HTTP: ${what}, ${tls ? "TLS" : "TCP"}, ${sockets} kept`;
    }
    case "engine":
      return `From process to process over ${ENGINE_NAMES[load.engine!]}: ${sizeText(size)}`;
    case "once":
      return "Client as a command: one message, from its start to its exit";
    case "pipe":
      return `Client as a command: lines of ${sizeText(size)} through a pipe, ${
        mode === "plain" ? "plain" : "from a server that compresses"
      }`;
    case "fairness": {
      const { attackers, reply } = load;
      const threat = attack!.startsWith("bombs") ? "send" : "floods:";
      return `Fairness: ${sockets} at 100 ms, while ${attackers} ${threat} ${
        ATTACK_NAMES[attack!]
      }, ${reply ? "reply" : "echo"}`;
    }
  }
}
