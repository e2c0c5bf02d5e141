/**
 * What proxies say of their clients: headers of the PROXY protocol, `Forwarded` and `X-Forwarded-For`.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { readForwarded } from "../../protocol/forwarded.ts";
import { parseAddress } from "../../protocol/ip_address.ts";
import { ProxyHeaderError, ProxyHeaderReader } from "../../protocol/proxy_header.ts";
import type { Random } from "./random.ts";

const encoder = new TextEncoder();

const SIGNATURE = "\r\n\r\n\x00\r\nQUIT\n";

const PIECES = [
  "\r\n",
  "\r",
  "\n",
  " ",
  "PROXY ",
  "TCP6",
  "UNKNOWN",
  "::ffff:192.0.2.1",
  "65536",
  SIGNATURE,
  "f".repeat(100),
];

function header(random: Random): Uint8Array<ArrayBuffer> {
  if (random.one(2)) {
    const address = random.pick(["192.0.2.1", "::1", "2001:db8::1", "1.2.3", "::ffff:192.0.2.1"]);
    const family = random.pick(["TCP4", "TCP6", "UNKNOWN"]);
    return encoder.encode(`PROXY ${family} ${address} ${address} ${random.below(70_000)} 443\r\n`);
  }
  const rest = random.bytes(random.pick([0, 11, 12, 15, 36, 40, 216, 300]));
  return Uint8Array.from([
    ...encoder.encode(SIGNATURE),
    random.pick([0x20, 0x21, 0x21, 0x11]),
    random.pick([0x00, 0x11, 0x12, 0x21, 0x31, 0x41]),
    rest.length >> 8,
    random.one(16) ? random.below(256) : rest.length & 255,
    ...rest,
  ]);
}

/** What a header is read as, piece by piece; each piece is as long as `size` says, and not empty. */
function read(bytes: Uint8Array, size: (wanted: number) => number): unknown {
  const reader = new ProxyHeaderReader();
  try {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + size(reader.wanted));
      const taken = reader.push(part);
      if (taken !== undefined) return { taken: at + taken, client: reader.client };
      at += part.length;
    }
    return "unfinished";
  } catch (error) {
    if (error instanceof ProxyHeaderError) return error.message;
    throw error;
  } finally {
    reader.release();
  }
}

function fuzzHeader(random: Random): void {
  const bytes = random.mutated(header(random), PIECES);
  const whole = read(bytes, () => bytes.length);
  assertEquals(read(bytes, () => 1 + random.below(20)), whole);
  assertEquals(read(bytes, (wanted) => wanted), whole);
  if (typeof whole !== "object") return assert(whole !== "unfinished" || bytes.length < 4200);
  const { client } = whole as { client: ProxyHeaderReader["client"] };
  if (client === undefined) return;
  assert(parseAddress(client.hostname) !== undefined, client.hostname);
  assert(client.port >= 0 && client.port <= 65_535);
}

const ELEMENTS = [
  "for=192.0.2.1",
  'for="[2001:db8::1]:4711"',
  "for=10.0.0.1;proto=https",
  "for=unknown",
  'for=10.0.0.2;host="a:80"',
  "10.0.0.1",
  "192.0.2.1",
  "[::1]:80",
];

const MARKS = [",", ";", '"', "\\", "=", " ", "for=", ', for="', "proto=https", "\t"];

function fuzzForwarded(random: Random): void {
  const text = Array.from({ length: random.below(5) }, () => random.pick(ELEMENTS)).join(", ");
  const made = String.fromCharCode(...random.mutated(encoder.encode(text), MARKS));
  const value = made.replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, "");
  const trusts = (hostname: string) => hostname.startsWith("10.");
  for (const name of ["Forwarded", "X-Forwarded-For"]) {
    const { hostname, port, scheme, host } = readForwarded(
      [[name, value], ["X-Forwarded-Proto", value], ["X-Forwarded-Host", value]],
      trusts,
    );
    assert(hostname === undefined || parseAddress(hostname) !== undefined, hostname);
    assert(port >= 0 && port <= 65_535);
    assert(URL.canParse(`${scheme ?? "http"}://${host ?? "a"}/`), host);
    // What the proxy adds on the right counts, whatever the client has written.
    const told = name === "Forwarded" ? "for=192.0.2.9" : "192.0.2.9";
    assertEquals(readForwarded([[name, `${value}, ${told}`]], trusts).hostname, "192.0.2.9");
  }
}

/** Nothing but the documented error is thrown, however the bytes are cut; what was read is an address. */
export function proxies(random: Random): void {
  if (random.one(2)) fuzzHeader(random);
  else fuzzForwarded(random);
}
