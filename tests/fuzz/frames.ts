/**
 * Streams of frames, whole and broken, to both roles, with compression and without.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { Role } from "../../protocol/protocol.ts";
import {
  BINARY,
  CLOSE,
  closePayload,
  codec,
  concat,
  deflated,
  Driver,
  fragments,
  type Frame,
  frame,
  hugeHeader,
  NO_CONTEXT,
  PING,
  PONG,
  RSV1,
  type Seen,
  TEXT,
} from "../protocol/driver.ts";
import { Random } from "./random.ts";

/** Messages, plain and as a peer compresses them: made once, for compressing is slow. */
const MESSAGES = Array.from({ length: 64 }, (_, i) => {
  const random = new Random(`message ${i}`);
  const plain = i % 2 === 0 ? new TextEncoder().encode(random.text(400)) : random.bytes(
    random.length(400),
  );
  return { opcode: i % 2 === 0 ? TEXT : BINARY, plain, compressed: deflated(plain) };
});

function someFrames(random: Random, receiver: Role, compresses: boolean): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let count = 1 + random.below(4); count > 0; count--) {
    const { opcode, plain, compressed } = random.pick(MESSAGES);
    const rsv = compresses && random.one(2) ? RSV1 : 0;
    const payload = rsv === 0 ? plain : compressed;
    switch (random.below(8)) {
      case 0:
        parts.push(frame(receiver, random.pick([PING, PONG]), random.bytes(random.below(126))));
        break;
      case 1:
        parts.push(frame(receiver, CLOSE, random.one(3) ? [] : closePayload(1000, "ended")));
        break;
      case 2:
      case 3: {
        const sizes = Array.from({ length: random.below(5) }, () => random.below(60));
        for (const part of fragments(receiver, opcode, payload, sizes, rsv)) {
          parts.push(part);
          if (random.one(6)) parts.push(frame(receiver, PING, "between"));
        }
        break;
      }
      case 4: {
        if (random.one(4)) {
          parts.push(hugeHeader(receiver, opcode, 1n << BigInt(random.below(64)), rsv));
        }
        break;
      }
      default:
        parts.push(frame(receiver, opcode, payload, { rsv, mask: [...random.bytes(4)] }));
    }
  }
  return concat(...parts);
}

/**
 * What was written, without the masks, which are never the same, and a Close frame without its reason:
 * of two faults in one piece, another may be found first than in two.
 */
function comparable(frames: Frame[]) {
  return frames.map(({ mask: _, payload, ...frame }) => ({
    ...frame,
    payload: frame.opcode !== CLOSE
      ? payload
      : [0x03f1, 0x03ef].includes(payload[0]! << 8 | payload[1]!)
      ? "1007 or 1009"
      : payload.slice(0, 2),
  }));
}

/**
 * The events, with 1007 and 1009 as one: zlib tells of what is no DEFLATE before it gives the byte before
 * that, which may be the one too many.
 */
export function sameFault(events: Seen[]) {
  return events.map((event) =>
    event[0] === "failure" && [1007, 1009].includes(event[1]) ? "1007 or 1009" : event
  );
}

/** Checks what a protocol wrote by the rules of RFC 6455 section 5, read by another decoder. */
export function checkWritten(frames: Frame[], role: Role): void {
  for (const [i, { fin, rsv, opcode, mask, payload, lengthBytes }] of frames.entries()) {
    assert(fin && (rsv & ~RSV1) === 0 && (rsv === 0 || opcode <= BINARY), "reserved bits");
    assertEquals(mask !== undefined, role === "client");
    assertEquals(lengthBytes, payload.length < 126 ? 0 : payload.length <= 0xffff ? 2 : 8);
    assert([TEXT, BINARY, CLOSE, PING, PONG].includes(opcode), `opcode ${opcode}`);
    assert(opcode < CLOSE || payload.length <= 125, "a long control frame");
    if (opcode === CLOSE) assertEquals(i, frames.length - 1);
  }
}

/**
 * However a stream is cut, and however little each step may do, the same events come and the same frames go
 * out; messages keep to their
 * limit; there are no more events than bytes could hold; every ping has its pong; a failure or a Close
 * frame is the last of all; and memory is taken for what came alone.
 */
export function frameStreams(random: Random): void {
  const role: Role = random.pick(["server", "client"]);
  const compresses = random.one(2);
  const stream = random.mutated(someFrames(random, role, compresses));
  const maxMessageSize = random.pick([0, 100, 1000, 100_000]);
  const run = (cuts: number[], allowance = () => Infinity) => {
    using driver = new Driver(role, {
      deflate: compresses ? codec(role, NO_CONTEXT) : undefined,
      maxMessageSize,
      allowance,
    });
    driver.feed(stream, cuts);
    return { events: driver.events, frames: driver.takeFrames() };
  };
  const whole = run([]);
  const cut = run(random.cuts(stream.length), () => 1 + random.below(5000));
  assertEquals(sameFault(cut.events), sameFault(whole.events));
  assertEquals(comparable(cut.frames), comparable(whole.frames));

  checkWritten(whole.frames, role);
  assert(whole.events.length <= stream.length / 2 + 1, "too many events");
  for (const [i, event] of whole.events.entries()) {
    if (event[0] === "message") {
      const [, data] = event;
      const size = typeof data === "string" ? new TextEncoder().encode(data).length : data.length;
      assert(size <= maxMessageSize, "a message over the limit");
    }
    if (event[0] === "close" || event[0] === "failure") assertEquals(i, whole.events.length - 1);
    if (event[0] === "failure") assert([1002, 1007, 1009].includes(event[1]));
  }
  const pings = whole.events.flatMap((event) => event[0] === "ping" ? [event[1]] : []);
  const pongs = whole.frames.filter(({ opcode }) => opcode === PONG);
  assertEquals(pongs.map(({ payload }) => payload), pings as typeof pongs[0]["payload"][]);
}
