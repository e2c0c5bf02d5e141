/**
 * The options of permessage-deflate, and the windows that RFC 7692 allows.
 *
 * @module
 */

/**
 * How messages are compressed.
 *
 * The figures are of Deno 2.9 and a stream of different, similar JSON events of 300 bytes on average;
 * `plain` is their size without compression.
 */
export interface CompressionOptions {
  /**
   * Effort, from 1 (fast) to 9 (small). With a context, level 1 takes 2 µs a message and sends 25 % of
   * plain, level 3 9 µs and 23 %, level 6 13 µs and 22 %; without one, level 1 takes 5 µs and sends
   * 84 %, level 3 15 µs and 68 %.
   *
   * @default {1}
   */
  level?: number;
  /**
   * Memory of the compressor's buffers, from 1 to 9. A context takes some 300 KB at 8, 275 KB at 5: it
   * is held while messages are sent, by 128 sockets of a process at 8 (the least recently used gives way to
   * another), and given back after ten seconds without one.
   *
   * @default {8}
   */
  memLevel?: number;
  /**
   * Messages of fewer bytes are sent as they are: a short message alone gains nothing.
   *
   * @default {64}
   */
  threshold?: number;
  /**
   * Largest sliding window of what the server sends, from 9 to 15: repetitions are found no farther
   * back than 2^bits bytes. 12 sends 42 % of plain, where 15 sends 25 %.
   *
   * A client offers it when it is under 15.
   *
   * @default {15}
   */
  serverMaxWindowBits?: number;
  /**
   * Largest sliding window of what the client sends, from 9 to 15. A client that keeps its context takes
   * 42 KB of the server's memory at 15, 14 KB at 12. Only a client that offers `client_max_window_bits`, as
   * browsers do, can be asked; others keep 15.
   *
   * @default {15}
   */
  clientMaxWindowBits?: number;
  /**
   * Whether the server forgets each message before it compresses the next. It spares both ends the
   * memory, and sends 84 % of plain instead of 25 %.
   *
   * @default {false}
   */
  serverNoContextTakeover?: boolean;
  /**
   * Whether the client does. With `true` a client offers it, and a server asks every client for it, so that
   * what it receives takes no memory between messages. Some clients in wide use refuse a handshake that asks
   * for it, or keep their context all the same and then fail: a server that must reach everybody leaves it
   * `false`, and answers it to clients that offer it.
   *
   * A client that keeps its context takes memory of the server from its first compressed message to
   * its end: 42 KB with a window of 15 bits, 14 KB with 12, 10 KB with 9. It is counted to `maxMemory`, of which
   * the default holds 3,000 such peers at 15 bits; beyond it, the one that holds the most is ended with 1013.
   *
   * @default {false}
   */
  clientNoContextTakeover?: boolean;
}

/** Window of RFC 7692 section 7.1.2 when nothing is said. */
export const MAX_WINDOW_BITS = 15;

/** zlib's deflate works with no smaller window: an offer of 8 is declined, an agreed 8 not used. */
export const MIN_DEFLATE_WINDOW_BITS = 9;

/** Checked options, every one with its value. */
export type CompressionSettings = Required<CompressionOptions>;

/**
 * Fills in the defaults.
 *
 * @param options `false` for no compression, `true` for the defaults.
 * @returns The settings, or `undefined` for no compression.
 * @throws {RangeError} If a number is out of its range.
 * @throws {TypeError} If an option is of another type.
 */
export function compressionSettings(
  options: boolean | CompressionOptions,
): CompressionSettings | undefined {
  if (options === false) return undefined;
  if (options !== true && (typeof options !== "object" || options === null)) {
    throw new TypeError(
      `Cannot set up compression: compression is "${options}", must be true, false or an object`,
    );
  }
  const given = options === true ? {} : options;
  const { level = 1, memLevel = 8, threshold = 64 } = given;
  return {
    level: whole("level", level, 1, 9),
    memLevel: whole("memLevel", memLevel, 1, 9),
    threshold: whole("threshold", threshold, 0, Number.MAX_SAFE_INTEGER),
    serverMaxWindowBits: windowBits("serverMaxWindowBits", given.serverMaxWindowBits),
    clientMaxWindowBits: windowBits("clientMaxWindowBits", given.clientMaxWindowBits),
    serverNoContextTakeover: flag(
      "serverNoContextTakeover",
      given.serverNoContextTakeover,
      false,
    ),
    clientNoContextTakeover: flag(
      "clientNoContextTakeover",
      given.clientNoContextTakeover,
      false,
    ),
  };
}

function flag(name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value === "boolean") return value;
  throw new TypeError(`Cannot set up compression: ${name} is "${value}", must be true or false`);
}

function windowBits(name: string, value: number = MAX_WINDOW_BITS): number {
  return whole(name, value, MIN_DEFLATE_WINDOW_BITS, MAX_WINDOW_BITS);
}

function whole(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(
    `Cannot set up compression: ${name} is ${value}, must be a whole number from ${min} to ${max}`,
  );
}
