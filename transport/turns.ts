/**
 * Fair turns: work too long for one turn of the event loop is done in slices, round robin, and between
 * the slices sockets and timers get their chance.
 *
 * @module
 */

/** Work that is done in slices. */
export interface Work {
  /**
   * Does one slice, of a millisecond at most.
   *
   * @returns Whether there is more to do.
   */
  step(): boolean;
}

/** What {@linkcode Turns} needs to know of the world. */
export interface TurnsOptions {
  /** The time in milliseconds, which never goes back. */
  now(): number;
  /** Calls `run` in the next turn of the event loop. */
  defer(run: () => void): void;
  /**
   * How many milliseconds of each turn are for work.
   *
   * In the worst case a small message waits for one share, so it must be far below the 50 ms that a
   * user notices. Going to the next turn costs 35 µs of CPU time, so a share of 4 ms loses less than
   * 1 % of it.
   *
   * @default {4}
   */
  share?: number;
}

/** A place in the queue. Entries are linked, so that one in the middle is removed at once. */
interface Entry {
  readonly work: Work;
  previous: Entry | undefined;
  next: Entry | undefined;
}

/**
 * The scheduler. Between two steps of one work, each other work that was queued all that time has had
 * a step.
 */
export class Turns {
  readonly #now: () => number;
  readonly #defer: (run: () => void) => void;
  readonly #share: number;
  readonly #entries = new Map<Work, Entry>();
  /** The entry whose step comes next. The entry of a work that is running is in no place. */
  #first: Entry | undefined;
  #last: Entry | undefined;
  /** The work whose step is running. */
  #running: Work | undefined;
  /** What the running work was told last during its step: added, removed, or neither. */
  #wish: "add" | "remove" | undefined;
  /** Whether a turn is asked for, or running. */
  #active = false;
  readonly #run = () => this.#turn();

  constructor({ now, defer, share = 4 }: TurnsOptions) {
    this.#now = now;
    this.#defer = defer;
    this.#share = share;
  }

  /** How many works are queued; the one that is running counts as queued. */
  get size(): number {
    return this.#entries.size - (this.#wish === "remove" ? 1 : 0);
  }

  /**
   * Queues a work behind all others, and does nothing if it is queued. A work that is added during its
   * own step stays, whatever the step returns.
   */
  add(work: Work): void {
    if (work === this.#running) {
      this.#wish = "add";
      return;
    }
    if (this.#entries.has(work)) return;
    const entry = { work, previous: undefined, next: undefined };
    this.#entries.set(work, entry);
    this.#append(entry);
    if (this.#active) return;
    this.#active = true;
    this.#defer(this.#run);
  }

  /** Takes a work out of the queue. A step that is running ends first, and is the last. */
  remove(work: Work): void {
    if (work === this.#running) {
      this.#wish = "remove";
      return;
    }
    const entry = this.#entries.get(work);
    if (entry === undefined) return;
    this.#entries.delete(work);
    this.#unlink(entry);
  }

  /** Does steps until the share is used up, and one at least. */
  #turn(): void {
    const end = this.#now() + this.#share;
    while (this.#first !== undefined) {
      this.#step(this.#first);
      if (!(this.#now() < end)) break;
    }
    if (this.#first === undefined) this.#active = false;
    else this.#defer(this.#run);
  }

  #step(entry: Entry): void {
    const { work } = entry;
    this.#unlink(entry);
    this.#running = work;
    let more = false;
    let failed = false;
    let failure: unknown;
    try {
      more = work.step();
    } catch (error) {
      failed = true;
      failure = error;
    }
    const stays = !failed && (this.#wish === "add" || more && this.#wish === undefined);
    this.#running = undefined;
    this.#wish = undefined;
    if (stays) this.#append(entry);
    else this.#entries.delete(work);
    if (failed) reportError(failure);
  }

  #append(entry: Entry): void {
    entry.previous = this.#last;
    if (this.#last === undefined) this.#first = entry;
    else this.#last.next = entry;
    this.#last = entry;
  }

  #unlink(entry: Entry): void {
    const { previous, next } = entry;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    entry.previous = undefined;
    entry.next = undefined;
  }
}

const NOTHING = new Uint8Array(0);

/**
 * Calls `run` in a later turn of the event loop, after sockets and timers had their chance.
 *
 * Deno looks for what sockets have got when nothing else is ready, or after 61 turns in which something
 * was. An operation on another thread leaves nothing ready for a moment: 50 µs later it is done. Seen on
 * Deno 2.9.6 with turns of 4 ms, for the answer to a peer of another process:
 *
 * | what | idle turn | the peer's answer, p50 |
 * |---|---|---|
 * | an operation on another thread | 0.05 ms | 4 ms |
 * | `setTimeout` of 0 | 2.2 ms | 2 ms |
 * | `setImmediate` | 0.002 ms | 244 ms |
 * | `MessageChannel` | 0.005 ms | none in 8 s |
 */
export function nextTurn(run: () => void): void {
  // The lightest such operation that needs no permission. What it computes is of no use.
  crypto.subtle.digest("SHA-256", NOTHING).then(run, run);
}

/** The scheduler of this thread. */
export const turns: Turns = new Turns({ now: () => performance.now(), defer: nextTurn });
