/**
 * The client's dialling: TCP, TLS and trust, then the opening handshake.
 *
 * @module
 */

import { closeQuietly, type Connection, writeAll } from "./connection.ts";
import {
  acceptOf,
  checkUpgradeResponse,
  createKey,
  formatUpgradeRequest,
  HandshakeError,
  type UpgradeResponse,
} from "../protocol/handshake.ts";
import { HeadReader, HttpError, parseResponse } from "../protocol/http.ts";

/** How {@linkcode connect} connects. */
export interface ConnectOptions {
  protocols: string[];
  headers: Headers;
  /** The value of `Sec-WebSocket-Extensions`. */
  extensions: string | undefined;
  caCerts: string[];
  insecure: boolean;
  signal: AbortSignal;
}

/** A connection whose opening handshake is done. */
export interface Connected {
  connection: Connection;
  response: UpgradeResponse;
  /** What the server sent right behind its response. */
  rest: Uint8Array;
}

/** A response's head has the same bounds as a request's. */
const LIMITS = { maxHeaderBytes: 16 * 1024, maxHeaders: 100 };

/**
 * Connects to `url` and opens a WebSocket (RFC 6455 section 4.1).
 *
 * @throws {HandshakeError} If the server does not complete the handshake; else as `Deno.connectTls`.
 */
export async function connect(url: URL, options: ConnectOptions): Promise<Connected> {
  const { signal } = options;
  signal.throwIfAborted();
  const connection = await dial(url, options);
  return await orClose(connection, signal, async () => {
    const key = createKey();
    await writeAll(connection, formatUpgradeRequest(url, key, options));
    const { head, rest } = await readHead(connection);
    const response = checkUpgradeResponse(head, acceptOf(key), options.protocols);
    return { connection, response, rest };
  });
}

async function dial(url: URL, options: ConnectOptions): Promise<Connection> {
  const hostname = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const { caCerts, insecure, signal } = options;
  const secure = url.protocol === "wss:";
  const port = Number(url.port || (secure ? 443 : 80));
  if (secure && insecure) {
    const { connectUnverified } = await import("./node_connection.ts");
    return await connectUnverified(hostname, port, signal);
  }
  const tcp = await Deno.connect({ hostname, port, signal });
  tcp.setNoDelay();
  if (!secure) return tcp;

  const tls = await Deno.startTls(tcp, { hostname, caCerts, alpnProtocols: ["http/1.1"] });
  // Told of here, a certificate that is not trusted is named; a read would only fail.
  await orClose(tls, signal, () => tls.handshake());
  return tls;
}

/** Does `work` on a connection, which is closed if that fails, or as soon as the signal aborts. */
async function orClose<T>(
  connection: { close(): void },
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const abort = () => closeQuietly(connection);
  signal.addEventListener("abort", abort);
  try {
    signal.throwIfAborted();
    const result = await work();
    signal.throwIfAborted();
    return result;
  } catch (error) {
    closeQuietly(connection);
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Reads the response's head, past those that only say that it is to come (RFC 9110 section 15.2). */
async function readHead(connection: Connection) {
  let reader = new HeadReader(LIMITS);
  const buffer = new Uint8Array(4096);
  try {
    for (let interim = 0;;) {
      const count = await connection.read(buffer);
      if (count === null) {
        throw new HandshakeError("Cannot open WebSocket: server closed the connection");
      }
      let bytes = buffer.subarray(0, count);
      for (let taken = reader.push(bytes); taken !== undefined; taken = reader.push(bytes)) {
        const head = parseResponse(reader.lines(), LIMITS);
        bytes = bytes.subarray(taken);
        if (head.status === 101 || head.status >= 200) return { head, rest: bytes.slice() };
        if (++interim > MAX_INTERIM) {
          throw new HandshakeError("Cannot open WebSocket: server does not come to the point");
        }
        reader = new HeadReader(LIMITS);
      }
    }
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    throw new HandshakeError(`Cannot open WebSocket: ${error.message}`);
  } finally {
    reader.release();
  }
}

/** More interim responses than this are no hints any more. */
const MAX_INTERIM = 10;
