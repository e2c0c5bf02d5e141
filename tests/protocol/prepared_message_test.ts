import { assert, assertEquals, assertLess } from "@std/assert";
import { contextCount } from "../../protocol/permessage_deflate/codec.ts";
import { prepare, PreparedMessage } from "../../protocol/prepared_message.ts";
import { FrameSender } from "../../protocol/sender.ts";
import {
  bytesOf,
  codec,
  concat,
  Driver,
  hex,
  NO_CONTEXT,
  PING,
  readFrames,
  RSV1,
  ZlibPeer,
} from "./driver.ts";

/** Text that repeats itself. */
const TEXT = "Hello, hello, hello! ".repeat(10);

Deno.test("prepare() takes text and bytes, and copies them", () => {
  const bytes = Uint8Array.of(1, 2, 3, 4);
  const cases: [data: string | BufferSource, first: number, payload: Uint8Array][] = [
    ["é\ud800", 0x81, hex("c3a9 efbfbd")],
    ["", 0x81, hex("")],
    [bytes, 0x82, hex("01020304")],
    [bytes.buffer, 0x82, hex("01020304")],
    [bytes.subarray(1, 3), 0x82, hex("0203")],
    [new DataView(bytes.buffer, 3), 0x82, hex("04")],
    [new Uint16Array(bytes.buffer, 2), 0x82, hex("0304")],
  ];
  const prepared = cases.map(([data]) => prepare(data));
  bytes.fill(9);
  cases.forEach(([, first, payload], i) => {
    const message = prepared[i]!;
    assert(message instanceof PreparedMessage);
    assertEquals(message.size, payload.length);
    const frame = message.frameFor(undefined);
    assertEquals([frame.first, frame.payload], [first, payload]);
    assertEquals(frame.unmasked, concat(Uint8Array.of(first, payload.length), payload));
  });
});

Deno.test("PreparedMessage.frameFor compresses once for each set of parameters", () => {
  const message = prepare(TEXT);
  const plain = message.frameFor(undefined);
  const frame = message.frameFor(codec("server"));
  assertEquals(frame.first, 0xc1);
  assertLess(frame.payload.length, plain.payload.length / 3);
  assert(message.frameFor(codec("server", NO_CONTEXT)) === frame);
  assert(message.frameFor(codec("client")) === frame);
  assert(message.frameFor(codec("server", { serverMaxWindowBits: 9 })) !== frame);
  assert(message.frameFor(codec("server", {}, { level: 9 })) !== frame);
  assert(message.frameFor(undefined) === plain);
});

Deno.test("PreparedMessage.frameFor takes no memory for a context", () => {
  const own = codec("server");
  prepare(TEXT).frameFor(own);
  assertEquals(contextCount(), 0);
  own.close();
});

Deno.test("PreparedMessage.frameFor leaves short messages as they are", () => {
  const message = prepare(new Uint8Array(64));
  assertEquals(message.frameFor(codec("server", {}, { threshold: 65 })).first, 0x82);
  assertEquals(message.frameFor(codec("server", {}, { threshold: 64 })).first, 0xc2);
  // An agreed window that zlib cannot keep to.
  assertEquals(message.frameFor(codec("client", { clientMaxWindowBits: 8 })).first, 0x82);
});

Deno.test("PreparedMessage.frameFor compresses an empty message (RFC 7692 section 7.2.3.6)", () => {
  const own = codec("server");
  assertEquals(prepare("").frameFor(own).unmasked, hex("c1 01 00"));
  assertEquals(prepare(new Uint8Array(0)).frameFor(own).first, 0xc2);
});

Deno.test("PreparedMessage is understood between messages that share a context (RFC 7692 section 7.2)", async () => {
  for (const role of ["server", "client"] as const) {
    for (const windowBits of [9, 15]) {
      const deflate = codec(role, {
        serverMaxWindowBits: windowBits,
        clientMaxWindowBits: windowBits,
      });
      using driver = new Driver(role, { deflate });
      using peer = new ZlibPeer({ inflate: windowBits });
      const prepared = [prepare(TEXT), prepare(new TextEncoder().encode(TEXT)), prepare("")];
      for (let round = 0; round < 3; round++) {
        for (const message of prepared) {
          for (const data of [TEXT, message, `${TEXT}!`, message, message]) {
            if (typeof data === "string") driver.protocol.send(data, true);
            else driver.protocol.sendPrepared(data, true);
            assertEquals(
              driver.protocol.messageBytes,
              data instanceof PreparedMessage ? data.size : bytesOf(data).length,
            );
            const [frame] = driver.takeFrames();
            assertEquals(frame!.rsv, RSV1);
            const text = new TextDecoder().decode(await peer.decompress(frame!.payload));
            assertEquals(text, typeof data === "string" ? data : data.size === 0 ? "" : TEXT);
          }
        }
      }
    }
  }
});

Deno.test("A prepared message is one piece of memory to all servers, whatever they send after it", () => {
  const message = prepare("shared ".repeat(3000));
  const { unmasked } = message.frameFor(undefined);
  const before = unmasked.slice();
  const senders = Array.from({ length: 3 }, () => new FrameSender(false, undefined));
  for (const sender of senders) {
    sender.sendPrepared(message, true);
    assert(sender.output.bytes === unmasked);
    // It takes no memory of the sender's.
    assertEquals([sender.held, sender.outputBytes], [0, unmasked.length]);
  }
  senders[0]!.send("after", true);
  senders[1]!.sendControl(PING, new Uint8Array(3));
  senders[2]!.output.release();
  for (const sender of senders) sender.send("later", true);
  assertEquals(unmasked, before);
  const sent = senders.map((sender) => {
    const { frames } = sender.takeOutput()!;
    return readFrames(frames.bytes.subarray(0, frames.length)).map(({ payload }) => payload.length);
  });
  assertEquals(sent, [[21_000, 5, 5], [21_000, 3, 5], [5]]);
});
