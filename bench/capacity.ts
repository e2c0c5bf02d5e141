/**
 * What a deployment takes: prints, for so many sockets, rooms and messages, how many processes and how much memory,
 * network and load of an engine that is. The formula is in `docs/scale.md`.
 *
 * `deno run bench/capacity.ts --sockets=1000000 --rooms=10000 --messages-per-second=2000 --size=300`
 *
 * @module
 */

import { helpText, integer, parseFlags, toggle } from "../cli/flags.ts";
import { type Output, terminal } from "../cli/output.ts";
import { runProgram } from "../cli/program.ts";

/** What is to be served. Every socket is in one room. */
export interface Demand {
  sockets: number;
  rooms: number;
  /** Messages that are published each second, in all rooms together. */
  messagesPerSecond: number;
  /** Bytes of a message as it is sent, after compression. */
  size: number;
}

/**
 * What each thing costs. CPU time is in microseconds, memory and network in bytes. Two cores, TLS on loopback, Deno
 * 2.9.6; measure again on the machines that are to be used.
 */
export const COSTS = {
  /** To send a message to a socket. `Topics`, 200 B to 500 sockets, the least of 30 rounds, 2026-12-01. */
  delivery: 33,
  /** More of it for each KiB. The same with 1.8 KB on the wire, 2026-12-01. */
  deliveryPerKiB: 4,
  /** To receive a message. A 64 B echo, so with its answer: `bench/PROFILES.md`, 2026-11-27. */
  receipt: 16.7,
  /** To take a message from an engine. The most that is allowed for NATS and Redis. */
  arrival: 15,
  /** A ping and its pong. As a receipt. */
  lifeSign: 16.7,
  /** Milliseconds between these for a silent socket: a third of `idleTimeout`, which is 30 s by default. */
  lifeSignInterval: 10_000,
  /** A process without sockets. The load `start` of `bench/results.json`, 2026-11-27. */
  process: 50e6,
  /** A socket. The bound of `tests/extended/memory.ts`, 2026-12-01. */
  socket: 46_000,
  /** A topic with a subscriber. `tests/extended/memory.ts`, 2026-12-01. */
  topic: 91,
  /** Around a message to a socket: a record of TLS (22), and a segment of TCP over IPv4 and Ethernet (66). */
  around: 22 + 66,
  /** Around a message to an engine: the envelope (15), its topic and the engine's own header. */
  aroundEngine: 15 + 60,
};

/** The share of a CPU that a process is to use on average, so that bursts find room. */
const USE = 0.6;

/** Sockets of a process at most: with more, it takes long to come back after one is lost. */
const SOCKETS_PER_PROCESS = 50_000;

/** What it takes. */
export interface Capacity {
  /** Processes of one thread, each with a CPU of its own. */
  processes: number;
  /** CPUs that are busy, in all processes together. */
  cpus: number;
  /** Bytes of all processes. */
  memory: number;
  /** Messages to sockets each second. */
  deliveries: number;
  /** Bytes that are sent to sockets each second. */
  network: number;
  /** Messages that the engine takes and gives each second, and bytes of both together. */
  engineIn: number;
  engineOut: number;
  engineBytes: number;
}

/** What a demand takes with so many processes. */
export function capacityOf(demand: Demand, processes: number, costs = COSTS): Capacity {
  const { sockets, rooms, messagesPerSecond, size } = demand;
  const perRoom = sockets / rooms;
  const deliveries = messagesPerSecond * perRoom;
  // The share of the processes that have a socket of a room: those of a room are spread evenly by chance.
  const share = 1 - (1 - 1 / processes) ** perRoom;
  const isAlone = processes === 1;
  const arrivals = isAlone ? 0 : messagesPerSecond * processes * share;
  const microseconds = deliveries * (costs.delivery + costs.deliveryPerKiB * size / 1024) +
    messagesPerSecond * costs.receipt +
    arrivals * costs.arrival +
    sockets / (costs.lifeSignInterval / 1000) * costs.lifeSign;
  const topics = rooms * processes * share;
  const engineIn = isAlone ? 0 : messagesPerSecond;
  return {
    processes,
    cpus: microseconds / 1e6,
    memory: processes * costs.process + sockets * costs.socket + topics * costs.topic,
    deliveries,
    network: deliveries * (size + headerBytes(size) + costs.around),
    engineIn,
    engineOut: arrivals,
    engineBytes: (engineIn + arrivals) * (size + costs.aroundEngine),
  };
}

