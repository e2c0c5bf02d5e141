/**
 * The globs of Redis, in which `?`, `*`, `\` and sets such as `[ab]` have a meaning.
 *
 * @module
 */

/** A glob that matches at least the channels of a pattern. */
export function globOf(prefix: string, pattern: string): string {
  const tokens = pattern.split(".").map((token) => token === ">" ? "*" : literal(token));
  return literal(prefix) + tokens.join(".");
}

/** Text of a glob that stands for itself; `*` is a token of patterns alone. */
function literal(text: string): string {
  return text.replace(/[?[\]\\^]/g, "\\$&");
}
