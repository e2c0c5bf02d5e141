/**
 * Several workers on one port. Each is a thread with its own listener, and the kernel distributes the
 * connections among them. The program uses them as one {@linkcode Listener}.
 *
 * @module
 */

import { deadline } from "@std/async/deadline";
import type { ShutdownOptions } from "../../mod.ts";
import { delay } from "../backoff.ts";
import type { CertificatePair } from "../certificates.ts";
import { CrashHistory } from "./crash_history.ts";
import type { Logger, LogOptions } from "./log.ts";
import { type Language, type Sentences, sentencesIn } from "../sentences.ts";
import { causeOf, Failure } from "../failure.ts";
import type { Listener, ListenerOptions } from "./listener.ts";
import { pastOf, type Report, sumOf } from "./report.ts";
import type { Order, Outcome } from "./worker.ts";

/** The options of {@linkcode Workers.start}. */
export interface WorkersOptions {
  count: number;
  listener: ListenerOptions;
  log: LogOptions;
  language: Language;
  /** The worker's module, for tests. */
  module?: string;
}

/** How long a worker may take to report what it has done besides that, in milliseconds. */
const REPORT_MARGIN_MS = 1000;

/** How long a report waits for workers that are busy, in milliseconds; then their last one counts. */
const REPORT_MS = 2000;

/** A thread, and the orders it has not answered yet. */
class Thread {
  readonly #worker: Worker;
  /** The orders without an outcome. A worker answers orders of one type in the order it got them. */
  #pending: { order: Order["type"]; resolve(outcome: Outcome): void }[] = [];
  /** What it has reported last, if it has. */
  latest: Report | undefined;
  /** The report that is under way: a thread that is busy is not asked for another. */
  #reporting: Promise<unknown> | undefined;
  /** Resolves with the reason when the thread crashes. */
  readonly crashed: Promise<string>;

  constructor(module: string) {
    this.#worker = new Worker(module, { type: "module" });
    const crashed = Promise.withResolvers<string>();
    this.crashed = crashed.promise;
    this.#worker.onmessage = ({ data: outcome }: MessageEvent<Outcome>) => {
      this.latest = outcome.report ?? this.latest;
      const at = this.#pending.findIndex(({ order }) => order === outcome.order);
      this.#pending.splice(at, 1)[0]?.resolve(outcome);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      crashed.resolve(event.message);
      this.#settleAll(event.message);
    };
  }

  /** Sends an order and waits for its outcome. Never rejects. */
  ask(order: Order): Promise<Outcome> {
    return new Promise((resolve) => {
      this.#pending.push({ order: order.type, resolve });
      this.#worker.postMessage(order);
    });
  }

  /** Has it bring `latest` up to date. Never rejects. */
  report(): Promise<unknown> {
    return this.#reporting ??= this.ask({ type: "report" }).then(() => {
      this.#reporting = undefined;
    });
  }

  terminate(): void {
    this.#worker.terminate();
    this.#settleAll("worker was ended");
  }

  #settleAll(failure: string): void {
    for (const { order, resolve } of this.#pending.splice(0)) resolve({ order, failure });
  }
}

/** The part of a limit that the worker of an index gets. All parts together are the limit. */
function shareOf(limit: number, index: number, count: number): number {
  return Math.floor(limit / count) + (index < limit % count ? 1 : 0);
}

/** All workers, as one listener. */
export class Workers implements Listener {
  port: number;
  readonly #options: WorkersOptions;
  readonly #sentences: Sentences;
  readonly #logger: Logger;
  #pair: CertificatePair;
  /** The threads by their number; undefined while a crashed one is not replaced yet. */
  readonly #threads: (Thread | undefined)[];
  /** What the threads have counted that have ended, as far as they had reported it. */
  #past: Report | undefined;
  /** The crashes of each worker and its replacements. */
  readonly #crashes: CrashHistory[];
  readonly #stop = new AbortController();

  private constructor(options: WorkersOptions, pair: CertificatePair, log: Logger) {
    this.#options = options;
    this.#sentences = sentencesIn(options.language);
    this.#logger = log;
    this.#pair = pair;
    this.port = options.listener.port;
    this.#threads = Array(options.count);
    this.#crashes = Array.from({ length: options.count }, () => new CrashHistory());
  }

