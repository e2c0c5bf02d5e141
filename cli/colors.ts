/**
 * Colours of what the programs print on a terminal.
 *
 * @module
 */

/** The codes of ECMA-48's Select Graphic Rendition. */
const CODES = { dim: 2, red: 31, green: 32, cyan: 36 };

/** A colour. */
export type Color = keyof typeof CODES;

/** Colours a text: all of its lines. */
export type Paint = (text: string, color: Color) => string;

/**
 * Whether a person wants colours: not with `NO_COLOR`, nor where standard output is no terminal.
 */
export function wantsColors(): boolean {
  return !Deno.noColor && Deno.stdout.isTerminal();
}

/**
 * Returns what colours texts, or leaves them as they are.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { painter } from "./colors.ts";
 *
 * assertEquals(painter(true)("no", "red"), "\x1b[31mno\x1b[0m");
 * assertEquals(painter(false)("no", "red"), "no");
 * ```
 */
export function painter(isColored: boolean): Paint {
  return (text, color) => isColored ? `\x1b[${CODES[color]}m${text}\x1b[0m` : text;
}
