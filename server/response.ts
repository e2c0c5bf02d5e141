/**
 * Sending the web's `Response` as the answer to a request of `node:http`.
 *
 * @module
 */

import type { ServerResponse } from "node:http";
// First, as this module needs Deno already when it is loaded.
import "../transport/deno_version.ts";
import { hasBody, usualReason } from "../transport/http_connections.ts";

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

/**
 * Headers that are the connection's own, not the response's (RFC 9110 section 7.6.1), and the length, which
 * is that of the body.
 */
const CONNECTION_HEADERS = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "transfer-encoding",
]);

/** Statuses without a body (RFC 9110 section 6.4.1). */
const BODILESS = new Set([204, 205, 304]);

/** Statuses whose responses never say a length: it would be that of another response (section 8.6). */
const LENGTHLESS = new Set([204, 304]);

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
  const isHead = out.req.method === "HEAD";
  const given = lengthOf(response);
  if (body === null || BODILESS.has(status)) {
    if (!LENGTHLESS.has(status)) headers.push("content-length", String(isHead ? given ?? 0 : 0));
    writeHead(out, response, headers);
    void body?.cancel().catch(() => {});
    return await end(out, timeout);
  }

  const reader = body.getReader();
  const cancel = () => void reader.cancel(signal.reason).catch(() => {});
  let isHeadSent = false;
  try {
    const ahead = [reader.read()];
    const first = await soon(ahead[0]!);
    if (first !== undefined && !first.done) ahead.push(reader.read());
    const isWhole = first?.done || ahead.length > 1 && (await soon(ahead[1]!))?.done;
    const whole = !isWhole ? undefined : first!.done ? 0 : first!.value!.length;
    const length = isHead ? given ?? whole : least(given, whole);
    if (length !== undefined) headers.push("content-length", String(length));
    writeHead(out, response, headers);
    if (isHead) return await end(out, timeout);
    if (isWhole && isPart(first?.value) && first.value.length <= MAX_PART) {
      return await end(out, timeout, first.value.subarray(0, length));
    }
    if (signal.aborted) throw new ClientGone();
    signal.addEventListener("abort", cancel);
    // The client is to know of an answer whose body takes its time.
    if (first === undefined) {
      out.flushHeaders();
      isHeadSent = true;
    }
    for (let left = length ?? Infinity;;) {
      const { value, done } = await (ahead.shift() ?? reader.read());
      if (signal.aborted) throw new ClientGone();
      if (!done && !isPart(value)) {
        throw new TypeError("Cannot respond: body must consist of Uint8Arrays");
      }
      if (done && length !== undefined && left > 0) {
        throw new TypeError(
          `Cannot respond: body ends ${left} bytes before its Content-Length, ${length}`,
        );
      }
      if (done) break;
      // What is beyond the length would be taken for the next answer.
      await write(out, value.subarray(0, left), timeout);
      isHeadSent = true;
      left -= value.length;
      if (left <= 0) break;
    }
    await end(out, timeout);
  } catch (error) {
    if (error instanceof ClientGone || out.req.socket.destroyed) out.destroy();
    else {
      // What there is of the answer is sent: by its head, it can be seen to be cut off.
      if (!isHeadSent) out.flushHeaders();
      out.req.socket.destroySoon();
    }
    throw error;
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}

/** The length of its body that a response says, if that is one. */
function lengthOf({ headers }: Response): number | undefined {
  const value = headers.get("content-length");
  return value !== null && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}

/** The lesser of the length that a response says and that of its body, as far as they are known. */
function least(given: number | undefined, whole: number | undefined): number | undefined {
  return given === undefined || whole === undefined ? given ?? whole : Math.min(given, whole);
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
async function write(out: ServerResponse, part: Uint8Array, timeout: number): Promise<void> {
  for (let at = 0; at < part.length; at += MAX_PART) {
    if (out.destroyed) throw new ClientGone();
    if (!out.write(part.subarray(at, at + MAX_PART))) await event(out, "drain", timeout);
  }
}

function isPart(part: unknown): part is Uint8Array {
  return part instanceof Uint8Array;
}

/** Ends a response; resolves when all of it has been given to the network, which mostly takes it at once. */
function end(out: ServerResponse, timeout: number, last?: Uint8Array): Promise<void> {
  if (out.destroyed || out.req.socket.destroyed) return Promise.reject(new ClientGone());
  out.end(last);
  return out.writableFinished ? Promise.resolve() : event(out, "finish", timeout);
}

/** Resolves at an event of a response; rejects if the client takes nothing for so long, or goes. */
function event(out: ServerResponse, name: "drain" | "finish", timeout: number): Promise<void> {
  return new Promise((resolve, reject) => {
    // It has been told already, and no event follows.
    if (out.destroyed || out.req.socket.destroyed) return reject(new ClientGone());
    const timer = setTimeout(() => out.destroy(), timeout);
    const settle = (isThere: boolean) => {
      clearTimeout(timer);
      out.off(name, onEvent);
      out.off("close", onClose);
      if (isThere) resolve();
      else reject(new ClientGone());
    };
    const onEvent = () => settle(true);
    const onClose = () => settle(false);
    out.once(name, onEvent);
    out.once("close", onClose);
  });
}

/** The client is not there any more. */
export class ClientGone extends Deno.errors.Interrupted {
  constructor() {
    super("Cannot respond: the client has gone");
  }
}

/** An empty reason phrase stands for the usual one, if the status has one. */
function writeHead(out: ServerResponse, { status, statusText }: Response, headers: string[]): void {
  out.writeHead(status, statusText || usualReason(status), headers);
}
