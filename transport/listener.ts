/**
 * Listening on TCP, TLS and Unix sockets.
 *
 * @module
 */

import type { Server, Socket } from "node:net";
import type { Connection, Receiver } from "./connection.ts";
import { checkPair, type KeyPair } from "./key_pair.ts";
import { acceptAgain, listenAtOnce } from "./native_handle.ts";
import { net } from "./node.ts";
import {
  addressOf,
  connectionOf,
  decideWay,
  isDecided,
  secureContext,
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
  /** The path of a Unix socket, in place of address and port. */
  path?: string | undefined;
  /** With it, the listener speaks TLS. */
  pair?: KeyPair | undefined;
}

/** A connection that has been accepted, before any byte of it was read. */
export interface Incoming {
  readonly remoteAddr: Deno.Addr;
  /**
   * Completes the TLS handshake, if there is one.
   *
   * @returns The connection, paused; `undefined` if the peer did not come to the end of the handshake.
   */
  open(receiver: Receiver): Promise<Connection | undefined>;
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
  #pair: KeyPair | undefined;
  #context: unknown;
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
    const { pair } = options;
    if (pair !== undefined) this.setCertificate(pair);
    void decideWay(pair);
    this.#server = net().createServer({ pauseOnConnect: true, allowHalfOpen: true });
    // A client that left while it was accepted, or no free file descriptor: the next may do better.
    this.#server.on("error", () => {});
    this.#server.on("connection", (socket: Socket) => {
      const incoming = new IncomingSocket(socket, this.#context, this.#server);
      if (isDecided()) return accept(incoming);
      // A crowd at the start must leave descriptors for the proof.
      if (this.#undecided >= MAX_UNDECIDED) return incoming.destroy();
      this.#undecided++;
      void decideWay(this.#pair).then(() => {
        this.#undecided--;
        if (!incoming.isClosed) accept(incoming);
      });
    });
    this.addr = listen(this.#server, options);
    this.#acceptTimer = setInterval(() => acceptAgain(this.#server), ACCEPT_AGAIN_MS);
    Deno.unrefTimer(this.#acceptTimer);
  }

  /**
   * Uses another certificate for the connections that come.
   *
   * @throws {Deno.errors.InvalidData} If the pair will not do; then the one before is kept.
   */
  setCertificate(pair: KeyPair): void {
    checkPair(pair);
    this.#context = secureContext(pair.cert, pair.key);
    this.#pair = pair;
  }

  /** Whether it speaks TLS. */
  get secure(): boolean {
    return this.#pair !== undefined;
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

class IncomingSocket implements Incoming {
  readonly remoteAddr: Deno.Addr;
  onClosed: () => void = () => {};
  readonly #socket: Socket;
  readonly #context: unknown;
  readonly #server: Server;
  isClosed = false;
  /** Made when it is asked for: an idle connection owns nothing that it does not need. */
  #closed: PromiseWithResolvers<void> | undefined;

  constructor(socket: Socket, context: unknown, server: Server) {
    this.#socket = socket;
    this.#context = context;
    this.#server = server;
    this.remoteAddr = addressOf(socket);
    socket.on("close", () => this.#close());
    // It is told by `close`; without a listener it would end the process.
    socket.on("error", () => {});
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
    acceptAgain(this.#server);
  }

  open(receiver: Receiver): Promise<Connection | undefined> {
    const socket = this.#socket;
    if (socket.destroyed) return Promise.resolve(undefined);
    if (this.#context === undefined) return Promise.resolve(connectionOf(socket, receiver));
    const secured = secureServerSocket(underTls(socket), this.#context);
    return new Promise((resolve) => {
      // A peer that ends its side in the middle of the handshake is not coming back.
      const leave = () => secured.destroy();
      const fail = () => {
        socket.destroy();
        resolve(undefined);
      };
      secured.on("error", leave);
      secured.on("end", leave);
      secured.on("close", fail);
      secured.once("secure", () => {
        const connection = connectionOf(secured, receiver, socket);
        // From here on the connection listens; an idle one owns nothing that it does not need.
        secured.off("error", leave);
        secured.off("end", leave);
        secured.off("close", fail);
        resolve(connection);
      });
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Makes `server` listen. Returns where. */
function listen(server: Server, options: ListenOptions): Deno.NetAddr | Deno.UnixAddr {
  const { hostname, port, path, reusePort } = options;
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
  const listens = listenAtOnce(server, ip, port, reusePort);
  if (listens) {
    const { address, port } = server.address() as { address: string; port: number };
    return { transport: "tcp", hostname: address, port };
  }
  // Deno's own listener says in its own words what is wrong; a port that others share is to be had all the same.
  const shares = listens === undefined && reusePort && port !== 0;
  const free = shares ? port : probe(ip, port).port;
  if (listens === false) throw new Deno.errors.AddrInUse(`Cannot listen: ${ip}:${port} is in use`);
  server.listen({ host: ip, port: free, reusePort });
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
