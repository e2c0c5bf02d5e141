/**
 * Durations, counted in a histogram of bounded size.
 *
 * @module
 */

import { createHistogram } from "node:perf_hooks";

/** The longest duration counted: one that is longer counts as this, a day in microseconds. */
const LONGEST = 86_400_000_000;

/** Durations in milliseconds, kept to the microsecond with three figures (HdrHistogram). */
export class Times {
  readonly #histogram = createHistogram({ lowest: 1, highest: LONGEST, figures: 3 });
  #longest = 0;

  /** Counts a duration. */
  record(ms: number): void {
    if (ms > this.#longest) this.#longest = ms;
    this.#histogram.record(Math.min(Math.max(Math.round(ms * 1000), 1), LONGEST));
  }

  /** How many there are. */
  get count(): number {
    return this.#histogram.count;
  }

  /** The longest. */
  get max(): number {
    return rounded(this.#longest);
  }

  /** The duration that so many percent do not exceed; 0 if there is none. */
  percentile(percent: number): number {
    if (this.count === 0) return 0;
    // With three figures, the histogram may give a little more than the longest.
    return Math.min(rounded(this.#histogram.percentile(percent) / 1000), this.max);
  }
}

/** With three decimals. */
export function rounded(number: number): number {
  return Math.round(number * 1000) / 1000;
}
