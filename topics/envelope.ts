/**
 * What goes over a backplane for a message: 15 bytes, and the message itself.
 *
 * | byte | what |
 * |---|---|
 * | 0 | the version, 1, in the upper four bits; 1 for binary, 2 for "do not compress", in the lower |
 * | 1 to 8 | the origin: a random number of the `Topics` that published it |
 * | 9 to 14 | the number of the message among those of its origin, from 1 on, most significant byte first |
 * | from 15 | the message, text as UTF-8 |
 *
 * Origin and number tell a message that comes twice, as by two subscriptions of an engine, or back to its publisher.
 *
 * @module
 */

const VERSION = 1;
const BINARY = 1;
const UNCOMPRESSED = 2;
const KNOWN_FLAGS = BINARY | UNCOMPRESSED;

/** Bytes before the message. */
const ENVELOPE_BYTES = 15;

const ORIGIN_BYTES = 8;

/** One for all: to make one for each message would take longer than to decode it. */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What an envelope says. */
export interface Envelope {
  data: string | Uint8Array<ArrayBuffer>;
  compress: boolean;
  /** In hexadecimal digits. */
  origin: string;
  number: number;
}

/** Writes the envelopes of one origin. */
export class EnvelopeWriter {
  /** In hexadecimal digits. */
  readonly origin: string;
  readonly #origin = crypto.getRandomValues(new Uint8Array(ORIGIN_BYTES));
  #number = 0;

  constructor() {
    this.origin = hex(this.#origin);
  }

  /** Puts a message into an envelope. */
  write(data: string | Uint8Array, compress: boolean): Uint8Array<ArrayBuffer> {
    const payload = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const bytes = new Uint8Array(ENVELOPE_BYTES + payload.length);
    bytes[0] = VERSION << 4 | (typeof data === "string" ? 0 : BINARY) |
      (compress ? 0 : UNCOMPRESSED);
    bytes.set(this.#origin, 1);
    const number = ++this.#number;
    const view = new DataView(bytes.buffer);
    view.setUint16(9, Math.floor(number / 2 ** 32));
    view.setUint32(11, number % 2 ** 32);
    bytes.set(payload, ENVELOPE_BYTES);
    return bytes;
  }
}

/**
 * Reads an envelope.
 *
 * @param maxBytes Longest message.
 * @returns `undefined` if it is none, or of another version: others may write to the same engine.
 */
export function readEnvelope(
  bytes: Uint8Array<ArrayBuffer>,
  maxBytes: number,
): Envelope | undefined {
  const { length } = bytes;
  if (length < ENVELOPE_BYTES || length > ENVELOPE_BYTES + maxBytes) return undefined;
  const [first] = bytes as unknown as [number];
  if (first >> 4 !== VERSION || (first & 15 & ~KNOWN_FLAGS) !== 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const payload = bytes.subarray(ENVELOPE_BYTES);
  let data: Envelope["data"] = payload;
  if ((first & BINARY) === 0) {
    try {
      data = decoder.decode(payload);
    } catch {
      // A peer would have to fail a connection whose text is not valid.
      return undefined;
    }
  }
  return {
    data,
    compress: (first & UNCOMPRESSED) === 0,
    origin: hex(bytes.subarray(1, 1 + ORIGIN_BYTES)),
    number: view.getUint16(9) * 2 ** 32 + view.getUint32(11),
  };
}

function hex(bytes: Uint8Array): string {
  return bytes.toHex();
}
