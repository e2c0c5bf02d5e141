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

/** What {@linkcode printableLines} shows at most. */
export const MOST_SHOWN = { lines: 200, text: 8192, binary: 512 };

/**
 * One line for a message: text with its control characters escaped, or bytes as hexadecimal. A long
 * message is cut, and its size is given.
 *
 * @param data The message.
 * @param maxBinary Most bytes of binary shown. @default {64}
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
export function printable(data: string | Uint8Array, maxBinary: number = MAX_BINARY): string {
  if (typeof data !== "string") {
    const more = data.length > maxBinary ? "…" : "";
    return `${data.subarray(0, maxBinary).toHex()}${more} (${bytes(data.length)})`.trimStart();
  }
  if (data.length <= MAX_TEXT) return escaped(data);
  const size = new TextEncoder().encode(data).length;
  return `${escaped(data.slice(0, cutAt(data, MAX_TEXT)))}… (${bytes(size)})`;
}

/**
 * The lines of a message: a text line by line, each with its other control characters escaped. What is beyond
 * {@linkcode MOST_SHOWN} is left out, and the message's size is given.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { printableLines } from "./printable.ts";
 *
 * assertEquals(printableLines("a\r\nb\x1b[2J"), ["a", "b\\u{1b}[2J"]);
 * ```
 */
export function printableLines(data: string | Uint8Array): string[] {
  if (typeof data !== "string") return [printable(data, MOST_SHOWN.binary)];
  const shown = data.slice(0, cutAt(data, MOST_SHOWN.text));
  const lines = shown.split(/\r?\n/);
  const most = lines.slice(0, MOST_SHOWN.lines).map((line) => escaped(line));
  if (shown === data && most.length === lines.length) return most;
  const size = new TextEncoder().encode(data).length;
  return [...most.slice(0, -1), `${most.at(-1)}… (${bytes(size)})`];
}

/** Where to cut a text so that no surrogate pair is cut in half. */
function cutAt(text: string, length: number): number {
  const isInPair = text.length > length && /[\ud800-\udbff]/.test(text[length - 1]!);
  return isInPair ? length - 1 : length;
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
