/**
 * The client's half of the opening handshake (RFC 6455 section 4.1): dialling, the request, the response.
 *
 * @module
 */

import { formatExtension } from "../protocol/extension_header.ts";
import {
  acceptOf,
  checkUpgradeResponse,
  createKey,
  HandshakeError,
  type HandshakeHead,
  upgradeRequest,
  type UpgradeResponse,
} from "../protocol/handshake.ts";
import { BodyReader } from "../protocol/body.ts";
import {
  formatHead,
  HeadReader,
  HttpError,
  parseResponse,
  type ResponseHead,
} from "../protocol/http.ts";
import { PerMessageDeflate } from "../protocol/permessage_deflate/codec.ts";
import { checkResponse, formatOffer } from "../protocol/permessage_deflate/negotiation.ts";
import { compressionWorks } from "../protocol/permessage_deflate/codec_check.ts";
import type { CompressionSettings } from "../protocol/permessage_deflate/options.ts";
import { dial } from "../transport/dial.ts";
import { HttpExchange } from "../transport/http_exchange.ts";
import type { KeyPair } from "../transport/key_pair.ts";
import type { Route } from "../transport/route.ts";
import type { Session } from "./session.ts";

/** How a client opens its connection. */
export interface OpeningOptions {
  protocols: string[];
  headers: Headers;
  caCerts: string[];
  insecure: boolean;
  /** The client's own certificate. */
  pair: KeyPair | undefined;
  /** The way to the server; `undefined` where the environment decides. */
  route: Route | undefined;
  /** `undefined` for no compression. */
  compression: CompressionSettings | undefined;
  /** Longest time until the connection is open, in milliseconds. */
  handshakeTimeout: number;
  /** The program's own: gives the connection up, or cuts it off. */
  signal: AbortSignal | undefined;
  /** The program's own; it never throws. */
  onHandshake: ((head: HandshakeHead) => void) | undefined;
}

/** A response's head has the same bounds as a request's. */
const LIMITS = { maxHeaderBytes: 16 * 1024, maxHeaders: 100 };

/** More interim responses than this are no hints any more. */
const MAX_INTERIM = 10;

/** A refusal is explained in its first few lines, in bytes. */
const MAX_BODY = 4096;

/** Longest wait for them, in milliseconds: a body may never end. */
const BODY_TIMEOUT_MS = 1000;

/**
 * Opens the connection of a session, and starts it. Never rejects: the session tells what went wrong.
 *
 * @param dialling Gives up what is being done.
 */
export async function openConnection(
  session: Session,
  url: URL,
  options: OpeningOptions,
  dialling: AbortController,
): Promise<void> {
  const { signal, handshakeTimeout } = options;
  const compression = options.compression && compressionWorks() ? options.compression : undefined;
  const either = signal ? AbortSignal.any([signal, dialling.signal]) : dialling.signal;
  const late = new Error(`Cannot open WebSocket: it took over ${handshakeTimeout} ms`);
  const timer = setTimeout(() => dialling.abort(late), handshakeTimeout);
  try {
    const exchange = new HttpExchange();
    const connection = exchange.connection = await dial(
      url,
      { ...options, signal: either },
      exchange,
    );
    const abort = () => connection.destroy();
    either.addEventListener("abort", abort);
    try {
      either.throwIfAborted();
      const response = await handshake(exchange, url, { ...options, compression });
      // The response may have come in the very task in which it was given up.
      either.throwIfAborted();
      const agreement = checkResponse(response.extensions, compression);
      session.agree(
        response.protocol,
        response.extensions.map(formatExtension).join(", "),
        agreement && new PerMessageDeflate(agreement, "client", compression!, url.host),
      );
    } catch (error) {
      connection.destroy();
      await exchange.closed;
      either.throwIfAborted();
      throw error;
    } finally {
      either.removeEventListener("abort", abort);
    }
    if (signal !== undefined) {
      const terminate = () =>
        session.fail(new Error("Connection lost: it was terminated on this side"));
      signal.addEventListener("abort", terminate);
      void session.ended.then(() => signal.removeEventListener("abort", terminate));
    }
    clearTimeout(timer);
    session.start(connection, exchange.rest, exchange.peerEnded);
  } catch (error) {
    session.abandon(error);
  } finally {
    clearTimeout(timer);
  }
}

async function handshake(
  exchange: HttpExchange,
  url: URL,
  options: OpeningOptions,
): Promise<UpgradeResponse> {
  const { protocols, headers, compression, handshakeTimeout, onHandshake } = options;
  const key = createKey();
  const extensions = compression && formatOffer(compression);
  const request = upgradeRequest(url, key, { protocols, headers, extensions });
  await exchange.write(formatHead(request.line, request.headers), handshakeTimeout);
  onHandshake?.({ direction: "sent", ...request });
  const head = await readHead(exchange, onHandshake);
  const body = head.status === 101 ? "" : await readBody(exchange, head);
  return checkUpgradeResponse(head, acceptOf(key), protocols, body);
}

/** Reads the start of the body of a response that refuses. */
async function readBody(exchange: HttpExchange, { status, headers }: ResponseHead) {
  if (status === 204 || status === 304) return "";
  const reader = new BodyReader(headers, MAX_BODY);
  const timer = setTimeout(() => exchange.giveUpHead(), BODY_TIMEOUT_MS);
  await exchange.readHead(reader);
  clearTimeout(timer);
  return reader.text();
}

/** Reads the response's head, past those that only say that it is to come (RFC 9110 section 15.2). */
async function readHead(
  exchange: HttpExchange,
  onHandshake: OpeningOptions["onHandshake"],
): Promise<ResponseHead> {
  for (let interim = 0; interim <= MAX_INTERIM; interim++) {
    const reader = new HeadReader(LIMITS);
    try {
      if (!await exchange.readHead(reader)) {
        throw new HandshakeError("Cannot open WebSocket: server closed the connection");
      }
      const lines = reader.lines();
      const head = parseResponse(lines, LIMITS);
      onHandshake?.({ direction: "received", line: lines[0]!, headers: head.headers });
      if (head.status === 101 || head.status >= 200) return head;
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      throw new HandshakeError(`Cannot open WebSocket: ${error.message}`);
    } finally {
      reader.release();
    }
  }
  throw new HandshakeError(
    `Cannot open WebSocket: server sent over ${MAX_INTERIM} interim responses (1xx)`,
  );
}
