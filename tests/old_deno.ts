/**
 * Loaded before a program (`deno run --preload`), has Deno tell an old version.
 *
 * @module
 */

Object.defineProperty(Deno, "version", { value: { ...Deno.version, deno: "2.8.3" } });
