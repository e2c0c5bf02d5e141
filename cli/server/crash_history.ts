/**
 * How long to wait before a crashed worker is replaced.
 *
 * @module
 */

import { backoff } from "../backoff.ts";

/** The time whose crashes count, in milliseconds. */
const WINDOW_MS = 3_600_000;

/** A worker that crashes earlier has crashed at its start, in milliseconds. */
const SETTLED_MS = 10_000;

/**
 * The recent crashes of one worker and its replacements. All crashes of the last hour count, so that a
 * worker which crashes again and again is replaced more and more slowly, also if it works well for some time
 * before each crash.
 */
export class CrashHistory {
  #times: number[] = [];

  /**
   * Records a crash, or a start that failed.
   *
   * @param lifetime How long the worker worked, in milliseconds.
   * @param now The current time, in milliseconds.
   * @param random A number from 0 to 1.
   * @returns The wait before it is replaced, in milliseconds: none if this is the first crash for an hour,
   * and not at the start.
   */
  record(
    lifetime: number,
    now: number = performance.now(),
    random: number = Math.random(),
  ): number {
    this.#times = [...this.#times.filter((time) => now - time < WINDOW_MS), now];
    const count = this.#times.length;
    return count === 1 && lifetime >= SETTLED_MS ? 0 : backoff(count, undefined, random);
  }
}
