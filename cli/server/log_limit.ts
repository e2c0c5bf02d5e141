/**
 * How many lines of the log peers may cause, so that a flood of messages or handshakes fills neither the disk
 * nor the terminal.
 *
 * Each address has a bucket of lines, and so has the process. Each line takes one from both, and both fill up
 * again at a steady rate.
 *
 * @module
 */

import { Tally } from "./tally.ts";

/** A bucket: the lines it holds when full, and the lines it gains in a second. */
interface Rate {
  burst: number;
  perSecond: number;
}

/**
 * Lines for one address: enough for as many connections as it may have, with a line for each step, or for 50
 * messages a second without end. A line of a small message has some 50 bytes: that is 430 MB a day.
 */
const PER_ADDRESS: Rate = { burst: 30_000, perSecond: 100 };

/** Lines for the process: ten addresses at their full rate. */
const TOTAL: Rate = { burst: 100_000, perSecond: 1000 };

/** Most addresses remembered. An entry takes some 100 bytes. */
const MAX_ADDRESSES = 10_000;

/** Holds lines, and fills up with time. */
class Bucket {
  readonly #rate: Rate;
  #lines: number;
  #filledAt: number;

  constructor(rate: Rate, now: number) {
    this.#rate = rate;
    this.#lines = rate.burst;
    this.#filledAt = now;
  }

  /** The lines it holds now. */
  at(now: number): number {
    const { burst, perSecond } = this.#rate;
    this.#lines = Math.min(burst, this.#lines + (now - this.#filledAt) / 1000 * perSecond);
    this.#filledAt = now;
    return this.#lines;
  }

  isFull(now: number): boolean {
    return this.at(now) === this.#rate.burst;
  }

  take(lines: number): void {
    this.#lines -= lines;
  }
}

/** Decides which lines are logged, and reports how many were not. */
export class LogLimit {
  readonly #perAddress: Rate;
  readonly #total: Bucket;
  readonly #addresses = new Map<string, Bucket>();
  readonly #leftOut: Tally;

  /**
   * @param report Called with the number of lines left out, as {@linkcode Tally} does.
   * @param workers How many workers share the limit.
   */
  constructor(report: (leftOut: number) => void, workers = 1, now: number = performance.now()) {
    const share = ({ burst, perSecond }: Rate) => ({
      burst: Math.ceil(burst / workers),
      perSecond: perSecond / workers,
    });
    this.#leftOut = new Tally(report);
    this.#perAddress = share(PER_ADDRESS);
    this.#total = new Bucket(share(TOTAL), now);
  }

  /**
   * Takes a line for `address`.
   *
   * @param address An IPv4 address, or the network of an IPv6 one.
   * @param now The current time, in milliseconds.
   * @returns Whether the line may be logged.
   */
  take(address: string, now: number = performance.now()): boolean {
    const bucket = this.#bucketOf(address, now);
    if (bucket.at(now) < 1 || this.#total.at(now) < 1) {
      this.#leftOut.add();
      return false;
    }
    bucket.take(1);
    this.#total.take(1);
    return true;
  }

  /** Takes more lines for `address`, because a line that was logged is as long as several. */
  charge(address: string, lines: number, now: number = performance.now()): void {
    this.#bucketOf(address, now).take(lines);
    this.#total.take(lines);
  }

  /** Reports the lines left out since the last report, if there are any. */
  flush(): void {
    this.#leftOut.flush();
  }

  #bucketOf(address: string, now: number): Bucket {
    let bucket = this.#addresses.get(address);
    if (bucket !== undefined) return bucket;
    if (this.#addresses.size >= MAX_ADDRESSES) this.#forget(now);
    bucket = new Bucket(this.#perAddress, now);
    this.#addresses.set(address, bucket);
    return bucket;
  }

  /** Forgets the addresses whose buckets are full; if there are none, half of all, oldest first. */
  #forget(now: number): void {
    for (const [address, bucket] of this.#addresses) {
      if (bucket.isFull(now)) this.#addresses.delete(address);
    }
    if (this.#addresses.size < MAX_ADDRESSES) return;
    for (const address of [...this.#addresses.keys()].slice(0, MAX_ADDRESSES / 2)) {
      this.#addresses.delete(address);
    }
  }
}
