/**
 * A load balancer on this machine, as Kubernetes has it: a TCP proxy that gives connections to the servers whose
 * readiness probe says yes, and hears of a no with a delay.
 *
 * Importing this file needs no permission.
 *
 * @module
 */

import { RawPeer } from "./programs.ts";

/** How often a server is asked whether it is ready, in milliseconds. */
const PROBE_MS = 50;

/** How long a server still gets connections after it has said no, in milliseconds. */
const LAG_MS = 1000;

const HEALTHZ = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

/** What a probe was told, and when it asked: a count of milliseconds. */
interface Probed {
  askedAt: number;
  isReady: boolean;
}

/** A server behind the balancer. */
class Backend {
  readonly port: number;
  readonly probed: Probed[] = [];
  getsConnections = false;
  readonly #balancer: Balancer;
  /** The connection that probes are sent by while the server keeps it. */
  #kept: RawPeer | undefined;

  constructor(balancer: Balancer, port: number) {
    this.#balancer = balancer;
    this.port = port;
  }

  /** Asks on a new connection and on a kept one, until the balancer ends. */
  async probe(): Promise<void> {
    while (this.#balancer.isOpen) {
      for (const ask of [() => this.#askAnew(), () => this.#askKept()]) {
        const askedAt = performance.now();
        const isReady = await ask().catch(() => false);
        this.probed.push({ askedAt, isReady });
        if (isReady) this.getsConnections = true;
        else if (this.getsConnections) {
          this.#balancer.later(LAG_MS, () => this.getsConnections = false);
        }
      }
      await this.#balancer.later(PROBE_MS);
    }
    this.#endKept();
  }

  #endKept(): void {
    this.#kept?.close();
    this.#kept = undefined;
  }

  async #askAnew(): Promise<boolean> {
    using peer = await RawPeer.connect(this.port);
    return (await peer.request(HEALTHZ)).status === 200;
  }

  async #askKept(): Promise<boolean> {
    let isLast = true;
    try {
      this.#kept ??= await RawPeer.connect(this.port);
      const { status, headers } = await this.#kept.request(HEALTHZ);
      isLast = headers.get("Connection") === "close";
      return status === 200;
    } finally {
      if (isLast) this.#endKept();
    }
  }
}

/** The balancer. */
export class Balancer implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #backends: Backend[] = [];
  readonly #work: Promise<unknown>[] = [];
  readonly #connections = new Set<Deno.Conn>();
  readonly #timers = new Map<ReturnType<typeof setTimeout>, () => void>();
  isOpen = true;
  #turn = 0;

  constructor() {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#work.push(this.#serve());
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /** Puts a server behind the balancer. Returns once it gets connections. */
  async add(port: number): Promise<Backend> {
    const backend = new Backend(this, port);
    this.#backends.push(backend);
    this.#work.push(backend.probe());
    while (!backend.getsConnections) await this.later(PROBE_MS);
    return backend;
  }

  /** Calls back and resolves after some milliseconds, or resolves at the end. */
  later(ms: number, callback: () => void = () => {}): Promise<void> {
    if (!this.isOpen) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        callback();
        resolve();
      }, ms);
      this.#timers.set(timer, resolve);
    });
  }

  async #serve(): Promise<void> {
    try {
      for await (const client of this.#listener) this.#work.push(this.#relay(client));
    } catch (error) {
      if (this.isOpen) throw error;
    }
  }

  /** Leads a connection to the next server that gets some; where none can be reached, it ends. */
  async #relay(client: Deno.TcpConn): Promise<void> {
    this.#connections.add(client);
    try {
      const backends = this.#backends.filter(({ getsConnections }) => getsConnections);
      const { port } = backends[this.#turn++ % backends.length]!;
      const server = await Deno.connect({ hostname: "127.0.0.1", port });
      this.#connections.add(server);
      await Promise.allSettled([
        client.readable.pipeTo(server.writable),
        server.readable.pipeTo(client.writable),
      ]);
      this.#close(server);
    } catch {
      // The client sees its connection end.
    }
    this.#close(client);
  }

  #close(connection: Deno.Conn): void {
    this.#connections.delete(connection);
    try {
      connection.close();
    } catch {
      // Its streams have closed it.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isOpen = false;
    this.#listener.close();
    for (const connection of this.#connections) this.#close(connection);
    for (const [timer, resolve] of this.#timers) {
      clearTimeout(timer);
      resolve();
    }
    await Promise.all(this.#work);
  }
}
