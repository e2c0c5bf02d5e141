/**
 * One of two processes that an engine joins: by `Topics`, or by the engine's client alone.
 *
 * Arguments: `topics` or `alone`, `nats` or `redis`, the engine's port, and `ask` or `answer`. It writes `ready` once it
 * is connected. One that asks then measures twice, each time when a line comes: first how long a question takes to the
 * other process and back; then it publishes at a rate. One that answers writes how many it has heard when a line comes.
 *
 * @module
 */

// Named here as in topics/nats.ts and topics/redis.ts, and locked in topics/engines.lock.
// deno-lint-ignore-file no-import-prefix

import { connect } from "npm:@nats-io/transport-node@3.4.0";
import { createClient } from "npm:@redis/client@6.3.1";
import { NatsBackplane } from "../../nats.ts";
import { RedisBackplane } from "../../redis.ts";
import { Topics, type TopicSocket } from "../../topics.ts";
import { type Heard, MESSAGE, type Trips } from "../engine.ts";
import { lines } from "../lines.ts";
import { sleep } from "../meter.ts";
import { quantile } from "../statistics.ts";

/** What both ways have in common. */
interface Messenger {
  publish(topic: string, text: string): void;
  subscribe(topic: string, listener: (text: string) => void): Promise<void> | void;
}

/** A socket that is on this process: it hands on what it is sent. */
class LocalSocket extends EventTarget implements TopicSocket {
  readonly readyState = 1;
  readonly bufferedAmount = 0;
  readonly #listener: (text: string) => void;

  constructor(listener: (text: string) => void) {
    super();
    this.#listener = listener;
  }

  send(data: unknown): void {
    this.#listener(data as string);
  }

  close(): void {}
}

async function byTopics(engine: string, port: number): Promise<Messenger> {
  const servers = `${engine}://127.0.0.1:${port}`;
  const Backplane = engine === "nats" ? NatsBackplane : RedisBackplane;
  const topics = new Topics({ backplane: new Backplane({ servers }) });
  while (!topics.stats.isConnected) {
    await new Promise((resolve) => topics.addEventListener("backplane", resolve, { once: true }));
  }
  return {
    publish: (topic, text) => void topics.publish(topic, text),
    subscribe: (topic, listener) => topics.subscribe(new LocalSocket(listener), topic),
  };
}

async function byNats(port: number): Promise<Messenger> {
  const client = await connect({ servers: `nats://127.0.0.1:${port}` });
  return {
    publish: (topic, text) => client.publish(topic, text),
    subscribe(topic, listener) {
      client.subscribe(topic, { callback: (_, message) => listener(message.string()) });
      return client.flush();
    },
  };
}

async function byRedis(port: number): Promise<Messenger> {
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  const listening = client.duplicate();
  await Promise.all([client.connect(), listening.connect()]);
  return {
    publish: (topic, text) => void client.publish(topic, text),
    subscribe: (topic, listener) => listening.subscribe(topic, listener),
  };
}

/** How long questions take to the other process and back, each asked when the last was answered. */
async function ask(messenger: Messenger, milliseconds: number): Promise<Trips> {
  const took: number[] = [];
  let askedAt = 0;
  let answered = () => {};
  await messenger.subscribe("back", () => {
    took.push(performance.now() - askedAt);
    answered();
  });
  const trip = () =>
    new Promise<void>((resolve) => {
      answered = resolve;
      askedAt = performance.now();
      messenger.publish("there", MESSAGE);
    });
  const askFor = async (milliseconds: number) => {
    for (const end = performance.now() + milliseconds; performance.now() < end;) await trip();
  };
  await askFor(milliseconds / 2);
  took.length = 0;
  await askFor(milliseconds);
  // There and back are two ways.
  return { p50: quantile(took, 0.5) / 2, p99: quantile(took, 0.99) / 2 };
}

/** Messages that are published together, and how often, in milliseconds. */
const BATCH = 100;
const INTERVAL = 5;

async function publish(messenger: Messenger, milliseconds: number): Promise<void> {
  const startedAt = performance.now();
  for (let due = 0; due < milliseconds; due += INTERVAL) {
    for (let i = 0; i < BATCH; i++) messenger.publish("load", MESSAGE);
    await sleep(startedAt + due + INTERVAL - performance.now());
  }
}

const [way, engine, port, role, milliseconds] = Deno.args;
const messenger = way === "topics"
  ? await byTopics(engine!, Number(port))
  : await (engine === "nats" ? byNats : byRedis)(Number(port));
const input = lines(Deno.stdin.readable);
let heard = 0;
if (role === "answer") {
  await messenger.subscribe("there", (text) => messenger.publish("back", text));
  await messenger.subscribe("load", () => heard++);
}
console.log("ready");
if (role === "ask") {
  await input.next();
  console.log(JSON.stringify(await ask(messenger, Number(milliseconds)) satisfies Trips));
  await input.next();
  await publish(messenger, Number(milliseconds));
  console.log("published");
}
while (!(await input.next()).done) console.log(JSON.stringify({ heard } satisfies Heard));
Deno.exit();
