/**
 * A failure that a program tells its user in one sentence, and the words of any other error.
 *
 * @module
 */

/** A failure that the user is told in one sentence, with the program's exit code. */
export class Failure extends Error {
  override name = "Failure";
  readonly exitCode: number;
  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The message of any thrown value, on one line. */
export function causeOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, " ");
}
