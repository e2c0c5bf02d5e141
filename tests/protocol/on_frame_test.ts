/** What `onFrame` of a `Protocol` is told, beside the bytes of the frames themselves. */

import { assertEquals, assertGreater } from "@std/assert";
import type { FrameInfo } from "../../protocol/frame.ts";
import { prepare } from "../../protocol/prepared_message.ts";
import type { Role } from "../../protocol/protocol.ts";
import { ProtocolError } from "../../protocol/protocol_error.ts";
import {
  BINARY,
  bytesOf,
  CLOSE,
  closePayload,
  codec,
  concat,
  CONTINUATION,
  deflated,
  Driver,
  fragments,
  frame,
  PING,
  PONG,
  randomBytes,
  readFrames,
  roles,
  RSV1,
  TEXT,
} from "./driver.ts";

const LONG = "a message that is compressed in steps ".repeat(4000);

/** What is to be told of the frames in `bytes`, given their payloads' lengths after decompression. */
function toldOf(
  direction: FrameInfo["direction"],
  bytes: Uint8Array,
  payloadLengths: number[],
): FrameInfo[] {
  const frames = readFrames(bytes);
  assertEquals(frames.length, payloadLengths.length);
  return frames.map(({ fin, rsv, opcode, mask, payload, lengthBytes }, i) => ({
    direction,
    opcode,
    fin,
    rsv1: rsv === RSV1,
    masked: mask !== undefined,
    wireLength: 2 + lengthBytes + (mask?.length ?? 0) + payload.length,
    payloadLength: payloadLengths[i]!,
  }));
}

/** A protocol that compresses if it is to, and the frames that it told. */
function watched(role: Role, compresses: boolean, allowance: () => number = () => Infinity) {
  const told: FrameInfo[] = [];
  const deflate = compresses ? codec(role, {}, { threshold: 16 }) : undefined;
  const driver = new Driver(role, { deflate, allowance, onFrame: (frame) => told.push(frame) });
  return Object.assign(driver, { told });
}

for (const role of roles) {
  for (const compresses of [false, true]) {
    const title = `${role}${compresses ? " that compresses" : ""}`;

    Deno.test(`Protocol of a ${title} tells each frame that it sends once, as it lies in the output`, () => {
      using driver = watched(role, compresses);
      const { protocol } = driver;
      const messages = [
        "short",
        "ção ".repeat(50),
        LONG,
        randomBytes(70_000),
        randomBytes(200),
        new Uint8Array(0),
      ];
      for (const message of messages) protocol.send(message, true);
      protocol.send("not to be compressed, although it is long enough", false);
      // It goes out before the messages that are still to be compressed, if there are any.
      protocol.ping(bytesOf("12"));
      protocol.sendPrepared(prepare("prepared, and short"), true);
      protocol.sendPrepared(prepare(LONG), true);
      protocol.close(1000, "bye");
      const bytes = driver.takeOutput();

      const sizes = [...messages.map((message) => bytesOf(message).length), 48, 19, LONG.length, 5];
      sizes.splice(compresses ? 2 : 7, 0, 2);
      assertEquals(driver.told, toldOf("sent", bytes, sizes));
      assertEquals(driver.told.reduce((sum, frame) => sum + frame.wireLength, 0), bytes.length);
      assertEquals(driver.told.some(({ rsv1 }) => rsv1), compresses);
    });

    Deno.test(`Protocol of a ${title} tells each frame that it receives once, however it is split`, () => {
      const inflated = bytesOf(LONG.slice(0, 100_000));
      const payload = compresses ? deflated(inflated) : inflated;
      const rsv = compresses ? RSV1 : 0;
      const cut = Math.floor(payload.length / 2);
      const [first, second, third] = fragments(role, TEXT, payload, [cut, 0], rsv);
      const bytes = concat(
        frame(role, BINARY, [1, 2, 3]),
        first!,
        frame(role, PING, "between"),
        second!,
        third!,
        frame(role, TEXT),
        frame(role, PONG, "x"),
        frame(role, CLOSE, closePayload(1000)),
      );
      const ways: [cuts: number[], allowance: number][] = [
        [[], Infinity],
        [Array.from(bytes, (_, at) => at), Infinity],
        [[10], 2000],
      ];
      for (const [cuts, allowance] of ways) {
        using driver = watched(role, compresses, () => allowance);
        driver.feed(bytes, cuts);
        const received = driver.told.filter(({ direction }) => direction === "received");
        // How much of a compressed message a part of it gives is zlib's matter.
        const ofFirst = compresses ? received[1]!.payloadLength : cut;
        assertGreater(ofFirst, 0);
        const sizes = [3, ofFirst, 7, 0, inflated.length - ofFirst, 0, 1, 2];
        assertEquals(received, toldOf("received", bytes, sizes));
        assertEquals(received.map(({ opcode }) => opcode).slice(1, 5), [
          TEXT,
          PING,
          CONTINUATION,
          CONTINUATION,
        ]);
        // The answers to the Ping and to the Close frame.
        const sent = driver.told.filter(({ direction }) => direction === "sent");
        assertEquals(sent, toldOf("sent", driver.takeOutput(), [7, 2]));
      }
    });
  }

  Deno.test(`Protocol of a ${role} tells a frame before the event that it causes`, () => {
    const order: string[] = [];
    using driver = new Driver(role, {
      onFrame: ({ direction, opcode }) => order.push(`${direction} ${opcode}`),
    });
    driver.protocol.receive(concat(frame(role, TEXT, "a"), frame(role, PING)));
    for (let event; (event = driver.protocol.next());) order.push(event.type);
    assertEquals(order, ["received 1", "message", "received 9", "sent 10", "ping"]);
  });

  Deno.test(`Protocol of a ${role} does not tell a frame that breaks the protocol, nor half a frame`, () => {
    for (
      const bytes of [
        frame(role, TEXT, "x", { rsv: RSV1 }),
        frame(role, TEXT, [0xff]),
        frame(role, TEXT, "x", { masked: role === "client" }),
        frame(role, BINARY, "whole").subarray(0, -1),
      ]
    ) {
      using driver = watched(role, false);
      driver.feed(bytes);
      assertEquals(driver.told.filter(({ direction }) => direction === "received"), []);
      assertEquals(
        driver.told,
        toldOf("sent", driver.takeOutput(), driver.told.map((f) => f.payloadLength)),
      );
    }
  });

  Deno.test(`Protocol of a ${role} sends nothing after a Close frame, whatever onFrame does`, () => {
    for (
      const begin of [
        ({ protocol }: Driver) => protocol.close(1000, ""),
        ({ protocol }: Driver) =>
          protocol.fail(new ProtocolError(1008, "MESSAGE_TOO_SLOW", "slow")),
        (driver: Driver) => driver.feed(frame(role, CLOSE, closePayload(1000))),
      ]
    ) {
      using driver: Driver = new Driver(role, {
        onFrame({ direction, opcode }) {
          if (direction === "sent" && opcode !== CLOSE) return;
          driver.protocol.ping(bytesOf("late"));
          driver.protocol.send("late", true);
          driver.protocol.close(1000, "again");
        },
      });
      begin(driver);
      assertEquals(driver.takeFrames().at(-1)!.opcode, CLOSE);
    }
  });
}
