/**
 * Which way a socket's bytes go: by its native handle where that is proven to work, else by its public
 * stream.
 *
 * @module
 */

import type { AddressInfo, Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContext, TLSSocket } from "node:tls";
import type { Connection, Receiver } from "./connection.ts";
import type { KeyPair } from "./key_pair.ts";
import {
  addAuthorities,
  holdBelowTls,
  nativeConnection,
  readExactly,
  readOn,
} from "./native_handle.ts";
import { buffer, net, tls } from "./node.ts";
import { belowTls, streamConnection } from "./stream_connection.ts";

/** The way of all connections; `undefined` until it has been decided. */
let way: "native" | "public" | undefined;

let decision: Promise<void> | undefined;

/** The length of what the trial sends again and again: more than one read takes, and odd. */
const TRIAL_SIZE = 100_003;

/** What is sent before that, and before TLS. */
const PRELUDE = Uint8Array.of(0x50, 0x52, 0x4f, 0x58, 0x59);

/** How often at most: a socket of Linux has taken 3 MB before a write to it was pending. */
const TRIAL_WRITES = 100;

/** Longest time for the round trip, in milliseconds: it takes 10. */
const TRIAL_TIMEOUT_MS = 2000;

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
      if (isShortage(error) && ++shortages < MAX_SHORTAGES) {
        // Nothing is proven: the next connection asks again.
        decision = undefined;
        return;
      }
      way ??= "public";
      console.warn(
        `Sockets of Deno ${Deno.version.deno} do not work as expected (${
          error instanceof Error ? error.message : error
        }): slower public streams take their place`,
      );
    }
  })();
}

/** Proofs that came to no end for want of descriptors or time, and how many of them are enough. */
let shortages = 0;
const MAX_SHORTAGES = 5;

class TrialTimeout extends Error {
  override name = "TrialTimeout";
}

/** Whether a proof failed for want of file descriptors, or of time, as when a crowd uses them all up. */
function isShortage(error: unknown): boolean {
  const { code } = error as { code?: string };
  return error instanceof TrialTimeout || code === "EMFILE" || code === "ENFILE";
}

/**
 * Decides the way without a proof: for tests of both. With `undefined`, it is to be proven anew.
 *
 * @returns The way before, for going back to it.
 */
