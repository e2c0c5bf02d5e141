/**
 * What the extended tests have in common.
 *
 * @module
 */

import { RUNNABLE } from "../programs.ts";

export const MIB = 1024 * 1024;

/** Longest life of a server under test, in milliseconds. */
export const LIMIT_MS = 300_000;

export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** An extended test: on Linux, with all permissions. */
export function extended(name: string, fn: () => Promise<void>, ignore = false): void {
  Deno.test({ name, ignore: ignore || !RUNNABLE || Deno.build.os !== "linux", fn });
}

/** A figure in milliseconds, for people. */
export function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
