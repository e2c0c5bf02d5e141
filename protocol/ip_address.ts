/**
 * IP addresses and networks as text and as bytes (RFC 4291, RFC 5952, RFC 4632).
 *
 * @module
 */

/**
 * The bytes of an address: 4 of IPv4, 16 of IPv6. An IPv4 address inside an IPv6 one (`::ffff:192.0.2.1`), as
 * sockets of both kinds have it, is an IPv4 address.
 *
 * @returns The bytes, or `undefined` where the text is no address.
 */
export function parseAddress(text: string): Uint8Array | undefined {
  // A zone (RFC 4007 section 11), as in `fe80::1%eth0`, is this machine's own.
  return text.includes(":") ? parseV6(text.replace(/%\w+$/, "")) : parseV4(text);
}

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  const fits = parts.length === 4 &&
    parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
  return fits ? Uint8Array.from(parts, Number) : undefined;
}

function parseV6(text: string): Uint8Array | undefined {
  if (text.length > 45) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, index) => groupsOf(half, index === halves.length - 1));
  if (head === undefined || halves.length === 2 && tail === undefined) return undefined;
  const zeros = 16 - head.length - (tail?.length ?? 0);
  // `::` stands for one group of zeros or more.
  if (tail === undefined ? zeros !== 0 : zeros < 2) return undefined;
  const bytes = Uint8Array.from([...head, ...Array(zeros).fill(0), ...(tail ?? [])]);
  const isMapped = bytes.subarray(0, 10).every((byte) => byte === 0) &&
    bytes[10] === 0xff && bytes[11] === 0xff;
  return isMapped ? bytes.slice(12) : bytes;
}

/** The bytes of groups of 16 bits, of which the last of all may be an IPv4 address. */
function groupsOf(text: string, isLast: boolean): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const value = parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
      continue;
    }
    const v4 = isLast && index === groups.length - 1 ? parseV4(group) : undefined;
    if (v4 === undefined) return undefined;
    bytes.push(...v4);
  }
  return bytes;
}

/** The text of an address, the shortest that there is (RFC 5952 section 4). */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => bytes[2 * i]! << 8 | bytes[2 * i + 1]!);
  let [start, length] = [0, 1];
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (groups[end] === 0) end++;
    if (end - at > length) [start, length] = [at, end - at];
  }
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

/** An address, or all that begin with the same bits. */
export interface Network {
  bytes: Uint8Array;
  bits: number;
}

/** Parses an address, or a network such as `192.0.2.0/24`; bits beyond those that count may be anything. */
export function parseNetwork(text: string): Network | undefined {
  const [, address, length] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const bytes = address === undefined ? undefined : parseAddress(address);
  if (bytes === undefined) return undefined;
  const most = bytes.length * 8;
  // The bits of an IPv4 address written as an IPv6 one would be others than those that are meant.
  if (length !== undefined && address!.includes(":") && most === 32) return undefined;
  const bits = length === undefined ? most : Number(length);
  return bits <= most ? { bytes, bits } : undefined;
}

/** Whether a network has an address; one of IPv6 has none of IPv4. */
export function isIn({ bytes, bits }: Network, address: Uint8Array): boolean {
  if (address.length !== bytes.length) return false;
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== bytes[i]) return false;
  const mask = 0xff00 >> (bits & 7) & 0xff;
  return mask === 0 || (address[whole]! & mask) === (bytes[whole]! & mask);
}

/** A name or an address as the host of a URL: an IPv6 address is in brackets (RFC 3986 section 3.2.2). */
export function urlHost(hostname: string): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}
