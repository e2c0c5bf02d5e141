/**
 * A certificate and its private key.
 *
 * @module
 */

import { process } from "./node.ts";

/** A certificate and its key, as PEM. */
export interface KeyPair {
  cert: string;
  key: string;
}

/**
 * Checks that a certificate and a key are there, and belong to one another.
 *
 * @throws {Deno.errors.InvalidData} If not; it says which of the two is wrong.
 */
export function checkPair({ cert, key }: KeyPair): void {
  const { X509Certificate, createPrivateKey } = crypto_();
  const certificate = parsed("certificate", () => new X509Certificate(cert));
  const privateKey = parsed("key", () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) throw unusable("the key is not the certificate's");
}

function parsed<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw unusable(`the ${what} is not PEM that can be read (${cause})`);
  }
}

function unusable(problem: string): Error {
  return new Deno.errors.InvalidData(`Cannot use certificate and key: ${problem}`);
}

function crypto_(): typeof import("node:crypto") {
  const { getBuiltinModule } = process() as unknown as {
    getBuiltinModule(name: "node:crypto"): typeof import("node:crypto");
  };
  return getBuiltinModule("node:crypto");
}
