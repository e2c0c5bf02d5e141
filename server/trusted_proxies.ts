/**
 * The proxies whose word about a client is taken.
 *
 * @module
 */

import { isIn, type Network, parseAddress, parseNetwork } from "../protocol/ip_address.ts";

/** Stands for all peers of a Unix socket. */
const UNIX = "unix";

/** Whether `text` is an address, a network, or `unix`. */
export function isProxyName(text: unknown): boolean {
  return typeof text === "string" && (text === UNIX || parseNetwork(text) !== undefined);
}

/** Addresses and networks. */
export class TrustedProxies {
  readonly #networks: Network[] = [];
  readonly #unix: boolean;

  /** @throws {TypeError} If one of `names` is no address, no network, and not `unix`. */
  constructor(names: string[]) {
    if (!Array.isArray(names)) {
      throw new TypeError("Cannot serve: trustProxy must be an array of addresses and networks");
    }
    for (const name of names) {
      if (!isProxyName(name)) {
        throw new TypeError(
          `Cannot serve: trustProxy has "${name}", must be an address such as 192.0.2.1, a network such ` +
            "as 192.0.2.0/24 or 2001:db8::/32, or unix",
        );
      }
      if (name !== UNIX) this.#networks.push(parseNetwork(name)!);
    }
    this.#unix = names.includes(UNIX);
  }

  /** Whether there is none. */
  get isEmpty(): boolean {
    return this.#networks.length === 0 && !this.#unix;
  }

  /** Whether a peer is one of them. */
  has(address: Deno.Addr): boolean {
    return "hostname" in address ? this.hasHost(address.hostname) : this.#unix;
  }

  /** Whether an IP address is one of them. */
  hasHost(hostname: string): boolean {
    if (this.#networks.length === 0) return false;
    const address = parseAddress(hostname);
    return address !== undefined && this.#networks.some((network) => isIn(network, address));
  }
}
