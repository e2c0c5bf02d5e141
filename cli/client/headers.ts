/**
 * What `--show-headers` shows: the heads of the opening handshake, as `curl --verbose` does, without secrets.
 *
 * @module
 */

import type { HandshakeHead } from "../../mod.ts";
import { withoutToken } from "../bearer_subprotocol.ts";
import { escaped } from "../printable.ts";
import type { Report } from "./report.ts";
import { withoutSecrets } from "./url.ts";

/** Names of headers whose values are secrets: the standard ones, and those of which the name says so. */
const SECRET =
  /^(?:proxy-)?authorization$|cookie|token|secret|passw|session|(?:api|auth|access)-?key|x-auth/i;

/** How an authorization begins (RFC 9110 section 11.4): that much is no secret. */
const SCHEME = /^(?:Basic|Bearer|Digest|Negotiate)(?= )/i;

/** Headers whose values are URLs. */
const URLS: readonly string[] = ["content-location", "location", "referer"];

/** Reports a head, line by line to a person. */
export function showHead({ direction, ...head }: HandshakeHead, report: Report): void {
  const line = direction === "sent" ? withoutSecretsIn(head.line) : head.line;
  const headers = head.headers.map(([name, value]) => [name, shownValue(name, value)]);
  report.json({ event: "handshake", direction, line, headers });
  const mark = direction === "sent" ? ">" : "<";
  for (const text of [line, ...headers.map((header) => header.join(": ")), ""]) {
    report.remark(`${mark} ${escaped(text)}`);
  }
}

/** A request's line: its target is the second of three words. */
function withoutSecretsIn(line: string): string {
  return line.split(" ").map(withoutSecrets).join(" ");
}

/** The value of a header, with `***` in the place of a secret. */
export function shownValue(name: string, value: string): string {
  if (SECRET.test(name)) {
    const scheme = SCHEME.exec(value)?.[0];
    return scheme === undefined ? "***" : `${scheme} ***`;
  }
  const lowerCase = name.toLowerCase();
  if (lowerCase === "sec-websocket-protocol") return value.split(",").map(withoutToken).join(",");
  return URLS.includes(lowerCase) ? withoutSecrets(value) : value;
}
