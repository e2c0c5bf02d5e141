/**
 * The flags of the client, and what they mean together.
 *
 * @module
 */

import { isToken } from "../../protocol/grammar.ts";
import { parseAddress } from "../../protocol/ip_address.ts";
import { withoutToken } from "../bearer_subprotocol.ts";
import { compressionFlag } from "../compression.ts";
import {
  BadValue,
  duration,
  type Flag,
  helpToggle,
  integer,
  list,
  oneOf,
  optional,
  size,
  toggle,
  type Values,
  withoutDefault,
} from "../flags.ts";
import { LANGUAGES } from "../sentences.ts";
import { checkProxy, withoutCredentials } from "./proxy.ts";

/**
 * Deno's own WebSocket neither pings nor bounds a message or a silence, chooses its address and name in TLS
 * itself, and shows neither headers nor frames.
 */
const NO_COMPRESSION: [flag: string, text: string] = ["compression", "off"];

/** The shells that `--completion` knows. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** The table. */
export const flags = {
  message: { ...list("TEXT|@FILE|-", "\n"), without: "stdin" },
  hex: {
    ...list("HEX", ",", (hex) => {
      if (!/^(?:[\da-f]{2})*$/i.test(hex)) throw new BadValue("hex", {}, hex);
      return hex;
    }),
    without: "stdin",
  },
  binary: toggle(),
  skip: { ...integer("N", 0, 0, 1_000_000), without: ["stdin", "follow", "connect-only"] },
  "connect-only": { ...toggle(), without: ["message", "hex", "stdin", "follow"] },

  stdin: { ...toggle(), without: "follow" },
  null: { ...toggle(), with: ["stdin", "follow"] },
  wait: { ...duration("ms", 10_000, 1, 86_400_000), with: "stdin" },
  follow: toggle("f"),
  load: {
    ...toggle(),
    without: [
      "stdin",
      "follow",
      "connect-only",
      "raw",
      "output",
      "quiet",
      "timestamps",
      "stats",
      "ping",
      "location",
      "reconnect",
      "fail-on-close",
    ],
  },
  connections: { ...integer("N", 10, 1, 100_000), with: "load" },
  rate: { ...withoutDefault(integer("N", 0, 1, 10_000_000)), with: "load" },
  ramp: { ...duration("s", 0, 0, 86_400), with: "load" },
  size: {
    ...withoutDefault(size("BYTES", 0, 0, 16 * 1024 * 1024)),
    with: "load",
    without: ["message", "hex"],
  },
  expect: { ...anyText("TEXT|none"), with: "load" },
  "max-p99": { ...withoutDefault(duration("ms", 0, 1, 86_400_000)), with: "load" },
  "max-errors": { ...withoutDefault(integer("N", 0, 0, 1_000_000_000)), with: "load" },
  count: { ...integer("N", 0, 0, 1_000_000_000_000), with: ["stdin", "follow"] },
  duration: { ...duration("s", 0, 0, 86_400), with: ["follow", "load"] },

  interactive: {
    ...toggle("i"),
    without: ["stdin", "follow", "load", "connect-only", "skip", "raw", "output", "json"],
  },
  pretty: { ...toggle(), with: "interactive" },
  "history-file": { ...optional("FILE|off"), with: "interactive" },

  raw: { ...toggle(), without: "json" },
  "output-format": oneOf("raw", "hex", "base64"),
  output: { ...optional("FILE"), without: "json" },
  json: toggle(),
  quiet: toggle("q"),
  timestamps: toggle(),
  stats: toggle(),
  ping: { ...duration("s", 0, 0, 86_400), unless: NO_COMPRESSION },
  "idle-timeout": { ...duration("s", 0, 0, 86_400), unless: NO_COMPRESSION },
  "show-headers": { ...toggle(), unless: NO_COMPRESSION, without: "quiet" },
  frames: { ...toggle(), unless: NO_COMPRESSION, without: "quiet" },

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
    alias: "H",
  },
  user: {
    ...optional("USER:PASSWORD"),
    parse(texts: string[]) {
      const text = texts.at(-1);
      if (text !== undefined && !/^[^:]+:/.test(text)) throw new BadValue("user");
      return text;
    },
    without: "bearer-file",
    show: () => "***",
    alias: "u",
  },
  "bearer-file": optional("FILE"),
  cookie: {
    ...list("NAME=VALUE", "\n", (cookie) => {
      parseHeader(`Cookie: ${cookie}`);
      if (!/^[^=;\s]+=[^;]*(?:; *[^=;\s]+=[^;]*)*$/.test(cookie)) throw new BadValue("cookie");
      return cookie;
    }),
    show: () => "***",
  },
  // WSS_HOST is the address that the server listens on.
  host: { ...hostName("NAME"), hasVariable: false },
  cacert: optional("FILE"),
  insecure: toggle("k"),
  cert: { ...optional("FILE"), with: "key" },
  key: { ...optional("FILE"), with: "cert" },
  sni: { ...hostName("NAME"), without: "proxy", unless: NO_COMPRESSION },

  resolve: {
    ...list("HOST:PORT:ADDRESS", ",", (text) => {
      parseResolve(text);
      return text;
    }),
    without: ["proxy", "unix"],
    unless: NO_COMPRESSION,
  },
  ipv4: { ...toggle("4"), without: ["proxy", "unix", "ipv6"], unless: NO_COMPRESSION },
  ipv6: { ...toggle("6"), without: ["proxy", "unix"], unless: NO_COMPRESSION },
  proxy: {
    ...optional("URL"),
    mustHold: true,
    parse(texts: string[]) {
      const text = texts.at(-1);
      if (text !== undefined) checkProxy(text);
      return text;
    },
    show: withoutCredentials,
  },
  unix: { ...optional("PATH"), without: "proxy" },
  location: toggle("L"),
  compression: compressionFlag,
  "max-message-size": {
    ...size("BYTES", 16 * 1024 * 1024, 1, 2 ** 30),
    unless: NO_COMPRESSION,
  },
  reconnect: integer("N", 0, 0, 1_000_000),
  "reconnect-on": {
    ...list("STATUS", ",", (status) => {
      if (!/^[1-5]\d\d$/.test(status)) throw new BadValue("integer", { min: 100, max: 599 });
      return status;
    }),
    with: "reconnect",
  },
  timeout: duration("ms", 10_000, 1, 86_400_000),
  "fail-on-close": toggle(),

  lang: oneOf(...LANGUAGES),
  completion: {
    placeholder: SHELLS.join("|"),
    parse(texts: string[]): typeof SHELLS[number] | undefined {
      const shell = SHELLS.find((shell) => shell === texts.at(-1));
      if (shell === undefined && texts.length > 0) {
        throw new BadValue("oneOf", { choices: SHELLS.join(", ") });
      }
      return shell;
    },
  },
  help: helpToggle(),
  version: toggle("V"),
};

