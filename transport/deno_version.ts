/**
 * The versions of Deno that all of this is known to work on: those whose runs of the tests pass.
 *
 * @module
 */

/**
 * The oldest version supported. 2.9.6 is better: up to 2.9.5, Deno was seen to close file descriptors that
 * others had meanwhile, after it had ended many connections in the middle of their TLS handshakes. On 2.9.0 a
 * connection over TLS never ends its side by its public stream; before that, messages cannot be compressed
 * either.
 */
export const OLDEST_DENO = "2.9.5";

// Elsewhere, as on Node, the first module that needs Deno would fail and say nothing of the reason.
if (!("Deno" in globalThis)) {
  throw new Error(
    `Cannot load @permessage/deflate: the runtime is not Deno, must be Deno ${OLDEST_DENO} or newer`,
  );
}

/** The version of this process, where it can be read. */
export function denoVersion(): string | undefined {
  const { Deno: deno } = globalThis as { Deno?: { version?: { deno?: string } } };
  return deno?.version?.deno;
}

/** Whether a version is older than all that are supported. One that has another shape is not. */
export function isTooOld(version: string | undefined): boolean {
  const found = numbersOf(version ?? "");
  const oldest = numbersOf(OLDEST_DENO)!;
  if (found === undefined) return false;
  const at = found.findIndex((number, i) => number !== oldest[i]);
  return at !== -1 && found[at]! < oldest[at]!;
}

/** Major, minor and patch; what follows them, as of a canary, is left out. */
function numbersOf(version: string): number[] | undefined {
  return /^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number);
}

let isChecked = false;

/**
 * Checks once that this process is of a version that is supported.
 *
 * @param action What cannot be done otherwise, as in `serve`.
 * @throws {Error} If it is too old.
 */
export function requireDeno(action: string): void {
  if (isChecked) return;
  const version = denoVersion();
  if (isTooOld(version)) {
    throw new Error(`Cannot ${action}: Deno is "${version}", must be ${OLDEST_DENO} or newer`);
  }
  isChecked = true;
}
