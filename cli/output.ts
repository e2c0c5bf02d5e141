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
