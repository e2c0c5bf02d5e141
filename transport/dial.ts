/**
 * Dialling: from a URL to a connection, over TCP or TLS, and what is trusted.
 *
 * @module
 */

import type { Socket } from "node:net";
import type { Connection, Receiver } from "./connection.ts";
import { net, tls } from "./node.ts";
import { certificateError } from "./peer_certificate.ts";
import { ALPN_PROTOCOLS, connectionOf, decideWay, trust, underTls } from "./sockets.ts";

/** How {@linkcode dial} connects. */
export interface DialOptions {
  /** Certificate authorities to trust besides the public ones, as PEM. */
  caCerts: string[];
  /** Whether any certificate is accepted. */
  insecure: boolean;
  /** Gives up. */
  signal: AbortSignal;
}

/**
 * Connects to the host of a `ws:` or `wss:` URL.
 *
 * @param receiver Told what comes, once the connection is resumed.
 * @throws The reason of the signal, or what is wrong with the address, the connection or the certificate.
 */
export async function dial(
  url: URL,
  options: DialOptions,
  receiver: Receiver,
): Promise<Connection> {
  const { caCerts, insecure, signal } = options;
  signal.throwIfAborted();
  const secure = url.protocol === "wss:";
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = Number(url.port || (secure ? 443 : 80));
  const raw = net().connect({ host, port, allowHalfOpen: true });
  await Promise.all([opened(raw, "connect", host, signal, () => {}), decideWay()]);
  // It may have ended while the way was decided, and would not tell so again.
  if (raw.destroyed) throw explain(undefined, host);
  if (!secure) return connectionOf(raw, receiver);
  const own = { allowHalfOpen: true };
  const socket = tls().connect({
    ...own,
    socket: underTls(raw),
    ALPNProtocols: ALPN_PROTOCOLS,
    // Checked below: Deno reports an expired certificate as one of an unknown authority.
    rejectUnauthorized: false,
    secureContext: trust(caCerts),
    // A server name is a name, never an address (RFC 6066 section 3).
    ...(net().isIP(host) === 0 ? { servername: host } : { host }),
  });
  return await opened(socket, "secureConnect", host, signal, () => {
    if (!insecure && socket.authorized !== true) throw explain(certificateError(socket), host);
    return connectionOf(socket, receiver, raw);
  });
}

/** Resolves with what `take` makes of a socket at the event that tells that it is open. */
async function opened<T>(
  socket: Socket,
  event: string,
  host: string,
  signal: AbortSignal,
  take: () => T,
): Promise<T> {
  const result = Promise.withResolvers<T>();
  const abort = () => result.reject(signal.reason);
  signal.addEventListener("abort", abort);
  socket.once(event, () => {
    try {
      result.resolve(take());
    } catch (error) {
      result.reject(error);
    }
  });
  socket.on("error", (error: Error) => result.reject(explain(error, host)));
  socket.once("close", () => result.reject(explain(undefined, host)));
  socket.once("end", () => result.reject(explain(undefined, host)));
  try {
    signal.throwIfAborted();
    return await result.promise;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** What the codes of Node's errors mean. */
const MEANINGS: Record<string, string> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EHOSTUNREACH: "host is unreachable",
  ENETUNREACH: "network is unreachable",
  ENOTFOUND: "name was not found",
  ETIMEDOUT: "connection timed out",
  ERR_TLS_CERT_ALTNAME_INVALID: "certificate is not valid for name",
  CERT_HAS_EXPIRED: "invalid peer certificate: it has expired",
  CERT_SIGNATURE_FAILURE: "invalid peer certificate: BadSignature",
  INVALID_PURPOSE: "invalid peer certificate: InvalidPurpose, it is not for servers",
  CERT_NOT_YET_VALID: "invalid peer certificate: it is not yet valid",
  DEPTH_ZERO_SELF_SIGNED_CERT: "invalid peer certificate: UnknownIssuer, it is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN:
    "invalid peer certificate: UnknownIssuer, its authority is not trusted",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "invalid peer certificate: UnknownIssuer",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "invalid peer certificate: UnknownIssuer",
};

/** An error that says what could not be done; Deno's own, as of a permission, say it already. */
function explain(error: (Error & { code?: string }) | undefined, host: string): Error {
  if (error instanceof Deno.errors.NotCapable) return error;
  const problem = error === undefined
    ? "server closed the connection"
    : MEANINGS[error.code ?? ""] ?? error.message;
  return new Error(`Cannot connect to "${host}": ${problem}`, { cause: error });
}
