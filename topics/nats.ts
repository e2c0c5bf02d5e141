/**
 * The backplane over NATS.
 *
 * A topic is a subject, with a prefix; `*` and `>` mean the same to NATS.
 *
 * @module
 */

// The client is named here and not in deno.json: a task downloads all that deno.json and its lock file name.
// deno-lint-ignore-file no-import-prefix

import { createConnection, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import {
  type ConnectionOptions,
  type Msg,
  type NatsConnection,
  NatsConnectionImpl,
  setTransportFactory,
  type Subscription,
} from "npm:@nats-io/transport-node@3.4.0";
import { NodeTransport } from "npm:@nats-io/transport-node@3.4.0/lib/node_transport.js";
import type { Backplane, BackplaneListener } from "./backplane.ts";
import { type EngineConnection, EngineLink, type EngineListener } from "./engine_link.ts";
import {
  type EngineOptions,
  type EngineServer,
  engineSettings,
  shownServer,
} from "./engine_options.ts";
import { isPattern } from "./topic.ts";

/** Options of {@linkcode NatsBackplane}. */
export interface NatsBackplaneOptions extends EngineOptions {
  /**
   * Where NATS is, as `nats://host:4222`, or `tls://host:4222` for TLS alone; `nats://user:password@host` names the
   * user, and `nats://token@host` a token. Of several, such as the nodes of a cluster, one is used, and the next when
   * it is away.
   *
   * @default {"nats://127.0.0.1:4222"}
   */
  servers?: string | string[];
  /** A token in place of a user, where the URL names none. */
  token?: string;
}

/**
 * Carries messages by a NATS server, or a cluster of them. A message may be as long as the server's `max_payload`,
 * which is 1 MiB by itself; a longer one is not taken. JetStream is not used.
 *
 * While the server is away, messages stay within the process, `publish` returns `false`, and the server is tried again
 * for ever.
 *
 * @example
 * ```ts
 * import { Topics } from "@permessage/deflate/topics";
 * import { NatsBackplane } from "@permessage/deflate/nats";
 *
 * const backplane = new NatsBackplane({ servers: "nats://127.0.0.1:4222", prefix: "chat." });
 * await using topics = new Topics({ backplane });
 * topics.addEventListener("backplane", (event) => console.log(event));
 * ```
 */
export class NatsBackplane implements Backplane {
  readonly #link: EngineLink;

  /**
   * Checks the options. It connects when it is started.
   *
   * @throws {SyntaxError} If a server or the prefix is malformed.
   * @throws {RangeError} If a number is out of its range.
   * @throws {TypeError} If options are missing that others need.
   */
  constructor(options: NatsBackplaneOptions = {}) {
    const settings = engineSettings(options, { schemes: ["nats", "tls"], port: 4222 });
    this.#link = new EngineLink(
      settings,
      (server, signal, listener) => open(server, signal, listener, options, settings.prefix),
    );
  }

  /** Starts to connect. */
  start(listener: BackplaneListener): void {
    this.#link.start(listener);
  }

  /** Subscribes to a subject. */
  subscribe(topic: string): void {
    this.#link.subscribe(topic);
  }

  /** Ends a subscription. */
  unsubscribe(topic: string): void {
    this.#link.unsubscribe(topic);
  }

  /** Sends a message to a subject. */
  publish(topic: string, envelope: Uint8Array<ArrayBuffer>): boolean {
    return this.#link.publish(topic, envelope);
  }

  /** Sends what was taken, within a second, and disconnects. */
  close(): Promise<void> {
    return this.#link.close();
  }
}

/** What the client hands on to the transport: its own options, and ours. */
interface TransportOptions extends ConnectionOptions {
  signal?: AbortSignal;
  secure?: Certificates;
}

type Certificates = Pick<NatsBackplaneOptions, "caCerts" | "cert" | "key">;

/** An error that comes when a socket has no listeners any more would end the process. */
function bearErrors<T extends Socket>(socket: T): T {
  const { removeAllListeners } = socket;
  socket.removeAllListeners = (...events) => {
    removeAllListeners.apply(socket, events);
    return socket.on("error", () => {/* The client waits for the close. */});
  };
  return socket;
}

/**
 * The client's own transport, which by itself leaves its socket open when a connection is given up, and without a
 * listener for errors at the end of a handshake and of the connection.
 */
class Transport extends NodeTransport {
  #signal: AbortSignal | undefined;
  #hostname = "";
  #secure: Certificates | undefined;

