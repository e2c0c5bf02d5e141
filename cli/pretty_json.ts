/**
 * JSON with a line for each value.
 *
 * @module
 */

/** A longer text is left as it is, in UTF-16 code units. */
const MAX_LENGTH = 64 * 1024;

/** And one that is nested deeper: its indentation would be many times its length. */
const MAX_DEPTH = 64;

/** Strings, punctuation, and what is neither. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/**
 * Lays out JSON. Only the space between its tokens changes: a number with many digits, and a key that comes twice,
 * stay as they were sent.
 *
 * @returns The text as it is, if it is no JSON object or array.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { prettyJson } from "./pretty_json.ts";
 *
 * assertEquals(prettyJson('{"id":12345678901234567890,"tags":[]}'), `{
 *   "id": 12345678901234567890,
 *   "tags": []
 * }`);
 * assertEquals(prettyJson("[not JSON"), "[not JSON");
 * ```
 */
export function prettyJson(text: string): string {
  if (text.length > MAX_LENGTH || !/^\s*[{[]/.test(text) || !isJson(text)) return text;
  let depth = 0;
  let before = "";
  let pretty = "";
  for (const [token] of text.matchAll(TOKEN)) {
    const closes = token === "}" || token === "]";
    const isEmpty = closes && (before === "{" || before === "[");
    if (closes) depth--;
    if (!isEmpty && (closes || before === "{" || before === "[" || before === ",")) {
      pretty += `\n${"  ".repeat(depth)}`;
    }
    if (token === "{" || token === "[") depth++;
    if (depth > MAX_DEPTH) return text;
    pretty += token === ":" ? ": " : token;
    before = token;
  }
  return pretty;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
