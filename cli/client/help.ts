/**
 * The help of the client: one screen of what is used daily, or everything.
 *
 * @module
 */

import { helpText } from "../flags.ts";
import type { Sentences } from "../sentences.ts";
import { DAILY, flags } from "./flags.ts";

/** The text of `--help`. */
export function shortHelp({ client }: Sentences): string {
  const daily = Object.fromEntries(DAILY.map((name) => [name, flags[name]]));
  return `${helpText(client.usage, daily, client.flags)}\n\n${client.moreHelp}`;
}

/** The text of `--help=all`. */
export function wholeHelp({ client }: Sentences): string {
  const codes = Object.entries(client.exitCodes).map(([code, text]) =>
    `  ${code.padEnd(5)}${text}`
  );
  const descriptions = { ...client.flags, load: client.loadFlagOfAll };
  const help = helpText(`${client.usage}\n${client.usageOfAll}`, flags, descriptions);
  return `${help}\n\n${wrapped(client.loadHelp)}\n\n${client.exitCodesTitle}\n${codes.join("\n")}`;
}

/** A paragraph in lines of at most 80 characters. */
function wrapped(text: string): string {
  return text.replaceAll(/(.{1,80})(?: |$)/g, "$1\n").trimEnd();
}
