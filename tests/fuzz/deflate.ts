/**
 * Compressed messages: broken streams to the receiver, and any message through the sender.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import type { Role } from "../../protocol/protocol.ts";
import {
  BINARY,
  codec,
  concat,
  Driver,
  fragments,
  NO_CONTEXT,
  RSV1,
  TAIL,
  TEXT,
} from "../protocol/driver.ts";
import { checkWritten, sameFault } from "./frames.ts";
import { Random } from "./random.ts";

const { Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE, Z_DEFAULT_STRATEGY } = constants;

/** Streams of every kind of block; some end with BFINAL, some are bombs. */
const STREAMS = Array.from({ length: 96 }, (_, i) => {
  const random = new Random(`stream ${i}`);
  const plain = i % 6 === 0
    ? new Uint8Array(1 << random.below(18))
    : i % 3 === 0
    ? random.bytes(random.length(2000))
    : new TextEncoder().encode(random.text(2000));
  return new Uint8Array(deflateRawSync(plain, {
    level: random.below(10),
    strategy: random.pick([Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE, Z_DEFAULT_STRATEGY]),
    finishFlush: random.one(4) ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
  }));
});

/** What zlib itself makes of a payload, where it is one stream without an end of its own. */
function inflated(payload: Uint8Array, most: number): Uint8Array | undefined {
  try {
    const { buffer, engine } = inflateRawSync(Buffer.from(concat(payload, TAIL)), {
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength: most,
      info: true,
    }) as unknown as { buffer: Uint8Array; engine: { bytesWritten: number } };
    // A stream that ends before its input does is for RFC 7692 section 7.2.3.4.
    return engine.bytesWritten === payload.length + TAIL.length
      ? Uint8Array.from(buffer)
      : undefined;
  } catch {
    return undefined;
  }
}

const MOST = 64 * 1024;

function receiver(random: Random): void {
  const payload = random.mutated(random.pick(STREAMS));
  const role: Role = random.pick(["server", "client"]);
  const keeps = random.one(2);
  const sizes = Array.from({ length: random.below(3) }, () => random.below(payload.length + 1));
  const bytes = concat(...fragments(role, BINARY, payload, sizes, RSV1));
  const run = (cuts: number[], allowance = () => Infinity) => {
    using driver = new Driver(role, {
      deflate: codec(role, keeps ? {} : NO_CONTEXT),
      maxMessageSize: MOST,
      allowance,
    });
    return driver.feed(bytes, cuts).events;
  };
  const whole = run([]);
  const steps = run(random.cuts(bytes.length), () => 1 + random.below(100_000));
  assertEquals(sameFault(steps), sameFault(whole));
  assertEquals(whole.length, 1);
  const [event] = whole;
  if (event![0] === "failure") assert([1007, 1009].includes(event![1]));
  else assertEquals(event![0], "message");

  const expected = inflated(payload, MOST);
  if (expected !== undefined && event![0] === "message") {
    assertEquals<Uint8Array | string>(event![1], expected);
  }
}

function sender(random: Random): void {
  const role: Role = random.pick(["server", "client"]);
  const windowBits = 9 + random.below(7);
  using driver = new Driver(role, {
    deflate: codec(role, {
      ...NO_CONTEXT,
      serverMaxWindowBits: windowBits,
      clientMaxWindowBits: windowBits,
    }, { level: random.pick([1, 6, 9]), memLevel: random.pick([1, 8]) }),
  });
  for (let count = 1 + random.below(3); count > 0; count--) {
    const message = random.one(2) ? random.text(3000) : random.bytes(random.length(3000));
    driver.protocol.send(message, true);
    const [sent, ...others] = driver.takeFrames();
    assertEquals(others, []);
    checkWritten([sent!], role);
    assertEquals([sent!.rsv, sent!.opcode], [RSV1, typeof message === "string" ? TEXT : BINARY]);
    const back = inflateRawSync(Buffer.from(concat(sent!.payload, TAIL)), {
      windowBits,
      finishFlush: constants.Z_SYNC_FLUSH,
    });
    const bytes = typeof message === "string" ? new TextEncoder().encode(message) : message;
    assertEquals(Uint8Array.from(back), bytes);
  }
}

/**
 * A broken stream ends in 1007 or 1009, or in one message, the same however it is cut and however little
 * each step may do, and the one that zlib makes of it; what we compress is read by zlib with the agreed
 * window and no more.
 */
export function deflateStreams(random: Random): void {
  if (random.one(4)) sender(random);
  else receiver(random);
}
