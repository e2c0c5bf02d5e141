/**
 * Sending an ordinary response (RFC 9112 sections 4 and 7.1): a head, and a body whose length is known or
 * that goes out in chunks.
 *
 * @module
 */

import { type Connection, lingerAndClose, writeAll } from "../transport/connection.ts";
import { formatHead, type HeaderLines, type RequestHead, statusLine } from "../protocol/http.ts";

/**
 * The response, if it is one that can be sent.
 *
 * @throws {TypeError} If it is none, an error, or has been used.
 */
export function usable(response: Response): Response {
  if (!(response instanceof Response)) {
    throw new TypeError("Cannot respond: handler must return a Response");
  }
  if (response.type === "error" || response.bodyUsed || response.body?.locked) {
    throw new TypeError("Cannot respond: the Response is an error, or its body has been used");
  }
  return response;
}

/** Headers that are the connection's own, not the response's (RFC 9110 section 7.6.1). */
const CONNECTION_HEADERS = new Set(["connection", "keep-alive", "transfer-encoding", "date"]);

/** Statuses without a body (RFC 9110 section 6.4.1). */
const BODILESS = new Set([204, 304]);

/** Sends a response and ends the connection; rejects when the client or the body does not go on. */
export async function sendResponse(
  connection: Connection,
  request: RequestHead,
  response: Response,
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
    await writeAll(connection, head);
    await response.body?.cancel();
    return await lingerAndClose(connection, true);
  }
  const reader = response.body.getReader();
  let gone = false;
  void untilEnd(connection).then(() => {
    gone = true;
    return reader.cancel().catch(() => {});
  });
  try {
    await writeAll(connection, head);
    for (;;) {
      const { value, done } = await reader.read();
      if (gone) throw new Error("Cannot respond: client has gone");
      if (done) break;
      if (!(value instanceof Uint8Array)) {
        throw new TypeError("Cannot respond: body must consist of Uint8Arrays");
      }
      if (!chunked) await writeAll(connection, value);
      else if (value.length > 0) await writeAll(connection, chunk(value));
    }
    if (chunked) await writeAll(connection, LAST_CHUNK);
  } catch (error) {
    await reader.cancel(error).catch(() => {});
    throw error;
  }
  await lingerAndClose(connection, true);
}

/** Resolves when the client ends the connection; what it still says is of no matter. Never rejects. */
async function untilEnd(connection: Connection): Promise<void> {
  const sink = new Uint8Array(512);
  try {
    for (let count = 0; count < MAX_IGNORED;) {
      const read = await connection.read(sink);
      if (read === null) return;
      count += read;
    }
  } catch {
    // It has ended.
  }
}

/** With more bytes behind its request, a client has ended all talk. */
const MAX_IGNORED = 64 * 1024;

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
