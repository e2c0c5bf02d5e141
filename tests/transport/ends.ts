/**
 * Both ends of a connection of the transport, over each network and each way of a socket's bytes.
 *
 * @module
 */

import type { Connection, Receiver } from "../../transport/connection.ts";
import { dial, type DialOptions } from "../../transport/dial.ts";
import { type Incoming, Listener, type ListenOptions } from "../../transport/listener.ts";
import { net } from "../../transport/node.ts";
import { chooseWay, connectionOf } from "../../transport/sockets.ts";
import { developmentCertificates, Folder, granted } from "../programs.ts";

/** Both ways of a socket's bytes. */
export const WAYS = ["native", "public"] as const;

/** The way that is taken now, if that has been decided. */
export function wayNow(): typeof WAYS[number] | undefined {
  const way = chooseWay(undefined);
  chooseWay(way);
  return way;
}

/** What a connection goes over. */
export type Network = "TCP" | "TLS" | "Unix";

/** Whether Unix sockets can be had: no permission for hosts covers them. */
export const HAS_UNIX_SOCKETS: boolean = Deno.build.os !== "windows" &&
  await granted("net", "read", "write");

/** A test of each way; the way before is taken again after it. */
export function onEachWay(
  name: string,
  body: (way: typeof WAYS[number]) => Promise<void>,
  ignore = false,
): void {
  for (const way of WAYS) {
    Deno.test({
      name: `${name} [${way}]`,
      ignore,
      async fn() {
        const before = chooseWay(way);
        try {
          await body(way);
        } finally {
          chooseWay(before);
        }
      },
    });
  }
}

/** A test of each way and network. */
export function onEachNetwork(name: string, body: (network: Network) => Promise<void>): void {
  for (const network of ["TCP", "TLS", "Unix"] as const) {
    const ignore = network === "Unix" && !HAS_UNIX_SOCKETS;
    onEachWay(`${name} over ${network}`, () => body(network), ignore);
  }
}

/** One end of a connection: keeps what comes, unless a test takes a call over. */
export class End implements Receiver {
  connection!: Connection;
  /** How many bytes have come, and those that were not taken by {@linkcode read}. */
  count = 0;
  #chunks: Uint8Array[] = [];
  /** Each call of `onEnd`, `onBroken`, `onWritten` and `onClose`, in order; `onBytes` once for all in a row. */
  readonly calls: string[] = [];
  error: Error | undefined;
  /** Called first in each of the calls. */
  before: Partial<Receiver> = {};
  readonly #ended = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  #written: PromiseWithResolvers<void> | undefined;
  #more: PromiseWithResolvers<void> | undefined;

  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Resolves when the write under way has been taken. */
  get written(): Promise<void> {
    return (this.#written ??= Promise.withResolvers()).promise;
  }

  /** The next `count` bytes; fewer if the connection ends before. */
  async read(count: number): Promise<Uint8Array<ArrayBuffer>> {
    const taken = new Uint8Array(count);
    for (let at = 0; at < count;) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) {
        if (this.calls.includes("end") || this.calls.includes("close")) return taken.slice(0, at);
        this.#more = Promise.withResolvers();
        await this.#more.promise;
        continue;
      }
      const part = chunk.subarray(0, count - at);
      taken.set(part, at);
      at += part.length;
      if (part.length < chunk.length) this.#chunks[0] = chunk.subarray(part.length);
      else this.#chunks.shift();
    }
    return taken;
  }

  /** Writes, and waits until the network has taken it. */
  async write(bytes: Uint8Array): Promise<void> {
    const { written } = this;
    if (this.connection.write(bytes)) this.#written = undefined;
    else await written;
  }

  #call(name: string): void {
    if (name !== "bytes" || this.calls.at(-1) !== "bytes") this.calls.push(name);
    this.#more?.resolve();
  }

  onBytes(bytes: Uint8Array<ArrayBuffer>): void {
    this.#call("bytes");
    this.count += bytes.length;
    // Their memory is used again.
    this.#chunks.push(bytes.slice());
    this.before.onBytes?.(bytes);
  }

  onEnd(): void {
    this.#call("end");
    this.before.onEnd?.();
    this.#ended.resolve();
  }

  onBroken(): void {
    this.#call("broken");
    this.before.onBroken?.();
  }

  onWritten(): void {
    this.#call("written");
    const written = this.#written;
    this.#written = undefined;
    this.before.onWritten?.();
    written?.resolve();
  }

  onClose(error: Error | undefined): void {
    this.#call("close");
    this.error = error;
    this.#closed.resolve();
    this.before.onClose?.(error);
  }
}