export function chooseWay(chosen: typeof way): typeof way {
  const before = way;
  way = chosen;
  decision = undefined;
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
 * @param remoteAddr The client's address.
 */
export function connectionOf(
  socket: Socket,
  receiver: Receiver,
  source: Socket = socket,
  remoteAddr: Deno.Addr = addressOf(source),
): Connection {
  source.setNoDelay(true);
  // What a stream has read already, as behind a proxy's answer, no handle would give.
  const native = way === "native" && socket.readableLength === 0
    ? nativeConnection(socket, remoteAddr, receiver)
    : undefined;
  return native ?? streamConnection(socket, source, remoteAddr, receiver);
}

/** A socket that speaks, under TLS after its handshake. */
export interface OpenSocket {
  socket: Socket;
  /** The socket that reads from the network: under TLS the one below. */
  source: Socket;
}

/**
 * Stops the network, or lets it go on: to pause a socket of TLS alone only stops delivery, and Deno holds
 * without bound what the peer still sends.
 */
export function holdNetwork({ socket, source }: OpenSocket, isHeld: boolean): void {
  if (source !== socket && way !== "native") {
    return void (isHeld ? source.pause() : source.resume());
  }
  if (source !== socket) holdBelowTls(socket, isHeld);
}

/** Takes what comes first of a connection, and tells how many bytes more that are surely a part of it. */
export interface FirstReader {
  readonly wanted: number;
  /** Returns how many of the bytes it takes, once it has all; the rest is what follows. */
  push(bytes: Uint8Array): number | undefined;
}

/**
 * Reads what comes first from an accepted socket, and leaves what follows to whoever reads next.
 *
 * @returns Whether it has come; otherwise the socket has ended.
 * @throws What `reader` throws.
 */
export async function readFirst(socket: Socket, reader: FirstReader): Promise<boolean> {
  const read = Promise.withResolvers<boolean>();
  const end = () => read.resolve(false);
  const push = (bytes: Uint8Array) => {
    try {
      const taken = reader.push(bytes);
      if (taken !== undefined) read.resolve(true);
      return taken;
    } catch (error) {
      read.reject(error);
      return bytes.length;
    }
  };
  socket.once("close", end);
  try {
    if (socket.destroyed) return false;
    if (way !== "native" || !readExactly(socket, () => reader.wanted, push, end)) {
      socket.on("data", (bytes: Uint8Array) => {
        const taken = push(bytes);
        if (taken === undefined) return;
        socket.pause();
        socket.removeAllListeners("data");
        if (taken < bytes.length) socket.unshift(bytes.subarray(taken));
      });
      socket.once("end", end);
      socket.resume();
    }
    return await read.promise;
  } finally {
    socket.off("close", end);
    socket.off("end", end);
  }
}

/**
 * What TLS is to be put on: the socket itself where its native handle is used. TLS over TLS goes over the
 * stream, and so does what the stream has read already.
 */
export function underTls(socket: Socket): Socket | Duplex {
  const isPlain = !(socket as TLSSocket).encrypted && socket.readableLength === 0;
  return way === "native" && isPlain ? socket : belowTls(socket);
}

/** The peer's address; Unix sockets have none. */
export function addressOf(socket: Socket): Deno.Addr {
  const { remoteAddress, remotePort } = socket;
  return remoteAddress === undefined
    ? { transport: "unix", path: "" }
    : { transport: "tcp", hostname: remoteAddress, port: remotePort! };
}

/**
 * Sends bytes over loopback until a write is pending, and some back, by native handles; rejects where they
 * do not arrive as sent.
 */
async function roundTrip(pair?: KeyPair): Promise<void> {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  const timer = setTimeout(
    () => failed.reject(new TrialTimeout(`it took over ${TRIAL_TIMEOUT_MS} ms`)),
    TRIAL_TIMEOUT_MS,
  );
  const sockets: Socket[] = [];
  const watched = (socket: Socket) => {
    sockets.push(socket);
    return socket.on("error", failed.reject);
  };
  const server: Server = net().createServer({ pauseOnConnect: true, allowHalfOpen: true });
  server.on("error", failed.reject);
  try {
    server.listen({ host: "127.0.0.1", port: 0 });
    await Promise.race([once(server, "listening"), failed.promise]);
    const accepted = new Promise<Trial>((resolve, reject) =>
      server.once("connection", (raw: Socket) => {
        const start = () => {
          if (pair === undefined) return Trial.of(raw, resolve, reject);
          const secured = secureServerSocket(raw, secureContext(pair.cert, pair.key));
          readOn(secured);
          watched(secured).once("secure", () => Trial.of(secured, resolve, reject));
        };
        readPrelude(watched(raw)).then(start).catch(reject);
      })
    );
    const { port } = server.address() as AddressInfo;
    const own = { allowHalfOpen: true };
    const raw = watched(net().connect({ host: "127.0.0.1", port, ...own }));
    const dialled = new Promise<Trial>((resolve, reject) =>
      raw.once("connect", () => {
        raw.write(PRELUDE);
        if (pair === undefined) return Trial.of(raw, resolve, reject);
        const secured = tls().connect({ ...own, socket: raw, rejectUnauthorized: false });
        watched(secured).once("secureConnect", () => Trial.of(secured, resolve, reject));
      })
    );
    const exchange = Promise.all([accepted, dialled]).then(async ([one, other]) => {
      // One that is filled up before its peer reads, and one that is read from the start.
      for (const [from, to, most] of [[other, one, TRIAL_WRITES], [one, other, 1]] as const) {
        await Promise.all([to.receive(from.fill(most)), from.written]);
      }
    });
    await Promise.race([exchange, failed.promise]);
  } finally {
    clearTimeout(timer);
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((ok) => server.close(() => ok()));
  }
}

/** Reads what comes first in the trial, as a PROXY header before TLS is read. */
function readPrelude(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const left = [...PRELUDE];
    const push = (bytes: Uint8Array) => {
      for (const byte of bytes) {
        if (left.shift() !== byte) reject(new Error("bytes came changed"));
      }
      if (left.length > 0) return undefined;
      resolve();
      return bytes.length;
    };
    const end = () => reject(new Error("a socket ended"));
    const fits = readExactly(socket, () => Math.ceil(left.length / 2), push, end);
    if (!fits) reject(new Error("there are no native handles"));
  });
}

function once(server: Server, event: string): Promise<void> {
  return new Promise((resolve) => server.once(event, resolve));
}

/** What the trial sends. */
let sample: Uint8Array | undefined;

function trialSample(): Uint8Array {
  if (sample === undefined) {
    sample = new Uint8Array(TRIAL_SIZE);
    for (let at = 0; at < TRIAL_SIZE; at += 50_000) {
      crypto.getRandomValues(sample.subarray(at, at + 50_000));
    }
  }
  return sample;
}

