/**
 * What the headers of HTTP have in common (RFC 9110 section 5.6).
 *
 * @module
 */

/** A character of a token (section 5.6.2), as a part of a regular expression. */
export const TOKEN_CHARACTER = "[!#$%&'*+.^_`|~0-9A-Za-z-]";

/** A token, likewise: a name of a method, a header, an extension or a subprotocol. */
export const TOKEN: string = `${TOKEN_CHARACTER}+`;

const WHOLE_TOKEN = new RegExp(`^${TOKEN}$`);

/** Whether all of `text` is one token. */
export function isToken(text: string): boolean {
  return WHOLE_TOKEN.test(text);
}

/**
 * The elements of a comma-separated list (section 5.6.1), without the white space around them. Empty elements
 * are skipped, as a recipient must.
 *
 * @param value The header, several of its name joined by commas; no elements where there is none.
 */
export function listElements(value: string | null | undefined): string[] {
  if (value === null || value === undefined) return [];
  return value.split(",").map(trimmed).filter((element) => element !== "");
}

/** `text` without the spaces and tabs around it: no other character is white space in a header. */
export function trimmed(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isWhiteSpace(text[start]!)) start++;
  while (end > start && isWhiteSpace(text[end - 1]!)) end--;
  return text.slice(start, end);
}

function isWhiteSpace(character: string): boolean {
  return character === " " || character === "\t";
}

/** Whether a comma-separated header holds `token`, in any case (RFC 9110 section 5.6.1). */
export function hasToken(header: string | null | undefined, token: string): boolean {
  if (header === token) return true;
  return listElements(header).some((element) => element.toLowerCase() === token);
}
