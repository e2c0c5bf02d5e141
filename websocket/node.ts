/**
 * What Deno has only under Node's names, loaded when it is first used: an `import` of any of it takes
 * 30 ms of a program's start, twice what the start takes without.
 *
 * @module
 */

import type * as Zlib from "node:zlib";

interface Process {
  getBuiltinModule(name: "node:zlib"): typeof Zlib;
  nextTick(callback: () => void): void;
}

/** `node:process`, which Deno has as a global that loads itself. */
function process(): Process {
  return (globalThis as unknown as { process: Process }).process;
}

/** `node:zlib`. */
export function zlib(): typeof Zlib {
  return process().getBuiltinModule("node:zlib");
}

/**
 * Resolves when all microtasks there are, and all they start, have run: a tick comes after them, and
 * before anything else.
 */
export function microtasksDone(): Promise<void> {
  const { nextTick } = process();
  return new Promise((resolve) => queueMicrotask(() => nextTick(resolve)));
}