  override connect(
    { hostname, port }: { hostname: string; port: number },
    options: TransportOptions,
  ): Promise<void> {
    this.#signal = options.signal;
    this.#secure = options.secure;
    this.#hostname = hostname;
    return super.connect({ hostname, port, tlsName: hostname }, options);
  }

  override dial({ hostname, port }: { hostname: string; port: number }): Promise<Socket> {
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const socket = bearErrors(createConnection({ host: hostname, port, noDelay: true }));
    const stop = () => socket.destroy();
    this.#signal?.addEventListener("abort", stop);
    if (this.#signal?.aborted) stop();
    let failure: Error | undefined;
    socket.on("error", (error: Error) => failure = error);
    socket.on("close", () => reject(failure));
    socket.on("connect", () => {
      socket.removeAllListeners();
      resolve(socket);
    });
    return promise;
  }

  override async startTLS(): Promise<TLSSocket> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const host = this.#hostname;
    const { caCerts, cert, key } = this.#secure ?? {};
    const socket = bearErrors(connectTls({
      socket: this.socket,
      host,
      // An address is no server name (RFC 6066 section 3).
      ...(isIP(host) === 0 && { servername: host }),
      ...(caCerts && { ca: caCerts }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    }, resolve));
    let failure: unknown;
    // It stays: the server may refuse our certificate as soon as the handshake is over.
    socket.on("error", (error: unknown) => failure = error);
    socket.on("close", () => resolve());
    await promise;
    if (socket.destroyed) throw failure;
    return socket;
  }
}

/** What a message takes besides its bytes: a line of the protocol. */
const OVERHEAD = 64;

/** The client's own pings would be one more judgement of whether the server is there. */
const NEVER_MS = 2 ** 31 - 1;

async function open(
  server: EngineServer,
  signal: AbortSignal,
  listener: EngineListener,
  { token, caCerts, cert, key }: NatsBackplaneOptions,
  prefix: string,
): Promise<EngineConnection> {
  const { secure, user, password } = server;
  // The URL of a server with a token has it in the place of the user.
  const ownToken = password === undefined ? user : undefined;
  // Others in this process set it as well: to transports that do as well, and leave an attempt that is given up to end
  // by itself.
  setTransportFactory({ factory: () => new Transport() });
  const options: TransportOptions = {
    servers: shownServer(server),
    ...(password !== undefined && { user: user ?? "", pass: password }),
    ...(password === undefined && { token: ownToken ?? token ?? "" }),
    // With this, a server without TLS is refused.
    ...(secure && { tls: {} }),
    secure: { ...(caCerts && { caCerts }), ...(cert && { cert }), ...(key && { key }) },
    noEcho: true,
    reconnect: false,
    resolve: false,
    ignoreClusterUpdates: true,
    noAsyncTraces: true,
    pingInterval: NEVER_MS,
    timeout: NEVER_MS,
    signal,
  };
  const client = await NatsConnectionImpl.connect(options);
  return new Connection(client, prefix, listener);
}

class Connection implements EngineConnection {
  readonly ended: Promise<unknown>;
  readonly overhead = OVERHEAD;
  readonly #client: NatsConnection;
  readonly #prefix: string;
  readonly #listener: EngineListener;
  readonly #subscriptions = new Map<string, Subscription>();

  constructor(
    client: NatsConnection,
    prefix: string,
    listener: EngineListener,
  ) {
    this.#client = client;
    this.#prefix = prefix;
    this.#listener = listener;
    this.ended = Promise.all([client.closed(), this.#watch()]).then(([error]) => error);
  }

  /** Tells of what the server refuses. */
  async #watch(): Promise<void> {
    for await (const status of this.#client.status()) {
      if (status.type === "error") this.#listener.onRefusal(status.error);
    }
  }

  subscribe(topic: string): void {
    const { length } = this.#prefix;
    const hasOne = !isPattern(topic);
    const callback = (error: Error | null, message: Msg) => {
      // It is among the statuses too.
      if (error !== null) return;
      const name = hasOne ? topic : message.subject.slice(length);
      // A copy: what came may be a small part of a large buffer.
      this.#listener.onMessage(name, new Uint8Array(message.data));
    };
    this.#subscriptions.set(
      topic,
      this.#client.subscribe(this.#prefix + topic, { callback }),
    );
  }

  unsubscribe(topic: string): void {
    this.#subscriptions.get(topic)?.unsubscribe();
    this.#subscriptions.delete(topic);
  }

  publish(topic: string, envelope: Uint8Array<ArrayBuffer>): void {
    this.#client.publish(this.#prefix + topic, envelope);
  }

  ping(): Promise<void> {
    return this.#client.flush();
  }

  end(): void {
    void this.#client.close();
  }
}
