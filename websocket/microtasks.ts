/**
 * The end of a task: when its microtasks have run.
 *
 * @module
 */

interface Process {
  nextTick(callback: () => void): void;
}

/** `node:process`, which Deno has as a global that loads itself. */
function process(): Process {
  return (globalThis as unknown as { process: Process }).process;
}

/**
 * Resolves when all microtasks there are, and all they start, have run: a tick comes after them, and
 * before anything else.
 */
export function microtasksDone(): Promise<void> {
  const { nextTick } = process();
  return new Promise((resolve) => queueMicrotask(() => nextTick(resolve)));
}
