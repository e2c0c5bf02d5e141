/**
 * Reads certificates and keys, and checks them, so that the user gets one clear sentence instead of an
 * error of TLS.
 *
 * @module
 */

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { fill, type Sentences } from "./sentences.ts";
import { Failure } from "./failure.ts";

/** The name of every authority that `certs/generate.ts` makes begins with this. */
export const AUTHORITY_NAME = "permessage-deflate development CA";

/** A certificate that expires within this time gets a warning, in milliseconds. */
const EXPIRY_WARNING_MS = 7 * 24 * 60 * 60 * 1000;

/** A certificate and its key, both checked, as PEM. */
export interface CertificatePair {
  cert: string;
  key: string;
  /** The sentence to warn with, if the certificate expires soon. */
  warning?: string;
}

/**
 * Reads a certificate and its key, and checks that a server can use them: both are PEM, they belong
 * together, and the certificate is valid now.
 *
 * @param paths The two files.
 * @param sentences The language of the failures.
 * @param now The current time, in milliseconds since 1970.
 * @throws {Failure} With the remedy, if the pair cannot be used.
 */
export async function readCertificatePair(
  paths: { cert: string; key: string },
  sentences: Sentences,
  now: number = Date.now(),
): Promise<CertificatePair> {
  const { failure } = sentences;
  const cert = await readPem(paths.cert, "--cert", sentences);
  const key = await readPem(paths.key, "--key", sentences);

  const certificate = parseCertificate(cert);
  if (certificate === undefined) {
    throw new Failure(fill(failure.notCertificate, { path: paths.cert }));
  }
  const privateKey = parseKey(key);
  if (privateKey === undefined) throw new Failure(fill(failure.notKey, { path: paths.key }));
  if (!certificate.checkPrivateKey(privateKey)) throw new Failure(fill(failure.otherKey, paths));

  const own = certificate.issuer.includes(AUTHORITY_NAME);
  const remedy = own ? failure.renewOwn : failure.renewTheirs;
  const from = new Date(certificate.validFrom);
  const to = new Date(certificate.validTo);
  const details = { path: paths.cert, remedy };
  if (now < from.getTime()) {
    throw new Failure(fill(failure.certificateNotYetValid, { ...details, date: day(from) }));
  }
  if (now >= to.getTime()) {
    throw new Failure(fill(failure.certificateExpired, { ...details, date: day(to) }));
  }
  if (to.getTime() - now < EXPIRY_WARNING_MS) {
    const warning = fill(sentences.server.certificateExpiring, { ...details, date: day(to) });
    return { cert, key, warning };
  }
  return { cert, key };
}

/** Whether `certs/generate.ts` made the certificate at `path`. False if the file cannot be read. */
export async function isDevelopmentCertificate(path: string): Promise<boolean> {
  try {
    const certificate = parseCertificate(await Deno.readTextFile(path));
    return certificate?.issuer.includes(AUTHORITY_NAME) ?? false;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return false;
  }
}

/**
 * Reads the certificate of an authority to trust.
 *
 * @throws {Failure} With the remedy, if the file cannot be read or is no certificate.
 */
export async function readAuthority(path: string, sentences: Sentences): Promise<string> {
  const pem = await readPem(path, "--cacert", sentences);
  if (parseCertificate(pem) === undefined) {
    throw new Failure(fill(sentences.failure.notCertificate, { path }));
  }
  return pem;
}

async function readPem(path: string, flag: string, { failure }: Sentences): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    const sentence = error instanceof Deno.errors.NotFound
      ? failure.certificateMissing
      : error instanceof Deno.errors.NotCapable
      ? failure.readNotAllowed
      : failure.certificateUnreadable;
    throw new Failure(fill(sentence, { path, flag }));
  }
}

function parseCertificate(pem: string): X509Certificate | undefined {
  if (!pem.includes("-----BEGIN CERTIFICATE-----")) return undefined;
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function parseKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}
