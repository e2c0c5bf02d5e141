/**
 * The flags of the client, and what they mean together.
 *
 * @module
 */

import { isToken } from "../../protocol/grammar.ts";
import { withoutToken } from "../bearer_subprotocol.ts";
import { compressionFlag } from "../compression.ts";
import { BadValue, integer, list, oneOf, optional, toggle, type Values } from "../flags.ts";
import { LANGUAGES } from "../sentences.ts";
import { checkProxy, withoutCredentials } from "./proxy.ts";

/** The table. */
export const flags = {
  message: list("TEXT", "\n"),
  binary: toggle(),
  protocol: {
    ...list("NAME", ",", (name, index, names) => {
      const isSame = (other: string) => other.toLowerCase() === name.toLowerCase();
      if (!isToken(name) || names.findIndex(isSame) !== index) throw new BadValue("protocol");
      return name;
    }),
    show: withoutToken,
  },
  header: {
    ...list("TEXT", "\n", (header) => {
      parseHeader(header);
      return header;
    }),
    show: withoutValue,
  },
  cacert: optional("FILE"),
  insecure: toggle(),
  cert: { ...optional("FILE"), with: "key" },
  key: { ...optional("FILE"), with: "cert" },
  proxy: {
    ...optional("URL"),
    parse(texts: string[]) {
      const text = texts.at(-1);
      if (text !== undefined) checkProxy(text);
      return text;
    },
    show: withoutCredentials,
  },
  unix: { ...optional("PATH"), without: "proxy" },
  compression: compressionFlag,
  location: toggle(),
  reconnect: integer("N", 0, 0, 1_000_000),
  "reconnect-on": {
    ...list("STATUS", ",", (status) => {
      if (!/^[1-5]\d\d$/.test(status)) throw new BadValue("integer", { min: 100, max: 599 });
      return status;
    }),
    with: "reconnect",
  },
  timeout: integer("MS", 10_000, 1, 86_400_000),
  lang: oneOf(...LANGUAGES),
  json: toggle(),
  help: toggle("h"),
  version: toggle("V"),
};

/** The values of the flags; under `_`, the URL. */
export type Options = Values<typeof flags> & { _: string[] };

/**
 * Reads a header of the command line.
 *
 * @throws {BadValue} If it is none.
 */
export function parseHeader(header: string): [name: string, value: string] {
  const colon = header.indexOf(":");
  const [name, value] = [header.slice(0, colon), header.slice(colon + 1).trim()];
  // deno-lint-ignore no-control-regex
  if (colon < 1 || !isToken(name) || /[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/.test(value)) {
    throw new BadValue("header");
  }
  return [name, value];
}

/** Hides the value of a header, and all of a header without a name. */
function withoutValue(header: string): string {
  const name = /^([^\s:]+)[\s:]/.exec(header)?.[1];
  return name === undefined ? "***" : `${name}: ***`;
}
