/**
 * Makes data from the network safe to print: one line of bounded length, without control characters.
 *
 * @module
 */

/** Longest text shown, in UTF-16 code units: a few lines of a terminal. */
export const MAX_TEXT = 256;

/** Most bytes of binary shown: two lines of a terminal as hexadecimal. */
export const MAX_BINARY = 64;

/**
 * Everything that moves the cursor, breaks the line, reorders text or is not a character: controls, line
 * separators, lone surrogates, and format characters except the two joiners that words and emoji need.
 */
const UNPRINTABLE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

const SHORT: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * One line for a message: text with its control characters escaped, or bytes as hexadecimal. A long
 * message is cut, and its size is given.
 *
 * @param data The message.
 * @returns The line.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { printable } from "./printable.ts";
 *
 * assertEquals(printable("a\nb\x1b[2J"), "a\\nb\\u{1b}[2J");
 * assertEquals(printable(new Uint8Array([1, 255])), "01ff (2 bytes)");
 * ```
 */
export function printable(data: string | Uint8Array): string {
  if (typeof data !== "string") {
    const more = data.length > MAX_BINARY ? "…" : "";
    return `${data.subarray(0, MAX_BINARY).toHex()}${more} (${bytes(data.length)})`.trimStart();
  }
  if (data.length <= MAX_TEXT) return escaped(data);
  // Do not cut a surrogate pair in half.
  const end = /[\ud800-\udbff]/.test(data[MAX_TEXT - 1]!) ? MAX_TEXT - 1 : MAX_TEXT;
  const size = new TextEncoder().encode(data).length;
  return `${escaped(data.slice(0, end))}… (${bytes(size)})`;
}

function bytes(size: number): string {
  return size === 1 ? "1 byte" : `${size} bytes`;
}

/** The text with its control characters escaped, whole. */
export function escaped(text: string): string {
  return text.replace(
    UNPRINTABLE,
    (character) => SHORT[character] ?? `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}
