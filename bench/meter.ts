/**
 * Counts what happens in a stretch of time, in the process that makes it happen.
 *
 * @module
 */

import process from "node:process";
import { quantile } from "./statistics.ts";

/** How long is measured, in milliseconds. */
export interface Stretch {
  /** Not counted. */
  warmUp: number;
  /** Counted. */
  duration: number;
}

/** Where there is much to do, a stretch is drawn out to so many times its length at most. */
const MAX_STRETCH = 10;

/** What happened. */
export interface Window<T> {
  /** Messages, or handshakes. */
  count: number;
  milliseconds: number;
  /** User and system time of this process, in microseconds. */
  ownCpu: number;
  /** Milliseconds from question to answer: the middle, and what 99 of 100 stay below. */
  p50: number;
  p99: number;
  /** What was read at the edges. */
  before: T;
  after: T;
}

/** Counts, and measures when it is told to. */
export class Meter {
  /** Messages, or handshakes, so far. */
  count = 0;
  /** Kept while it is measured. */
  #latencies: number[] | undefined;

  /** Notes how long an answer took, in milliseconds. */
  note(latency: number): void {
    this.#latencies?.push(latency);
  }

  /**
   * Waits for the warm-up to end, then measures.
   *
   * @param stretch How long; either part lasts on until `least` more has been counted.
   * @param readEdge Reads what else there is to read, before and after.
   */
  async run<T>(
    { warmUp, duration }: Stretch,
    least: number,
    readEdge: () => Promise<T> | T,
  ): Promise<Window<T>> {
    const read = async () => {
      const edge = await readEdge();
      const { user, system } = process.cpuUsage();
      return { edge, time: performance.now(), own: user + system, count: this.count };
    };
    await this.#wait(warmUp, least);
    const before = await read();
    const latencies: number[] = this.#latencies = [];
    await this.#wait(duration, least);
    const after = await read();
    this.#latencies = undefined;
    if (latencies.length === 0) throw new Error("Cannot measure: nothing came back in time");
    return {
      count: after.count - before.count,
      milliseconds: after.time - before.time,
      ownCpu: after.own - before.own,
      p50: quantile(latencies, 0.5),
      p99: quantile(latencies, 0.99),
      before: before.edge,
      after: after.edge,
    };
  }

  async #wait(milliseconds: number, least: number): Promise<void> {
    const goal = this.count + least;
    for (let i = 0; i === 0 || i < MAX_STRETCH && this.count < goal; i++) await sleep(milliseconds);
  }
}

/** Resolves after so many milliseconds, or at once where they are over already. */
export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
}
