/**
 * Orders of events: calls of the API, handlers, and a network that does what it likes.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { prepare, type WebSocket } from "../../mod.ts";
import type { Connection } from "../../transport/connection.ts";
import { Accepted, open, socketLimits, WebSocket as Socket } from "../../websocket/socket.ts";
import {
  BINARY,
  CLOSE,
  closePayload,
  codec,
  concat,
  deflated,
  frame,
  NO_CONTEXT,
  PING,
  PONG,
  readFrames,
  RSV1,
  TEXT,
} from "../protocol/driver.ts";
import { checkWritten } from "./frames.ts";
import type { Random } from "./random.ts";

const COMPRESSED = deflated("compressed");

/** A connection of which the test is the network. */
class Network implements Connection {
  readonly remoteAddr: Deno.Addr = { transport: "tcp", hostname: "127.0.0.1", port: 1 };
  /** All that was written. */
  readonly written: Uint8Array[] = [];
  /** Whether a write was lost, so that the last frame may not be whole. */
  broken = false;
  closed = false;
  /** Whether writes wait. */
  stuck = false;
  readonly #random: Random;
  #arrived: Uint8Array[] = [];
  #ended = false;
  #wake: PromiseWithResolvers<void> | undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  async read(into: Uint8Array): Promise<number | null> {
    assert(into.length > 0, "a read without room");
    for (;;) {
      this.#check();
      const chunk = this.#arrived[0];
      if (chunk !== undefined) {
        const count = Math.min(chunk.length, into.length, 1 + this.#random.below(400));
        into.set(chunk.subarray(0, count));
        if (count === chunk.length) this.#arrived.shift();
        else this.#arrived[0] = chunk.subarray(count);
        return count;
      }
      if (this.#ended) return null;
      await this.#change();
    }
  }

  async write(from: Uint8Array): Promise<number> {
    assert(from.length > 0, "a write of nothing");
    while (this.stuck && !this.closed) await this.#change();
    if (this.closed) this.broken = true;
    this.#check();
    const count = 1 + this.#random.below(from.length);
    this.written.push(from.slice(0, count));
    if (this.#random.one(3)) await Promise.resolve();
    return count;
  }

  async closeWrite(): Promise<void> {
    await Promise.resolve();
    this.#check();
  }

  close(): void {
    this.#check();
    this.closed = true;
    this.#changed();
  }

  arrive(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#arrived.push(bytes);
    this.#changed();
  }

  end(): void {
    this.#ended = true;
    this.#changed();
  }

  /** Lets everything that waits look again. */
  #changed(): void {
    this.#wake?.resolve();
    this.#wake = undefined;
  }

  release(): void {
    this.stuck = false;
    this.#changed();
  }

  #change(): Promise<void> {
    this.#wake ??= Promise.withResolvers();
    return this.#wake.promise;
  }

  #check(): void {
    if (this.closed) throw new Deno.errors.BadResource("Bad resource ID");
  }
}

/** What calls of the API may throw, whenever they come. */
function allowed(error: unknown): boolean {
  return error instanceof DOMException || error instanceof RangeError || error instanceof TypeError;
}

/** Sockets whose messages go to `readable`: one that nobody reads holds the end up for ten seconds. */
const read = new WeakSet<WebSocket>();

/** Calls the API once. What it promises may be broken: the connection may end. */
function call(random: Random, socket: WebSocket): void {
  const { send, ignore } = {
    send: (data: Parameters<WebSocket["send"]>[0]) =>
      socket.send(data, { compress: random.one(2) }),
    ignore: (promise: Promise<unknown>) => void promise.catch(() => {}),
  };
  switch (random.below(16)) {
    case 0:
    case 1:
    case 2:
      return send(random.text(300));
    case 3:
    case 4:
      return send(random.bytes(random.length(300)));
    case 5:
      return send(new Blob([random.bytes(random.below(100))]));
    case 6:
      return send(prepare(random.text(200)));
    case 7:
    case 8:
      return ignore(socket.ping(random.one(4) ? "x".repeat(random.below(140)) : undefined));
    case 9:
      if (random.one(3)) socket.close(random.pick([1000, 1001, 1005, 3000, 4999, 5000]), "why");
      return;
    case 10:
      if (random.one(5)) socket.terminate();
      return;
    case 11:
      if (random.one(3)) {
        read.add(socket);
        const reader = socket.readable.getReader();
        const count = random.below(3);
        ignore((async () => {
          for (let i = 0; i < count; i++) await reader.read();
          if (random.one(2)) await reader.cancel();
        })());
      }
      return;
    case 12: {
      if (!random.one(3)) return;
      const writer = socket.writable.getWriter();
      ignore(writer.closed);
      ignore(writer.ready);
      ignore(writer.write(random.text(100)));
      if (random.one(3)) ignore(random.one(2) ? writer.close() : writer.abort());
      return;
    }
    case 13:
      socket.onmessage = random.one(2) ? null : ({ data }) => socket.send(data);
      return;
    case 14:
      socket.onmessage = async ({ data }) => {
        await Promise.resolve();
        socket.send(data);
      };
      return;
    default:
      socket.binaryType = random.pick(["blob", "arraybuffer"]);
  }
}

