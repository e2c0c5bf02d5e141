/**
 * A failure that a program tells its user in one sentence, and the words of any other error.
 *
 * @module
 */

/** A failure told to the user in one sentence, with the program's exit code. */
export class Failure extends Error {
  override name = "Failure";
  readonly exitCode: number;
  /** When the peer asks to be tried again: a `Retry-After`. */
  readonly retryAfter: string | undefined;
  constructor(message: string, exitCode = 1, retryAfter?: string) {
    super(message);
    this.exitCode = exitCode;
    this.retryAfter = retryAfter;
  }
}

/** The message of anything thrown, on one line. */
export function causeOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, " ");
}
