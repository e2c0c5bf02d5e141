/**
 * Listening on TCP, TLS and Unix sockets.
 *
 * @module
 */

import type { Server, Socket } from "node:net";
import { ProxyHeaderError, ProxyHeaderReader } from "../protocol/proxy_header.ts";
import { Certificates } from "./certificates.ts";
import { acceptAgain, listenAtOnce, readOn } from "./native_handle.ts";
import { type KeyPair, usableKeyPair } from "./key_pair.ts";
import { net } from "./node.ts";
import {
  addressOf,
  decideWay,
  isDecided,
  type OpenSocket,
  readFirst,
  secureServerSocket,
  underTls,
} from "./sockets.ts";

/** Where a {@linkcode Listener} listens. */
export interface ListenOptions {
  /** An address, or a name that stands for one. */
  hostname: string;
  port: number;
  /** Whether several processes or threads may listen on the port. */
  reusePort: boolean;
  /** Most connections that the system holds until they are accepted. */
  backlog: number;
  /** The path of a Unix socket, in place of address and port. */
  path?: string | undefined;
  /** With it, the listener speaks TLS. */
  pair?: KeyPair | undefined;
  /** In place of it, by the name of the server that a client asks for. */
  namedPairs?: Record<string, KeyPair> | undefined;
  /** Whether a PROXY header comes before all else. @default {false} */
  proxyProtocol?: boolean;
}

/** Why an {@linkcode Incoming} could not be opened. */
export interface OpeningFailure {
  /** What went wrong. */
  reason: "proxyHeader" | "tlsHandshake";
  /** The message of the error. */
  cause: string;
}

/** A connection that has been accepted, before any byte of it was read. */
export interface Incoming {
  /** The peer's address; once it is open, that of the client which a PROXY header names. */
  readonly remoteAddr: Deno.Addr;
  /**
   * Reads the PROXY header and completes the TLS handshake, if there are.
   *
   * @param take Called with the socket at once when it is open: what comes right behind is read by its stream.
   * @returns Whether the peer came to the end of them.
   */
  open(take: (socket: OpenSocket) => void): Promise<boolean>;
  /** Why it could not be opened; `undefined` where the peer, or this end, has left before anything went wrong. */
  readonly failure: OpeningFailure | undefined;
  /** Ends it at once. */
  destroy(): void;
  /** Called when its file descriptor has been given back. */
  onClosed: () => void;
  /** Resolves then. */
  readonly closed: Promise<void>;
}

/**
 * How often connections are looked for that were passed over for want of a file descriptor, in milliseconds,
 * besides after each end of a connection.
 */
const ACCEPT_AGAIN_MS = 1000;

/**
 * Most connections that wait until the way of all is decided, which takes some 20 ms at the first start of a
 * process; others are closed.
 */
const MAX_UNDECIDED = 256;

/** Accepts connections. */
export class Listener {
  readonly addr: Deno.NetAddr | Deno.UnixAddr;
  readonly #server: Server;
  readonly #certificates: Certificates | undefined;
  readonly #acceptTimer: ReturnType<typeof setInterval>;
  /** Connections that wait until the way is decided. */
  #undecided = 0;

