/**
 * Counts what happens too often for a line each, and reports it in one line now and then.
 *
 * @module
 */

/** At most one report in this time, in milliseconds. */
export const REPORT_MS = 10_000;

/** A count that is reported, if there is something to report. */
export class Tally {
  readonly #report: (count: number) => void;
  /** What was counted since the last report. */
  #count = 0;
  /** Runs while something waits to be reported. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param report Called with the count, every {@linkcode REPORT_MS} at most. */
  constructor(report: (count: number) => void) {
    this.#report = report;
  }

  /** Counts one. */
  add(): void {
    this.#count++;
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.flush(), REPORT_MS);
    // A report must not keep the process alive.
    Deno.unrefTimer(this.#timer as unknown as number);
  }

  /** Reports what was counted since the last report, if there is any. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const count = this.#count;
    this.#count = 0;
    if (count > 0) this.#report(count);
  }
}
