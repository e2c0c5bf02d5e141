/**
 * A connection to an engine that comes back when it is lost, with its subscriptions.
 *
 * While it is away nothing is kept for later. The engine confirms what it has read by answering a ping, which tells
 * also that it is still there.
 *
 * @module
 */

import type { BackplaneListener } from "./backplane.ts";
import { type EngineServer, type EngineSettings, shownServer } from "./engine_options.ts";

/** An open connection to an engine. */
export interface EngineConnection {
  /** Settles when it has ended and nothing of it is left, with the reason if there is one. Never rejects. */
  readonly ended: Promise<unknown>;
  /** What a message takes besides its own bytes until the engine has confirmed it, in bytes. */
  readonly overhead: number;
  /** @throws If it has ended. */
  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
  /** @throws If it has ended, or the message is not taken, such as one that is too long for the engine. */
  publish(topic: string, envelope: Uint8Array<ArrayBuffer>): void;
  /** Resolves when the engine has read all that was sent before. May never settle if the connection ends. */
  ping(): Promise<unknown>;
  /** Ends it at once: what is unsent is lost. */
  end(): void;
}

/** What a connection tells. */
export type EngineListener = Pick<BackplaneListener, "onMessage" | "onRefusal">;

/** Makes a connection. It rejects soon after `signal` has aborted, and then leaves nothing behind. */
export type OpenEngine = (
  server: EngineServer,
  signal: AbortSignal,
  listener: EngineListener,
) => Promise<EngineConnection>;

/** Subscriptions that are made at once when a connection is back: the engine confirms them before the next. */
const BATCH = 1000;

/** Pings that may be due while one is unanswered. With one alone, a busy process would give up a good engine. */
const MAX_MISSED = 2;

/** Longest time that the engine is given, at the end, to confirm what it has been sent, in milliseconds. */
const CLOSING_MS = 1000;

/** The wait after the first failure, in milliseconds. It doubles with each that follows. */
const FIRST_DELAY_MS = 100;

/** The longest wait, in milliseconds. Once a connection has lasted as long, the waits begin anew. */
const LONGEST_DELAY_MS = 5000;

/** How much of what may be unsent has to be there for the engine to be asked what it has read: a part of 8. */
const ASKED_PART = 8;

/** What is on its way over one connection. */
class Line {
  readonly connection: EngineConnection;
  readonly #maxUnsent: number;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Bytes that were published, and of those, bytes that the engine has confirmed. */
  #published = 0;
  #confirmed = 0;
  #isAsking = false;
  #missed = 0;

  /** @param onSilent Called when the engine does not answer. */
  constructor(
    connection: EngineConnection,
    { maxUnsent, pingInterval }: EngineSettings,
    onSilent: () => void,
  ) {
    this.connection = connection;
    this.#maxUnsent = maxUnsent;
    this.#timer = setInterval(() => {
      if (!this.#isAsking) this.#ask();
      else if (++this.#missed === MAX_MISSED) onSilent();
    }, pingInterval);
  }

  /** Publishes a message, unless too much is unsent. Returns whether it is taken. */
  publish(topic: string, envelope: Uint8Array<ArrayBuffer>): boolean {
    const size = envelope.length + topic.length + this.connection.overhead;
    const isTaken = this.#unsent + size <= this.#maxUnsent;
    if (isTaken) {
      this.connection.publish(topic, envelope);
      this.#published += size;
    }
    this.#askIfMuch();
    return isTaken;
  }

  get #unsent(): number {
    return this.#published - this.#confirmed;
  }

  #askIfMuch(): void {
    if (!this.#isAsking && this.#unsent > this.#maxUnsent / ASKED_PART) this.#ask();
  }

  /** Asks the engine what it has read. */
  #ask(): void {
    this.#isAsking = true;
    const published = this.#published;
    this.connection.ping().then(() => {
      this.#isAsking = false;
      this.#missed = 0;
      this.#confirmed = published;
      this.#askIfMuch();
    }, () => {/* It has ended, and tells so itself. */});
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Keeps a connection to an engine. */
export class EngineLink {
  readonly #open: OpenEngine;
  readonly #settings: EngineSettings;
  /** The topics and patterns that are wanted. */
  readonly #topics = new Set<string>();
  readonly #stopping = new AbortController();
  #listener: BackplaneListener | undefined;
  /** Settles when nothing is left; `undefined` before the start. */
  #running: Promise<void> | undefined;
  /** While there is a connection. */
  #line: Line | undefined;
  /** Whether all topics are subscribed on it. */
  #isRestored = false;
  /** What the listener was told last. */
  #isConnected: boolean | undefined;
  #isClosed = false;

  constructor(settings: EngineSettings, open: OpenEngine) {
    this.#settings = settings;
    this.#open = open;
  }

  start(listener: BackplaneListener): void {
    this.#listener = listener;
    this.#running = this.#run(listener);
  }