/** What a demand takes with the fewest processes that are not too busy. */
export function capacity(demand: Demand, costs = COSTS): Capacity {
  const suffices = (processes: number) =>
    capacityOf(demand, processes, costs).cpus <= processes * USE;
  let most = Math.max(1, Math.ceil(demand.sockets / SOCKETS_PER_PROCESS));
  let least = most;
  while (!suffices(most)) {
    least = most + 1;
    most *= 2;
  }
  while (least < most) {
    const middle = Math.floor((least + most) / 2);
    if (suffices(middle)) most = middle;
    else least = middle + 1;
  }
  return capacityOf(demand, most, costs);
}

/** Bytes of the header of a frame that a server sends (RFC 6455 section 5.2). */
function headerBytes(size: number): number {
  return size < 126 ? 2 : size < 65_536 ? 4 : 10;
}

const MOST = 10_000_000;

const flags = {
  sockets: integer("N", 10_000, 1, MOST),
  rooms: integer("N", 100, 1, MOST),
  "messages-per-second": integer("N", 100, 0, MOST),
  size: integer("BYTES", 200, 0, 16 * 1024 * 1024),
  processes: integer("N", 0, 0, MOST),
  help: toggle("h"),
};

const descriptions: Record<keyof typeof flags, string> = {
  sockets: "sockets that are open, each in one room",
  rooms: "rooms",
  "messages-per-second": "messages that are published, in all rooms together",
  size: "bytes of a message as it is sent, after compression",
  processes: "so many processes; 0 for the fewest that are not too busy",
  help: "this help",
};

const count = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** The answer in words. */
function report(found: Capacity): string {
  const { processes, cpus, memory, deliveries, network, engineIn, engineOut, engineBytes } = found;
  const lines = [
    [
      "processes",
      `${count.format(processes)}, each ${count.format(100 * cpus / processes)} % busy`,
    ],
    ["CPUs busy", count.format(cpus)],
    ["memory", `${count.format(memory / 1e9)} GB`],
    ["deliveries", `${count.format(deliveries)} a second`],
    ["network", `${count.format(network * 8 / 1e6)} Mbit a second to sockets`],
    [
      "engine",
      engineIn === 0 ? "none is needed" : `${count.format(engineIn)} messages a second in, ` +
        `${count.format(engineOut)} out, ${count.format(engineBytes * 8 / 1e6)} Mbit a second`,
    ],
  ];
  return lines.map(([name, text]) => `${name!.padEnd(10)}  ${text}`).join("\n");
}

/** Prints what a demand takes; returns the exit code. */
export function main(args: string[], output: Output): Promise<number> {
  // deno-lint-ignore require-await
  return runProgram(["--lang=en"], output, async (messages) => {
    const options = parseFlags(flags, args, messages, 0, () => undefined);
    if (options.help) {
      output.out(
        helpText("deno run bench/capacity.ts: what a deployment takes", flags, descriptions),
      );
      return 0;
    }
    const { sockets, rooms, size, processes, "messages-per-second": messagesPerSecond } = options;
    const demand = { sockets, rooms, messagesPerSecond, size };
    output.out(report(processes === 0 ? capacity(demand) : capacityOf(demand, processes)));
    return 0;
  });
}

if (import.meta.main) Deno.exit(await main(Deno.args, terminal));
