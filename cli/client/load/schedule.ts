/**
 * When the messages of a load are due: at a fixed rate, whatever becomes of those before (an open loop).
 *
 * A generator that waits for each answer sends less to a server that stalls, and so measures the stall once
 * instead of for every message that was due in it: "coordinated omission". Here each message has its time
 * beforehand, and its latency is counted from then.
 *
 * @module
 */

/** Messages at a fixed rate. Times are in milliseconds. */
export class Schedule {
  readonly #start: number;
  readonly #interval: number;
  readonly #count: number;
  #taken = 0;

  /**
   * @param start When the first message is due.
   * @param rate Messages a second.
   * @param duration How long messages are due, from `start` on.
   */
  constructor(start: number, rate: number, duration: number) {
    this.#start = start;
    this.#interval = 1000 / rate;
    this.#count = Math.ceil(duration * rate / 1000);
  }

  /** When the next message is due; `Infinity` after the last. */
  get due(): number {
    return this.#taken < this.#count ? this.#start + this.#taken * this.#interval : Infinity;
  }

  /** The next message is taken: it is sent, or counted as one that was not. */
  take(): void {
    this.#taken++;
  }

  /**
   * Takes all messages that are due at a time.
   *
   * @returns How many.
   */
  takeDue(now: number): number {
    const due = Math.floor((now - this.#start) / this.#interval) + 1;
    const count = Math.max(Math.min(due, this.#count) - this.#taken, 0);
    this.#taken += count;
    return count;
  }
}
