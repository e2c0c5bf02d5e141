/**
 * What a program advises where it lacks a permission of Deno's.
 *
 * @module
 */

import { isOwnFolder } from "./certificates_folder.ts";
import { fill, type Sentences } from "./sentences.ts";

/** One of the two programs. */
export type ProgramName = "client" | "server";

/**
 * What to do about a permission that a program lacks. In the project's own folder, that is a command with all
 * permissions that the program may need, so that it does not lead to the next denial. Elsewhere, it is the
 * permission to add.
 *
 * @param permission The permission, as a flag of Deno's.
 */
export function permissionRemedy(
  program: ProgramName,
  permission: string,
  { failure }: Sentences,
): string {
  if (!isOwnFolder()) return fill(failure.addPermission, { permission, program: `wss-${program}` });
  return program === "client" ? failure.useClientTool : failure.useDenoRun;
}
