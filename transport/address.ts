/**
 * Which connections count as those of one client.
 *
 * @module
 */

/**
 * The key that connections are counted under: an IPv4 address, or the /64 network of an IPv6 address, which
 * one subscriber has to himself (RFC 6177). All clients of a Unix socket count as one.
 */
export function clientKey(address: Deno.Addr): string {
  return "hostname" in address ? networkOf(address.hostname) : "unix";
}

function networkOf(address: string): string {
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !address.includes(":")) return mapped ?? address;
  const [head = "", tail] = address.split("::");
  const groups = head.split(":");
  const zeros = tail === undefined ? 0 : 8 - groups.length - tail.split(":").length;
  return [...groups, ...Array(Math.max(zeros, 0)).fill("0"), ...(tail ?? "").split(":")]
    .slice(0, 4).map((group) => group || "0").join(":");
}
