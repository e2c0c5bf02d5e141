/**
 * The word that was meant by one that is not known.
 *
 * @module
 */

import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";

/**
 * The nearest of some words: no more than half of it may be changed.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { nearest } from "./nearest.ts";
 *
 * assertEquals(nearest("mesage", ["message", "json"]), "message");
 * assertEquals(nearest("bogus", ["message", "json"]), undefined);
 * ```
 */
export function nearest(word: string, words: string[]): string | undefined {
  if (words.length === 0) return undefined;
  const near = closestString(word, words);
  return levenshteinDistance(word, near) * 2 <= near.length ? near : undefined;
}
