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
  /** Calls `run` in a later turn of the event loop, after sockets and timers had their chance. */
  defer(run: () => void): void;
  /**
   * Calls `run` in the next turn of the event loop: cheaper than `defer`, and enough as long as less
   * than a share of work was done since sockets had their chance.
   *
   * @default {defer}
   */
  soon?(run: () => void): void;
  /**
   * How many milliseconds of work are done before sockets and timers get their chance.
   *
   * In the worst case a small message waits for one share, so it must be far below the 50 ms that a
   * user notices. A call of `defer` costs 100 µs of CPU time, so with a share of 4 ms it takes 2.5 %.
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
  readonly #soon: (run: () => void) => void;
  readonly #share: number;
  readonly #entries = new Map<Work, Entry>();
  /** The entry whose step comes next. The entry of a work that is running is in no place. */
  #first: Entry | undefined;
  #last: Entry | undefined;
  /** The work whose step is running. */
  #running: Work | undefined;
  /** What the running work was told last during its step: added, removed, or neither. */
  #wish: "add" | "remove" | undefined;
  /** How many milliseconds of the share are used up. */
  #used = 0;
  /** Whether a turn is asked for, or running. */
  #active = false;
  readonly #run = () => this.#turn();

  constructor({ now, defer, soon = defer, share = 4 }: TurnsOptions) {
    this.#now = now;
    this.#defer = defer;
    this.#soon = soon;
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
    this.#ask();
  }

  /** Counts `ms` of work that was done outside of the steps, before its author was queued. */
  charge(ms: number): void {
    this.#used += ms;
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

  /** Asks for a turn; a share that is used up begins anew. */
  #ask(): void {
    if (this.#used < this.#share) return this.#soon(this.#run);
    this.#used = 0;
    this.#defer(this.#run);
  }

  /** Does steps until the share is used up, and one at least. */
  #turn(): void {
    const begin = this.#now() - this.#used;
    while (this.#first !== undefined) {
      this.#step(this.#first);
      this.#used = this.#now() - begin;
      if (!(this.#used < this.#share)) break;
    }
    if (this.#first === undefined) this.#active = false;
    else this.#ask();
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

/** Deno looks at its sockets at least once in so many turns of the event loop. */
const TURNS_FOR_SOCKETS = 61;

interface Immediates {
  setImmediate(run: () => void): void;
}

/** Calls `run` in the next turn of the event loop. */
function nextTurn(run: () => void): void {
  // A global of Node that Deno loads when it is first used.
  (globalThis as unknown as Immediates).setImmediate(run);
}

/**
 * Calls `run` in a later turn of the event loop, after sockets and timers had their chance.
 *
 * Deno looks at its sockets when nothing else is ready, or else once in 61 turns of the event loop. So
 * this lets 61 empty turns pass. With an interval other than that, sockets wait for several shares.
 *
 * Seen on Deno 2.9.6, with 4 ms of work between the calls, for an echo to another process:
 *
 * | what | wait when idle | CPU | echo, p50 | p99 |
 * |---|---|---|---|---|
 * | 61 times `setImmediate` | 0.1 ms | 0.1 ms | 4 ms | 6 to 8 ms |
 * | `setTimeout` of 0 | 2.2 ms | 0.1 ms | 2 ms | 3 to 12 ms |
 * | `setImmediate` | 0.003 ms | 0.007 ms | 244 ms | 400 to 570 ms |
 * | `MessageChannel` | 0.005 ms | 0.015 ms | none in 8 s | |
 * | an operation on another thread | 0.05 ms | 0.05 ms | 4 to 54 ms | 9 to 514 ms |
 *
 * `setTimeout` would lose a third of the time. An operation on another thread helps only if this thread
 * is idle before it ends, which is a matter of luck.
 */
export function afterSockets(run: () => void): void {
  let left = TURNS_FOR_SOCKETS;
  const pass = () => {
    if (--left === 0) run();
    else nextTurn(pass);
  };
  nextTurn(pass);
}

/** The scheduler of this thread. */
export const turns: Turns = new Turns({
  now: () => performance.now(),
  defer: afterSockets,
  soon: nextTurn,
});
