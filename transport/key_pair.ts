/**
 * A certificate and its key, as people keep them in PEM (RFC 7468): in one file or two, the chain in any
 * order, with text between the blocks. TLS wants the server's own certificate first, and nothing but blocks.
 *
 * @module
 */

import type { KeyObject, X509Certificate } from "node:crypto";
import { nodeCrypto } from "./node.ts";

/** A certificate and its key, as PEM. */
export interface KeyPair {
  cert: string;
  key: string;
}

/** What is wrong with a pair. */
export type KeyPairProblem =
  | "noCertificate"
  | "noKey"
  | "encryptedKey"
  | "otherKey"
  | "unsupportedKey";

/** A pair that no server can use. */
export class KeyPairError extends Error {
  override name = "KeyPairError";
  readonly problem: KeyPairProblem;
  /**
   * What is there instead: the labels of other blocks, or the type of the key. Empty where there is nothing, or
   * the right block and it is broken.
   */
  readonly found: string;
  constructor(problem: KeyPairProblem, message: string, found = "") {
    super(`Cannot use certificate and key: ${message}`);
    this.problem = problem;
    this.found = found;
  }
}

/** One block between `-----BEGIN label-----` and `-----END label-----`. */
interface Block {
  label: string;
  /** The bytes; `undefined` where they are no base64. */
  der: Uint8Array<ArrayBuffer> | undefined;
  isEncrypted: boolean;
}

const BLOCK = /-----BEGIN ([^\r\n-]+)-----([^]*?)-----END [^\r\n-]+-----/g;

/** `TRUSTED CERTIFICATE` is OpenSSL's own: what it trusts the certificate for follows in the same block. */
const CERTIFICATE = /^(?:X509 |TRUSTED )?CERTIFICATE$/;
const KEY = /^(?:RSA |EC |DSA |ENCRYPTED )?PRIVATE KEY$/;

function blocksOf(pem: string): Block[] {
  return Array.from(pem.matchAll(BLOCK), ([, label, body]) => {
    // Headers of a key in the old format (RFC 1421 section 4.6), which end with an empty line.
    const headers = body!.match(/^\s*(?:[\w-]+:[^]*?\n[ \t\r]*\n)/)?.[0] ?? "";
    const isEncrypted = label!.startsWith("ENCRYPTED") || headers.includes("ENCRYPTED");
    return { label: label!, der: bytesOf(body!.slice(headers.length)), isEncrypted };
  });
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.fromBase64(base64.replaceAll(/\s/g, ""));
  } catch {
    return undefined;
  }
}

