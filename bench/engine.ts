/**
 * Two processes that NATS or Redis joins: how long a message takes from one to the other, and what it costs to receive.
 *
 * @module
 */

import { sleep } from "./meter.ts";
import { Probe } from "./probe.ts";
import { Background, capture, Helper, projectPath } from "./process.ts";

/** What is published: 200 B. */
export const MESSAGE = "m".repeat(200);

/** One way from process to process, in milliseconds. */
export interface Trips {
  p50: number;
  p99: number;
}

/** How many messages one that answers has heard. */
export interface Heard {
  heard: number;
}

/** An engine. */
export type Engine = "nats" | "redis";

/** Where Debian has the engines. */
const SERVERS: Record<Engine, string> = {
  nats: "/usr/sbin/nats-server",
  redis: "/usr/bin/redis-server",
};

const HOST = "127.0.0.1";

/** What runs in the two processes, with the engines' clients. */
const PROGRAM = projectPath("bench/engines/process.ts");
const FLAGS = ["--frozen", `--config=${projectPath("topics/engines.json")}`];

/** Downloads the engines' clients, and returns the versions of the engines. Throws when one is not there. */
export async function prepareEngines(): Promise<string> {
  const versions = [];
  for (const path of Object.values(SERVERS)) {
    const text = await capture([path, "--version"]);
    versions.push(/v=?(\d[\d.]*)/.exec(text)?.[1] ?? text);
  }
  await capture([Deno.execPath(), "cache", ...FLAGS, PROGRAM]);
  return `NATS ${versions[0]}, Redis ${versions[1]}`;
}

function commandOf(engine: Engine, port: number): string[] {
  return engine === "nats"
    ? [SERVERS.nats, "-a", HOST, "-p", String(port)]
    : [SERVERS.redis, "--bind", HOST, "--port", String(port), "--save", "", "--appendonly", "no"];
}

/** Longest wait for an engine to listen, and pause between two attempts, in milliseconds. */
const START_LIMIT = 10_000;
const PAUSE = 50;

/** Longest life of a process. */
const LIMIT = 60_000;

/** A port that nobody listens on. */
function freePort(): number {
  using listener = Deno.listen({ hostname: HOST, port: 0 });
  return listener.addr.port;
}

async function listening(port: number): Promise<void> {
  for (const end = performance.now() + START_LIMIT;;) {
    try {
      return (await Deno.connect({ hostname: HOST, port })).close();
    } catch (error) {
      if (performance.now() > end) throw error;
      await sleep(PAUSE);
    }
  }
}

/** Measures two processes that are joined by `Topics`, or by the engine's client alone. */
export async function measureEngine(
  way: "topics" | "alone",
  engine: Engine,
  milliseconds: number,
  pin: (cpu: 0 | 1, command: string[]) => string[],
): Promise<Trips & { cpu: number; rate: number }> {
  const port = freePort();
  await using _server = new Background(pin(0, commandOf(engine, port)));
  await listening(port);
  const start = (cpu: 0 | 1, role: string) => {
    const args = [way, engine, String(port), role, String(milliseconds)];
    const command = [Deno.execPath(), "run", "--no-prompt", "-A", ...FLAGS, PROGRAM, ...args];
    return new Helper(pin(cpu, command), LIMIT);
  };
  await using answering = start(1, "answer");
  await answering.line("ready");
  await using asking = start(0, "ask");
  await asking.line("ready");
  await asking.tell();
  const trips: Trips = JSON.parse(await asking.line());

  await using probe = new Probe();
  const hear = async () => {
    await answering.tell();
    const { heard }: Heard = JSON.parse(await answering.line());
    return { heard, cpu: (await probe.read(answering.pid)).cpu };
  };
  const before = await hear();
  const startedAt = performance.now();
  await asking.tell();
  await asking.line("published");
  const after = await hear();
  const seconds = (performance.now() - startedAt) / 1000;
  const count = after.heard - before.heard;
  if (count === 0) throw new Error("Cannot measure: no message came");
  return { ...trips, cpu: (after.cpu - before.cpu) / count, rate: count / seconds };
}
