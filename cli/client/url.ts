/**
 * The URL of the server: given on the command line, or by a redirect.
 *
 * @module
 */

import { Failure } from "../failure.ts";
import { UsageError } from "../flags.ts";
import { printable } from "../printable.ts";
import { fill, type Sentences } from "../sentences.ts";
import type { Refusal } from "./refusal.ts";

/** Redirects that are followed for one connection, as in the WHATWG's fetch by half: more are a circle. */
export const MAX_REDIRECTS = 10;

/**
 * Parses the URL of the command line.
 *
 * @throws {UsageError} If it is none of a WebSocket.
 */
export function parseUrl(text: string, sentences: Sentences): URL {
  const url = URL.parse(text);
  if (url === null || !/^wss?:$/.test(url.protocol) || text.includes("#")) {
    const near = urlNear(text);
    const wanted = near === undefined
      ? sentences.wanted.url
      : fill(sentences.wanted.urlNear, { near: withoutSecrets(near) });
    const details = { source: "URL", value: withoutSecrets(text), wanted };
    throw new UsageError(fill(sentences.usage.badValue, details));
  }
  return url;
}

/** The URL that may be meant by one of a web page, or by a host without a scheme. */
function urlNear(text: string): string | undefined {
  if (/#|\s/.test(text)) return undefined;
  const near = /^https?:\/\//i.test(text)
    ? text.replace(/^http/i, "ws").replace(/^wss/i, "wss")
    : /^(?:[a-z][\w+.-]*:)?\/|^$/i.test(text)
    ? undefined
    : `wss://${text}`;
  return near && URL.canParse(near) ? near : undefined;
}

/** Hides the secrets of a URL, even of a malformed one. A token that contains `#` ends in the fragment. */
export function withoutSecrets(url: string): string {
  return url
    .replace(/^(\w+:\/\/)?[^/?#]*@/, "$1")
    .replaceAll(/(?<=[?&]token=)[^&#]*/g, "***")
    .replace(/(?<=#).+/s, "***");
}

/** Whether a refusal sends the client to another URL, with the same method (RFC 9110 section 15.4). */
export function isRedirect({ status, headers }: Refusal): boolean {
  return [301, 302, 303, 307, 308].includes(status) && headers.has("Location");
}

/**
 * Where a redirect leads.
 *
 * @param from The URL that was asked.
 * @param count How many redirects there have been, with this one.
 * @throws {Failure} If it is not to be followed.
 */
export function redirectTarget(
  from: URL,
  { headers }: Refusal,
  count: number,
  { failure }: Sentences,
): URL {
  if (count > MAX_REDIRECTS) throw new Failure(fill(failure.manyRedirects, { max: MAX_REDIRECTS }));
  const location = headers.get("Location")!;
  const url = URL.parse(location, from.href);
  const scheme = { "http:": "ws:", "https:": "wss:" }[url?.protocol ?? ""];
  if (url !== null && scheme !== undefined) url.protocol = scheme;
  const details = { location: printable(withoutSecrets(location)) };
  if (url === null || !/^wss?:$/.test(url.protocol)) {
    throw new Failure(fill(failure.strangeRedirect, details));
  }
  if (from.protocol === "wss:" && url.protocol === "ws:") {
    throw new Failure(fill(failure.redirectWithoutTls, details));
  }
  url.hash = "";
  return url;
}
