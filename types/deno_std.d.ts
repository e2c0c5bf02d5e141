/**
 * Types for the parts of `npm:deno-std` in use: the package holds the standard library's own
 * modules as JavaScript alone. Importing from `jsr:@std/...` instead makes this file unneeded.
 */

declare module "@std/assert" {
  // deno-lint-ignore no-explicit-any
  type Constructor<T> = abstract new (...args: any[]) => T;

  export function assert(condition: unknown, message?: string): asserts condition;
  export function assertEquals<T>(actual: T, expected: T, message?: string): void;
  export function assertNotEquals<T>(actual: T, expected: T, message?: string): void;
  export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): void;
  export function assertGreater<T>(actual: T, expected: T, message?: string): void;
  export function assertLess<T>(actual: T, expected: T, message?: string): void;
  export function assertLessOrEqual<T>(actual: T, expected: T, message?: string): void;
  export function assertMatch(actual: string, expected: RegExp, message?: string): void;
  export function assertNotMatch(actual: string, expected: RegExp, message?: string): void;
  export function assertStringIncludes(actual: string, expected: string, message?: string): void;
  export function assertInstanceOf<T>(
    actual: unknown,
    expected: Constructor<T>,
    message?: string,
  ): asserts actual is T;
  export function assertThrows<E extends Error = Error>(
    fn: () => unknown,
    errorClass?: Constructor<E>,
    messageIncludes?: string,
    message?: string,
  ): E;
  export function assertRejects<E extends Error = Error>(
    fn: () => PromiseLike<unknown>,
    errorClass?: Constructor<E>,
    messageIncludes?: string,
    message?: string,
  ): Promise<E>;
  export function fail(message?: string): never;
}

declare module "@std/async/deadline" {
  /** Rejects with a `TimeoutError` when `promise` has not settled after `ms` milliseconds. */
  export function deadline<T>(promise: Promise<T>, ms: number): Promise<T>;
}

declare module "@std/cli/parse-args" {
  export interface ParseOptions {
    alias?: Record<string, string>;
    boolean?: string[];
    string?: string[];
    collect?: string[];
    unknown?: (argument: string, key?: string, value?: unknown) => unknown;
  }
  export function parseArgs(
    args: string[],
    options?: ParseOptions,
  ): { [name: string]: unknown; _: string[] };
}

declare module "@std/text/closest-string" {
  export function closestString(givenWord: string, possibleWords: readonly string[]): string;
}

declare module "@std/text/levenshtein-distance" {
  export function levenshteinDistance(a: string, b: string): number;
}

declare module "@std/yaml" {
  /** The documents of a text, in order. */
  export function parseAll(content: string): unknown;
}
