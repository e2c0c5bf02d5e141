/**
 * A failure that a program tells its user in one sentence, and the words of any other error.
 *
 * @module
 */

import type { Sentences } from "./sentences.ts";

/** A failure that the user is told in one sentence, with the program's exit code. */
export class Failure extends Error {
  override name = "Failure";
  readonly exitCode: number;
  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Why a file cannot be used: in the language of the sentences, where the system's error is a usual one. */
export function fileCauseOf(error: unknown, { causes }: Sentences): string {
  const known: Record<string, string> = causes;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return known[code] ?? causeOf(error);
}

/** The message of any thrown value, on one line. */
export function causeOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, " ");
}
