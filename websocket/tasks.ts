/**
 * Each event as a task of its own, as on the web: what a handler has started with promises is done
 * before the next event.
 *
 * @module
 */

import { type Turns, turns } from "../transport/turns.ts";

/** What goes on in a task of its own. */
export interface Continuing {
  /** Whether a task is due in which it goes on; for {@linkcode Tasks} to set. */
  isTaskDue: boolean;
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
  #isEnding = false;
  #isTickDue = false;
  #waiting: Continuing[] = [];
  /** When the tasks began that now follow each other; 0 when there are none. */
  #chainStart = 0;
  readonly #end = () => {
    this.#current++;
    this.#isEnding = false;
  };
  readonly #next = () => this.#run();
  readonly #tick = () => this.#process.nextTick(this.#next);
  #process: Process = (globalThis as unknown as { process: Process }).process;

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  /**
   * The number of the task that is running: another once its microtasks run, in the midst of which nothing
   * comes from the network.
   */
  get current(): number {
    if (!this.#isEnding) {
      this.#isEnding = true;
      queueMicrotask(this.#end);
    }
    return this.#current;
  }

  /**
   * Calls `continue()` of `work` in a task of its own, once all microtasks of this one are done; or
   * `step()` in a later turn of the event loop.
   */
  after(work: Continuing): void {
    if (work.isTaskDue) return;
    work.isTaskDue = true;
    this.#waiting.push(work);
    if (this.#isTickDue) return;
    this.#isTickDue = true;
    // A tick comes after all microtasks there are, and all they start.
    queueMicrotask(this.#tick);
  }

  #run(): void {
    this.#isTickDue = false;
    const now = performance.now();
    if (this.#chainStart === 0) this.#chainStart = now;
    const waiting = this.#waiting;
    this.#waiting = [];
    if (now - this.#chainStart > LONGEST_CHAIN_MS) {
      this.#turns.charge(now - this.#chainStart);
      this.#chainStart = 0;
      for (const work of waiting) {
        work.isTaskDue = false;
        this.#turns.add(work);
      }
      return;
    }
    for (const work of waiting) {
      work.isTaskDue = false;
      try {
        work.continue();
      } catch (error) {
        reportError(error);
      }
    }
    if (this.#waiting.length === 0) this.#chainStart = 0;
  }
}

/** The tasks of this process. */
export const tasks: Tasks = new Tasks(turns);
