/**
 * What a program is told that uses an upgrade in a way that cannot work.
 *
 * @module
 */

/** A fault of the program, not of a request: told once, however many requests show it. */
export class Misuse extends TypeError {}

const told = new Set<string>();

/** Prints what is wrong and what to write instead, once in the life of the process. */
export function tellOnce(message: string): void {
  if (told.has(message)) return;
  told.add(message);
  console.error(message);
}
