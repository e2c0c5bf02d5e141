/**
 * A session over a connection in memory: the test decides what comes, when, and what the network takes.
 *
 * @module
 */

import type { WebSocket } from "../../mod.ts";
import type { Connection, Receiver } from "../../transport/connection.ts";
import { socketLimits, type SocketOptions } from "../../websocket/options.ts";
import { Session } from "../../websocket/session.ts";
import { acceptedSocket } from "../../websocket/websocket.ts";
import { codec, concat, type Frame, NO_CONTEXT, readFrames } from "../protocol/driver.ts";

/** Where what comes lies: used again for each piece, as the network's buffer is. */
const shared = new Uint8Array(64 * 1024);

/** A connection of which the test is the network. */
export class Network implements Connection {
  readonly remoteAddr: Deno.Addr;
  receiver!: Receiver;
  /** Whether the network takes what is written at once; otherwise a write waits for `take`. */
  takes = true;
  reading = false;
  ended = false;
  destroyed = false;
  readonly #written: Uint8Array[] = [];
  /** What is being written, and a copy of it from when that began. */
  #pending: { bytes: Uint8Array; copy: Uint8Array } | undefined;

  constructor(hostname = "127.0.0.1") {
    this.remoteAddr = { transport: "tcp", hostname, port: 1 };
  }

  /** The frames that were written. */
  get frames(): Frame[] {
    return readFrames(concat(...this.#written));
  }

  /** Whether a write is under way. */
  get isWriting(): boolean {
    return this.#pending !== undefined;
  }

  resume(): void {
    this.reading = true;
  }

  pause(): void {
    this.reading = false;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#pending !== undefined) throw new Error("A write while another is under way");
    if (this.destroyed) return false;
    this.#pending = { bytes, copy: bytes.slice() };
    if (!this.takes) return false;
    this.#take();
    return true;
  }

  #take(): void {
    const { bytes, copy } = this.#pending!;
    if (bytes.length !== copy.length || bytes.some((byte, i) => byte !== copy[i])) {
      throw new Error("Bytes were changed while they were written");
    }
    this.#pending = undefined;
    this.#written.push(copy);
  }

  /** The network takes the write that waits. */
  take(): void {
    this.#take();
    this.receiver.onWritten();
  }

  end(): void {
    this.ended = true;
  }

  destroy(error?: Error): void {
    if (this.destroyed) return;
    this.destroyed = true;
    setTimeout(() => this.receiver.onClose(error), 0);
  }

  /** Bytes come, whether or not the session reads. */
  arrive(bytes: Uint8Array): void {
    shared.set(bytes);
    this.receiver.onBytes(shared.subarray(0, bytes.length));
    shared.fill(0xaa, 0, bytes.length);
  }
}

/** A server's socket over a network of the test. */
export interface Served {
  session: Session;
  socket: WebSocket;
  network: Network;
}

/** Makes a server's socket; it opens when its session starts. */
export function served(
  options: SocketOptions = {},
  { compressed = false, agreed = NO_CONTEXT, hostname }: {
    compressed?: boolean;
    agreed?: typeof NO_CONTEXT;
    hostname?: string;
  } = {},
): Served {
  const session = new Session("server", socketLimits(options, "server"));
  if (compressed) session.agree("", "permessage-deflate", codec("server", agreed));
  const socket = acceptedSocket(session, "ws://127.0.0.1/");
  return { session, socket, network: new Network(hostname) };
}

/** The same, open. */
export function opened(...given: Parameters<typeof served>): Served {
  const made = served(...given);
  made.session.start(made.network, new Uint8Array());
  return made;
}

/** A later turn of the event loop, with all ticks and microtasks before it. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
