/**
 * Peers that behave: each asks a question at intervals, and counts how long its answers take. Beside
 * them one client after another connects anew.
 *
 * Started by `siege.ts` with an {@linkcode HonestJob} in JSON as its argument. Prints `ready` when all
 * are connected, measures once a line comes, and prints {@linkcode HonestFigures} in JSON.
 *
 * @module
 */

import { AnswerCounter } from "./answers.ts";
import { connect, type Endpoint } from "./connection.ts";
import { lines } from "./lines.ts";
import { sleep } from "./meter.ts";
import { quantile } from "./statistics.ts";
import { BINARY, TEXT, wireFrame } from "./wire.ts";

/** What the peers are to do. */
export interface HonestJob {
  endpoint: Endpoint;
  connections: number;
  /** Milliseconds between the questions of a peer; with 0, it asks when the last one is answered. */
  interval: number;
  /** Milliseconds in which questions are asked. */
  duration: number;
  /** Milliseconds that the last answers are waited for. */
  patience: number;
  /** Bytes of a question. */
  size: number;
  /** Whether questions are binary. */
  binary: boolean;
  /** Messages that make one answer. */
  parts: number;
  /** Whether others connect meanwhile, one after another. */
  newcomers: boolean;
}

/** What came of it; all times in milliseconds. An answer that did not come counts with its age. */
export interface HonestFigures {
  asked: number;
  answered: number;
  p50: number;
  p99: number;
  worst: number;
  /** Clients that were let in, and the longest that one waited. */
  newcomers: number;
  newcomer: number;
}

/** One peer. */
class Peer {
  asked = 0;
  /** How long each answer took. */
  readonly latencies: number[] = [];
  /** When each question was asked that has no answer yet. */
  readonly #open: number[] = [];
  readonly #connection: Deno.Conn;
  readonly #question: Uint8Array;
  readonly #parts: number;
  #writing = Promise.resolve();
  /** Called with each answer. */
  onanswer = () => {};

  constructor(connection: Deno.Conn, question: Uint8Array, parts: number) {
    this.#connection = connection;
    this.#question = question;
    this.#parts = parts;
    // A peer that is cut off gets no further answers: that is what is counted.
    this.#listen().catch(() => {});
  }

  ask(): void {
    this.asked++;
    this.#open.push(performance.now());
    this.#writing = this.#writing.then(() => this.#write()).catch(() => {});
  }

  /** The ages of the questions that have no answer. */
  ages(now: number): number[] {
    return this.#open.map((askedAt) => now - askedAt);
  }

  async #write(): Promise<void> {
    const bytes = this.#question;
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }

  async #listen(): Promise<void> {
    const counter = new AnswerCounter();
    const buffer = new Uint8Array(64 * 1024);
    let messages = 0;
    for (;;) {
      const count = await this.#connection.read(buffer);
      if (count === null) return;
      messages += counter.push(buffer, count);
      for (; messages >= this.#parts; messages -= this.#parts) {
        this.latencies.push(performance.now() - this.#open.shift()!);
        this.onanswer();
      }
    }
  }
}

/** Asks at intervals, or with each answer, until `end`. */
async function askUntil(end: number, interval: number, delay: number, peer: Peer): Promise<void> {
  await sleep(delay);
  if (interval === 0) {
    peer.onanswer = () => {
      if (performance.now() < end) peer.ask();
    };
    peer.ask();
    return await sleep(end - performance.now());
  }
  const startedAt = performance.now();
  for (let i = 1; performance.now() < end; i++) {
    peer.ask();
    await sleep(startedAt + i * interval - performance.now());
  }
}

/** Pause between newcomers, in milliseconds. */
const PAUSE = 100;

/** Connects again and again until `end`. Returns how long each took. */
async function comeAnew(endpoint: Endpoint, end: number, patience: number): Promise<number[]> {
  const took: number[] = [];
  while (performance.now() < end) {
    const startedAt = performance.now();
    const entered = connect(endpoint, "plain").then(({ connection }) => {
      connection.close();
      return true;
    }, () => false);
    const left = end + patience - startedAt;
    const isIn = await Promise.race([entered, sleep(left).then(() => false)]);
    // One that was refused has not come in at all.
    took.push(isIn ? performance.now() - startedAt : left);
    await sleep(PAUSE);
  }
  return took;
}

async function run(job: HonestJob, go: Promise<unknown>): Promise<HonestFigures> {
  const { endpoint, connections, interval, duration, patience, size, binary, parts } = job;
  const question = wireFrame(binary ? BINARY : TEXT, "q".repeat(size));
  const peers: Peer[] = [];
  for (let i = 0; i < connections; i++) {
    const { connection } = await connect(endpoint, "plain");
    peers.push(new Peer(connection, question, parts));
  }
  console.log("ready");
  await go;

  const end = performance.now() + duration;
  const asking = peers.map((peer, i) => askUntil(end, interval, i * interval / connections, peer));
  const coming = job.newcomers ? comeAnew(endpoint, end, patience) : [];
  await Promise.all(asking);
  const isDone = () => peers.every((peer) => peer.latencies.length === peer.asked);
  while (!isDone() && performance.now() < end + patience) await sleep(10);

  const now = performance.now();
  const latencies = peers.flatMap((peer) => peer.latencies);
  const all = [...latencies, ...peers.flatMap((peer) => peer.ages(now))];
  const newcomers = await coming;
  return {
    asked: all.length,
    answered: latencies.length,
    p50: quantile(all, 0.5),
    p99: quantile(all, 0.99),
    worst: quantile(all, 1),
    newcomers: newcomers.length,
    newcomer: Math.max(0, ...newcomers),
  };
}

if (import.meta.main) {
  const input = lines(Deno.stdin.readable);
  console.log(JSON.stringify(await run(JSON.parse(Deno.args[0]!), input.next())));
  // The peers are still connected.
  Deno.exit();
}
