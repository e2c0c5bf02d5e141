/**
 * Where the programs keep their development certificates.
 *
 * @module
 */

import { readEnvironment } from "./flags.ts";

/** The folder of the certificates in the current folder, as the tasks use it. */
export const LOCAL_FOLDER = "certs";

/**
 * The folder of the certificates among the user's own data, for programs that are installed and run from any
 * folder. Undefined if the program may not know where that is.
 */
export function userFolder(): string | undefined {
  const data = readEnvironment("XDG_DATA_HOME");
  // The XDG base directory specification says to ignore a relative path.
  if (data?.startsWith("/")) return `${data}/permessage-deflate`;
  const home = readEnvironment("HOME");
  return home?.startsWith("/") ? `${home}/.local/share/permessage-deflate` : undefined;
}

/** The folder that the server makes its certificates in: the local one, unless it may only write to the user's. */
export function serverFolder(): string {
  const user = userFolder();
  return user !== undefined && !mayWrite(LOCAL_FOLDER) && mayWrite(user) ? user : LOCAL_FOLDER;
}

function mayWrite(path: string): boolean {
  return Deno.permissions.querySync({ name: "write", path }).state === "granted";
}
