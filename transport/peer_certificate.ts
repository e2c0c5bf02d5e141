/**
 * What is wrong with the certificate of a server that is not trusted: Deno tells of many faults as of an
 * unknown authority.
 *
 * @module
 */

import type { DetailedPeerCertificate, TLSSocket } from "node:tls";
import { buffer, nodeCrypto } from "./node.ts";

/** An error whose `code` is OpenSSL's name of the fault. */
export function certificateError(socket: TLSSocket): Error & { code: string } {
  const code = String(socket.authorizationError);
  const peer = socket.getPeerCertificate(true);
  const reason = Date.parse(peer.valid_to) < Date.now()
    ? "CERT_HAS_EXPIRED"
    : Date.parse(peer.valid_from) > Date.now()
    ? "CERT_NOT_YET_VALID"
    : isForged(peer)
    ? "CERT_SIGNATURE_FAILURE"
    : isForOthers(peer)
    ? "INVALID_PURPOSE"
    : code;
  return Object.assign(new Error(`invalid peer certificate: ${code}`), { code: reason });
}

/** Whether the authority that the certificate names, which was found, has not signed it. */
function isForged({ raw, issuerCertificate }: DetailedPeerCertificate): boolean {
  if (!issuerCertificate?.raw) return false;
  try {
    const { X509Certificate } = nodeCrypto();
    const issuer = new X509Certificate(issuerCertificate.raw);
    const own = new X509Certificate(raw);
    return own.issuer === issuer.subject && !own.verify(issuer.publicKey);
  } catch {
    // A key of a kind that is not known here.
    return false;
  }
}

/** Object identifiers (RFC 5280 section 4.2.1.12): of the extension, of any use, and of use by servers. */
const EXTENDED_KEY_USAGE = [0x06, 0x03, 0x55, 0x1d, 0x25];
const ANY_USE = [0x06, 0x04, 0x55, 0x1d, 0x25, 0x00];
const SERVER_AUTH = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];

/** Whether the certificate says what it is for, and it is not for servers. It explains a refusal, and makes none. */
function isForOthers({ raw }: DetailedPeerCertificate): boolean {
  const { Buffer } = buffer();
  // What Deno gives is no Buffer of its own.
  const bytes = Buffer.from(raw ?? []);
  const has = (identifier: number[]) => bytes.includes(Buffer.from(identifier));
  return has(EXTENDED_KEY_USAGE) && !has(SERVER_AUTH) && !has(ANY_USE);
}
