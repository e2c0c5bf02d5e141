/**
 * The backplane over Redis, by its channels.
 *
 * A topic is a channel, with a prefix. A pattern becomes a glob of Redis, in which `*` stands for any characters, dots
 * among them; what comes by it and does not match the pattern is dropped here.
 *
 * @module
 */

// The client is named here and not in deno.json: a task downloads all that deno.json and its lock file name.
// deno-lint-ignore-file no-import-prefix

import { Buffer } from "node:buffer";
import { createClient, ErrorReply } from "npm:@redis/client@6.3.1";
import type { Backplane, BackplaneListener } from "./backplane.ts";
import { type EngineConnection, EngineLink, type EngineListener } from "./engine_link.ts";
import { type EngineOptions, type EngineServer, engineSettings } from "./engine_options.ts";
import { globOf } from "./glob.ts";
import { PatternTree } from "./pattern_tree.ts";
import { isPattern } from "./topic.ts";

/** Options of {@linkcode RedisBackplane}. */
export interface RedisBackplaneOptions extends EngineOptions {
  /**
   * Where Redis is, as `redis://host:6379`, or `rediss://host:6379` for TLS; `redis://user:password@host` names the
   * user, and `redis://:password@host` the password of the default one. Of several, such as the nodes of a cluster, one
   * is used, and the next when it is away.
   *
   * @default {"redis://127.0.0.1:6379"}
   */
  servers?: string | string[];
}

/**
 * Carries messages by a Redis server, from version 6 on, or a cluster of them, each node of which carries what is
 * published at any other.
 *
 * While the server is away, messages stay within the process, `publish` returns `false`, and the server is tried again
 * for ever.
 *
 * @example
 * ```ts
 * import { Topics } from "@permessage/deflate/topics";
 * import { RedisBackplane } from "@permessage/deflate/redis";
 *
 * const backplane = new RedisBackplane({ servers: "redis://127.0.0.1:6379", prefix: "chat." });
 * await using topics = new Topics({ backplane });
 * topics.addEventListener("backplane", (event) => console.log(event));
 * ```
 */
export class RedisBackplane implements Backplane {
  readonly #link: EngineLink;

  /**
   * Checks the options. It connects when it is started.
   *
   * @throws {SyntaxError} If a server or the prefix is malformed.
   * @throws {RangeError} If a number is out of its range.
   * @throws {TypeError} If options are missing that others need.
   */
  constructor(options: RedisBackplaneOptions = {}) {
    const settings = engineSettings(options, { schemes: ["redis", "rediss"], port: 6379 });
    this.#link = new EngineLink(
      settings,
      (server, signal, listener) => open(server, signal, listener, options, settings.prefix),
    );
  }

  /** Starts to connect. */
  start(listener: BackplaneListener): void {
    this.#link.start(listener);
  }

  /** Subscribes to a channel, or to those that a glob names. */
  subscribe(topic: string): void {
    this.#link.subscribe(topic);
  }

  /** Ends a subscription. */
  unsubscribe(topic: string): void {
    this.#link.unsubscribe(topic);
  }

  /** Sends a message to a channel. */
  publish(topic: string, envelope: Uint8Array<ArrayBuffer>): boolean {
    return this.#link.publish(topic, envelope);
  }

  /** Sends what was taken, within a second, and disconnects. */
  close(): Promise<void> {
    return this.#link.close();
  }
}

/** What a message takes besides its bytes: the client keeps each command, its parts and its promise until the reply. */
const OVERHEAD = 640;

type Client = ReturnType<typeof makeClient>;

function makeClient(
  { hostname, port, secure, user, password }: EngineServer,
  signal: AbortSignal,
  { caCerts, cert, key }: RedisBackplaneOptions,
) {
  const address = {
    host: hostname,
    port,
    connectTimeout: 0,
    reconnectStrategy: false,
    signal,
  } as const;
  return createClient({
    // One connection for both ways, where version 2 needs two.
    RESP: 3,
    socket: secure
      ? {
        ...address,
        tls: true,
        ...(caCerts && { ca: caCerts }),
        ...(cert !== undefined && { cert }),
        ...(key !== undefined && { key }),
      }
      : address,
    ...(user !== undefined && { username: user }),
    ...(password !== undefined && { password }),
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: "disabled",
    // Otherwise there is a timer for each command.
    commandOptions: { timeout: 0 },
  });
}

