/**
 * One HTTP/1.1 message head in, one out (RFC 9112): as much as an opening handshake and a short answer
 * need, and strict about all of it, so that no proxy before us can see another request than we do.
 *
 * @module
 */

import { GrowingBuffer } from "./buffer.ts";
import { TOKEN } from "./grammar.ts";

/** Bounds of a head; both are generous to browsers with cookies. */
export interface HeadLimits {
  /** Longest head, in bytes. */
  maxHeaderBytes: number;
  /** Most header lines. */
  maxHeaders: number;
}

/** A head that is refused, with the status that says why. */
export class HttpError extends Error {
  override name = "HttpError";
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** The header lines of a head, in their order. */
export type HeaderLines = [name: string, value: string][];

/** A request's head (RFC 9112 section 3). */
export interface RequestHead {
  method: string;
  /** The path and query: what follows the authority in the URL. */
  target: string;
  /** The authority the request is for: its `Host`. */
  host: string;
  /** Minor version of HTTP/1: 0 or 1. */
  minor: number;
  headers: HeaderLines;
}

/** A response's head (RFC 9112 section 4). */
export interface ResponseHead {
  status: number;
  statusText: string;
  headers: HeaderLines;
}

const CR = 0x0d;
const LF = 0x0a;

/** Takes a head's bytes as they come, up to the empty line. */
export class HeadReader {
  readonly #maxBytes: number;
  readonly #bytes = new GrowingBuffer();
  #lineLength = 0;
  #afterCr = false;

  constructor(limits: HeadLimits) {
    this.#maxBytes = limits.maxHeaderBytes;
  }

  /** Whether any byte has come. */
  get started(): boolean {
    return this.#bytes.length > 0;
  }

  /**
   * Takes bytes.
   *
   * @returns How many of them the head takes, once it is whole; the rest is what follows it.
   * @throws {HttpError} At the first byte that no head has, or that is beyond the limit.
   */
  push(bytes: Uint8Array): number | undefined {
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!;
      if (this.#bytes.length + i >= this.#maxBytes) {
        throw new HttpError(431, `Cannot read head: it is over ${this.#maxBytes} bytes`);
      }
      if (this.#afterCr !== (byte === LF)) {
        throw new HttpError(400, "Cannot read head: CR and LF must come together");
      }
      if (byte === LF) {
        this.#afterCr = false;
        if (this.#lineLength === 0) {
          this.#bytes.append(bytes.subarray(0, i + 1));
          return i + 1;
        }
        this.#lineLength = 0;
      } else if (byte === CR) {
        this.#afterCr = true;
      } else if (byte < 0x20 && byte !== 0x09 || byte === 0x7f) {
        throw new HttpError(400, "Cannot read head: it has a control character");
      } else {
        this.#lineLength++;
      }
    }
    this.#bytes.append(bytes);
    return undefined;
  }

  /** The lines of the whole head, each byte a character (ISO 8859-1), without their ends. */
  lines(): string[] {
    const { bytes, length } = this.#bytes;
    let text = "";
    for (let at = 0; at < length; at += 4096) {
      const piece = bytes.subarray(at, Math.min(at + 4096, length));
      // A spread would go through the bytes one by one.
      text += String.fromCharCode.apply(null, piece as unknown as number[]);
    }
    this.#bytes.release();
    return text.split("\r\n").slice(0, -2);
  }

  /** Gives the memory of an unfinished head back. */
  release(): void {
    this.#bytes.release();
  }
}

