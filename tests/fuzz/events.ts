/**
 * Orders of events: calls of the API, handlers, and a network that does what it likes.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { prepare, type WebSocket } from "../../mod.ts";
import type { Connection, Receiver } from "../../transport/connection.ts";
import { socketLimits } from "../../websocket/options.ts";
import { Session } from "../../websocket/session.ts";
import { acceptedSocket } from "../../websocket/websocket.ts";
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

/** Where what comes lies: used again for each piece, as the network's buffer is. */
const shared = new Uint8Array(64 * 1024);

/** A connection of which the test is the network. */
class Network implements Connection {
  readonly remoteAddr: Deno.Addr = { transport: "tcp", hostname: "127.0.0.1", port: 1 };
  receiver!: Receiver;
  /** All that was written. */
  readonly written: Uint8Array[] = [];
  closed = false;
  /** Whether writes wait. */
  stuck = false;
  readonly #random: Random;
  #arrived: Uint8Array[] = [];
  #reading = false;
  #peerEnded = false;
  #toldEnd = false;
  /** What is being written, and a copy of it from when that began. */
  #writing: { bytes: Uint8Array; copy: Uint8Array } | undefined;
  #delivering = false;

  constructor(random: Random) {
    this.#random = random;
  }

  resume(): void {
    this.#reading = true;
    this.#deliver();
  }

  pause(): void {
    this.#reading = false;
  }

  write(bytes: Uint8Array): boolean {
    assert(bytes.length > 0, "a write of nothing");
    assert(this.#writing === undefined, "a write while another is under way");
    if (this.closed) return false;
    this.#writing = { bytes, copy: bytes.slice() };
    if (!this.stuck && this.#random.one(2)) {
      this.#take();
      return true;
    }
    queueMicrotask(() => this.#finishWrite());
    return false;
  }

  #take(): void {
    const { bytes, copy } = this.#writing!;
    assertEquals(bytes, copy, "bytes were changed while they were written");
    this.written.push(copy);
    this.#writing = undefined;
  }

  #finishWrite(): void {
    if (this.#writing === undefined || this.stuck || this.closed) return;
    this.#take();
    this.receiver.onWritten();
  }

  end(): void {
    assert(this.#writing === undefined || this.closed || this.stuck, "an end inside a write");
  }

  destroy(): void {
    if (this.closed) return;
    this.closed = true;
    queueMicrotask(() => this.receiver.onClose(undefined));
  }

  arrive(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#arrived.push(bytes);
    queueMicrotask(() => this.#deliver());
  }

  peerEnds(): void {
    this.#peerEnded = true;
    queueMicrotask(() => this.#deliver());
  }

  /** Hands over what has arrived, in pieces, several of them in one task now and then. */
  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    while (this.#reading && !this.closed && this.#arrived.length > 0) {
      const chunk = this.#arrived[0]!;
      const count = Math.min(chunk.length, 1 + this.#random.below(400));
      shared.set(chunk.subarray(0, count));
      if (count === chunk.length) this.#arrived.shift();
      else this.#arrived[0] = chunk.subarray(count);
      this.receiver.onBytes(shared.subarray(0, count));
      shared.fill(0xaa, 0, count);
      if (this.#random.one(3)) {
        queueMicrotask(() => this.#deliver());
        break;
      }
    }
    this.#delivering = false;
    const over = this.#peerEnded && this.#arrived.length === 0;
    if (over && this.#reading && !this.#toldEnd && !this.closed) {
      this.#toldEnd = true;
      this.receiver.onEnd();
    }
  }

  release(): void {
    this.stuck = false;
    this.#finishWrite();
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
      if (random.one(3)) network.peerEnds();
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
  const session = new Session("server", limits);
  session.agree("", "", deflate);
  const socket = acceptedSocket(session, "ws://localhost/");
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
    if (step === opensAt) session.start(network, new Uint8Array());
    if (random.one(2)) attempt();
    else happen(random, network);
    if (random.one(3)) await Promise.resolve();
    else if (random.one(6)) await new Promise((resolve) => queueMicrotask(() => resolve(null)));
  }
  if (steps <= opensAt) session.start(network, new Uint8Array());
  network.release();
  network.peerEnds();
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
