/**
 * Makes development certificates: `server.crt` and `server.key`, signed by an authority `ca.crt`. The
 * authority's own key is never written, so nobody can sign anything else with it.
 *
 * Run by `deno task certs`, and by the server at its first start.
 *
 * @module
 */

import { urlHost } from "../protocol/ip_address.ts";
import { LOCAL_FOLDER } from "../cli/certificates_folder.ts";
import { AUTHORITY_NAME, isDevelopmentCertificate } from "../cli/certificates.ts";
import { BadValue, helpText, integer, list, oneOf, parseFlags, toggle } from "../cli/flags.ts";
import { fill, LANGUAGES, type Sentences } from "../cli/sentences.ts";
import { Failure, fileCauseOf } from "../cli/failure.ts";
import { withFileLock } from "../cli/file_lock.ts";
import { type Output, terminal } from "../cli/output.ts";
import { runProgram } from "../cli/program.ts";

/** Longest validity, in days: browsers accept a server certificate for at most 398. */
export const MAX_DAYS = 397;

/** The names for which every development certificate is valid. */
export const LOCAL_NAMES = ["localhost", "127.0.0.1", "::1"];

/** A certificate, its key, and the certificate of the authority that signed it, each as PEM. */
export interface DevelopmentCertificates {
  ca: string;
  cert: string;
  key: string;
}

/** For {@linkcode generateCertificates}. */
export interface GenerateOptions {
  /** Names and addresses besides {@linkcode LOCAL_NAMES}. @default {[]} */
  hosts?: string[];
  /** Validity from now, in days. @default {397} */
  days?: number;
}

/**
 * Makes an authority and a server certificate signed by it: ECDSA on P-256, with the extensions that
 * RFC 5280 and browsers want.
 *
 * @param options Names and validity.
 * @returns The three PEM texts.
 */
export async function generateCertificates(
  options: GenerateOptions = {},
): Promise<DevelopmentCertificates> {
  const { hosts = [], days = MAX_DAYS } = options;
  // Loaded only here, so that a server that has certificates starts without it.
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");

  const signingAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const usages: KeyUsage[] = ["sign", "verify"];
  const authority = await crypto.subtle.generateKey(signingAlgorithm, false, usages);
  const server = await crypto.subtle.generateKey(signingAlgorithm, true, usages);
  const notBefore = new Date();
  const notAfter = new Date(notBefore.getTime() + days * 24 * 60 * 60 * 1000);
  const { keyCertSign, cRLSign, digitalSignature } = x509.KeyUsageFlags;

  const caNumber = randomSerial();
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: caNumber,
    // The name contains the number, so that several imported authorities can be told apart.
    name: `CN=${AUTHORITY_NAME} ${caNumber.slice(0, 8)}`,
    notBefore,
    notAfter,
    signingAlgorithm,
    keys: authority,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: "CN=localhost",
    issuer: ca.subject,
    notBefore,
    notAfter,
    signingAlgorithm,
    publicKey: server.publicKey,
    signingKey: authority.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        [...new Set([...LOCAL_NAMES, ...hosts])].map((value) => ({
          type: isAddress(value) ? "ip" as const : "dns" as const,
          value,
        })),
      ),
      await x509.SubjectKeyIdentifierExtension.create(server.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  const key = await crypto.subtle.exportKey("pkcs8", server.privateKey);
  return {
    ca: ca.toString("pem") + "\n",
    cert: cert.toString("pem") + "\n",
    key: x509.PemConverter.encode(key, "PRIVATE KEY") + "\n",
  };
}

/** A positive serial number of 16 bytes (RFC 5280 section 4.1.2.2), as hexadecimal. */
function randomSerial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toHex();
}

function isAddress(name: string): boolean {
  return name.includes(":") || /^\d+(\.\d+){3}$/.test(name);
}

/** The folder in which the files are completed. If it is there, a run is at work or was cut short. */
const STAGING = ".new";

/**
 * Writes the three files into `folder`; only the owner can read `server.key`.
 *
 * The files are completed in a folder beside. Then `server.crt` is removed first and put in place last: if a
 * crash or a full disk cuts the writing short, there is either a whole pair or no `server.crt`.
 *
 * @param folder Made if missing.
 * @param made The PEM texts.
 */
export async function writeCertificates(
  folder: string,
  made: DevelopmentCertificates,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  await lockCertificates(folder, () => writeLocked(folder, made));
}

/**
 * Runs `body` while no other process writes certificates into `folder`, if the folder can be written. So
 * `body` never sees a half-written pair, nor a certificate of one pair and the key of another.
 */
export async function lockCertificates<T>(folder: string, body: () => Promise<T>): Promise<T> {
  return await withFileLock(`${folder}/.lock`, body);
}

