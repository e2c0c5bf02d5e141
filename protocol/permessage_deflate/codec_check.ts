/**
 * Whether the codec works on this runtime. It stands on a part of `node:zlib` that is nobody's public API,
 * so its shape proves nothing: on Deno 2.8.3 it is there, and fails.
 *
 * @module
 */

import { GrowingBuffer } from "../buffer.ts";
import { ProtocolError } from "../protocol_error.ts";
import { Deflater, Inflater } from "./codec.ts";
import { zlib } from "./zlib.ts";

/** A text that compresses, but not to nothing. */
const TEXT = new TextEncoder().encode(
  Array.from({ length: 40 }, (_, i) => `{"id":${i * 7919 % 997},"name":"é"}`).join(),
);

/** The end that is left out of each message (RFC 7692 section 7.2.1). */
const TAIL = [0x00, 0x00, 0xff, 0xff];

/** "Hello" in a block with BFINAL, and a `0x00` (RFC 7692 section 7.2.3.4). */
const FINAL_HELLO = new Uint8Array([0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]);

/** A block of the type that does not exist. */
const NOT_DEFLATE = new Uint8Array([0x07, 0x00]);

let works: boolean | undefined;

/**
 * Whether messages can be compressed on this runtime: proven by a round trip at the first call, which takes
 * 3 ms besides loading `node:zlib`. Where it fails, a line of the console says at what, and compression must not be negotiated.
 */
export function compressionWorks(): boolean {
  if (works === undefined) {
    const problem = findProblem();
    works = problem === undefined;
    if (problem !== undefined) {
      console.warn(`Cannot compress messages: node:zlib of this runtime fails at ${problem}`);
    }
  }
  return works;
}

/** What the codec fails at, or nothing. */
export function findProblem(): string | undefined {
  let step = "making its streams";
  const opened: { close(): void }[] = [];
  try {
    const deflater = new Deflater(1, 8, 15);
    opened.push(deflater);
    const inflater = new Inflater(15);
    opened.push(inflater);

    step = "a message";
    const first = deflated(deflater, [TEXT.length]);
    expect(inflated(inflater, first), TEXT);
    const { constants: { Z_SYNC_FLUSH }, inflateRawSync } = zlib();
    const whole = new Uint8Array([...first, ...TAIL]);
    expect(inflateRawSync(whole, { finishFlush: Z_SYNC_FLUSH }), TEXT);

    step = "a message that refers to the one before it";
    const second = deflated(deflater, [TEXT.length]);
    if (second.length > first.length / 2) throw new Error("no context was kept");
    expect(inflated(inflater, second), TEXT);

    step = "a message in slices";
    const third = deflated(deflater, [1, 500, TEXT.length]);
    expect(inflated(inflater, third, 7), TEXT);

    step = "a message that ends its stream";
    expect(inflated(inflater, FINAL_HELLO), new TextEncoder().encode("Hello"));

    step = "input that is not DEFLATE";
    try {
      inflated(inflater, NOT_DEFLATE);
      throw new Error("it was taken");
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
    }

    step = "starting anew";
    deflater.reset();
    inflater.reset();
    const again = deflated(deflater, [TEXT.length]);
    expect(again, first);
    expect(inflated(inflater, again), TEXT);
    return undefined;
  } catch (error) {
    return `${step}: ${error instanceof Error ? error.message : error}`;
  } finally {
    for (const stream of opened) {
      try {
        stream.close();
      } catch {
        // What cannot be closed is left to the collector.
      }
    }
  }
}

/** `TEXT`, compressed in slices that end at `ends`. */
function deflated(deflater: Deflater, ends: number[]): Uint8Array {
  const target = new GrowingBuffer();
  let from = 0;
  for (const to of ends) {
    deflater.deflatePart(TEXT, from, to, to === TEXT.length, target);
    from = to;
  }
  const bytes = target.bytes.slice(0, target.length);
  target.release();
  return bytes;
}

/** What a message gives, with its input and output in slices of `size` bytes. */
function inflated(inflater: Inflater, bytes: Uint8Array, size = 4096): Uint8Array {
  const output = new Uint8Array(4096);
  let length = 0;
  const pull = () => {
    // A stream that gives nothing and takes nothing would go on for ever.
    for (let calls = 0; !inflater.done; calls++) {
      if (calls > 4096) throw new Error("it does not end");
      length += inflater.pull(output, length, Math.min(length + size, output.length));
    }
  };
  for (let from = 0; from < bytes.length; from += size) {
    inflater.push(bytes, from, Math.min(from + size, bytes.length));
    pull();
  }
  inflater.pushTail();
  pull();
  return output.slice(0, length);
}

function expect(actual: Uint8Array, expected: Uint8Array): void {
  if (actual.length !== expected.length || actual.some((byte, i) => byte !== expected[i])) {
    throw new Error("the bytes differ");
  }
}