  subscribe(topic: string): void {
    if (this.#isClosed) return;
    this.#topics.add(topic);
    // Otherwise it is one of those that are still to come.
    if (this.#isRestored) subscribeOn(this.#line!.connection, topic);
  }

  unsubscribe(topic: string): void {
    this.#topics.delete(topic);
    if (!this.#isClosed) this.#line?.connection.unsubscribe(topic);
  }

  publish(topic: string, envelope: Uint8Array<ArrayBuffer>): boolean {
    const line = this.#line;
    if (line === undefined || !this.#isConnected || this.#isClosed) return false;
    try {
      return line.publish(topic, envelope);
    } catch {
      // It is longer than the engine takes.
      return false;
    }
  }

  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      const connection = this.#line?.connection;
      if (connection !== undefined) await lastWords(connection);
      this.#stopping.abort();
    }
    await this.#running;
  }

  async #run(listener: BackplaneListener): Promise<void> {
    const { servers } = this.#settings;
    const { signal } = this.#stopping;
    // The processes of one application begin at different nodes of a cluster.
    let at = Math.floor(Math.random() * servers.length);
    for (let failures = 1;; failures++) {
      const server = servers[at++ % servers.length]!;
      const start = performance.now();
      const error = await this.#live(server, listener);
      if (signal.aborted) return;
      const name = shownServer(server);
      this.#tell(false, new Error(`Cannot reach the engine at ${name}: ${reasonOf(error)}`));
      if (performance.now() - start > LONGEST_DELAY_MS) failures = 1;
      await pause(delayAfter(failures), signal);
      if (signal.aborted) return;
    }
  }

  /** Makes a connection and lives with it to its end. Resolves with the reason. */
  async #live(server: EngineServer, listener: BackplaneListener): Promise<unknown> {
    let connection: EngineConnection;
    try {
      connection = await this.#connect(server, listener);
    } catch (error) {
      return error;
    }
    const { pingInterval } = this.#settings;
    let silence: Error | undefined;
    const line = new Line(connection, this.#settings, () => {
      silence = new Error(`no answer for ${MAX_MISSED * pingInterval} ms`);
      connection.end();
    });
    const stop = () => connection.end();
    this.#stopping.signal.addEventListener("abort", stop);
    if (this.#stopping.signal.aborted) stop();
    this.#line = line;
    try {
      if (await this.#restore(connection)) this.#tell(true, undefined);
      const reason = await connection.ended;
      return silence ?? reason;
    } finally {
      this.#line = undefined;
      this.#isRestored = false;
      line.stop();
      this.#stopping.signal.removeEventListener("abort", stop);
    }
  }

  async #connect(
    server: EngineServer,
    listener: BackplaneListener,
  ): Promise<EngineConnection> {
    const { connectTimeout } = this.#settings;
    const attempt = new AbortController();
    const timer = setTimeout(() => {
      attempt.abort(new Error(`no connection within ${connectTimeout} ms`));
    }, connectTimeout);
    const stop = () => attempt.abort();
    this.#stopping.signal.addEventListener("abort", stop);
    if (this.#stopping.signal.aborted) stop();
    try {
      return await this.#open(server, attempt.signal, {
        onMessage: (topic, envelope) => listener.onMessage(topic, envelope),
        onRefusal: (error) => {
          const name = shownServer(server);
          listener.onRefusal(new Error(`The engine at ${name} refuses: ${reasonOf(error)}`));
        },
      });
    } catch (error) {
      throw attempt.signal.aborted ? attempt.signal.reason : error;
    } finally {
      clearTimeout(timer);
      this.#stopping.signal.removeEventListener("abort", stop);
    }
  }

  /** Subscribes to all topics. Resolves with whether the engine has confirmed them. */
  async #restore(connection: EngineConnection): Promise<boolean> {
    const ended = connection.ended.then(() => false);
    const confirmed = () => Promise.race([connection.ping().then(() => true, () => ended), ended]);
    let count = 0;
    // Topics that are added meanwhile come up too.
    for (const topic of this.#topics) {
      subscribeOn(connection, topic);
      if (++count % BATCH === 0 && !await confirmed()) return false;
    }
    this.#isRestored = true;
    return await confirmed();
  }

  #tell(isConnected: boolean, error: unknown): void {
    if (this.#isConnected === isConnected || this.#isClosed) return;
    this.#isConnected = isConnected;
    this.#listener!.onState(isConnected, error);
  }
}

function subscribeOn(connection: EngineConnection, topic: string): void {
  try {
    connection.subscribe(topic);
  } catch {
    // It has just ended: the topic is subscribed on the next.
  }
}

/** Longest text of an engine's that is told. */
const MAX_REASON = 200;

/** What an error says, in one line. All else that it holds is left out: a client's error may hold its options. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : "";
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").slice(0, MAX_REASON) ||
    "the connection has ended";
}

/** The wait after so many failures in a row. Its upper half is random, so that many do not come back at one moment. */
function delayAfter(failures: number): number {
  const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (failures - 1));
  return longest / 2 * (1 + Math.random());
}

/** Waits until the engine has confirmed what it was sent, has ended, or takes too long. */
async function lastWords(connection: EngineConnection): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, CLOSING_MS);
  await Promise.race([connection.ping().catch(() => {}), connection.ended, late.promise]);
  clearTimeout(timer);
}

/** Resolves after `ms` milliseconds, or when `signal` aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const stop = () => resolve();
  signal.addEventListener("abort", stop);
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", stop);
}
