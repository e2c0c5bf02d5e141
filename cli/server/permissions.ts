/**
 * Gives up permissions that are no longer needed.
 *
 * @module
 */

/** Gives up what only the start needs: writing, the environment, other programs. */
export async function dropPermissions(): Promise<void> {
  for (const name of ["write", "env", "run", "ffi", "sys"] as const) {
    await Deno.permissions.revoke({ name });
  }
}
