/**
 * Numbers as the language of the sentences writes them. What is for programs, such as `--json`, has them as
 * JavaScript does.
 *
 * @module
 */

import { fill, type Sentences } from "./sentences.ts";

/**
 * A number with the decimal mark of the language, and without marks between thousands.
 *
 * @param decimals How many decimals there are; by default those that it has, up to three.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { numberText } from "./number_text.ts";
 * import { sentencesIn } from "./sentences.ts";
 *
 * assertEquals(numberText(1234.5, sentencesIn("pt-BR")), "1234,5");
 * assertEquals(numberText(1, sentencesIn("en"), 1), "1.0");
 * ```
 */
export function numberText(number: number, { page }: Sentences, decimals?: number): string {
  return new Intl.NumberFormat(page.lang, {
    useGrouping: false,
    minimumFractionDigits: decimals ?? 0,
    maximumFractionDigits: decimals ?? 3,
  }).format(number);
}

/** Each of some numbers as {@linkcode numberText}, to fill a sentence with. */
export function numberTexts<Name extends string>(
  numbers: Record<Name, number>,
  sentences: Sentences,
): Record<Name, string> {
  const texts = Object.entries<number>(numbers)
    .map(([name, number]) => [name, numberText(number, sentences)]);
  return Object.fromEntries(texts);
}

/** The time to a Pong, with at most one decimal. */
export function pongText(ms: number, sentences: Sentences): string {
  const rounded = Math.round(ms * 10) / 10;
  return fill(sentences.client.pong, numberTexts({ ms: rounded }, sentences));
}
