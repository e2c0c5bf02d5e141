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

/**
 * The folder that the server makes its certificates in: the user's if it may write there, as one that is installed
 * runs in any folder. But the current folder's where the program itself is in it, or where there is a certificate.
 */
export function serverFolder(): string {
  const user = userFolder();
  if (user === undefined || !mayWrite(user)) return LOCAL_FOLDER;
  const isLocal = mayWrite(LOCAL_FOLDER) && (isOwnFolder() || hasCertificate(LOCAL_FOLDER));
  return isLocal ? LOCAL_FOLDER : user;
}

/** Whether the current folder is the one that the program is in. */
export function isOwnFolder(): boolean {
  const own = new URL("..", import.meta.url);
  return !Deno.build.standalone && own.href === new URL(`file://${Deno.cwd()}/`).href;
}

function mayWrite(path: string): boolean {
  return Deno.permissions.querySync({ name: "write", path }).state === "granted";
}

function hasCertificate(folder: string): boolean {
  try {
    return Deno.statSync(`${folder}/server.crt`).isFile;
  } catch {
    return false;
  }
}