/** One side of the round trip. */
class Trial implements Receiver {
  readonly #connection: Connection;
  #expected = 0;
  #received = 0;
  readonly #done = Promise.withResolvers<void>();
  #written: PromiseWithResolvers<void> | undefined;

  private constructor(socket: Socket) {
    const connection = nativeConnection(socket, addressOf(socket), this);
    if (connection === undefined) throw new Error("there are no native handles");
    this.#connection = connection;
    // Told to those who receive, if anybody does.
    this.#done.promise.catch(() => {});
  }

  /** Makes a side of a socket that is open. */
  static of(socket: Socket, resolve: (trial: Trial) => void, reject: (error: unknown) => void) {
    try {
      resolve(new Trial(socket));
    } catch (error) {
      reject(error);
    }
  }

  /** Writes until a write is pending. Returns how many bytes. */
  fill(most: number): number {
    const bytes = trialSample();
    for (let count = 1;; count++) {
      if (!this.#connection.write(bytes)) this.#written = Promise.withResolvers();
      if (count === most || this.#written !== undefined) return count * bytes.length;
    }
  }

  /** Resolves when the network has taken all. */
  get written(): Promise<void> {
    return this.#written?.promise ?? Promise.resolve();
  }

  /** Resolves when so many bytes have come as they were sent. */
  receive(count: number): Promise<void> {
    this.#expected = count;
    this.#connection.resume();
    return this.#done.promise;
  }

  onBytes(bytes: Uint8Array): void {
    const { Buffer } = buffer();
    const sent = trialSample();
    for (let at = 0; at < bytes.length;) {
      const place = (this.#received + at) % sent.length;
      const part = bytes.subarray(at, at + sent.length - place);
      if (Buffer.compare(part, sent.subarray(place, place + part.length)) !== 0) {
        return this.#done.reject(new Error("bytes came changed"));
      }
      at += part.length;
    }
    this.#received += bytes.length;
    // A pause and its end, as back-pressure has them.
    this.#connection.pause();
    this.#connection.resume();
    if (this.#received > this.#expected) this.#done.reject(new Error("more came than was sent"));
    else if (this.#received === this.#expected) this.#done.resolve();
  }

  onWritten(): void {
    this.#written?.resolve();
  }

  onBroken(): void {
    this.#done.reject(new Error("a socket could not be written to"));
  }

  onEnd(): void {
    this.#done.reject(new Error("a socket ended"));
  }

  onClose(): void {
    this.#done.reject(new Error("a socket was closed"));
  }
}

/** What a client offers as the protocol of the application (RFC 7301): WebSocket starts with HTTP/1.1. */
export const ALPN_PROTOCOLS = ["http/1.1"];

/** What a server takes of a client's protocols: TLS ends a handshake that offers none of them. */
const SERVED_ALPN_PROTOCOLS = [...ALPN_PROTOCOLS, "http/1.0"];

/** What a server's sockets need for TLS. */
export function secureContext(cert: string, key: string): unknown {
  return tls().createSecureContext({ cert, key });
}

/**
 * Starts TLS on an accepted socket, or what stands for it; `secure` or `close` follows.
 *
 * @param contextOf What takes the place of `context` for a client that asks for a name.
 */
export function secureServerSocket(
  socket: Socket | Duplex,
  context: unknown,
  contextOf?: (name: string) => unknown,
): Socket {
  const { TLSSocket } = tls() as unknown as {
    TLSSocket: new (socket: Socket | Duplex, options: Record<string, unknown>) => Socket;
  };
  return new TLSSocket(socket, {
    isServer: true,
    secureContext: context,
    ...(contextOf !== undefined && {
      SNICallback: (name: string, done: (error: null, context: unknown) => void) =>
        done(null, contextOf(name)),
    }),
    ALPNProtocols: SERVED_ALPN_PROTOCOLS,
    allowHalfOpen: true,
  });
}

/**
 * What a client's sockets need for TLS: it trusts the public authorities, and those given as PEM.
 *
 * @param pair The client's own certificate, for a server that asks for one.
 */
export function trust(caCerts: string[], pair?: KeyPair): SecureContext {
  const context = tls().createSecureContext({ ...pair });
  if (addAuthorities(context, caCerts)) return context;
  // To read all of them takes 10 to 15 ms at each connection, and the permission `--allow-sys=ca`.
  return tls().createSecureContext({ ...pair, ca: [...tls().rootCertificates, ...caCerts] });
}
