/**
 * What tests import as `fast-check`.
 *
 * The package is named here and not in deno.json: a task downloads all that deno.json and its lock file name. Tests
 * have a lock file of their own.
 *
 * @module
 */

export { default } from "npm:fast-check@4.10.2";
