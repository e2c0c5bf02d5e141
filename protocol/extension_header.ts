/**
 * The header `Sec-WebSocket-Extensions` (RFC 6455 section 9.1).
 *
 * @module
 */

import { isToken, listElements, TOKEN, TOKEN_CHARACTER, trimmed } from "./grammar.ts";

/** One extension as offered or agreed. */
export interface Extension {
  name: string;
  /** Its parameters in their order; the value is `undefined` where there is none. */
  params: [name: string, value: string | undefined][];
}

/**
 * A parameter: `token`, or `token = token`, or `token = "token"`, as RFC 6455 section 9.1 lets a quoted value
 * hold nothing but a token. A backslash in it only escapes the next character.
 */
const PARAM = new RegExp(
  `^(${TOKEN})(?:[ \\t]*=[ \\t]*(?:(${TOKEN})|"((?:\\\\?${TOKEN_CHARACTER})+)"))?$`,
);

/**
 * Parses the header.
 *
 * @param header The value, several headers joined by commas.
 * @returns The extensions in their order, or `undefined` when it does not follow the grammar.
 */
export function parseExtensions(header: string): Extension[] | undefined {
  const extensions: Extension[] = [];
  for (const element of listElements(header)) {
    const [name, ...rest] = element.split(";").map(trimmed) as [string, ...string[]];
    if (!isToken(name)) return undefined;
    const params: Extension["params"] = [];
    for (const piece of rest) {
      const match = PARAM.exec(piece);
      if (match === null) return undefined;
      params.push([match[1]!, match[2] ?? match[3]?.replaceAll("\\", "")]);
    }
    extensions.push({ name, params });
  }
  return extensions;
}

/** Writes one extension as the header has it. */
export function formatExtension({ name, params }: Extension): string {
  return [name, ...params.map(([key, value]) => value === undefined ? key : `${key}=${value}`)]
    .join("; ");
}
