/**
 * Deno's modules of Node's names that the transport is built on, loaded when they are first used: an
 * `import` of `node:tls` takes 15 ms of a program's start.
 *
 * @module
 */

import type * as Buffers from "node:buffer";
import type * as Crypto from "node:crypto";
import type * as Http from "node:http";
import type * as Net from "node:net";
import type * as Stream from "node:stream";
import type * as Tls from "node:tls";
import type * as Util from "node:util";

/** What is used of the global `process`, which needs no import. */
interface Process {
  getBuiltinModule(name: "node:buffer"): typeof Buffers;
  getBuiltinModule(name: "node:crypto"): typeof Crypto;
  getBuiltinModule(name: "node:http"): typeof Http;
  getBuiltinModule(name: "node:net"): typeof Net;
  getBuiltinModule(name: "node:stream"): typeof Stream;
  getBuiltinModule(name: "node:tls"): typeof Tls;
  getBuiltinModule(name: "node:util"): typeof Util;
  /** Deprecated in Node; missing where a runtime has dropped it. */
  binding?(name: "stream_wrap"): unknown;
}

/** The global `process`, as Node has it. */
export function process(): Process {
  return (globalThis as unknown as { process: Process }).process;
}

/** Loads a module once: to look it up takes half a microsecond, several times in each request. */
function once<Module>(load: () => Module): () => Module {
  let loaded: Module | undefined;
  return () => loaded ??= load();
}

/** `node:buffer`. */
export const buffer: () => typeof Buffers = once(() => process().getBuiltinModule("node:buffer"));

/** `node:crypto`. */
export const nodeCrypto: () => typeof Crypto = once(() =>
  process().getBuiltinModule("node:crypto")
);

/** `node:http`. */
export const http: () => typeof Http = once(() => process().getBuiltinModule("node:http"));

/** `node:net`. */
export const net: () => typeof Net = once(() => process().getBuiltinModule("node:net"));

/** `node:stream`. */
export const stream: () => typeof Stream = once(() => process().getBuiltinModule("node:stream"));

/** `node:tls`. */
export const tls: () => typeof Tls = once(() => process().getBuiltinModule("node:tls"));

/** `node:util`. */
export const util: () => typeof Util = once(() => process().getBuiltinModule("node:util"));
