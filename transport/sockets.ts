/**
 * Which way a socket's bytes go: by its native handle where that is proven to work, else by its public
 * stream.
 *
 * @module
 */

import type { AddressInfo, Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContext } from "node:tls";
import type { Connection, Receiver } from "./connection.ts";
import { addAuthorities, nativeConnection } from "./native_handle.ts";
import { net, tls } from "./node.ts";
import { belowTls, streamConnection } from "./stream_connection.ts";

/** The way of all connections; `undefined` until it has been decided. */
let way: "native" | "public" | undefined;

let decision: Promise<void> | undefined;

/** What the round trip sends: more than one read takes, and than a socket of Linux takes at once. */
const TRIAL_SIZE = 300_000;

/** Longest time for the round trip, in milliseconds: it takes 3. */
const TRIAL_TIMEOUT_MS = 5000;

/** A certificate and its key, as PEM. */
export interface KeyPair {
  cert: string;
  key: string;
}

/**
 * Decides the way of all connections of the process, once: proves the native handles by a round trip over
 * loopback. Without the permission to listen on and connect to 127.0.0.1 there is no proof, and the public
 * streams are used.
 *
 * @param pair With it, the round trip goes over TLS too.
 */
export function decideWay(pair?: KeyPair): Promise<void> {
  // Before the first promise: Deno runs microtasks while it loads its modules, and a second use of
  // `getBuiltinModule` from one of them fails.
  net();
  return decision ??= (async () => {
    if (way !== undefined) return;
    const { state } = await Deno.permissions.query({ name: "net", host: "127.0.0.1" });
    if (state !== "granted") {
      way ??= "public";
      return;
    }
    try {
      await roundTrip();
      if (pair !== undefined) await roundTrip(pair);
      way ??= "native";
    } catch (error) {
      way ??= "public";
      console.warn(
        `Sockets of Deno ${Deno.version.deno} do not work as expected (${
          error instanceof Error ? error.message : error
        }): slower public streams take their place`,
      );
    }
  })();
}

/**
 * Decides the way without a proof: for tests of both.
 *
 * @returns The way before, for going back to it.
 */
export function chooseWay(chosen: typeof way): typeof way {
  const before = way;
  way = chosen;
  return before;
}

/** Whether {@linkcode decideWay} has come to an end. */
export function isDecided(): boolean {
  return way !== undefined;
}

/**
 * Makes a connection of a socket: at the very event that tells that it is open, as what comes right behind
 * would be read by the socket's own stream.
 *
 * @param socket Under TLS after its handshake; nobody else reads from it.
 * @param source The socket that reads from the network: under TLS the one below.
 */
export function connectionOf(
  socket: Socket,
  receiver: Receiver,
  source: Socket = socket,
): Connection {
  const remoteAddr = addressOf(source);
  source.setNoDelay(true);
  const native = way === "native" ? nativeConnection(socket, remoteAddr, receiver) : undefined;
  return native ?? streamConnection(socket, source, remoteAddr, receiver);
}

/** What TLS is to be put on: the socket itself where its native handle is used. */
export function underTls(socket: Socket): Socket | Duplex {
  return way === "native" ? socket : belowTls(socket);
}

function addressOf(socket: Socket): Deno.Addr {
  const { remoteAddress, remotePort } = socket;
  return remoteAddress === undefined
    ? { transport: "unix", path: "" }
    : { transport: "tcp", hostname: remoteAddress, port: remotePort! };
}

