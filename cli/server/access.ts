/**
 * Decides which requests may open a WebSocket: by their origin (RFC 6454) and bearer token (RFC 6750).
 *
 * @module
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { BEARER_PREFIX, isBearer } from "../bearer_subprotocol.ts";
import { isToken, listElements } from "../../protocol/grammar.ts";

/** The schemes whose origins the URL standard serializes as `scheme://host:port`. */
const WEB_SCHEME = /^(?:https?|wss?|ftp):/i;

/** The origin of an app or an extension, as its browser engine sends it: a scheme of its own, and a host. */
const APP_ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[!-~]+$/i;

/**
 * Whether `text` is what `Origin` may be compared with: an origin of the web, also with `*.` in place of a
 * subdomain; one of an app or an extension; `file://`, or `null`, both of which all local pages share.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { isOrigin } from "./access.ts";
 *
 * assert(isOrigin("https://*.example.com"));
 * assert(isOrigin("capacitor://localhost"));
 * assert(!isOrigin("https://example.com/path"));
 * ```
 */
export function isOrigin(text: string): boolean {
  const origin = text.toLowerCase();
  if (origin === "null" || origin === "file://") return true;
  if (!WEB_SCHEME.test(origin)) {
    return APP_ORIGIN.test(origin) && !/[/?#@*,\\]/.test(origin.slice(origin.indexOf("//") + 2));
  }
  const example = origin.replace("://*.", "://any.");
  return !example.includes("*") && URL.parse(example)?.origin === example;
}

/**
 * Whether `allowed` contains `origin`, either exactly or by a pattern such as `https://*.example.com`.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { isAllowedOrigin } from "./access.ts";
 *
 * assert(isAllowedOrigin("https://a.example.com", ["https://*.example.com"]));
 * assert(!isAllowedOrigin("https://example.com", ["https://*.example.com"]));
 * ```
 */
export function isAllowedOrigin(origin: string, allowed: string[]): boolean {
  const given = origin.toLowerCase();
  return allowed.some((pattern) => {
    const [scheme, domain] = pattern.split("*");
    if (domain === undefined) return given === pattern;
    return given.startsWith(scheme!) && given.endsWith(domain) &&
      given.length > scheme!.length + domain.length;
  });
}

/**
 * The token of a request: from `Authorization: Bearer`, else from the query parameter `token`, else from
 * an offered subprotocol `bearer.TOKEN`.
 */
export function tokenOf(request: Request): string | undefined {
  const authorization = request.headers.get("Authorization");
  const bearer = authorization?.match(/^bearer +(.+)$/i)?.[1];
  return bearer ?? new URL(request.url).searchParams.get("token") ??
    offeredProtocols(request).find(isBearer)?.slice(BEARER_PREFIX.length);
}

/**
 * The subprotocol to choose for a request that carries its token in one. A browser closes the connection
 * unless the server chooses one that it offered; any other is better than the one with the token. An
 * offer that is not a valid name is never chosen.
 */
export function protocolFor(request: Request): string | undefined {
  const offered = offeredProtocols(request);
  if (!offered.some(isBearer)) return undefined;
  const valid = offered.filter((protocol) => isToken(protocol));
  return valid.find((protocol) => !isBearer(protocol)) ?? valid[0];
}

/** Whether two secrets are equal. The time this takes does not depend on where they differ. */
export function isSameSecret(given: string, wanted: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(given), hash(wanted));
}

function offeredProtocols(request: Request): string[] {
  return listElements(request.headers.get("Sec-WebSocket-Protocol"));
}
