/**
 * Each event as a task of its own, as on the web: what a handler has started with promises is done
 * before the next event.
 *
 * @module
 */

import { type Turns, turns } from "../transport/turns.ts";

/** What goes on in a task of its own. */
export interface Continuing {
  continue(): void;
  step(): boolean;
}

/**
 * Longest time that tasks follow each other without a turn of the event loop, in milliseconds: sockets and
 * timers wait meanwhile.
 */
const LONGEST_CHAIN_MS = 2;

interface Process {
  nextTick(callback: () => void): void;
}

/** The tasks of a process. */
class Tasks {
  readonly #turns: Turns;
  #current = 0;
  #scheduled = false;
  #waiting: Continuing[] = [];
  /** When the tasks began that now follow each other; 0 when there are none. */
  #chainStart = 0;
  readonly #next = () => this.#run();
  readonly #tick = () => this.#process.nextTick(this.#next);
  #process: Process = (globalThis as unknown as { process: Process }).process;

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  /** The number of the task that is running: another once its microtasks are done. */
  get current(): number {
    if (!this.#scheduled) {
      this.#scheduled = true;
      // A tick comes after all microtasks there are, and all they start.
      queueMicrotask(this.#tick);
    }
    return this.#current;
  }

  /** Calls `continue()` of `work` in the next task. */
  after(work: Continuing): void {
    void this.current;
    this.#waiting.push(work);
  }

  #run(): void {
    this.#scheduled = false;
    this.#current++;
    if (this.#waiting.length === 0) {
      this.#chainStart = 0;
      return;
    }
    const now = performance.now();
    if (this.#chainStart === 0) this.#chainStart = now;
    const waiting = this.#waiting;
    this.#waiting = [];
    if (now - this.#chainStart > LONGEST_CHAIN_MS) {
      this.#turns.charge(now - this.#chainStart);
      this.#chainStart = 0;
      for (const work of waiting) this.#turns.add(work);
      return;
    }
    for (const work of waiting) {
      try {
        work.continue();
      } catch (error) {
        reportError(error);
      }
    }
  }
}

/** The tasks of this process. */
export const tasks: Tasks = new Tasks(turns);
