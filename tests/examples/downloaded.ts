/**
 * Whether an example can be run here. Importing this file needs no permission.
 *
 * @module
 */

import { succeeds } from "../interop/peer.ts";
import { projectPath, RUNNABLE } from "../programs.ts";

/** Whether all of these have been downloaded, as `examples/deno.json` names them. */
export async function isDownloaded(...specifiers: string[]): Promise<boolean> {
  return RUNNABLE && await succeeds(Deno.execPath(), [
    "eval",
    "--cached-only",
    "--frozen",
    `--config=${projectPath("examples/deno.json")}`,
    specifiers.map((specifier) => `import ${JSON.stringify(specifier)};`).join(" "),
  ]);
}
