/**
 * The head of an HTTP/1.1 response as a client of WebSocket reads it, and heads as both ends write them
 * (RFC 9112). Requests are read by the runtime's own parser: see `transport/http_connections.ts`.
 *
 * Tolerated, as ordinary servers send it: a minor version other than 1 (RFC 9110 section 2.5), empty lines
 * before the head (RFC 9112 section 2.2), and folded lines, which a client must unfold (section 5.2). Refused:
 * a line that ends in LF or CR alone, control characters, and white space before a colon.
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

/** A head or a request that is refused, with the status that says why. */
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

/** A response's head (RFC 9112 section 4). */
export interface ResponseHead {
  status: number;
  statusText: string;
  headers: HeaderLines;
}

const CR = 0x0d;
const LF = 0x0a;

/** Empty lines passed over before a head: old clients send one behind the request before. */
const MAX_EMPTY_LINES = 8;

/** Takes a head's bytes as they come, up to the empty line. */
export class HeadReader {
  readonly #maxBytes: number;
  /** The head, without the empty lines before it. */
  readonly #bytes = new GrowingBuffer();
  #emptyLines = 0;
  /** Whether the first line has begun. */
  #begun = false;
  #lineLength = 0;
  #afterCr = false;

  constructor(limits: HeadLimits) {
    this.#maxBytes = limits.maxHeaderBytes;
  }

  /** Whether any byte of the head has come. */
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
    let start = 0;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!;
      if (this.#begun && this.#bytes.length + i - start >= this.#maxBytes) {
        throw new HttpError(431, `Cannot read head: it is over ${this.#maxBytes} bytes`);
      }
      if (this.#afterCr !== (byte === LF)) {
        throw new HttpError(400, "Cannot read head: CR and LF must come together");
      }
      if (byte === LF) {
        this.#afterCr = false;
        if (!this.#begun) {
          if (++this.#emptyLines > MAX_EMPTY_LINES) {
            throw new HttpError(400, "Cannot read head: too many empty lines come before it");
          }
          start = i + 1;
        } else if (this.#lineLength === 0) {
          this.#bytes.append(bytes.subarray(start, i + 1));
          return i + 1;
        }
        this.#lineLength = 0;
      } else if (byte === CR) {
        this.#afterCr = true;
      } else if (byte < 0x20 && byte !== 0x09 || byte === 0x7f) {
        throw new HttpError(400, "Cannot read head: it has a control character");
      } else {
        this.#begun = true;
        this.#lineLength++;
      }
    }
    if (this.#begun) this.#bytes.append(bytes.subarray(start));
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

const STATUS_LINE = /^HTTP\/1\.\d ([1-9]\d\d)(?: (.*))?$/;
/** The value begins and ends with a character that is no space, so that the expression never backtracks. */
const HEADER_LINE = new RegExp(`^(${TOKEN}):[ \\t]*(?:([^ \\t]+(?:[ \\t]+[^ \\t]+)*)[ \\t]*)?$`);

/** `host [":" port]` (RFC 3986 section 3.2): a name, an IPv4 address, or an IPv6 one in brackets. */
const HOST = /^(?:[0-9A-Za-z._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/;

/** Whether `text` is what `Host` may hold. */
export function isHost(text: string): boolean {
  return HOST.test(text);
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
    headers: parseHeaders(unfolded(lines), limits),
  };
}

/** Joins lines that continue the one before, with a space (RFC 9112 section 5.2). */
function unfolded(lines: string[]): string[] {
  // The first is the status line, which no line continues.
  if (!lines.some((line, index) => index > 1 && /^[ \t]/.test(line))) return lines;
  const pieces: string[][] = [];
  lines.forEach((line, index) => {
    if (index > 1 && /^[ \t]/.test(line)) pieces.at(-1)!.push(line.replace(/^[ \t]+/, ""));
    else pieces.push([line]);
  });
  return pieces.map((line) => line.join(" "));
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
