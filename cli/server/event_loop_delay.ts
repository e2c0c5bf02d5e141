/**
 * How long the event loop of this thread keeps others waiting.
 *
 * A timer is set again and again, and how late it fires is counted. `monitorEventLoopDelay` of `node:perf_hooks`
 * exists on Deno 2.9, and does not see a turn of 100 ms.
 *
 * @module
 */

/** Delays as a histogram of Prometheus has them. */
export interface DelayHistogram {
  /** How many were measured. */
  count: number;
  /** All of them together, in seconds. */
  sum: number;
  /** For each bound in {@linkcode DELAY_BOUNDS}, how many were no longer. */
  buckets: number[];
}

/** The bounds of the buckets, in seconds. */
export const DELAY_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** How often it is measured, in milliseconds. */
const INTERVAL_MS = 100;

/** Measures the delay, once it is started. */
export class EventLoopDelay implements Disposable {
  readonly #interval: number;
  readonly #histogram: DelayHistogram = { count: 0, sum: 0, buckets: DELAY_BOUNDS.map(() => 0) };
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param interval How often it is measured, in milliseconds. */
  constructor(interval = INTERVAL_MS) {
    this.#interval = interval;
  }

  /** What was measured so far. */
  get histogram(): DelayHistogram {
    return { ...this.#histogram, buckets: [...this.#histogram.buckets] };
  }

  /** Measures from now on. Does not keep the process alive. */
  start(): void {
    const due = performance.now() + this.#interval;
    this.#timer = setTimeout(() => {
      this.#count(Math.max(0, performance.now() - due) / 1000);
      this.start();
    }, this.#interval);
    Deno.unrefTimer(this.#timer);
  }

  #count(delay: number): void {
    const { buckets } = this.#histogram;
    this.#histogram.count++;
    this.#histogram.sum += delay;
    DELAY_BOUNDS.forEach((bound, index) => {
      if (delay <= bound) buckets[index]!++;
    });
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