/** Sends bytes over loopback and back, by native handles; rejects where they do not arrive as sent. */
async function roundTrip(pair?: KeyPair): Promise<void> {
  const sent = crypto.getRandomValues(new Uint8Array(TRIAL_SIZE % 65_536)).toHex();
  const bytes = new TextEncoder().encode(sent.repeat(Math.ceil(TRIAL_SIZE / sent.length)));
  const server: Server = net().createServer({ pauseOnConnect: true, allowHalfOpen: true });
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  const timer = setTimeout(
    () => failed.reject(new Error(`the trial took over ${TRIAL_TIMEOUT_MS} ms`)),
    TRIAL_TIMEOUT_MS,
  );
  const sockets: Socket[] = [];
  /** Has a side of the trial take the socket over as soon as `event` tells that it is open. */
  const run = (socket: Socket, event: string | undefined, parts: Uint8Array[]) => {
    sockets.push(socket);
    socket.on("error", failed.reject);
    return new Promise<Uint8Array>((resolve, reject) => {
      const start = () => {
        try {
          new Trial(socket, bytes.length).run(parts).then(resolve, reject);
        } catch (error) {
          reject(error);
        }
      };
      if (event === undefined) start();
      else socket.once(event, start);
    });
  };
  try {
    const echoed = new Promise<Uint8Array>((resolve) => {
      server.once("connection", (raw: Socket) => {
        sockets.push(raw);
        resolve(
          pair
            ? run(secureServerSocket(raw, secureContext(pair.cert, pair.key)), "secure", [])
            : run(raw, undefined, []),
        );
      });
    });
    server.on("error", failed.reject);
    server.listen({ host: "127.0.0.1", port: 0 });
    await Promise.race([new Promise<void>((ok) => server.once("listening", ok)), failed.promise]);
    const { port } = server.address() as AddressInfo;
    const options = { host: "127.0.0.1", port, allowHalfOpen: true };
    // In parts, the last of them of a size that fits into no other.
    const parts = [bytes.subarray(0, 10), bytes.subarray(10, 150_000), bytes.subarray(150_000)];
    const sent = pair
      ? run(tls().connect({ ...options, rejectUnauthorized: false }), "secureConnect", parts)
      : run(net().connect(options), "connect", parts);
    const [, back] = await Promise.race([Promise.all([echoed, sent]), failed.promise]);
    if (!back.every((byte, i) => byte === bytes[i])) throw new Error("bytes came back changed");
  } finally {
    clearTimeout(timer);
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((ok) => server.close(() => ok()));
  }
}

/** One side of the round trip. */
class Trial implements Receiver {
  readonly #connection: Connection;
  readonly #expected: number;
  readonly #done = Promise.withResolvers<Uint8Array>();
  readonly #all: Uint8Array;
  #parts: Uint8Array[] = [];
  #length = 0;
  #writing = false;
  #echoes = false;

  constructor(socket: Socket, expected: number) {
    this.#expected = expected;
    this.#all = new Uint8Array(expected);
    const connection = nativeConnection(socket, addressOf(socket), this);
    if (connection === undefined) throw new Error("there are no native handles");
    this.#connection = connection;
  }

  /** Sends `parts`, or else what comes; resolves with all that has come. */
  run(parts: Uint8Array[]): Promise<Uint8Array> {
    this.#echoes = parts.length === 0;
    this.#parts.push(...parts);
    this.#connection.resume();
    this.#write();
    return this.#done.promise;
  }

  #write(): void {
    while (!this.#writing && this.#parts.length > 0) {
      this.#writing = !this.#connection.write(this.#parts.shift()!);
    }
    if (!this.#writing && this.#length === this.#expected) this.#done.resolve(this.#all);
  }

  onBytes(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#expected) {
      return this.#done.reject(new Error("more bytes came than were sent"));
    }
    this.#all.set(bytes, this.#length);
    if (this.#echoes) {
      this.#parts.push(this.#all.subarray(this.#length, this.#length + bytes.length));
    }
    this.#length += bytes.length;
    // A pause and its end, as back-pressure has them.
    this.#connection.pause();
    this.#connection.resume();
    this.#write();
  }

  onWritten(): void {
    this.#writing = false;
    this.#write();
  }

  onEnd(): void {
    this.#done.reject(new Error("a socket ended"));
  }

  onClose(): void {
    this.#done.reject(new Error("a socket was closed"));
  }
}

/** The protocol of the application, as TLS names it (RFC 7301): WebSocket starts with HTTP/1.1. */
export const ALPN_PROTOCOLS = ["http/1.1"];

/** What a server's sockets need for TLS. */
export function secureContext(cert: string, key: string): unknown {
  return tls().createSecureContext({ cert, key });
}

/** Starts TLS on an accepted socket, or what stands for it; `secure` or `close` follows. */
export function secureServerSocket(socket: Socket | Duplex, context: unknown): Socket {
  const { TLSSocket } = tls() as unknown as {
    TLSSocket: new (socket: Socket | Duplex, options: Record<string, unknown>) => Socket;
  };
  return new TLSSocket(socket, {
    isServer: true,
    secureContext: context,
    ALPNProtocols: ALPN_PROTOCOLS,
    allowHalfOpen: true,
  });
}

/** What a client's sockets need for TLS: it trusts the public authorities, and those given as PEM. */
export function trust(caCerts: string[]): SecureContext {
  if (way === "native") {
    const context = tls().createSecureContext();
    if (addAuthorities(context, caCerts)) return context;
  }
  if (caCerts.length === 0) return tls().createSecureContext();
  // To read all of them takes 10 to 15 ms at each connection.
  return tls().createSecureContext({ ca: [...tls().rootCertificates, ...caCerts] });
}
