/**
 * Reads certificates and keys, and checks them, so that the user gets one clear sentence instead of an
 * error of TLS.
 *
 * @module
 */

import type { X509Certificate } from "node:crypto";
import { hasKey, KeyPairError, readCertificates, readKeyPair } from "../transport/key_pair.ts";
import { nodeCrypto } from "../transport/node.ts";
import { userFolder } from "./certificates_folder.ts";
import { permissionRemedy, type ProgramName } from "./permission_remedy.ts";
import { fill, type Sentences } from "./sentences.ts";
import { Failure } from "./failure.ts";

/** The name of every authority that `certs/generate.ts` makes begins with this. */
export const AUTHORITY_NAME = "permessage-deflate development CA";

/** A certificate that expires within this time gets a warning, in milliseconds. */
const EXPIRY_WARNING_MS = 7 * 24 * 60 * 60 * 1000;

/** A certificate and its key, both checked, as their files have them. */
export interface CertificatePair {
  cert: string;
  key: string;
  /** The sentence to warn with, if the certificate expires soon, or clients will refuse it. */
  warning?: string;
  /** The event of that warning, in the log. */
  event?: "certificateExpiring" | "certificateOfAuthority";
}

/**
 * Reads a certificate and its key, and checks that a server can use them: both are PEM, they belong
 * together, and the certificate is valid now. Both may be in one file.
 *
 * @param paths The two files.
 * @param sentences The language of the failures.
 * @param program The program that reads them.
 * @param now The current time, in milliseconds since 1970.
 * @throws {Failure} With the remedy, if the pair cannot be used.
 */
export async function readCertificatePair(
  paths: { cert: string; key: string },
  sentences: Sentences,
  program: ProgramName = "server",
  now: number = Date.now(),
): Promise<CertificatePair> {
  const { failure } = sentences;
  // Both at once, so that the advice does not lead to the next denial.
  const permission = `--allow-read=${[...new Set([paths.cert, paths.key])]}`;
  const denied = permissionRemedy(program, permission, sentences);
  const cert = await readPem(paths.cert, "--cert", denied, sentences);
  const key = await readPem(paths.key, "--key", denied, sentences);

  const certificate = checkedPair(cert, key, paths, sentences);

  const own = certificate.issuer.includes(AUTHORITY_NAME);
  const folder = userFolder();
  const remedy = !own
    ? failure.renewTheirs
    : folder !== undefined && paths.cert.startsWith(`${folder}/`)
    ? fill(failure.renewInstalled, { folder })
    : failure.renewOwn;
  const from = new Date(certificate.validFrom);
  const to = new Date(certificate.validTo);
  const details = { path: paths.cert, remedy };
  if (now < from.getTime()) {
    throw new Failure(fill(failure.certificateNotYetValid, { ...details, date: day(from) }));
  }
  if (now >= to.getTime()) {
    throw new Failure(fill(failure.certificateExpired, { ...details, date: day(to) }));
  }
  const event = to.getTime() - now < EXPIRY_WARNING_MS
    ? "certificateExpiring"
    : certificate.ca
    ? "certificateOfAuthority"
    : undefined;
  if (event === undefined) return { cert, key };
  return {
    cert,
    key,
    event,
    warning: fill(sentences.server[event], { ...details, date: day(to) }),
  };
}

/** The certificate that belongs to the key, once a server can use both. */
function checkedPair(
  cert: string,
  key: string,
  paths: { cert: string; key: string },
  { failure }: Sentences,
): X509Certificate {
  try {
    return new (nodeCrypto().X509Certificate)(readKeyPair(cert, key).cert);
  } catch (error) {
    if (!(error instanceof KeyPairError)) throw error;
    const { problem, found } = error;
    const sentence = problem === "noCertificate"
      ? found === "" ? failure.notCertificate : failure.otherThanCertificate
      : problem === "noKey"
      ? found === "" ? failure.notKey : failure.otherThanKey
      : failure[problem];
    const path = problem === "noCertificate" ? paths.cert : paths.key;
    throw new Failure(fill(sentence, { ...paths, path, found }));
  }
}

/**
 * Where the key is if `--key` names none: in the file of the certificate where that has one, as programs such
 * as haproxy want it.
 *
 * @param fallback The key's path otherwise.
 */
export async function keyPath(cert: string, fallback: string): Promise<string> {
  try {
    return hasKey(await Deno.readTextFile(cert)) ? cert : fallback;
  } catch {
    // It is told when the file is read in earnest.
    return fallback;
  }
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
 * Reads the certificates of authorities to trust, without the text around them.
 *
 * @throws {Failure} With the remedy, if the file cannot be read or is no certificate.
 */
export async function readAuthority(path: string, sentences: Sentences): Promise<string> {
  const pem = await readPem(
    path,
    "--cacert",
    permissionRemedy("client", `--allow-read=${path}`, sentences),
    sentences,
  );
  try {
    return readCertificates(pem).join("");
  } catch (error) {
    if (!(error instanceof KeyPairError)) throw error;
    const { found } = error;
    const { notCertificate, otherThanCertificate } = sentences.failure;
    const sentence = found === "" ? notCertificate : otherThanCertificate;
    throw new Failure(fill(sentence, { path, found }));
  }
}

/** @param remedy What to do if Deno may not read the file. */
async function readPem(
  path: string,
  flag: string,
  remedy: string,
  { failure }: Sentences,
): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    const sentence = error instanceof Deno.errors.NotFound
      ? failure.certificateMissing
      : error instanceof Deno.errors.NotCapable
      ? failure.readNotAllowed
      : failure.certificateUnreadable;
    throw new Failure(fill(sentence, { path, flag, remedy }));
  }
}

function parseCertificate(pem: string): X509Certificate | undefined {
  if (!pem.includes("-----BEGIN CERTIFICATE-----")) return undefined;
  try {
    return new (nodeCrypto().X509Certificate)(pem);
  } catch {
    return undefined;
  }
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}
