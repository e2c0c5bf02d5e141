/**
 * The header of the PROXY protocol, versions 1 and 2, which a proxy sends before all else, also before TLS, to
 * say which client it speaks for.
 *
 * The reader tells how many bytes are surely a part of the header. One that reads no more than that at a time
 * takes nothing of what follows.
 *
 * @module
 */

import { GrowingBuffer } from "./buffer.ts";
import { formatAddress, parseAddress } from "./ip_address.ts";

/** A header that is none, or is malformed. */
export class ProxyHeaderError extends Error {
  override name = "ProxyHeaderError";
  constructor(problem: string) {
    super(`Cannot read PROXY header: ${problem}`);
  }
}

/** The client that the proxy speaks for. */
export interface ProxiedClient {
  hostname: string;
  port: number;
}

/** The first bytes of version 1, and of version 2. */
const START_1 = new TextEncoder().encode("PROXY ");
const START_2 = Uint8Array.of(
  0x0d,
  0x0a,
  0x0d,
  0x0a,
  0x00,
  0x0d,
  0x0a,
  0x51,
  0x55,
  0x49,
  0x54,
  0x0a,
);

/** The shortest header of version 1, `PROXY UNKNOWN` and the line end, and the longest. */
const MIN_1 = 15;
const MAX_1 = 107;

/** The part of version 2 that says how long the rest is, and the longest rest: addresses, and what is skipped. */
const FIXED_2 = 16;
const MAX_REST_2 = 4096;

/** Bytes of both addresses and ports in version 2, by its family. */
const ADDRESSES_2: Record<number, number> = { 0: 0, 1: 12, 2: 36, 3: 216 };

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;

/** Takes a header's bytes as they come. */
export class ProxyHeaderReader {
  readonly #bytes = new GrowingBuffer();
  #done = false;
  /**
   * The client, once the header is whole; `undefined` where the proxy speaks for itself, as in its health
   * checks, or does not know an address.
   */
  client: ProxiedClient | undefined;

  /** How many bytes more are surely a part of the header; 0 once it is whole. */
  get wanted(): number {
    if (this.#done) return 0;
    const { bytes, length } = this.#bytes;
    if (length < MIN_1) return MIN_1 - length;
    if (bytes[0] === START_2[0]) {
      return FIXED_2 - length + (length < FIXED_2 ? 0 : restOf(bytes));
    }
    if (bytes[length - 1] === CR) return 1;
    // A space and a character of each field that is missing, and the line end.
    const isUnknown = bytes[START_1.length] === 0x55;
    const spaces = bytes.subarray(0, length).filter((byte) => byte === SPACE).length;
    const fields = isUnknown ? 0 : Math.max(5 - spaces, 0);
    return Math.min(2 * fields + 2, MAX_1 - length);
  }

  /**
   * Takes bytes.
   *
   * @returns How many of them the header takes, once it is whole; the rest is what follows it.
   * @throws {ProxyHeaderError} If they are none of a header.
   */
  push(bytes: Uint8Array): number | undefined {
    let at = 0;
    while (at < bytes.length) {
      const part = bytes.subarray(at, at + this.wanted);
      this.#bytes.append(part);
      at += part.length;
      if (this.#take()) {
        this.#done = true;
        this.#bytes.release();
        return at;
      }
    }
    return undefined;
  }

  /** Gives the memory of an unfinished header back. */
  release(): void {
    this.#bytes.release();
  }

  /** Looks at what is there. Returns whether it is whole. */
  #take(): boolean {
    const { length } = this.#bytes;
    const bytes = this.#bytes.bytes.subarray(0, length);
    const start = bytes[0] === START_2[0] ? START_2 : START_1;
    if (start.some((byte, index) => index < length && bytes[index] !== byte)) {
      throw new ProxyHeaderError("the connection does not begin with one");
    }
    return start === START_1 ? this.#takeFirst(bytes) : this.#takeSecond(bytes);
  }

  #takeFirst(bytes: Uint8Array): boolean {
    const cr = bytes.indexOf(CR);
    const lf = bytes.indexOf(LF);
    if (cr === -1 ? lf !== -1 : cr < bytes.length - 1 && lf !== cr + 1) {
      throw new ProxyHeaderError("CR and LF must come together");
    }
    if (cr === -1 || cr === bytes.length - 1) {
      if (bytes.length < MAX_1) return false;
      throw new ProxyHeaderError(`it is over ${MAX_1} bytes`);
    }
    this.client = parseFirst(String.fromCharCode(...bytes.subarray(0, cr)));
    return true;
  }

  #takeSecond(bytes: Uint8Array): boolean {
    if (bytes.length < FIXED_2) return false;
    const [version, command] = [bytes[12]! >> 4, bytes[12]! & 0x0f];
    const [family, transport] = [bytes[13]! >> 4, bytes[13]! & 0x0f];
    const addresses = ADDRESSES_2[family];
    if (version !== 2 || command > 1) throw new ProxyHeaderError("version or command is unknown");
    // A proxy that speaks for itself may say anything of addresses.
    if (command === 1 && (addresses === undefined || transport > 2)) {
      throw new ProxyHeaderError("address family or transport is unknown");
    }
    const rest = restOf(bytes);
    if (rest > MAX_REST_2) throw new ProxyHeaderError(`it is over ${FIXED_2 + MAX_REST_2} bytes`);
    const isProxied = command === 1 && transport !== 0 && (family === 1 || family === 2);
    if (command === 1 && transport !== 0 && rest < addresses!) {
      throw new ProxyHeaderError("its addresses are cut off");
    }
    if (bytes.length < FIXED_2 + rest) return false;
    // What follows the addresses is a list of types, lengths and values, and skipped.
    if (isProxied) this.client = parseSecond(bytes.subarray(FIXED_2, FIXED_2 + addresses!));
    return true;
  }
}

/** How many bytes follow the fixed part of version 2. */
function restOf(bytes: Uint8Array): number {
  return bytes[14]! << 8 | bytes[15]!;
}

/** Parses the line of version 1. */
function parseFirst(line: string): ProxiedClient | undefined {
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return undefined;
  const [, family, ...addresses] =
    /^PROXY TCP([46]) ([\da-fA-F:.]+) ([\da-fA-F:.]+) (\d{1,5}) (\d{1,5})$/.exec(line) ?? [];
  const [source, destination] = addresses.slice(0, 2).map((text) =>
    text.includes(":") === (family === "6") ? parseAddress(text) : undefined
  );
  const ports = addresses.slice(2).map(Number);
  if (source === undefined || destination === undefined || ports.some((port) => port > 65_535)) {
    throw new ProxyHeaderError("its line is malformed");
  }
  return { hostname: formatAddress(source), port: ports[0]! };
}

/** Parses source and destination of version 2, over IPv4 or IPv6. */
function parseSecond(bytes: Uint8Array): ProxiedClient {
  const length = bytes.length === 12 ? 4 : 16;
  // Through its text, so that an IPv4 address inside an IPv6 one is an IPv4 address here too.
  const source = parseAddress(formatAddress(bytes.subarray(0, length)))!;
  const port = bytes[2 * length]! << 8 | bytes[2 * length + 1]!;
  return { hostname: formatAddress(source), port };
}
