/**
 * Where the server is reached: at the address of `--resolve`, or at one of the family of `-4` or `-6`.
 *
 * @module
 */

import { net } from "../../transport/node.ts";
import { proxyVariable } from "../../transport/proxy_environment.ts";
import { Failure } from "../failure.ts";
import { UsageError } from "../flags.ts";
import { permissionRemedy } from "../permission_remedy.ts";
import { fill, type Sentences } from "../sentences.ts";
import { type Options, parseResolve } from "./flags.ts";

/** What {@linkcode addressOf} reads of the flags. */
type AddressOptions = Pick<Options, "resolve" | "ipv4" | "ipv6" | "sni">;

/**
 * The address that the flags give for the host of a URL.
 *
 * @returns Undefined if they give none.
 * @throws {UsageError} If a proxy of the environment is in the way.
 * @throws {Failure} If the host has no address of the family.
 */
export async function addressOf(
  url: URL,
  options: AddressOptions,
  sentences: Sentences,
): Promise<{ hostname: string; port: number } | undefined> {
  const { resolve, ipv4, ipv6, sni } = options;
  const port = Number(url.port || (url.protocol === "wss:" ? 443 : 80));
  const given = resolve.map(parseResolve)
    .findLast((entry) => entry.host === url.hostname && entry.port === port);
  const flag = given !== undefined
    ? "--resolve"
    : ipv4
    ? "--ipv4"
    : ipv6
    ? "--ipv6"
    : sni !== undefined
    ? "--sni"
    : undefined;
  const proxy = flag && proxyVariable(url);
  if (flag !== undefined && proxy !== undefined) {
    throw new UsageError(fill(sentences.usage.excluded, { flag, other: proxy.name }));
  }
  if (given !== undefined) return { hostname: given.address, port };
  if (!ipv4 && !ipv6) return undefined;
  return { hostname: await lookUp(url.hostname, ipv4 ? 4 : 6, sentences), port };
}

async function lookUp(host: string, family: 4 | 6, sentences: Sentences): Promise<string> {
  const { failure } = sentences;
  const name = host.replace(/^\[(.*)\]$/, "$1");
  if (net().isIP(name) === family) return name;
  try {
    if (net().isIP(name) !== 0) throw new Error("it is an address of the other family");
    const { lookup } = await import("node:dns/promises");
    return (await lookup(name, { family })).address;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      const remedy = permissionRemedy("client", `--allow-net=${host}`, sentences);
      throw new Failure(fill(failure.netNotAllowed, { host: name, remedy }));
    }
    throw new Failure(fill(failure.noAddress, { host: name, family }));
  }
}
