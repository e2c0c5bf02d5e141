/**
 * The names of topics, as NATS has subjects: tokens that are separated by dots, such as `chat.room-7`. A pattern
 * names many: `*` stands for any one token, and `>` at the end for one token or more.
 *
 * @module
 */

/**
 * Longest name, in bytes of UTF-8. An engine repeats it in every message, and NATS reads 4,096 bytes with what
 * it adds.
 */
export const MAX_TOPIC_BYTES = 256;

/** What no token may hold: white space and control characters, which end a subject for NATS. */
const FORBIDDEN = /[\s\p{Cc}\p{Cs}]/u;

/** Whether `text` is a name: tokens without `*` and `>`. */
export function isTopic(text: string): boolean {
  return isWellFormed(text) && !/[*>]/.test(text);
}

/** Whether `text` is a pattern: `*` and `>` are tokens of their own, at least one is there, and `>` is the last. */
export function isPattern(text: string): boolean {
  if (!isWellFormed(text)) return false;
  const tokens = text.split(".");
  return /[*>]/.test(text) &&
    tokens.every((token, at) =>
      token === "*" || token === ">" && at === tokens.length - 1 || !/[*>]/.test(token)
    );
}

function isWellFormed(text: string): boolean {
  if (typeof text !== "string" || text.length > MAX_TOPIC_BYTES || FORBIDDEN.test(text)) {
    return false;
  }
  // Only text beyond ASCII has more bytes than characters.
  if (/[^\0-\x7f]/.test(text) && new TextEncoder().encode(text).length > MAX_TOPIC_BYTES) {
    return false;
  }
  return !text.startsWith(".") && !text.endsWith(".") && !text.includes("..") && text !== "";
}

/**
 * One token for any text, such as what a client names its room by: letters, digits, `-` and `_` stay, every other
 * byte becomes `%` and two hexadecimal digits. Two texts never have one token.
 *
 * @throws {RangeError} If the text is empty, or the token would be longer than a name may be.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { topicToken } from "@permessage/deflate/topics";
 *
 * assertEquals(topicToken("a.b >"), "a%2Eb%20%3E");
 * ```
 */
export function topicToken(text: string): string {
  let token = "";
  for (const byte of new TextEncoder().encode(text.toWellFormed())) {
    const character = String.fromCharCode(byte);
    token += /[\w-]/.test(character)
      ? character
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  if (token === "" || token.length > MAX_TOPIC_BYTES) {
    throw new RangeError(
      `Cannot make a topic: its token would have ${token.length} bytes, must have 1 to ${MAX_TOPIC_BYTES}`,
    );
  }
  return token;
}
