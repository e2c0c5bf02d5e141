/**
 * The package `ws` that is measured. It is not in deno.json, nor in its lock file: a task downloads all that these name.
 *
 * @module
 */

/** The package's version. */
export const WS_VERSION = "8.23.0";

/** Deno's flags for a program that loads it. */
export const WS_FLAGS = ["--no-lock", "--allow-env=WS_NO_BUFFER_UTIL,WS_NO_UTF_8_VALIDATE"];
