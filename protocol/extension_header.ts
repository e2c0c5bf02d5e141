/**
 * The header `Sec-WebSocket-Extensions` (RFC 6455 section 9.1).
 *
 * @module
 */

/** One extension as offered or agreed. */
export interface Extension {
  name: string;
  /** Its parameters in their order; the value is `undefined` where there is none. */
  params: [name: string, value: string | undefined][];
}

/**
 * `token`, or `token = token`, or `token = "token"`: RFC 6455 section 9.1 lets a quoted value hold
 * nothing but a token. A backslash in it only escapes the next character.
 */
const PIECE =
  /[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*=[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)|"((?:\\?[!#$%&'*+.^_`|~0-9A-Za-z-])+)"))?[ \t]*([,;]|$)/y;

/** An empty element of the list, which RFC 9110 section 5.6.1 tells a recipient to skip. */
const EMPTY_ELEMENT = /[ \t]*(?:,|$)/y;

/**
 * Parses the header.
 *
 * @param header The value, several headers joined by commas.
 * @returns The extensions in their order, or `undefined` when it does not follow the grammar.
 */
export function parseExtensions(header: string): Extension[] | undefined {
  const extensions: Extension[] = [];
  let current: Extension | undefined;
  for (let at = 0; at < header.length;) {
    if (current === undefined) {
      EMPTY_ELEMENT.lastIndex = at;
      if (EMPTY_ELEMENT.test(header)) {
        at = EMPTY_ELEMENT.lastIndex;
        continue;
      }
    }
    PIECE.lastIndex = at;
    const match = PIECE.exec(header);
    if (match === null) return undefined;
    at = PIECE.lastIndex;
    const [, name, plain, quoted, end] = match;
    const value = plain ?? quoted?.replaceAll("\\", "");
    if (current !== undefined) {
      current.params.push([name!, value]);
    } else if (value !== undefined) {
      return undefined;
    } else {
      current = { name: name!, params: [] };
      extensions.push(current);
    }
    if (end === ",") current = undefined;
    else if (end === ";" && at === header.length) return undefined;
  }
  return extensions;
}

/** Writes one extension as the header has it. */
export function formatExtension({ name, params }: Extension): string {
  return [name, ...params.map(([key, value]) => value === undefined ? key : `${key}=${value}`)]
    .join("; ");
}
