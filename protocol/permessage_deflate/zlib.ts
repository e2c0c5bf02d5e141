/**
 * `node:zlib`, loaded when it is first used: an `import` of it takes 30 ms of a program's start, twice
 * what the start takes without.
 *
 * @module
 */

import type * as Zlib from "node:zlib";

/** `node:zlib`. */
export function zlib(): typeof Zlib {
  const { process } = globalThis as unknown as {
    process: { getBuiltinModule(name: "node:zlib"): typeof Zlib };
  };
  return process.getBuiltinModule("node:zlib");
}
