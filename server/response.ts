/**
 * Sending an ordinary response (RFC 9112 sections 4 and 7.1): a head, and a body whose length is known or
 * that goes out in chunks.
 *
 * @module
 */

import { formatHead, type HeaderLines, type RequestHead, statusLine } from "../protocol/http.ts";
import type { HttpExchange } from "../transport/http_exchange.ts";

/**
 * The response, if it is one that can be sent.
 *
 * @param isUpgraded Whether its request has been upgraded: only then it may say so.
 * @throws {TypeError} If it is none, an error, has been used, or upgrades another request.
 */
export function usable(response: Response, isUpgraded: boolean): Response {
  if (!(response instanceof Response)) {
    throw new TypeError("Cannot respond: handler must return a Response");
  }
  if (response.type === "error" || response.bodyUsed || response.body?.locked) {
    throw new TypeError("Cannot respond: the Response is an error, or its body has been used");
  }
  if (response.status === 101 && !isUpgraded) {
    throw new TypeError(
      "Cannot respond: status is 101, must come of upgradeWebSocket for this very request",
    );
  }
  return response;
}

/** Headers that are the connection's own, not the response's (RFC 9110 section 7.6.1). */
const CONNECTION_HEADERS = new Set(["connection", "keep-alive", "transfer-encoding", "date"]);

/** Statuses without a body (RFC 9110 section 6.4.1). */
const BODILESS = new Set([204, 304]);

/**
 * Sends a response and ends the connection; rejects when the client or the body does not go on.
 *
 * @param timeout Longest wait for the client to take a part of it, in milliseconds.
 */
export async function sendResponse(
  exchange: HttpExchange,
  request: RequestHead,
  response: Response,
  timeout: number,
): Promise<void> {
  const headers: HeaderLines = [...response.headers].filter(([name]) =>
    !CONNECTION_HEADERS.has(name)
  );
  const upgrade = response.headers.has("upgrade") ? ", Upgrade" : "";
  headers.push(["Date", new Date().toUTCString()], ["Connection", `close${upgrade}`]);

  const bodiless = request.method === "HEAD" || BODILESS.has(response.status);
  const known = response.headers.has("content-length");
  const chunked = response.body !== null && !known && request.minor > 0;
  if (!BODILESS.has(response.status)) {
    if (chunked) headers.push(["Transfer-Encoding", "chunked"]);
    else if (response.body === null && !known) headers.push(["Content-Length", "0"]);
  }
  const head = formatHead(statusLine(response.status, response.statusText), headers);
  if (bodiless || response.body === null) {
    await exchange.write(head, timeout);
    await response.body?.cancel();
    return await exchange.end();
  }
  const reader = response.body.getReader();
  let gone = false;
  exchange.onGone = () => {
    gone = true;
    void reader.cancel().catch(() => {});
  };
  exchange.watchPeer();
  try {
    await exchange.write(head, timeout);
    for (;;) {
      const { value, done } = await reader.read();
      if (gone) throw new Error("Cannot respond: client has gone");
      if (done) break;
      if (!(value instanceof Uint8Array)) {
        throw new TypeError("Cannot respond: body must consist of Uint8Arrays");
      }
      if (!chunked) await exchange.write(value, timeout);
      else if (value.length > 0) await exchange.write(chunk(value), timeout);
    }
    if (chunked) await exchange.write(LAST_CHUNK, timeout);
  } catch (error) {
    await reader.cancel(error).catch(() => {});
    throw error;
  }
  exchange.onGone = () => {};
  await exchange.end();
}

const LAST_CHUNK = new TextEncoder().encode("0\r\n\r\n");

/** One chunk of a body whose length is not known before (RFC 9112 section 7.1). */
function chunk(data: Uint8Array): Uint8Array {
  const head = new TextEncoder().encode(`${data.length.toString(16)}\r\n`);
  const bytes = new Uint8Array(head.length + data.length + 2);
  bytes.set(head);
  bytes.set(data, head.length);
  bytes.set([0x0d, 0x0a], head.length + data.length);
  return bytes;
}