  /**
   * Listens before it returns.
   *
   * @param accept Called with each connection.
   * @throws As `Deno.listen` and `Deno.listenTls`, if the address cannot be had or the pair will not do.
   */
  constructor(options: ListenOptions, accept: (incoming: Incoming) => void) {
    const { proxyProtocol = false, pair, namedPairs } = options;
    const certificates = pair && new Certificates(pair, namedPairs);
    this.#certificates = certificates;
    const decide = () => decideWay(pair && usableKeyPair(pair.cert, pair.key));
    void decide();
    this.#server = net().createServer({ pauseOnConnect: true, allowHalfOpen: true });
    // A client that left while it was accepted, or no free file descriptor: the next may do better.
    this.#server.on("error", () => {});
    const onFreed = () => acceptAgain(this.#server, options.backlog);
    this.#server.on("connection", (socket: Socket) => {
      const incoming = new IncomingSocket(socket, certificates, onFreed, proxyProtocol);
      if (isDecided()) return accept(incoming);
      // A crowd at the start must leave descriptors for the proof.
      if (this.#undecided >= MAX_UNDECIDED) return incoming.destroy();
      this.#undecided++;
      void decide().then(() => {
        this.#undecided--;
        if (!incoming.isClosed) accept(incoming);
      });
    });
    this.addr = listen(this.#server, options);
    this.#acceptTimer = setInterval(onFreed, ACCEPT_AGAIN_MS);
    Deno.unrefTimer(this.#acceptTimer);
  }

  /**
   * Uses another certificate for the connections that come.
   *
   * @param name The name of the server that it is for; by default, it is for all clients that ask for no other.
   * @throws {TypeError} If the name is none, or the listener does not speak TLS.
   * @throws {Deno.errors.InvalidData} If the pair will not do; then the one before is kept.
   */
  setCertificate(pair: KeyPair, name?: string): void {
    if (this.#certificates === undefined) {
      throw new TypeError("Cannot set certificate: the server does not speak TLS");
    }
    this.#certificates.set(pair, name);
  }

  /** Whether it speaks TLS. */
  get secure(): boolean {
    return this.#certificates !== undefined;
  }

  /** Lets the process live on for this listener's sake. */
  ref(): void {
    this.#server.ref();
  }

  /** Lets the process end while this listener listens. */
  unref(): void {
    this.#server.unref();
  }

  /** Accepts nothing more. */
  close(): void {
    clearInterval(this.#acceptTimer);
    this.#server.close();
  }
}

/** An error of a socket is told by its `close`; without a listener it would end the process. */
function ignore(): void {}

class IncomingSocket implements Incoming {
  remoteAddr: Deno.Addr;
  onClosed: () => void = () => {};
  readonly #socket: Socket;
  readonly #certificates: Certificates | undefined;
  readonly #onFreed: () => void;
  readonly #proxyProtocol: boolean;
  isClosed = false;
  failure: OpeningFailure | undefined;
  /** Made when it is asked for: an idle connection owns nothing that it does not need. */
  #closed: PromiseWithResolvers<void> | undefined;

  constructor(
    socket: Socket,
    certificates: Certificates | undefined,
    onFreed: () => void,
    proxyProtocol: boolean,
  ) {
    this.#socket = socket;
    this.#certificates = certificates;
    this.#onFreed = onFreed;
    this.#proxyProtocol = proxyProtocol;
    this.remoteAddr = addressOf(socket);
    socket.on("close", () => this.#close());
    socket.on("error", ignore);
  }

  get closed(): Promise<void> {
    this.#closed ??= Promise.withResolvers();
    if (this.isClosed) this.#closed.resolve();
    return this.#closed.promise;
  }

  #close(): void {
    this.isClosed = true;
    this.onClosed();
    this.#closed?.resolve();
    this.#onFreed();
  }

  open(take: (socket: OpenSocket) => void): Promise<boolean> {
    return this.#proxyProtocol ? this.#openProxied(take) : this.#open(take);
  }

  async #openProxied(take: (socket: OpenSocket) => void): Promise<boolean> {
    const reader = new ProxyHeaderReader();
    try {
      if (!await readFirst(this.#socket, reader)) return false;
    } catch (error) {
      // It sent something else. Nothing that a client could read is said before TLS.
      this.#socket.destroy();
      if (!(error instanceof ProxyHeaderError)) throw error;
      this.failure = { reason: "proxyHeader", cause: error.message };
      return false;
    } finally {
      reader.release();
    }
    if (reader.client !== undefined) this.remoteAddr = { transport: "tcp", ...reader.client };
    return await this.#open(take);
  }

  #open(take: (socket: OpenSocket) => void): Promise<boolean> {
    const socket = this.#socket;
    if (socket.destroyed) return Promise.resolve(false);
    const certificates = this.#certificates;
    if (certificates === undefined) {
      take({ socket, source: socket });
      return Promise.resolve(true);
    }
    const secured = secureServerSocket(
      underTls(socket),
      certificates.default,
      certificates.hasNames ? (name) => certificates.of(name) : undefined,
    );
    readOn(secured);
    return new Promise((resolve) => {
      // A peer that ends its side in the middle of the handshake is not coming back.
      const leave = () => secured.destroy();
      const fail = () => {
        socket.destroy();
        resolve(false);
      };
      const onError = ({ message }: Error) => {
        this.failure ??= { reason: "tlsHandshake", cause: message };
        leave();
      };
      secured.on("error", onError);
      secured.on("end", leave);
      secured.on("close", fail);
      secured.once("secure", () => {
        // An idle connection owns nothing that it does not need.
        secured.off("end", leave);
        secured.off("close", fail);
        secured.on("error", ignore);
        secured.off("error", onError);
        take({ socket: secured, source: socket });
        resolve(true);
      });
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Makes `server` listen. Returns where. */
function listen(server: Server, options: ListenOptions): Deno.NetAddr | Deno.UnixAddr {
  const { hostname, port, path, reusePort, backlog } = options;
  if (path !== undefined) {
    server.listen({ path });
    if (!server.listening) {
      // Deno's own words for what is wrong.
      Deno.listen({ transport: "unix", path }).close();
      throw new Error(`Cannot listen: path "${path}" cannot be had`);
    }
    return { transport: "unix", path };
  }
  const ip = isAddress(hostname) ? hostname : probe(hostname, 0).hostname;
  const listens = listenAtOnce(server, ip, port, reusePort, backlog);
  if (listens) {
    const { address, port } = server.address() as { address: string; port: number };
    return { transport: "tcp", hostname: address, port };
  }
  // Deno's own listener says in its own words what is wrong; a port that others share is to be had all the same.
  const shares = listens === undefined && reusePort && port !== 0;
  const free = shares ? port : probe(ip, port).port;
  if (listens === false) throw new Deno.errors.AddrInUse(`Cannot listen: ${ip}:${port} is in use`);
  server.listen({ host: ip, port: free, reusePort, backlog });
  return { transport: "tcp", hostname: ip, port: free };
}

function isAddress(hostname: string): boolean {
  return net().isIP(hostname) !== 0;
}

/** Has Deno's own listener find the address of a name, or a free port, or what is wrong. */
function probe(hostname: string, port: number): Deno.NetAddr {
  const listener = Deno.listen({ hostname, port });
  listener.close();
  return listener.addr;
}