const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([\\x21\\x22\\x24-\\x7e]+) HTTP/(\\d)\\.(\\d)$`);
const STATUS_LINE = /^HTTP\/1\.[01] ([1-9]\d\d)(?: (.*))?$/;
/** The value begins and ends with a character that is no space, so that the expression never backtracks. */
const HEADER_LINE = new RegExp(`^(${TOKEN}):[ \\t]*(?:([^ \\t]+(?:[ \\t]+[^ \\t]+)*)[ \\t]*)?$`);

/** `host [":" port]` (RFC 3986 section 3.2): a name, an IPv4 address, or an IPv6 one in brackets. */
const HOST = /^(?:[0-9A-Za-z._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/;

/** Whether a text can be a `Host`. */
export function isHost(text: string): boolean {
  return HOST.test(text);
}

/**
 * Parses a request's head (RFC 9112 sections 3 and 5).
 *
 * @throws {HttpError} If it is malformed, ambiguous, or has a body: 400, 413, 431 or 505.
 */
export function parseRequest(lines: string[], limits: HeadLimits): RequestHead {
  const match = REQUEST_LINE.exec(lines[0] ?? "");
  if (match === null) throw new HttpError(400, "Cannot read request: malformed request line");
  const [, method, rawTarget, major, minor] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
  ];
  if (major !== "1" || Number(minor) > 1) {
    throw new HttpError(505, `Cannot read request: version is ${major}.${minor}, must be 1.1`);
  }
  let headers = parseHeaders(lines, limits);
  // In HTTP/1.0, Upgrade is to be ignored (RFC 9110 section 7.8).
  if (minor === "0") headers = headers.filter(([name]) => name.toLowerCase() !== "upgrade");
  const host = only(headers, "host");
  if (host === undefined || !HOST.test(host)) {
    throw new HttpError(400, "Cannot read request: it must have one valid Host");
  }
  refuseBody(headers);
  return { method, target: originForm(rawTarget, host), host, minor: Number(minor), headers };
}

/**
 * Parses a response's head (RFC 9112 sections 4 and 5).
 *
 * @throws {HttpError} If it is malformed.
 */
export function parseResponse(lines: string[], limits: HeadLimits): ResponseHead {
  const match = STATUS_LINE.exec(lines[0] ?? "");
  if (match === null) throw new HttpError(400, "Cannot read response: malformed status line");
  return {
    status: Number(match[1]),
    statusText: match[2] ?? "",
    headers: parseHeaders(lines, limits),
  };
}

function parseHeaders(lines: string[], limits: HeadLimits): HeaderLines {
  if (lines.length - 1 > limits.maxHeaders) {
    throw new HttpError(431, `Cannot read head: it has over ${limits.maxHeaders} header lines`);
  }
  return lines.slice(1).map((line) => {
    // A line that continues the one before (obsolete folding) has no name, and is refused with the rest.
    const match = HEADER_LINE.exec(line);
    if (match === null) throw new HttpError(400, "Cannot read head: malformed header line");
    return [match[1]!, match[2] ?? ""];
  });
}

/** The value of a header that must not be repeated. */
function only(headers: HeaderLines, name: string): string | undefined {
  const values = headers.filter(([key]) => key.toLowerCase() === name);
  return values.length === 1 ? values[0]![1] : undefined;
}

/** One request a connection, without a body: nothing to be smuggled (RFC 9112 section 6.3). */
function refuseBody(headers: HeaderLines): void {
  const lengths: string[] = [];
  let coded = false;
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    if (key === "content-length") lengths.push(value);
    else if (key === "transfer-encoding") coded = true;
  }
  if (lengths.length > 1 || lengths.length > 0 && (coded || !/^\d+$/.test(lengths[0]!))) {
    throw new HttpError(400, "Cannot read request: its length is ambiguous");
  }
  if (coded || lengths.length > 0 && !/^0+$/.test(lengths[0]!)) {
    throw new HttpError(413, "Cannot read request: it must have no body");
  }
}

/** The path and query of a target in origin form or absolute form (RFC 9112 section 3.2). */
function originForm(target: string, host: string): string {
  if (target.startsWith("/")) return target;
  const url = /^(?:https?|wss?):\/\//i.test(target) ? URL.parse(target) : null;
  if (url === null || url.host !== URL.parse(`${url.protocol}//${host}`)?.host) {
    throw new HttpError(400, "Cannot read request: target must be a path on this host");
  }
  return url.pathname + url.search;
}

const encoder = new TextEncoder();

/** The bytes of a head: its first line and its headers. */
export function formatHead(firstLine: string, headers: Iterable<[string, string]>): Uint8Array {
  let head = `${firstLine}\r\n`;
  for (const [name, value] of headers) head += `${name}: ${value}\r\n`;
  const text = head + "\r\n";
  // Header values hold ISO 8859-1; ASCII, all that is usual, is the same in UTF-8.
  // deno-lint-ignore no-control-regex
  return /^[\x00-\x7f]*$/.test(text)
    ? encoder.encode(text)
    : Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Reason phrases (RFC 9110 section 15) of the statuses this library answers with by itself. */
const REASONS: Record<number, string> = {
  101: "Switching Protocols",
  200: "OK",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  413: "Content Too Large",
  426: "Upgrade Required",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
};

/** A response's first line. */
export function statusLine(status: number, statusText: string): string {
  return `HTTP/1.1 ${status} ${statusText || REASONS[status] || ""}`;
}
