/**
 * The certificates of a listener: one for each name of a server that clients ask for (SNI, RFC 6066 section 3),
 * and one for all other clients.
 *
 * @module
 */

import { type KeyPair, usableKeyPair } from "./key_pair.ts";
import { nodeCrypto } from "./node.ts";
import { secureContext } from "./sockets.ts";

/** Chooses the context of TLS by the name that a client asks for. */
export class Certificates {
  #default: unknown;
  readonly #named = new Map<string, unknown>();

  /**
   * @param pair For clients that ask for no name, or for one that is not in `named`.
   * @param named By host name, or by `*.` and the rest of it, which stands for one label more (RFC 9525).
   * @throws {TypeError} If a name is none.
   * @throws {Deno.errors.InvalidData} If a pair will not do, or is not for its name.
   */
  constructor(pair: KeyPair, named: Record<string, KeyPair> = {}) {
    this.set(pair);
    for (const [name, pair] of Object.entries(named)) this.set(pair, name);
  }

  /**
   * Uses another pair for the connections that come.
   *
   * @param name Which one it takes the place of, or is added as; by default that for all other clients.
   * @throws As the constructor does; then nothing changes.
   */
  set({ cert, key }: KeyPair, name?: string): void {
    if (name === undefined) {
      const pair = usableKeyPair(cert, key);
      this.#default = secureContext(pair.cert, pair.key);
      return;
    }
    if (!NAME.test(name)) {
      throw new TypeError(
        `Cannot use certificate: server name is ${
          JSON.stringify(name)
        }, must be a host name such as ` +
          '"example.org" or "*.example.org"',
      );
    }
    const pair = namedPair(cert, key, name);
    this.#named.set(name.toLowerCase(), secureContext(pair.cert, pair.key));
  }

  /** What goes with no name. */
  get default(): unknown {
    return this.#default;
  }

  /** Whether a client's name makes a difference. */
  get hasNames(): boolean {
    return this.#named.size > 0;
  }

  /** What goes with the name that a client asks for. */
  of(name: string): unknown {
    const lower = name.toLowerCase();
    return this.#named.get(lower) ?? this.#named.get(lower.replace(/^[^.]+/, "*")) ?? this.#default;
  }
}

/** A name of at least one letter: an address is none, as clients ask for none (RFC 6066 section 3). */
const NAME =
  /^(?:\*\.)?(?=[^.]*.*[a-z])(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;

/** A pair as {@linkcode usableKeyPair} reads it, which is for the name. */
function namedPair(cert: string, key: string, name: string): KeyPair {
  try {
    const pair = usableKeyPair(cert, key);
    const names = dnsNames(pair.cert);
    if (names.length > 0 && !names.some((of) => covers(of, name.toLowerCase()))) {
      throw new Deno.errors.InvalidData(
        `Cannot use certificate and key: the certificate is for "${names.join(", ")}"`,
      );
    }
    return pair;
  } catch (error) {
    if (!(error instanceof Deno.errors.InvalidData)) throw error;
    throw new Deno.errors.InvalidData(`${error.message}, must be for "${name}"`, { cause: error });
  }
}

/** The host names that the first certificate of a chain is for. */
function dnsNames(cert: string): string[] {
  const { subjectAltName = "" } = new (nodeCrypto().X509Certificate)(cert);
  return Array.from(
    subjectAltName.matchAll(/(?:^|, )DNS:([^,"]+)/g),
    ([, name]) => name!.toLowerCase(),
  );
}

function covers(of: string, name: string): boolean {
  return of === name || of.startsWith("*.") && of === name.replace(/^[^.]+/, "*");
}