  /**
   * Starts the workers one after the other. With port 0, the first one finds a free port for all.
   *
   * @throws {Failure} If one cannot start. The others are terminated.
   */
  static async start(
    options: WorkersOptions,
    pair: CertificatePair,
    log: Logger,
  ): Promise<Workers> {
    const workers = new Workers(options, pair, log);
    try {
      for (let i = 0; i < options.count; i++) await workers.#start(i);
    } catch (error) {
      workers.#terminateAll();
      throw error;
    }
    return workers;
  }

  async #start(i: number): Promise<void> {
    const { count, listener, log, language, module } = this.#options;
    const thread = new Thread(module ?? import.meta.resolve("./worker.ts"));
    // From now on, orders to all workers reach this one too.
    this.#threads[i] = thread;
    const outcome = await thread.ask({
      type: "start",
      worker: i + 1,
      options: {
        ...listener,
        port: this.port,
        workers: count,
        "max-connections": shareOf(listener["max-connections"], i, count),
        "max-per-address": shareOf(listener["max-per-address"], i, count),
        "max-memory": shareOf(listener["max-memory"], i, count),
      },
      pair: this.#pair,
      log,
      language,
    });
    if (outcome.port === undefined) {
      this.#end(i);
      throw new Failure(outcome.failure!);
    }
    this.port = outcome.port;
    void this.#replaceIfItCrashes(i, thread);
  }

  /** Replaces a worker when it crashes. The other workers go on meanwhile. */
  async #replaceIfItCrashes(i: number, thread: Thread): Promise<void> {
    const startedAt = performance.now();
    let reason = await thread.crashed;
    let lifetime = performance.now() - startedAt;
    this.#end(i);
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const ms = this.#crashes[i]!.record(lifetime);
      this.#logger.error(this.#sentences.server.workerFailed, {
        event: "workerFailed",
        worker: i + 1,
        reason,
        ms,
      });
      try {
        await delay(ms, signal);
        return await this.#start(i);
      } catch (error) {
        reason = causeOf(error);
        lifetime = 0;
      }
    }
  }

  async #askAll(order: Order): Promise<Outcome[]> {
    return await Promise.all(this.#threads.flatMap((thread) => thread ? [thread.ask(order)] : []));
  }

  async renew(pair: CertificatePair): Promise<void> {
    const before = this.#pair;
    // A worker that is replaced meanwhile starts with the new pair.
    this.#pair = pair;
    const outcomes = await this.#askAll({ type: "renew", pair });
    const failures = outcomes.flatMap(({ failure }) => failure ?? []);
    if (failures.length === 0) return;
    if (failures.length === outcomes.length) this.#pair = before;
    throw new Failure(failures[0]!);
  }

  async unready(): Promise<void> {
    await this.#askAllWithin({ type: "unready" }, 0);
  }

  async stop(options: ShutdownOptions): Promise<void> {
    this.#stop.abort();
    // No worker may say that it is ready after another has refused an upgrade.
    await this.unready();
    const { drain = 0, spread = 0 } = options;
    await this.#askAllWithin(
      { type: "stop", options },
      drain + spread + this.#options.listener.grace,
    );
    this.#terminateAll();
  }

  /** Waits for the outcomes, or until one is late: a worker that does not report is ended with the others. */
  async #askAllWithin(order: Order, ms: number): Promise<void> {
    await settledWithin(this.#askAll(order), ms + REPORT_MARGIN_MS);
  }

  async report(): Promise<Report | undefined> {
    const reports = this.#threads.map((thread) => thread?.report());
    await settledWithin(Promise.all(reports), REPORT_MS);
    const latest = this.#threads.map((thread) => thread?.latest);
    return sumOfAll([this.#past, ...latest]);
  }

  #terminateAll(): void {
    this.#stop.abort();
    for (const i of this.#threads.keys()) this.#end(i);
  }

  /** Ends the worker of an index, if there is one. */
  #end(i: number): void {
    const thread = this.#threads[i];
    this.#threads[i] = undefined;
    thread?.terminate();
    const past = thread?.latest && pastOf(thread.latest);
    this.#past = sumOfAll([this.#past, past]);
  }
}

/** The sum of the reports that there are. */
function sumOfAll(reports: (Report | undefined)[]): Report | undefined {
  const given = reports.filter((report) => report !== undefined);
  return given.length === 0 ? undefined : given.reduce(sumOf);
}

/** Waits for `work`, which never rejects, but no longer than `ms` milliseconds. */
async function settledWithin(work: Promise<unknown>, ms: number): Promise<void> {
  try {
    await deadline(work, ms);
  } catch {
    // It is late.
  }
}