function formatBlock(label: string, der: Uint8Array): string {
  const lines = der.toBase64().match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** The length of the one value that `der` begins with (X.690 section 8.1), or 0. */
function lengthOfValue(der: Uint8Array): number {
  const first = der[1] ?? 0;
  if (first < 0x80) return first + 2;
  let length = 0;
  for (let i = 0; i < (first & 0x7f); i++) length = length * 256 + (der[2 + i] ?? 0);
  return length + 2 + (first & 0x7f);
}

/** The certificates in a text, and how many of them are broken. */
function certificatesIn(pem: string): { certificates: X509Certificate[]; broken: number } {
  const certificates: X509Certificate[] = [];
  let broken = 0;
  for (const { label, der } of blocksOf(pem)) {
    if (!CERTIFICATE.test(label)) continue;
    try {
      if (der === undefined) throw new TypeError("It is no base64");
      const { X509Certificate } = nodeCrypto();
      certificates.push(new X509Certificate(der.slice(0, lengthOfValue(der))));
    } catch {
      broken++;
    }
  }
  return { certificates, broken };
}

/** The labels of the blocks in a text, each once. */
function labelsIn(pem: string): string {
  return [...new Set(blocksOf(pem).map(({ label }) => label))].join(", ");
}

/**
 * The certificates in a text, as PEM and nothing else.
 *
 * @throws {KeyPairError} If there is none, or one is broken.
 */
export function readCertificates(pem: string): string[] {
  const { certificates, broken } = certificatesIn(pem);
  if (certificates.length === 0 || broken > 0) {
    const found = broken > 0 ? "" : labelsIn(pem);
    throw new KeyPairError("noCertificate", "cert is no certificate in PEM", found);
  }
  return certificates.map(format);
}

function format({ raw }: X509Certificate): string {
  return formatBlock("CERTIFICATE", raw);
}

/** Whether a text has a private key, encrypted or not. */
export function hasKey(pem: string): boolean {
  return blocksOf(pem).some(({ label }) => KEY.test(label));
}

/**
 * Finds the certificate that belongs to the key, and puts it first; those that issued it follow.
 *
 * @param cert A text with certificates.
 * @param key A text with the key; of several, the one that belongs to a certificate counts.
 * @returns The pair, as PEM and nothing else.
 * @throws {KeyPairError} If no server can use it.
 */
export function readKeyPair(cert: string, key: string): KeyPair {
  readCertificates(cert);
  const { certificates } = certificatesIn(cert);
  const keys = keysIn(key);
  for (const { privateKey, pem } of keys) {
    const own = certificates.find((certificate) => belongs(privateKey, certificate));
    if (own === undefined) continue;
    refuseUnsupported(privateKey);
    return { cert: chainOf(own, certificates).map(format).join(""), key: pem };
  }
  throw new KeyPairError("otherKey", "the key is not the certificate's");
}

function belongs(key: KeyObject, certificate: X509Certificate): boolean {
  try {
    return certificate.checkPrivateKey(key);
  } catch {
    // Its own key is of a type that is not known here.
    return false;
  }
}

function keysIn(text: string): { privateKey: KeyObject; pem: string }[] {
  const blocks = blocksOf(text).filter(({ label }) => KEY.test(label));
  const keys = blocks.flatMap(({ label, der, isEncrypted }) => {
    if (der === undefined || isEncrypted) return [];
    const pem = formatBlock(label, der);
    try {
      return [{ privateKey: nodeCrypto().createPrivateKey(pem), pem }];
    } catch {
      return [];
    }
  });
  if (keys.length > 0) return keys;
  if (blocks.some(({ isEncrypted }) => isEncrypted)) {
    throw new KeyPairError("encryptedKey", "the key is encrypted, must be without a passphrase");
  }
  const found = blocks.length > 0 ? "" : labelsIn(text);
  throw new KeyPairError("noKey", "key is no private key in PEM", found);
}

/** `own`, those that issued it and each other in their order, and then all others. */
function chainOf(own: X509Certificate, certificates: X509Certificate[]): X509Certificate[] {
  const chain = [own];
  const others = certificates.filter((certificate) => certificate !== own);
  for (let last = own;;) {
    const at = others.findIndex((other) => last.issuer === other.subject && other.ca);
    if (at === -1) return [...chain, ...others];
    last = others[at]!;
    chain.push(...others.splice(at, 1));
  }
}

/** Curves of keys that TLS of Deno can sign with, and the fewest bits of an RSA key. */
const CURVES = ["prime256v1", "secp384r1", "secp521r1"];
const MIN_RSA_BITS = 2048;

function refuseUnsupported(key: KeyObject): void {
  const { asymmetricKeyType: type = "", asymmetricKeyDetails: details } = key;
  const curve = details?.namedCurve ?? "";
  const bits = details?.modulusLength ?? 0;
  if (type === "ed25519" || type === "ec" && CURVES.includes(curve)) return;
  if (type === "rsa" && bits >= MIN_RSA_BITS) return;
  const found = type === "ec" ? `EC ${curve}` : type === "rsa" ? `RSA ${bits}` : type.toUpperCase();
  throw new KeyPairError(
    "unsupportedKey",
    `the key is "${found}", must be RSA of ${MIN_RSA_BITS} bits or more, P-256, P-384, P-521 or Ed25519`,
    found,
  );
}

/**
 * A pair as {@linkcode readKeyPair} reads it.
 *
 * @throws {Deno.errors.InvalidData} If nobody can use it.
 */
export function usableKeyPair(cert: string, key: string): KeyPair {
  try {
    return readKeyPair(cert, key);
  } catch (error) {
    if (!(error instanceof KeyPairError)) throw error;
    throw new Deno.errors.InvalidData(error.message, { cause: error });
  }
}
