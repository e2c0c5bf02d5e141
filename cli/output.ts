/**
 * Where the programs write their lines: standard output and standard error, or the arrays of a test.
 *
 * @module
 */

/** Takes whole lines, without the line end. */
export interface Output {
  /** Writes to standard output: the program's results. */
  out(line: string): void;
  /** Writes to standard error: failures, and remarks for the person who watches. */
  err(line: string): void;
  /** Writes bytes to standard output as they are; absent where there are only lines. */
  bytes?(bytes: Uint8Array): void;
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
    // The reader of a pipe may exit (`serve | head`). The program goes on.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
