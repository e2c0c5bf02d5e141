/**
 * What a proxy says of the client it speaks for: `Forwarded` (RFC 7239), or `X-Forwarded-For`, `-Proto` and
 * `-Host`. Each proxy adds on the right, so the right end alone is what the nearest proxy says; what is left of
 * it may have been made up by the client, and is read no further than proxies are trusted.
 *
 * If both kinds are there, `X-Forwarded-For` counts: most proxies write that and pass `Forwarded` on as the
 * client sent it. A proxy that writes `Forwarded` has to take `X-Forwarded-For` out.
 *
 * @module
 */

import { TOKEN } from "./grammar.ts";
import { type HeaderLines, isHost } from "./http.ts";
import { formatAddress, parseAddress } from "./ip_address.ts";

/** What is known of the client, as far as proxies that are trusted have said it. */
export interface Forwarded {
  /** The client's address; absent where the nearest proxy tells none. */
  hostname?: string;
  /** The client's port; 0 where it is not told. */
  port: number;
  /** What the client spoke to the first of the trusted proxies. */
  scheme?: "http" | "https";
  /** The host that the client asked for. */
  host?: string;
}

/** Proxies in a row that are believed: a request has gone through one, two or three. */
const MAX_HOPS = 32;

/**
 * Reads what the proxies of a request say. What is malformed is as if it were not there, and so is all to the
 * left of it.
 *
 * @param headers The request's.
 * @param isTrusted Whether an address is that of a proxy whose words are believed.
 */
export function readForwarded(
  headers: HeaderLines,
  isTrusted: (hostname: string) => boolean,
): Forwarded {
  const addresses = listOf(headers, "x-forwarded-for");
  const forwarded = valueOf(headers, "forwarded");
  if (addresses.length === 0 && forwarded !== "") return readElements(forwarded, isTrusted);

  const result: Forwarded = { port: 0 };
  // How far from the right the client is.
  let hops = 0;
  for (; hops < Math.min(addresses.length, MAX_HOPS); hops++) {
    const node = parseNode(addresses.at(-1 - hops)!);
    if (node === undefined) break;
    Object.assign(result, node);
    if (!isTrusted(node.hostname)) break;
  }
  const at = Math.min(hops, addresses.length - 1);
  const told = (name: string) => {
    const values = listOf(headers, name);
    return values.length === addresses.length ? values.at(-1 - at) : values.at(-1);
  };
  setOrigin(result, told("x-forwarded-proto"), told("x-forwarded-host"));
  return result;
}

/** `node [":" port]` in either header: the brackets of an IPv6 address may be missing where no port follows. */
function parseNode(text: string): { hostname: string; port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  const bytes = parseAddress(match === null ? text : match[1] ?? match[2]!);
  const port = Number(match?.[3] ?? 0);
  return bytes === undefined || port > 65_535
    ? undefined
    : { hostname: formatAddress(bytes), port };
}

/** Some proxies name what a WebSocket is opened with. */
const SCHEMES: Record<string, "http" | "https"> = {
  http: "http",
  https: "https",
  ws: "http",
  wss: "https",
};

function setOrigin(result: Forwarded, proto: string | undefined, host: string | undefined): void {
  const scheme = SCHEMES[proto?.toLowerCase() ?? ""];
  if (scheme !== undefined) result.scheme = scheme;
  if (host !== undefined && isHost(host) && URL.canParse(`http://${host}`)) result.host = host;
}

/** All lines of a header, joined. */
function valueOf(headers: HeaderLines, name: string): string {
  return headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value).join(",");
}

function listOf(headers: HeaderLines, name: string): string[] {
  return valueOf(headers, name).split(",").map((value) => value.trim()).filter(Boolean);
}

const QUOTED =
  '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t \\x21-\\x7e\\x80-\\xff])*"';
const PAIR = `${TOKEN}=(?:${TOKEN}|${QUOTED})`;
/** One element of `Forwarded` (RFC 7239 section 4); empty pairs are tolerated. */
const ELEMENT = new RegExp(`^[ \\t]*(?:${PAIR})?(?:[ \\t]*;[ \\t]*(?:${PAIR})?)*[ \\t]*$`);
const EACH_PAIR = new RegExp(`(${TOKEN})=(?:(${TOKEN})|(${QUOTED}))`, "g");

/** No element that a proxy writes is longer: addresses, a host and a scheme. */
const MAX_ELEMENT = 1024;

function readElements(header: string, isTrusted: (hostname: string) => boolean): Forwarded {
  const result: Forwarded = { port: 0 };
  let rest = header;
  for (let hops = 0; hops < MAX_HOPS && rest.trim() !== ""; hops++) {
    const at = lastElement(rest);
    if (at === undefined) break;
    const pairs = pairsOf(rest.slice(at));
    const node = parseNode(pairs?.get("for") ?? "");
    if (pairs === undefined || node === undefined) break;
    Object.assign(result, node);
    setOrigin(result, pairs.get("proto"), pairs.get("host"));
    if (!isTrusted(node.hostname)) break;
    rest = rest.slice(0, Math.max(at - 1, 0));
  }
  return result;
}

/**
 * Where the last element begins. It is looked for from the right: a quotation mark that the client left open must
 * not swallow what the proxy wrote behind it.
 */
function lastElement(header: string): number | undefined {
  for (let comma = header.length; comma >= 0;) {
    comma = comma === 0 ? -1 : header.lastIndexOf(",", comma - 1);
    if (header.length - comma > MAX_ELEMENT) return undefined;
    if (ELEMENT.test(header.slice(comma + 1))) return comma + 1;
  }
  return undefined;
}

/** The pairs of an element by their names, none of which may be there twice. */
function pairsOf(element: string): Map<string, string> | undefined {
  const pairs = new Map<string, string>();
  for (const [, name, token, quoted] of element.matchAll(EACH_PAIR)) {
    const key = name!.toLowerCase();
    if (pairs.has(key)) return undefined;
    pairs.set(key, token ?? quoted!.slice(1, -1).replaceAll(/\\(.)/g, "$1"));
  }
  return pairs;
}
