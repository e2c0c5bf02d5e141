/**
 * One request and its answer: an ordinary response, or the start of a WebSocket.
 *
 * @module
 */

import { type Forwarded, readForwarded } from "../protocol/forwarded.ts";
import {
  formatHead,
  HeadReader,
  HttpError,
  parseRequest,
  type RequestHead,
  statusLine,
} from "../protocol/http.ts";
import type { HttpExchange } from "../transport/http_exchange.ts";
import type { Session } from "../websocket/session.ts";
import type { ServeHandler, ServeHandlerInfo, ServeLimits, ServeOptions } from "./options.ts";
import { sendResponse, usable } from "./response.ts";
import type { TrustedProxies } from "./trusted_proxies.ts";
import { type OwnRequest, ownRequests, sendUpgrade } from "./upgrade.ts";

/** What a connection over the limit is told. */
export const TOO_MANY = "Cannot serve: too many connections, try again later";

/** How requests are answered. */
export interface AnswerOptions {
  scheme: string;
  /** What stands for the authority of a request that names none. */
  authority: string;
  limits: ServeLimits;
  handler: ServeHandler;
  onError: ServeOptions["onError"];
  /** Those whose word about a client is taken. */
  proxies: TrustedProxies;
  /** Counts the connection for its client; returns whether that may have one more. */
  admit(client: Deno.Addr): boolean;
  /** Called when a request has come. */
  onRequest(): void;
}

/**
 * Reads the request of a connection, and answers it.
 *
 * @returns The session that is to be started on the connection; otherwise the connection has ended.
 */
export async function answer(
  exchange: HttpExchange,
  options: AnswerOptions,
): Promise<Session | undefined> {
  const { limits } = options;
  const head = await readRequest(exchange, limits);
  options.onRequest();
  if (head === undefined) return undefined;
  const { connection } = exchange;
  const forwarded = options.proxies.has(connection.remoteAddr)
    ? readForwarded(head.headers, (hostname) => options.proxies.hasHost(hostname))
    : undefined;
  if (forwarded?.hostname !== undefined) {
    const { hostname, port } = forwarded;
    connection.remoteAddr = { transport: "tcp", hostname, port };
  }
  if (!options.admit(connection.remoteAddr)) {
    await refuse(exchange, new HttpError(503, TOO_MANY), limits);
    return undefined;
  }
  const request = makeRequest(head, options, forwarded);
  if (request === undefined) {
    await refuse(
      exchange,
      new HttpError(400, "Cannot read request: its host is in no URL"),
      limits,
    );
    return undefined;
  }
  const own: OwnRequest = { address: connection.remoteAddr };
  ownRequests.set(request, own);
  const completed = Promise.withResolvers<void>();
  // A handler that ignores this promise must not get an unhandled rejection.
  completed.promise.catch(() => {});
  const response = await respond(
    request,
    {
      remoteAddr: connection.remoteAddr as Deno.NetAddr,
      completed: completed.promise,
    },
    options,
    own,
  );
  // Once it is answered, a request cannot be upgraded any more.
  ownRequests.delete(request);
  const isUpgrade = response.status === 101;
  if (!isUpgrade) {
    own.upgrade?.session.abandon(
      new Error("Cannot open WebSocket: the handler did not return the response of the upgrade"),
    );
  }
  const upgrade = isUpgrade ? own.upgrade : undefined;
  try {
    if (upgrade === undefined) {
      await sendResponse(exchange, head, response, limits.responseTimeout);
    } else {
      await sendUpgrade(exchange, response, upgrade, limits.responseTimeout);
    }
    completed.resolve();
    return upgrade?.session;
  } catch (error) {
    completed.reject(error);
    return undefined;
  }
}

/** Reads a request's head; refuses one that will not do. */
async function readRequest(
  exchange: HttpExchange,
  limits: ServeLimits,
): Promise<RequestHead | undefined> {
  const reader = new HeadReader(limits);
  const { headerTimeout } = limits;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    exchange.giveUpHead();
  }, headerTimeout);
  try {
    if (await exchange.readHead(reader)) return parseRequest(reader.lines(), limits);
    // A connection on which nothing was said, as browsers open in advance, is closed without a word.
    if (isLate && reader.started) {
      const late = new HttpError(408, `Cannot read head: it took over ${headerTimeout} ms`);
      await refuse(exchange, late, limits);
    }
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    await refuse(exchange, error, limits);
  } finally {
    clearTimeout(timer);
    reader.release();
  }
  return undefined;
}

/** Answers a request that is not served, and ends the connection. */
export async function refuse(
  exchange: HttpExchange,
  { status, message }: HttpError,
  { responseTimeout }: ServeLimits,
): Promise<void> {
  const body = new TextEncoder().encode(`${message}.\n`);
  const head = formatHead(statusLine(status, ""), [
    ["Content-Type", "text/plain; charset=utf-8"],
    ["Content-Length", String(body.length)],
    ["X-Content-Type-Options", "nosniff"],
    ...(status === 503 ? [["Retry-After", "5"] as [string, string]] : []),
    ["Connection", "close"],
  ]);
  await exchange.write(head, responseTimeout);
  await exchange.write(body, responseTimeout);
  await exchange.end();
}

/** Makes a request, or nothing where its host is in no URL, as one with port 99999. */
function makeRequest(
  { method, host, target, headers }: RequestHead,
  { scheme, authority }: AnswerOptions,
  forwarded: Forwarded | undefined,
): Request | undefined {
  const base = `${forwarded?.scheme ?? scheme}://${forwarded?.host ?? (host || authority)}`;
  const url = base + target;
  if (!URL.canParse(url)) return undefined;
  const request = new Request(url, { method });
  // In half the time that a Request takes to be made of them.
  let cookies: string | undefined;
  for (const [name, value] of headers) {
    // Cookies are no list: a comma would become a part of one (RFC 6265 section 5.4, RFC 9113 section 8.2.3).
    if (name.length === 6 && name.toLowerCase() === "cookie") {
      cookies = cookies === undefined ? value : `${cookies}; ${value}`;
    } else request.headers.append(name, value);
  }
  if (cookies !== undefined) request.headers.set("cookie", cookies);
  return request;
}

async function respond(
  request: Request,
  info: ServeHandlerInfo,
  { handler, onError = printError }: AnswerOptions,
  own: OwnRequest,
): Promise<Response> {
  const check = (response: Response) => usable(response, own.upgrade !== undefined);
  try {
    return check(await handler(request, info));
  } catch (error) {
    try {
      return check(await onError(error));
    } catch (second) {
      return printError(second);
    }
  }
}

function printError(error: unknown): Response {
  console.error(error);
  const headers = { "X-Content-Type-Options": "nosniff" };
  return new Response("Internal Server Error", { status: 500, headers });
}