async function writeLocked(folder: string, made: DevelopmentCertificates): Promise<void> {
  const staging = `${folder}/${STAGING}`;
  await removeIfThere(staging);
  await Deno.mkdir(staging, { mode: 0o700 });
  try {
    await writeThrough(`${staging}/ca.crt`, made.ca, 0o644);
    await writeThrough(`${staging}/server.key`, made.key, 0o600);
    await writeThrough(`${staging}/server.crt`, made.cert, 0o644);
  } catch (error) {
    await removeIfThere(staging);
    throw error;
  }
  await removeIfThere(`${folder}/server.crt`);
  for (const file of ["ca.crt", "server.key", "server.crt"]) {
    await Deno.rename(`${staging}/${file}`, `${folder}/${file}`);
  }
  await removeIfThere(staging);
}

/**
 * Whether {@linkcode writeCertificates} was cut short, so that the files in `folder` are of no use. The
 * answer holds only under {@linkcode lockCertificates}: without it, the writing may still go on.
 */
export async function wasCutShort(folder: string): Promise<boolean> {
  return await isThere(`${folder}/${STAGING}`) && !await isThere(`${folder}/server.crt`);
}

async function writeThrough(path: string, text: string, mode: number): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true, mode });
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) {
    written += await file.write(bytes.subarray(written));
  }
  await file.sync();
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Whether there is anything at `path`. Also true if the user may not look: the reading will report that. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) return true;
    const nothing = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory;
    if (nothing) return false;
    throw error;
  }
}

/** A certificate or key in `folder` that was not made here, if there is one. */
async function broughtFile(folder: string): Promise<string | undefined> {
  const cert = `${folder}/server.crt`;
  const key = `${folder}/server.key`;
  if (await isThere(cert)) return await isDevelopmentCertificate(cert) ? undefined : cert;
  return await isThere(key) && !await wasCutShort(folder) ? key : undefined;
}

/**
 * Makes the certificates and writes them.
 *
 * @throws {Failure} With the reason in one sentence, if they cannot be written.
 */
export async function makeCertificates(
  folder: string,
  options: GenerateOptions,
  sentences: Sentences,
): Promise<void> {
  await inOneSentence(folder, sentences, async () => {
    await writeCertificates(folder, await generateCertificates(options));
  });
}

/**
 * Makes the certificates of a folder that has none. Of several processes that start at the same time, one
 * makes them, and the others wait until the pair is complete.
 *
 * @returns Whether this process made them.
 * @throws {Failure} With the reason in one sentence, if they cannot be written, or if there is a certificate
 * without its key, or a key without its certificate.
 */
export async function makeMissingCertificates(
  folder: string,
  sentences: Sentences,
): Promise<boolean> {
  const cert = `${folder}/server.crt`;
  const key = `${folder}/server.key`;
  if (await isThere(cert) && await isThere(key)) return false;
  return await inOneSentence(folder, sentences, async () => {
    await Deno.mkdir(folder, { recursive: true });
    return await lockCertificates(folder, async () => {
      const [hasCert, hasKey] = [await isThere(cert), await isThere(key)];
      if ((!hasCert && !hasKey) || await wasCutShort(folder)) {
        await writeLocked(folder, await generateCertificates());
        return true;
      }
      if (hasCert === hasKey) return false;
      const [present, missing] = hasCert ? [cert, key] : [key, cert];
      throw new Failure(fill(sentences.failure.halfPair, { present, missing }));
    });
  });
}

/** Runs `body`, whose errors become failures about writing to `folder`. */
async function inOneSentence<T>(
  folder: string,
  sentences: Sentences,
  body: () => Promise<T>,
): Promise<T> {
  const { failure } = sentences;
  try {
    return await body();
  } catch (error) {
    if (error instanceof Failure) throw error;
    if (error instanceof Deno.errors.NotCapable) {
      throw new Failure(fill(failure.writeNotAllowed, { path: folder }));
    }
    throw new Failure(
      fill(failure.cannotWrite, { path: folder, cause: fileCauseOf(error, sentences) }),
    );
  }
}

const flags = {
  host: list("NAME", ",", (name) => {
    const url = `http://${urlHost(name)}/`;
    const isValid = isAddress(name)
      ? /^[0-9a-f:.]+$/i.test(name) && URL.canParse(url)
      : /^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*$/i.test(name);
    if (!isValid) throw new BadValue("host");
    return name;
  }),
  days: integer("N", MAX_DAYS, 1, MAX_DAYS),
  force: toggle(),
  lang: oneOf(...LANGUAGES),
  help: toggle("h"),
};

/** Runs `deno task certs`; returns its exit code. */
export function main(args: string[], output: Output = terminal): Promise<number> {
  return runProgram(args, output, async (sentences) => {
    const options = parseFlags(flags, args, sentences);
    if (options.help) {
      output.out(helpText(sentences.certs.usage, flags, sentences.certs.flags));
      return 0;
    }
    const path = options.force
      ? undefined
      : await lockCertificates(LOCAL_FOLDER, () => broughtFile(LOCAL_FOLDER));
    if (path !== undefined) {
      throw new Failure(fill(sentences.failure.foreignCertificate, { path }));
    }
    await makeCertificates(LOCAL_FOLDER, { hosts: options.host, days: options.days }, sentences);
    output.out(fill(sentences.certs.made, { folder: LOCAL_FOLDER }));
    return 0;
  });
}

if (import.meta.main) Deno.exit(await main(Deno.args));
