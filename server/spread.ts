/**
 * Spreading work over a time: one item after the other, so that what follows from each does not come at once.
 *
 * @module
 */

/** Tells and measures time. Tests bring their own. */
export interface Clock {
  /** Milliseconds, from any moment on. */
  now(): number;
  /** Calls back after some milliseconds. Returns what takes that back. */
  after(ms: number, callback: () => void): () => void;
}

const CLOCK: Clock = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/**
 * Most milliseconds that are made up for when the process was too busy to keep the times: what is left is
 * spread over the rest of the time instead, and does not come in one burst.
 */
const MAX_LAG_MS = 25;

/** How a {@linkcode Spread} works. */
export interface SpreadOptions<T> {
  /** Called with each item. */
  act(item: T): void;
  /** Called once no item is left. */
  onDone(): void;
  clock?: Clock;
  /** A number from 0 up to 1, as `Math.random` gives them. */
  random?: () => number;
}

/**
 * Acts on each of many items, evenly over a time. The rest of the time is divided into as many slots as
 * items are left; the next item, which is any of them, has its turn at a random moment of the first slot. So
 * neighbours in the list are no neighbours in time, and no slot has more than one.
 */
export class Spread<T> {
  readonly #act: (item: T) => void;
  readonly #onDone: () => void;
  readonly #clock: Clock;
  readonly #random: () => number;
  #items: T[] = [];
  /** Where the next slot begins, and where the last one ends. */
  #from = 0;
  #end = Infinity;
  #isRunning = false;
  /** Takes the timer back that waits for the next item. */
  #cancel: () => void = () => {};

  constructor({ act, onDone, clock = CLOCK, random = Math.random }: SpreadOptions<T>) {
    this.#act = act;
    this.#onDone = onDone;
    this.#clock = clock;
    this.#random = random;
  }

  /** Acts on each of `items`, over so many milliseconds; at once for 0. */
  begin(items: Iterable<T>, ms: number): void {
    this.#items = [...items];
    this.#isRunning = true;
    this.hurry(ms);
  }

  /** Has what is left done in so many milliseconds from now, if that is earlier. */
  hurry(ms: number): void {
    if (!this.#isRunning) return;
    this.#cancel();
    this.#from = this.#clock.now();
    this.#end = Math.min(this.#end, this.#from + ms);
    this.#goOn();
  }

  /** One item more: among those that are left, or at once. */
  add(item: T): void {
    if (this.#isRunning) this.#items.push(item);
    else this.#act(item);
  }

  /** Acts on none of those that are left. */
  stop(): void {
    this.#cancel();
    this.#isRunning = false;
    this.#items = [];
  }

  #goOn(): void {
    while (this.#items.length > 0) {
      const now = this.#clock.now();
      this.#from = Math.max(this.#from, now - MAX_LAG_MS);
      const slot = Math.max(0, this.#end - this.#from) / this.#items.length;
      const wait = this.#from + this.#random() * slot - now;
      this.#from += slot;
      if (wait > 0) {
        this.#cancel = this.#clock.after(wait, () => {
          this.#actOnAny();
          this.#goOn();
        });
        return;
      }
      this.#actOnAny();
    }
    if (!this.#isRunning) return;
    this.#isRunning = false;
    this.#onDone();
  }

  #actOnAny(): void {
    const at = Math.floor(this.#random() * this.#items.length);
    const item = this.#items[at]!;
    this.#items[at] = this.#items.at(-1)!;
    this.#items.pop();
    this.#act(item);
  }
}