async function open(
  server: EngineServer,
  signal: AbortSignal,
  listener: EngineListener,
  options: RedisBackplaneOptions,
  prefix: string,
): Promise<EngineConnection> {
  const client = makeClient(server, signal, options);
  const connection = new Connection(client, prefix, listener);
  const stop = () => client.destroy();
  signal.addEventListener("abort", stop);
  try {
    await client.connect();
    signal.throwIfAborted();
    return connection;
  } catch (error) {
    client.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

class Connection implements EngineConnection {
  readonly ended: Promise<unknown>;
  readonly overhead = OVERHEAD;
  readonly #client: Client;
  readonly #prefix: string;
  readonly #listener: EngineListener;
  /** What comes by a glob is let through if a pattern here matches it. */
  readonly #patterns = new PatternTree<true>();
  /** How many patterns have become each glob. */
  readonly #globs = new Map<string, number>();

  constructor(
    client: Client,
    prefix: string,
    listener: EngineListener,
  ) {
    this.#client = client;
    this.#prefix = prefix;
    this.#listener = listener;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.ended = promise;
    client.on("error", () => {/* The connection ends by it, which is told next. */});
    client.on("terminated", resolve);
    client.on("end", () => resolve(undefined));
  }

  subscribe(topic: string): void {
    if (!isPattern(topic)) {
      this.#send(this.#client.subscribe(this.#prefix + topic, this.#onMessage, true));
      return;
    }
    this.#patterns.add(topic, true);
    const glob = globOf(this.#prefix, topic);
    const count = this.#globs.get(glob) ?? 0;
    this.#globs.set(glob, count + 1);
    if (count === 0) this.#send(this.#client.pSubscribe(glob, this.#onPatternMessage, true));
  }

  unsubscribe(topic: string): void {
    if (!isPattern(topic)) {
      this.#send(this.#client.unsubscribe(this.#prefix + topic, this.#onMessage, true));
      return;
    }
    const glob = globOf(this.#prefix, topic);
    const count = this.#globs.get(glob);
    if (count === undefined) return;
    this.#patterns.remove(topic);
    if (count > 1) {
      this.#globs.set(glob, count - 1);
    } else {
      this.#globs.delete(glob);
      this.#send(this.#client.pUnsubscribe(glob, this.#onPatternMessage, true));
    }
  }

  publish(topic: string, envelope: Uint8Array<ArrayBuffer>): void {
    const { buffer, byteOffset, length } = envelope;
    const message = Buffer.from(buffer, byteOffset, length);
    this.#send(this.#client.sendCommand(["PUBLISH", this.#prefix + topic, message]));
  }

  async ping(): Promise<void> {
    try {
      await this.#client.sendCommand(["PING"]);
    } catch (error) {
      // A refusal is an answer too.
      if (!(error instanceof ErrorReply)) throw error;
    }
  }

  end(): void {
    this.#client.destroy();
  }

  #send(reply: Promise<unknown>): void {
    reply.catch(this.#onFailure);
  }

  readonly #onFailure = (error: unknown): void => {
    // All else is the end of the connection.
    if (error instanceof ErrorReply) this.#listener.onRefusal(error);
  };

  readonly #onMessage = (message: Buffer, channel: Buffer): void => {
    // A copy: what came may be a small part of a large buffer.
    this.#listener.onMessage(this.#topicOf(channel), new Uint8Array(message));
  };

  readonly #onPatternMessage = (message: Buffer, channel: Buffer): void => {
    const topic = this.#topicOf(channel);
    let matches = false;
    this.#patterns.match(topic, () => matches = true);
    if (matches) this.#listener.onMessage(topic, new Uint8Array(message));
  };

  #topicOf(channel: Buffer): string {
    return channel.toString().slice(this.#prefix.length);
  }
}