/** The network does one thing. */
function happen(random: Random, network: Network): void {
  const whole = random.pick([
    () => frame("server", TEXT, random.text(200)),
    () => frame("server", BINARY, random.bytes(random.length(300))),
    () => frame("server", TEXT, COMPRESSED, { rsv: RSV1 }),
    () => frame("server", PING, random.bytes(random.below(20))),
    () => frame("server", PONG, "1"),
    () => frame("server", TEXT, "part", { fin: false }),
    () => frame("server", CLOSE, closePayload(random.pick([1000, 1001, 4000]), "bye")),
    () => random.mutated(frame("server", TEXT, random.text(50))),
  ])();
  switch (random.below(10)) {
    case 0:
      if (random.one(3)) network.end();
      break;
    case 1:
      network.stuck = true;
      break;
    case 2:
      network.release();
      break;
    case 3:
      network.arrive(concat(whole, whole.slice(0, random.below(whole.length + 1))));
      break;
    default:
      network.arrive(whole);
  }
}

/** Longest wait for an end, in milliseconds. */
const END_MS = 4000;

/**
 * Whatever is called and whatever arrives, in any order: calls throw nothing but what is documented;
 * `open` comes first, `error` at most once and right before `close`, `close` once and last; nothing is
 * said to be unsent that never was given; what goes out are whole frames, a Close frame the last; once
 * the peer has gone or the socket is terminated, it ends.
 */
export async function events(random: Random): Promise<void> {
  const compresses = random.one(2);
  const limits = socketLimits({
    maxMessageSize: 500,
    highWaterMark: random.pick([0, 100, 65536]),
    maxBufferedAmount: random.pick([500, 1 << 20]),
    maxPingsPerSecond: random.pick([0, 1, 100]),
  }, "server");
  const deflate = compresses ? codec("server", NO_CONTEXT) : undefined;
  const socket = new Socket(new Accepted("ws://localhost/", "", "", deflate, limits));
  const network = new Network(random);
  const seen: string[] = [];
  const closed = Promise.withResolvers<void>();
  for (const type of ["open", "message", "error", "close", "drain", "pong"]) {
    socket.addEventListener(type, () => {
      seen.push(type);
      if (type === "close") closed.resolve();
    });
  }
  const attempt = () => {
    try {
      call(random, socket);
    } catch (error) {
      if (!allowed(error)) throw error;
    }
    assert(socket.bufferedAmount >= 0 && Number.isFinite(socket.bufferedAmount));
  };

  const steps = 2 + random.below(20);
  const opensAt = random.below(3);
  for (let step = 0; step < steps; step++) {
    if (step === opensAt) open(socket, network, new Uint8Array());
    if (random.one(2)) attempt();
    else happen(random, network);
    if (random.one(3)) await Promise.resolve();
    else if (random.one(6)) await new Promise((resolve) => queueMicrotask(() => resolve(null)));
  }
  if (steps <= opensAt) open(socket, network, new Uint8Array());
  network.release();
  network.end();
  if (random.one(2) || read.has(socket)) socket.terminate();

  const timer = setTimeout(() => closed.reject(new Error(`No end: ${seen}`)), END_MS);
  try {
    await closed.promise;
  } finally {
    clearTimeout(timer);
  }
  await Promise.resolve();
  assertEquals(socket.readyState, socket.CLOSED);
  assert(network.closed, "the connection is still open");
  const count = (type: string) => seen.filter((name) => name === type).length;
  assert(count("open") <= 1 && count("close") === 1 && count("error") <= 1, seen.join());
  assert(count("open") === 0 || seen[0] === "open", seen.join());
  assertEquals(seen.at(-1), "close");
  assert(count("error") === 0 || seen.at(-2) === "error", seen.join());
  attempt();

  const written = concat(...network.written);
  try {
    checkWritten(readFrames(written), "server");
  } catch (error) {
    // What was cut off in a write has no end.
    const cut = error instanceof Error && error.message === "a frame is cut off";
    if (!cut) throw error;
  }
}
