/**
 * Sending the web's `Response` as the answer to a request of `node:http`.
 *
 * @module
 */

import type { ServerResponse } from "node:http";
import { hasBody } from "../transport/http_connections.ts";

/**
 * Checks that a response can be sent.
 *
 * @throws {TypeError} If it is none, an error, or has been used.
 */
export function checkResponse(response: Response): void {
  if (!(response instanceof Response)) {
    throw new TypeError("Cannot respond: handler must return a Response");
  }
  if (response.type === "error" || response.bodyUsed || response.body?.locked) {
    throw new TypeError("Cannot respond: the Response is an error, or its body has been used");
  }
}

/** Headers that are the connection's own, not the response's (RFC 9110 section 7.6.1). */
const CONNECTION_HEADERS = new Set(["connection", "keep-alive", "transfer-encoding"]);

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
 * @param signal Aborts when the client has gone.
 * @param timeout Longest wait for the client to take a part of it, in milliseconds.
 * @throws If the client goes before its end, or the body fails; the connection is ended then.
 */
export async function sendResponse(
  out: ServerResponse,
  response: Response,
  signal: AbortSignal,
  timeout: number,
): Promise<void> {
  const { status, body } = response;
  const headers = headersOf(response, out);
  const mayHaveBody = !BODILESS.has(status);
  const needsLength = mayHaveBody && !response.headers.has("content-length");
  if (body === null || !mayHaveBody) {
    if (needsLength) headers.push("Content-Length", "0");
    writeHead(out, response, headers);
    void body?.cancel().catch(() => {});
    return await end(out, timeout);
  }

  const reader = body.getReader();
  const cancel = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", cancel);
  try {
    const ahead = [reader.read()];
    const first = await soon(ahead[0]!);
    if (first !== undefined && !first.done) ahead.push(reader.read());
    const isWhole = first?.done || ahead.length > 1 && (await soon(ahead[1]!))?.done;
    if (needsLength && isWhole) headers.push("Content-Length", String(first!.value?.length ?? 0));
    writeHead(out, response, headers);
    if (out.req.method === "HEAD") return await end(out, timeout);
    if (isWhole && isPart(first?.value) && first.value.length <= MAX_PART) {
      return await end(out, timeout, first.value);
    }
    // The client is to know of an answer whose body takes its time.
    if (first === undefined) out.flushHeaders();
    for (;;) {
      const { value, done } = await (ahead.shift() ?? reader.read());
      if (signal.aborted) throw gone();
      if (done) break;
      await write(out, value, timeout);
    }
    await end(out, timeout);
  } catch (error) {
    out.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}

/** The headers as `writeHead` takes them: names and values in turn. */
function headersOf({ headers }: Response, out: ServerResponse): string[] {
  const list: string[] = [];
  headers.forEach((value, name) => {
    if (!CONNECTION_HEADERS.has(name)) list.push(name, value);
  });
  // The rest of a body that nobody has read would have to be read before the next request.
  const isOver = !out.shouldKeepAlive || hasBody(out.req) && !out.req.complete ||
    /\bclose\b/i.test(headers.get("connection") ?? "");
  // A header that says what the connection could become is the connection's (section 7.8).
  const upgrade = headers.has("upgrade") ? ", Upgrade" : "";
  if (isOver || upgrade !== "") {
    list.push("Connection", (isOver ? "close" : "keep-alive") + upgrade);
  }
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

/** Most bytes that are given to the network at a time: a slow client has its time for each. */
const MAX_PART = 64 * 1024;

/** Writes a part of a body; resolves when the client may be sent the next. */
async function write(out: ServerResponse, part: unknown, timeout: number): Promise<void> {
  if (!isPart(part)) throw new TypeError("Cannot respond: body must consist of Uint8Arrays");
  for (let at = 0; at < part.length; at += MAX_PART) {
    if (out.destroyed) throw gone();
    if (!out.write(part.subarray(at, at + MAX_PART))) await event(out, "drain", timeout);
  }
}

function isPart(part: unknown): part is Uint8Array {
  return part instanceof Uint8Array;
}

/** Ends a response; resolves when all of it has been given to the network. */
function end(out: ServerResponse, timeout: number, last?: Uint8Array): Promise<void> {
  const finished = event(out, "finish", timeout);
  out.end(last);
  return finished;
}

/** Resolves at an event of a response; rejects if the client takes nothing for so long, or goes. */
function event(out: ServerResponse, name: "drain" | "finish", timeout: number): Promise<void> {
  return new Promise((resolve, reject) => {
    // It has been told already, and no event follows.
    if (out.destroyed || out.req.socket.destroyed) return reject(gone());
    const timer = setTimeout(() => out.destroy(), timeout);
    const settle = (isThere: boolean) => {
      clearTimeout(timer);
      out.off(name, onEvent);
      out.off("close", onClose);
      if (isThere) resolve();
      else reject(gone());
    };
    const onEvent = () => settle(true);
    const onClose = () => settle(false);
    out.once(name, onEvent);
    out.once("close", onClose);
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
