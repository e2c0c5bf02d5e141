/**
 * The proxy that the environment names, as Deno's own `fetch` and `WebSocket` understand it: `ALL_PROXY` is
 * for every URL; `HTTPS_PROXY` is for `wss:`, `HTTP_PROXY` for `ws:`. Each may be in lower case, and an empty
 * one counts as absent. `NO_PROXY` names hosts to be reached directly.
 *
 * @module
 */

import { net } from "./node.ts";

/** A variable that names a proxy. */
export interface ProxyVariable {
  name: string;
  /** The URL of the proxy, which may hold a password. */
  value: string;
}

/** Reads a variable, unless that is not permitted: nobody is asked for permission. */
function readVariable(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) : undefined;
}

/**
 * Finds the variable that names the proxy for a URL.
 *
 * @param url A `ws:` or `wss:` URL.
 * @param read Reads a variable.
 * @returns `undefined` if the server is to be reached directly.
 */
export function proxyVariable(
  url: URL,
  read: (name: string) => string | undefined = readVariable,
): ProxyVariable | undefined {
  const names = ["ALL_PROXY"];
  if (url.protocol === "wss:") names.push("HTTPS_PROXY");
  // For a CGI program, HTTP_PROXY is the header `Proxy` of whoever made the request.
  else if (read("REQUEST_METHOD") === undefined) names.push("HTTP_PROXY");
  for (const name of names.flatMap((name) => [name, name.toLowerCase()])) {
    const value = read(name);
    if (!value) continue;
    const direct = read("NO_PROXY") ?? read("no_proxy") ?? "";
    return isDirect(url.hostname, direct) ? undefined : { name, value };
  }
  return undefined;
}

/**
 * Whether `NO_PROXY` names a host: by `*`, by its domain or one above it (with or without a leading dot),
 * by its IP address or by a network such as `10.0.0.0/8`. Entries are separated by commas, and have no port.
 */
function isDirect(hostname: string, noProxy: string): boolean {
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const version = net().isIP(host);
  return noProxy.split(",").map((entry) => entry.trim().toLowerCase()).some((entry) => {
    if (entry === "*") return true;
    if (version !== 0) return isInNetwork(host, version, entry);
    const domain = entry.replace(/^\./, "");
    return domain !== "" && (host === domain || host.endsWith(`.${domain}`));
  });
}

/** Whether an IP address is `network`, or is in it. */
function isInNetwork(host: string, version: number, network: string): boolean {
  const [address, prefix = version === 4 ? "32" : "128"] = network.split("/") as [string, string?];
  if (net().isIP(address) !== version || !/^\d{1,3}$/.test(prefix)) return false;
  if (Number(prefix) > (version === 4 ? 32 : 128)) return false;
  const family = version === 4 ? "ipv4" : "ipv6";
  const list = new (net().BlockList)();
  list.addSubnet(address, Number(prefix), family);
  return list.check(host, family);
}
