/**
 * Giving up what is no longer needed.
 *
 * @module
 */

/** Gives up what the start may need, and serving does not: writing, the environment, other programs. */
export async function dropPermissions(): Promise<void> {
  for (const name of ["write", "env", "run", "ffi", "sys"] as const) {
    await Deno.permissions.revoke({ name });
  }
}
