/**
 * Where the programs' lines go: standard output and standard error, or a test's arrays.
 *
 * @module
 */

/** Takes whole lines, without their line end. */
export interface Output {
  /** What the program is for: standard output. */
  out(line: string): void;
  /** What went wrong, or is only for the person watching: standard error. */
  err(line: string): void;
}

/** The process's own standard output and standard error. */
export const terminal: Output = {
  out: (line) => writeLine(Deno.stdout, line),
  err: (line) => writeLine(Deno.stderr, line),
};

function writeLine(stream: { writeSync(bytes: Uint8Array): number }, line: string): void {
  const bytes = new TextEncoder().encode(line + "\n");
  try {
    for (let written = 0; written < bytes.length;) {
      written += stream.writeSync(bytes.subarray(written));
    }
  } catch (error) {
    // The reader of a pipe may leave (`serve | head`); that is no reason to stop serving.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

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
