/**
 * When the messages of a connection that have no answer yet were due, in their order.
 *
 * @module
 */

/** Room for so many at first; most connections never need more. */
const FIRST_ROOM = 4;

/** A queue of times of bounded length. */
export class Pending {
  /** A ring. */
  #times = new Float64Array(FIRST_ROOM);
  #first = 0;
  #length = 0;
  readonly #most: number;

  /** @param most The longest that the queue may become; a power of two from 4 on. */
  constructor(most: number) {
    this.#most = most;
  }

  get length(): number {
    return this.#length;
  }

  get isFull(): boolean {
    return this.#length === this.#most;
  }

  /** Adds the time of another message. The queue must not be full. */
  push(time: number): void {
    if (this.#length === this.#times.length) this.#grow();
    this.#times[(this.#first + this.#length) % this.#times.length] = time;
    this.#length++;
  }

  /** Takes the oldest time; undefined if there is none. */
  shift(): number | undefined {
    if (this.#length === 0) return undefined;
    const time = this.#times[this.#first];
    this.#first = (this.#first + 1) % this.#times.length;
    this.#length--;
    return time;
  }

  /** Takes all of them. */
  clear(): void {
    this.#length = 0;
  }

  #grow(): void {
    const times = new Float64Array(this.#times.length * 2);
    times.set(this.#times.subarray(this.#first));
    times.set(this.#times.subarray(0, this.#first), this.#times.length - this.#first);
    this.#times = times;
    this.#first = 0;
  }
}