/** What `--help` shows: what is used daily. `--help=all` shows everything. */
export const DAILY = [
  "message",
  "interactive",
  "stdin",
  "follow",
  "load",
  "count",
  "raw",
  "json",
  "stats",
  "header",
  "protocol",
  "user",
  "cacert",
  "insecure",
  "proxy",
  "reconnect",
  "timeout",
  "lang",
  "help",
] as const;

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

/** A flag with one value, which may be empty, and no default. */
function anyText(placeholder: string): Flag<string | undefined> {
  return { placeholder, parse: (texts) => texts.at(-1) };
}

/** A flag whose value is a host's name, with a port or without. */
function hostName(placeholder: string): Flag<string | undefined> {
  return {
    placeholder,
    parse(texts) {
      const text = texts.at(-1);
      if (text !== undefined && !/^([\w.-]+|\[[\da-f:.]+\])(:\d{1,5})?$/i.test(text)) {
        throw new BadValue("host");
      }
      return text;
    },
  };
}

/**
 * Reads where a host is to be reached, as curl's `--resolve` has it: an IPv6 address may be in brackets.
 *
 * @throws {BadValue} If it is malformed.
 */
export function parseResolve(text: string): { host: string; port: number; address: string } {
  const [, host = "", digits, address = ""] =
    /^([^:[\]]+|\[[\da-f:.]+\]):(\d{1,5}):(.+)$/i.exec(text) ?? [];
  const port = Number(digits);
  const bare = address.replace(/^\[(.*)\]$/, "$1");
  if (host === "" || !(port >= 1 && port <= 65535) || parseAddress(bare) === undefined) {
    throw new BadValue("resolve", {}, text);
  }
  return { host: host.toLowerCase(), port, address: bare };
}
