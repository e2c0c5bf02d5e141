/**
 * Sending the web's `Response` as the answer to a request of `node:http`.
 *
 * @module
 */

import type { ServerResponse } from "node:http";
import { hasBody } from "./request.ts";

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
const CONNECTION_HEADERS = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade"]);

/** Statuses without a body (RFC 9110 section 6.4.1). */
const BODILESS = new Set([204, 205, 304]);

/**
 * How many microtasks the first parts of a body that is there already take at most. A body that takes
 * longer is sent as it comes, in chunks.
 */
const SOON = 8;

/**
 * Sends a response.
 *
 * @param out Where to.
 * @param method The request's.
 * @param timeout Longest wait for the client to take a part of it, in milliseconds.
 * @throws If the client goes before its end, or the body fails; the connection is ended then.
 */
export async function sendResponse(
  out: ServerResponse,
  method: string,
  response: Response,
  timeout: number,
): Promise<void> {
  const sent = hasBeenSent(out);
  const { status, body } = response;
  const headers = headersOf(response, out);
  const mayHaveBody = !BODILESS.has(status);
  const needsLength = mayHaveBody && !response.headers.has("content-length");
  if (body === null || !mayHaveBody) {
    if (needsLength) headers.push("Content-Length", "0");
    writeHead(out, response, headers);
    out.end();
    await body?.cancel();
    return await sent;
  }

  const reader = body.getReader();
  sent.catch(() => reader.cancel().catch(() => {}));
  try {
    const ahead = [reader.read()];
    const first = await soon(ahead[0]!);
    let whole: Uint8Array | undefined;
    if (first !== undefined && !first.done) {
      ahead.push(reader.read());
      if ((await soon(ahead[1]!))?.done) whole = first.value;
    }
    if (needsLength && whole !== undefined) headers.push("Content-Length", String(whole.length));
    writeHead(out, response, headers);
    if (method === "HEAD") {
      out.end();
      await reader.cancel();
    } else if (whole !== undefined) {
      out.end(asPart(whole));
    } else {
      // The client is to know of an answer whose body takes its time.
      if (first === undefined) out.flushHeaders();
      for (;;) {
        const { value, done } = await (ahead.shift() ?? reader.read());
        if (done) break;
        await write(out, asPart(value), timeout);
      }
      out.end();
    }
  } catch (error) {
    void reader.cancel(error).catch(() => {});
    out.destroy();
    throw error;
  }
  await sent;
}

/**
 * A part of a body.
 *
 * @throws {TypeError} If it is no Uint8Array.
 */
function asPart(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new TypeError("Cannot respond: body must consist of Uint8Arrays");
}

/** The headers as `writeHead` takes them: names and values in turn. */
function headersOf({ headers }: Response, out: ServerResponse): string[] {
  const list: string[] = [];
  headers.forEach((value, name) => {
    if (!CONNECTION_HEADERS.has(name)) list.push(name, value);
  });
  // The rest of a body that nobody has read would have to be read before the next request.
  const isOver = hasBody(out.req) && !out.req.complete ||
    /\bclose\b/i.test(headers.get("connection") ?? "");
  if (isOver) list.push("Connection", "close");
  return list;
}

/** The value of a promise that is settled soon, or nothing. */
async function soon<T>(promise: Promise<T>): Promise<T | undefined> {
  let value: T | undefined;
  let isSettled = false;
  promise.then((result) => {
    value = result;
    isSettled = true;
  }, () => isSettled = true);
  for (let i = 0; i < SOON && !isSettled; i++) await undefined;
  return value;
}

/** Writes a part; resolves when the client may be sent the next. */
async function write(out: ServerResponse, part: Uint8Array, timeout: number): Promise<void> {
  if (out.destroyed) throw gone();
  if (out.write(part)) return;
  const taken = Promise.withResolvers<void>();
  const timer = setTimeout(() => out.destroy(), timeout);
  const onClose = () => taken.reject(gone());
  out.once("drain", taken.resolve);
  out.once("close", onClose);
  try {
    await taken.promise;
  } finally {
    clearTimeout(timer);
    out.off("close", onClose);
  }
}

/** Resolves when all of a response has been given to the network; rejects if its connection ends before. */
function hasBeenSent(out: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    out.once("finish", resolve);
    out.once("close", () => out.writableFinished || reject(gone()));
  });
}

function gone(): Error {
  return new Deno.errors.Interrupted("Cannot respond: the client has gone");
}

/** An empty reason phrase stands for the usual one. */
function writeHead(out: ServerResponse, { status, statusText }: Response, headers: string[]): void {
  if (statusText === "") out.writeHead(status, headers);
  else out.writeHead(status, statusText, headers);
}