/** The options of {@linkcode dial} for a server with a development certificate. */
export async function dialOptions(options: Partial<DialOptions> = {}): Promise<DialOptions> {
  const { ca } = await developmentCertificates();
  return {
    caCerts: [ca],
    insecure: false,
    signal: new AbortController().signal,
    ...options,
  };
}

/** Listens on a free port of 127.0.0.1, or as `options` say. */
export function listen(
  accept: (incoming: Incoming) => void,
  options: Partial<ListenOptions> = {},
): Listener & Disposable {
  const listener = new Listener(
    { hostname: "127.0.0.1", port: 0, reusePort: false, backlog: 511, ...options },
    accept,
  );
  return Object.assign(listener, { [Symbol.dispose]: () => listener.close() });
}

/** Completes the handshake of a connection. */
export async function connectionFrom(
  incoming: Incoming,
  receiver: Receiver,
): Promise<Connection | undefined> {
  let connection: Connection | undefined;
  await incoming.open(({ socket, source }) => connection = connectionOf(socket, receiver, source));
  return connection;
}

/** The port of a listener on TCP. */
export function portOf({ addr }: Listener): number {
  return (addr as Deno.NetAddr).port;
}

/** Connects to a Unix socket. */
function dialUnix(path: string, end: End): Promise<Connection> {
  const socket = net().connect({ path, allowHalfOpen: true });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("connect", () => resolve(connectionOf(socket, end)));
  });
}

/** Both ends of a new connection. */
export class Pair implements AsyncDisposable {
  private constructor(
    readonly server: End,
    readonly client: End,
    readonly incoming: Incoming,
  ) {}

  /**
   * Connects.
   *
   * @param resumed Whether both ends read from the start.
   */
  static async open(network: Network, resumed = true): Promise<Pair> {
    await using folder = network === "Unix" ? new Folder() : undefined;
    const path = folder && `${folder.path}/socket`;
    const server = new End();
    const client = new End();
    const accepted = Promise.withResolvers<Incoming>();
    const pair = network === "TLS" ? await developmentCertificates() : undefined;
    using listener = listen(accepted.resolve, { path, pair });
    const dialled = path === undefined
      ? dial(
        new URL(`${pair ? "wss" : "ws"}://127.0.0.1:${portOf(listener)}/`),
        await dialOptions(),
        client,
      )
      : dialUnix(path, client);
    const incoming = await accepted.promise;
    const opened = await connectionFrom(incoming, server);
    client.connection = await dialled;
    if (opened === undefined) throw new Error("The handshake was not completed");
    server.connection = opened;
    if (resumed) {
      client.connection.resume();
      opened.resume();
    }
    return new Pair(server, client, incoming);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { connection, closed } of [this.client, this.server]) {
      connection.destroy();
      await closed;
    }
    await this.incoming.closed;
  }
}

/** Bytes that tell their place: no two runs of them are alike. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = 0x9e3779b9;
  for (let i = 0; i < length; i++) {
    state = Math.imul(state ^ state >>> 15, 0x2c1b3c6d) + i | 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/**
 * How many connections of TCP with this local port, and with this port of the peer if it is given, some
 * process holds open: Linux only.
 */
export function heldSockets(localPort: number, remotePort?: number): number {
  const suffix = (port: number) => `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const port = suffix(localPort);
  const peer = remotePort === undefined ? "" : suffix(remotePort);
  let held = 0;
  for (const table of ["tcp", "tcp6"]) {
    const { stdout } = new Deno.Command("cat", { args: [`/proc/net/${table}`] }).outputSync();
    for (const line of new TextDecoder().decode(stdout).split("\n").slice(1, -1)) {
      const fields = line.trim().split(/\s+/);
      const [, local, remote, state] = fields;
      if (!remote!.endsWith(peer)) continue;
      // Of a socket that no process holds any more, the number is 0; 0A is one that listens.
      if (local!.endsWith(port) && state !== "0A" && fields[9] !== "0") held++;
    }
  }
  return held;
}

/** Collects what is printed as an error while `body` runs. */
export async function reported(body: () => Promise<void>): Promise<string[]> {
  const errors: string[] = [];
  const { error } = console;
  console.error = (error: unknown) => errors.push(String(error));
  try {
    await body();
  } finally {
    console.error = error;
  }
  return errors;
}
