import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import fc from "fast-check";
import { Buffer } from "node:buffer";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { MAX_CLOSE_REASON } from "../../protocol/frame.ts";
import { ProtocolError } from "../../protocol/protocol_error.ts";
import type { CompressionOptions } from "../../protocol/permessage_deflate/options.ts";
import { prepare } from "../../protocol/prepared_message.ts";
import { Closing, type Message, type Role } from "../../protocol/protocol.ts";
import {
  agreement,
  BINARY,
  bytesOf,
  CLOSE,
  closePayload,
  codec,
  concat,
  CONTINUATION,
  deflated,
  Driver,
  type DriverOptions,
  eventsOf,
  failsAt,
  firstInvalidUtf8,
  fragments,
  frame,
  hex,
  hugeHeader,
  NO_CONTEXT,
  type Payload,
  PING,
  PONG,
  randomBytes,
  readFrames,
  roles,
  RSV1,
  RSV2,
  RSV3,
  type Seen,
  TEXT,
  withZlib,
  ZlibPeer,
} from "./driver.ts";

const other = (role: Role): Role => role === "server" ? "client" : "server";

/** Bytes of a short frame's header to a receiver. */
const header = (role: Role): number => role === "server" ? 6 : 2;

/** Options that vary the protocol, made anew for each connection. */
type MakeOptions = (role: Role) => DriverOptions;

const compressing: MakeOptions = (role) => ({ deflate: codec(role) });

/**
 * Asserts that `bytes` fail the connection with `code` as soon as the first `at` of them have come
 * (RFC 6455 section 7.1.7): one Close frame says so, and nothing more is heard.
 */
function assertFails(
  role: Role,
  bytes: Uint8Array,
  at: number,
  code: number,
  options: MakeOptions = () => ({}),
  message?: string,
): void {
  const note = `${role}: ${message ?? ""}`;
  assertEquals(failsAt(role, bytes, options(role)), { at, code }, note);

  const after = concat(bytes, frame(role, PING, "?"), frame(role, TEXT, "?"));
  using whole = new Driver(role, options(role));
  whole.feed(after);
  assertEquals(whole.events.at(-1), ["failure", code], note);
  assertEquals(whole.events.filter(([type]) => type === "failure").length, 1, note);
  const { protocol } = whole;
  assertEquals(
    [protocol.closing, protocol.receivingEnded, protocol.closedCleanly, protocol.hasInput],
    [Closing.FAILED, true, false, false],
  );
  const close = whole.takeFrames().at(-1)!;
  assertEquals([close.opcode, close.fin, close.rsv], [CLOSE, true, 0], note);
  assertEquals(close.payload[0]! << 8 | close.payload[1]!, code, note);
  assertGreater(close.payload.length, 2, note);

  whole.feed(after);
  assertEquals(whole.takeFrames(), [], note);
  assertEquals(whole.events.at(-1), ["failure", code], note);
}

/** Asserts the events of `bytes`, at once and byte by byte. */
function assertEvents(
  role: Role,
  bytes: Uint8Array,
  events: Seen[],
  options: MakeOptions = () => ({}),
  message?: string,
): void {
  const note = `${role}: ${message ?? ""}`;
  assertEquals(eventsOf(role, bytes, options(role)), events, note);
  using bytewise = new Driver(role, options(role));
  assertEquals(bytewise.feedBytewise(bytes).events, events, note);
}

// Frames (RFC 6455 section 5)

Deno.test("Protocol receives the examples of RFC 6455 section 5.7", () => {
  const bytes256 = new Uint8Array(256).fill(1);
  const bytes64K = new Uint8Array(65536).fill(2);
  assertEvents("client", hex("810548656c6c6f"), [["message", "Hello"]]);
  assertEvents("server", hex("818537fa213d7f9f4d5158"), [["message", "Hello"]]);
  assertEvents("client", hex("010348656c 80026c6f"), [["message", "Hello"]]);
  assertEvents("client", hex("890548656c6c6f"), [["ping", bytesOf("Hello")]]);
  assertEvents("server", hex("8a8537fa213d7f9f4d5158"), [["pong", bytesOf("Hello")]]);
  assertEvents("client", concat(hex("827e0100"), bytes256), [["message", bytes256]]);
  assertEvents("client", concat(hex("827f0000000000010000"), bytes64K), [["message", bytes64K]]);
});

Deno.test("Protocol receives text and binary messages of every header length (RFC 6455 section 5.2)", () => {
  for (const role of roles) {
    for (const size of [0, 1, 47, 48, 125, 126, 127, 65535, 65536, 65537]) {
      const text = "a".repeat(size);
      const bytes = randomBytes(size);
      const both = concat(frame(role, TEXT, text), frame(role, BINARY, bytes));
      assertEvents(role, both, [["message", text], ["message", bytes]], undefined, `${size} bytes`);
    }
  }
});

Deno.test("Protocol receives frames with any mask, each with its own (RFC 6455 section 5.3)", () => {
  const masks = [[0, 0, 0, 0], [255, 255, 255, 255], [1, 2, 3, 4], [0x80, 0, 0, 0x7f]];
  const text = "Hello, hello, hello, hello, hello, hello, hello, hello, hello!";
  const bytes = concat(...masks.map((mask) => frame("server", TEXT, text, { mask })));
  assertEvents("server", bytes, masks.map(() => ["message", text]));
});

Deno.test("Protocol fails with 1002 on a client's frame without a mask, or a server's with one (RFC 6455 section 5.1)", () => {
  for (const role of roles) {
    for (const opcode of [TEXT, BINARY, PING, PONG, CLOSE]) {
      assertFails(role, frame(role, opcode, "", { masked: role === "client" }), 2, 1002);
    }
  }
});

Deno.test("Protocol fails with 1002 on reserved bits, at the first byte (RFC 6455 section 5.2)", () => {
  for (const role of roles) {
    for (const opcode of [TEXT, BINARY, PING, PONG, CLOSE]) {
      for (const rsv of [RSV1, RSV2, RSV3, RSV2 | RSV3, RSV1 | RSV2 | RSV3]) {
        assertFails(role, frame(role, opcode, "", { rsv }), 1, 1002);
        // RFC 7692 section 6: permessage-deflate uses RSV1 alone, and not on control frames.
        if (rsv === RSV1 && opcode < CLOSE) continue;
        assertFails(role, frame(role, opcode, "", { rsv }), 1, 1002, compressing);
      }
    }
  }
});

Deno.test("Protocol fails with 1002 on RSV1 of a continuation (RFC 7692 section 6.1)", () => {
  for (const role of roles) {
    for (const rsv of [0, RSV1]) {
      const start = frame(role, TEXT, "", { fin: false, rsv });
      const bytes = concat(start, frame(role, CONTINUATION, "", { rsv: RSV1 }));
      assertFails(role, bytes, start.length + 1, 1002, compressing);
    }
  }
});

Deno.test("Protocol fails with 1002 on unknown opcodes, at the first byte (RFC 6455 section 5.2)", () => {
  for (const role of roles) {
    for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
      for (const fin of [true, false]) {
        assertFails(role, frame(role, opcode, "", { fin }), 1, 1002);
        const start = frame(role, TEXT, "a", { fin: false });
        assertFails(role, concat(start, frame(role, opcode, "", { fin })), start.length + 1, 1002);
      }
    }
  }
});

Deno.test("Protocol fails with 1002 on a length that is not in the fewest bytes (RFC 6455 section 5.2)", () => {
  for (const role of roles) {
    for (const size of [0, 1, 125]) {
      assertFails(role, frame(role, BINARY, "a".repeat(size), { lengthBytes: 2 }), 4, 1002);
    }
    for (const size of [0, 125, 126, 65535]) {
      assertFails(role, frame(role, TEXT, "a".repeat(size), { lengthBytes: 8 }), 10, 1002);
    }
  }
});

Deno.test("Protocol fails with 1002 on a length with its highest bit set (RFC 6455 section 5.2)", () => {
  for (const role of roles) {
    for (const length of [2n ** 63n, 2n ** 64n - 1n, 2n ** 63n + 5n]) {
      assertFails(role, hugeHeader(role, BINARY, length), 10, 1002);
      assertFails(role, hugeHeader(role, BINARY, length, RSV1), 10, 1002, compressing);
    }
  }
});

Deno.test("Protocol fails with the first fault of a header, however it is cut", () => {
  for (const role of roles) {
    // Reserved bits or the mask before a length that is too long.
    for (const length of [2n ** 53n, 2n ** 63n - 1n, 5n]) {
      assertFails(role, hugeHeader(role, BINARY, length, RSV2), 1, 1002);
      assertFails(role, hugeHeader(role, 3, length), 1, 1002);
      assertFails(role, hugeHeader(role, CONTINUATION, length), 1, 1002);
      assertFails(role, hugeHeader(role, PING, length), 2, 1002);
      assertFails(role, hugeHeader(other(role), BINARY, length), 2, 1002);
    }
  }
});

// Fragments (RFC 6455 section 5.4)

Deno.test("Protocol joins fragments of every size, none and empty ones too (RFC 6455 section 5.4)", () => {
  const text = "Héllo, 😀 world";
  const bytes = bytesOf(text);
  for (const role of roles) {
    for (
      const sizes of [[0], [0, 0, 0], [1], [2], [5], bytes.map(() => 1), [bytes.length], [3, 0, 9]]
    ) {
      assertEvents(role, concat(...fragments(role, TEXT, text, [...sizes])), [["message", text]]);
      assertEvents(role, concat(...fragments(role, BINARY, bytes, [...sizes])), [[
        "message",
        bytes,
      ]]);
    }
    assertEvents(role, concat(...fragments(role, TEXT, "", [0, 0])), [["message", ""]]);
    assertEvents(role, concat(...fragments(role, BINARY, "", [0, 0])), [["message", bytesOf("")]]);
  }
});

Deno.test("Protocol joins large fragments, and starts the next message anew", () => {
  const large = randomBytes(60_000);
  const bytes = concat(large, large, large);
  const text = "aé".repeat(50_000);
  for (const role of roles) {
    const all = concat(
      ...fragments(role, BINARY, bytes, [1, 70_000, 20_000]),
      ...fragments(role, TEXT, text, [1, 70_000]),
      ...fragments(role, BINARY, bytes, [100_000]),
      frame(role, TEXT, "é"),
      frame(role, BINARY, "é"),
    );
    const events: Seen[] = [
      ["message", bytes],
      ["message", text],
      ["message", bytes],
      ["message", "é"],
      ["message", bytesOf("é")],
    ];
    assertEquals(eventsOf(role, all), events);
    assertEquals(eventsOf(role, all, {}, [1, 3, 8000, 9000, 100_000, 180_000]), events);
  }
});

Deno.test("Protocol fails with 1002 on a continuation of nothing (RFC 6455 section 5.4)", () => {
  for (const role of roles) {
    for (const fin of [true, false]) {
      assertFails(role, frame(role, CONTINUATION, "a", { fin }), 1, 1002);
      const before = concat(
        ...fragments(role, TEXT, "Hello", [2]),
        frame(role, PING),
      );
      const bytes = concat(before, frame(role, CONTINUATION, "a", { fin }));
      assertFails(role, bytes, before.length + 1, 1002);
    }
  }
});

Deno.test("Protocol fails with 1002 on a message inside another (RFC 6455 section 5.4)", () => {
  for (const role of roles) {
    for (const opcode of [TEXT, BINARY]) {
      for (const inner of [TEXT, BINARY]) {
        const start = concat(frame(role, opcode, "a", { fin: false }), frame(role, PING));
        const bytes = concat(start, frame(role, inner, "b"));
        assertFails(role, bytes, start.length + 1, 1002);
      }
    }
  }
});

// Control frames (RFC 6455 section 5.5)

Deno.test("Protocol fails with 1002 on a control frame over 125 bytes, at its second byte (RFC 6455 section 5.5)", () => {
  for (const role of roles) {
    for (const opcode of [CLOSE, PING, PONG]) {
      for (const size of [126, 65536]) {
        assertFails(role, frame(role, opcode, "a".repeat(size)), 2, 1002);
      }
      for (const lengthBytes of [2, 8] as const) {
        assertFails(role, frame(role, opcode, "ab", { lengthBytes }), 2, 1002);
      }
    }
  }
});

Deno.test("Protocol fails with 1002 on a fragmented control frame, at its first byte (RFC 6455 section 5.5)", () => {
  for (const role of roles) {
    for (const opcode of [CLOSE, PING, PONG]) {
      assertFails(role, frame(role, opcode, "", { fin: false }), 1, 1002);
    }
  }
});

Deno.test("Protocol answers a ping with its payload (RFC 6455 sections 5.5.2 and 5.5.3)", () => {
  for (const role of roles) {
    for (const size of [0, 1, 125]) {
      const payload = randomBytes(size);
      const bytes = frame(role, PING, payload);
      assertEvents(role, bytes, [["ping", payload]]);
      const frames = new Driver(role).feed(bytes).takeFrames();
      assertEquals(frames.length, 1);
      const [pong] = frames;
      assertEquals([pong!.opcode, pong!.fin, pong!.rsv], [PONG, true, 0]);
      assertEquals(pong!.payload, payload);
      assertEquals(pong!.mask !== undefined, role === "client");
    }
  }
});

Deno.test("Protocol answers a ping with none of its memory but the payload (RFC 6455 section 5.5.3)", () => {
  for (const role of roles) {
    // One pong at once, one later.
    const driver = new Driver(role, { pongs: 1 });
    const secret = frame(role, BINARY, new Uint8Array(3000).fill(0x53));
    for (let size = 0; size <= 125; size++) {
      const first = new Uint8Array(size).fill(0xa1);
      const latest = new Uint8Array(125 - size).fill(0xb2);
      driver.feed(secret).feed(concat(frame(role, PING, first), frame(role, PING, latest)));
      // What comes meanwhile is where the ping was, and longer.
      driver.feed(secret);
      driver.protocol.allowPongs();
      driver.protocol.allowPongs();
      assertEquals(driver.takeFrames().map(({ payload }) => payload), [first, latest]);
    }
  }
});

Deno.test("Protocol takes control frames between fragments, and answers at once (RFC 6455 section 5.4)", () => {
  for (const role of roles) {
    for (const opcode of [TEXT, BINARY]) {
      const driver = new Driver(role);
      const [first, second, third] = fragments(role, opcode, "Héllo", [2, 2]);
      driver.feed(first!).feed(frame(role, PING, "1"));
      assertEquals(driver.events, [["ping", bytesOf("1")]]);
      assertEquals(driver.takeFrames().map(({ payload }) => payload), [bytesOf("1")]);
      driver.feed(second!).feed(concat(frame(role, PONG, "2"), frame(role, PING, "3"), third!));
      const message: Message = opcode === TEXT ? "Héllo" : bytesOf("Héllo");
      assertEquals(driver.events.slice(1), [
        ["pong", bytesOf("2")],
        ["ping", bytesOf("3")],
        ["message", message],
      ]);
    }
  }
});

Deno.test("Protocol does not answer a pong (RFC 6455 section 5.5.3)", () => {
  for (const role of roles) {
    const driver = new Driver(role).feed(frame(role, PONG, "unasked"));
    assertEquals(driver.events, [["pong", bytesOf("unasked")]]);
    assertEquals(driver.takeFrames(), []);
  }
});

Deno.test("Protocol answers as many pings as it may, then the latest alone (RFC 6455 section 5.5.3)", () => {
  for (const role of roles) {
    const driver = new Driver(role, { pongs: 2 });
    const answered = () =>
      driver.takeFrames().map(({ opcode, payload }) => {
        assertEquals(opcode, PONG);
        return new TextDecoder().decode(payload);
      });
    const ping = (...payloads: string[]) => {
      driver.feed(concat(...payloads.map((payload) => frame(role, PING, payload))));
    };
    ping("1", "2", "3", "4");
    assertEquals(driver.events.length, 4);
    assertEquals(answered(), ["1", "2"]);
    driver.protocol.allowPongs();
    assertEquals(answered(), ["4"]);
    ping("5", "6");
    assertEquals(answered(), ["5"]);
    driver.protocol.allowPongs();
    assertEquals(answered(), ["6"]);
    driver.protocol.allowPongs();
    driver.protocol.allowPongs();
    assertEquals(answered(), []);
    ping("7", "8", "9");
    assertEquals(answered(), ["7", "8"]);
    // A Close frame is the last.
    driver.protocol.close(1000, "");
    driver.takeFrames();
    driver.protocol.allowPongs();
    assertEquals(answered(), []);
  }
});

Deno.test("Protocol answers no ping of a peer that does not read, but the latest once it does", () => {
  for (const role of roles) {
    const driver = new Driver(role, { pongs: 1_000_000 });
    const { protocol } = driver;
    const payload = "x".repeat(125);
    for (let i = 0; i < 2000; i++) driver.feed(frame(role, PING, payload));
    driver.feed(frame(role, PING, "latest"));
    assertEquals(protocol.allowPongs(), true);
    const output = driver.takeOutput();
    assert(output.length > 60_000 && output.length < 66_000, String(output.length));
    assertEquals(readFrames(output).at(-1)!.payload, bytesOf(payload));
    assertEquals(protocol.allowPongs(), false);
    assertEquals(driver.takeFrames().map(({ payload }) => payload), [bytesOf("latest")]);
    // One that is answered at once leaves none before it to be answered.
    protocol.send(new Uint8Array(70_000), false);
    driver.feed(frame(role, PING, "early"));
    driver.takeFrames();
    driver.feed(frame(role, PING, "late"));
    assertEquals(protocol.allowPongs(), false);
    assertEquals(driver.takeFrames().map(({ payload }) => payload), [bytesOf("late")]);
  }
});

// Closing (RFC 6455 sections 5.5.1 and 7)

Deno.test("Protocol answers a Close frame with its code (RFC 6455 section 5.5.1)", () => {
  for (const role of roles) {
    for (
      const [payload, code, reason] of [
        ["", 1005, ""],
        [closePayload(1000), 1000, ""],
        [closePayload(1001, "going"), 1001, "going"],
        [closePayload(3000, "é".repeat(61)), 3000, "é".repeat(61)],
        [closePayload(4999, "a".repeat(MAX_CLOSE_REASON)), 4999, "a".repeat(MAX_CLOSE_REASON)],
        ...[1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014].map((code) =>
          [closePayload(code), code, ""] as const
        ),
      ] as [Payload, number, string][]
    ) {
      const bytes = frame(role, CLOSE, payload);
      assertEvents(role, bytes, [["close", code, reason]]);
      const driver = new Driver(role).feed(bytes);
      const frames = driver.takeFrames();
      assertEquals(frames.length, 1);
      assertEquals([frames[0]!.opcode, frames[0]!.fin, frames[0]!.rsv], [CLOSE, true, 0]);
      assertEquals(frames[0]!.mask !== undefined, role === "client");
      assertEquals(frames[0]!.payload, payload === "" ? bytesOf("") : closePayload(code));
      const { closing, closedCleanly, receivingEnded } = driver.protocol;
      assertEquals([closing, closedCleanly, receivingEnded], [Closing.DONE, true, true]);
    }
  }
});

Deno.test("Protocol fails on an invalid Close frame (RFC 6455 sections 5.5.1, 7.4 and 8.1)", () => {
  for (const role of roles) {
    const fails = (payload: Payload, code: number) => {
      const bytes = frame(role, CLOSE, payload);
      assertFails(role, bytes, bytes.length, code);
    };
    fails([3], 1002);
    for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535]) {
      fails(closePayload(code), 1002);
    }
    fails(concat(closePayload(1000), [0xff]), 1007);
    fails(concat(closePayload(1000), hex("c3")), 1007);
  }
});

Deno.test("Protocol ignores everything after a Close frame (RFC 6455 section 5.5.1)", () => {
  for (const role of roles) {
    const driver = new Driver(role);
    driver.feed(concat(
      frame(role, TEXT, "before"),
      frame(role, CLOSE, closePayload(1000)),
      frame(role, TEXT, "after"),
      frame(role, PING, "after"),
      frame(role, CLOSE, closePayload(1001)),
      hex("ffffffff"),
    ));
    assertEquals(driver.protocol.hasInput, false);
    driver.feed(frame(role, PING)).feed(hex("ff".repeat(5000)));
    assertEquals(driver.events, [["message", "before"], ["close", 1000, ""]]);
    assertEquals(driver.takeFrames().map(({ opcode }) => opcode), [CLOSE]);
    assertEquals(driver.protocol.closedCleanly, true);
  }
});

Deno.test("Protocol takes a Close frame inside a message, which is then lost (RFC 6455 section 5.4)", () => {
  for (const role of roles) {
    for (const opcode of [TEXT, BINARY]) {
      const bytes = concat(
        frame(role, opcode, "start", { fin: false }),
        frame(role, CLOSE, closePayload(1000)),
        frame(role, CONTINUATION, "end"),
      );
      assertEvents(role, bytes, [["close", 1000, ""]]);
    }
  }
});

Deno.test("Protocol.close writes one Close frame, the last of all (RFC 6455 section 5.5.1)", () => {
  for (const role of roles) {
    const driver = new Driver(role, { pongs: 1 });
    const { protocol } = driver;
    driver.feed(frame(role, PING, "before"));
    protocol.send("before", true);
    assertEquals([protocol.closing, protocol.sendingEnded], [Closing.NONE, false]);
    protocol.close(4000, "bye");
    assertEquals([protocol.closing, protocol.sendingEnded], [Closing.SENT, true]);
    protocol.close(1000, "again");
    protocol.send("after", true);
    protocol.send(new Uint8Array(9), false);
    protocol.sendPrepared(prepare("after"), true);
    assertEquals(protocol.messageBytes, "before".length);
    protocol.ping(bytesOf("after"));
    driver.feed(frame(role, PING, "no pong"));
    protocol.allowPongs();
    const frames = driver.takeFrames();
    assertEquals(frames.map(({ opcode }) => opcode), [PONG, TEXT, CLOSE]);
    assertEquals(frames[2]!.payload, closePayload(4000, "bye"));
    assertEquals([protocol.closedCleanly, protocol.receivingEnded], [false, false]);
  }
});

Deno.test("Protocol.close writes no code for 1005 (RFC 6455 section 7.4.1)", () => {
  for (const role of roles) {
    const driver = new Driver(role);
    driver.protocol.close(1005, "");
    const [close] = driver.takeFrames();
    assertEquals([close!.opcode, close!.payload.length], [CLOSE, 0]);
  }
});

Deno.test("Protocol receives until the peer's Close frame answers its own (RFC 6455 section 7.1.4)", () => {
  for (const role of roles) {
    const driver = new Driver(role);
    driver.protocol.close(1000, "");
    driver.takeFrames();
    driver.feed(concat(
      frame(role, TEXT, "on its way"),
      frame(role, PING, "?"),
      frame(role, CLOSE, closePayload(1000)),
      frame(role, TEXT, "too late"),
    ));
    assertEquals(driver.events, [
      ["message", "on its way"],
      ["ping", bytesOf("?")],
      ["close", 1000, ""],
    ]);
    assertEquals(driver.takeFrames(), []);
    assertEquals(driver.protocol.closedCleanly, true);
  }
});

Deno.test("Protocol fails after its own Close frame without another (RFC 6455 section 7.1.7)", () => {
  for (const role of roles) {
    const driver = new Driver(role);
    driver.protocol.close(1000, "");
    driver.takeFrames();
    driver.feed(frame(role, 3));
    assertEquals(driver.events, [["failure", 1002]]);
    assertEquals(driver.takeFrames(), []);
    assertEquals([driver.protocol.closedCleanly, driver.protocol.receivingEnded], [false, true]);
  }
});

Deno.test("Protocol.fail writes a Close frame and hears no more (RFC 6455 section 7.1.7)", () => {
  for (const role of roles) {
    const driver = new Driver(role);
    driver.feed(frame(role, TEXT, "start", { fin: false }));
    driver.protocol.fail(new ProtocolError(1011, "OUT_OF_MEMORY", "Cannot go on"));
    driver.feed(concat(frame(role, CONTINUATION, "end"), frame(role, CLOSE)));
    assertEquals(driver.events, []);
    const frames = driver.takeFrames();
    assertEquals(frames.map(({ payload }) => payload), [closePayload(1011, "Cannot go on")]);
    assertEquals([driver.protocol.closedCleanly, driver.protocol.receivingEnded], [false, true]);
  }
});

Deno.test("Protocol says what was wrong in its Close frame (RFC 6455 section 7.1.6)", () => {
  for (const role of roles) {
    const reasonOf = (bytes: Uint8Array, options?: DriverOptions) => {
      using driver = new Driver(role, options).feed(bytes);
      return new TextDecoder().decode(driver.takeFrames()[0]!.payload.subarray(2));
    };
    const rsv1 = frame(role, PING, "", { rsv: RSV1 });
    for (
      const [expected, bytes, options] of [
        ["permessage-deflate was not agreed on", rsv1, {}],
        ["must be on the first frame of a message alone", rsv1, compressing(role)],
        ["over 125 bytes", frame(role, PING, "a".repeat(126))],
        ["over 10 bytes", frame(role, TEXT, "a".repeat(11)), { maxMessageSize: 10 }],
        ["masked", frame(role, TEXT, "", { masked: role === "client" })],
        ["UTF-8", frame(role, TEXT, hex("ff"))],
        ["opcode is 3", frame(role, 3)],
        ["code is 1005", frame(role, CLOSE, closePayload(1005))],
      ] as [string, Uint8Array, DriverOptions?][]
    ) {
      const reason = reasonOf(bytes, options);
      assert(reason.includes(expected), `${expected}: ${reason}`);
    }
  }
});

Deno.test("Protocol fails with a reason that its Close frame can hold (RFC 6455 section 5.5)", () => {
  for (const role of roles) {
    const driver = new Driver(role);
    driver.protocol.fail(new ProtocolError(1002, "UNKNOWN_OPCODE", "é".repeat(100)));
    assertEquals(driver.takeFrames()[0]!.payload, closePayload(1002, "é".repeat(61)));
  }
});

// UTF-8 (RFC 6455 sections 5.6 and 8.1)

/** Bytes that are no UTF-8, the last of them proving it (RFC 3629). */
const INVALID_UTF8 = [
  "80", // A continuation of nothing.
  "bf",
  "c0", // Never in UTF-8: a longer form of ASCII.
  "c1",
  "f5", // Beyond U+10FFFF.
  "ff",
  "c3 28", // No continuation.
  "c3 c3",
  "e2 28",
  "e2 82 28",
  "f0 9f 28",
  "f0 9f 98 28",
  "e0 80", // A longer form than is needed.
  "e0 9f",
  "f0 80",
  "f0 8f",
  "ed a0", // A surrogate.
  "ed bf",
  "f4 90", // Beyond U+10FFFF.
];

/** Text of all lengths of UTF-8, with the borders of each. */
const VALID_UTF8 = "a\u0000\u007f\u0080\u07ff\u0800\ud7ff\ue000\uffff\ufeff\u{10000}\u{10ffff}😀";

Deno.test("Protocol fails with 1007 at the byte that proves that text is no UTF-8 (RFC 6455 section 8.1)", () => {
  for (const role of roles) {
    for (const invalid of INVALID_UTF8) {
      for (const valid of ["", "Hello", VALID_UTF8]) {
        const start = concat(bytesOf(valid), hex(invalid));
        // Whatever follows, in the frame and in frames to come.
        const bytes = frame(role, TEXT, concat(start, bytesOf("more")), { fin: false });
        assertFails(role, bytes, header(role) + start.length, 1007, undefined, invalid);
      }
    }
  }
});

Deno.test("Protocol fails with 1007 at that byte in fragmented text too (RFC 6455 section 8.1)", () => {
  for (const role of roles) {
    for (const invalid of INVALID_UTF8) {
      const text = concat(bytesOf("é"), hex(invalid), bytesOf("more"));
      const frames = fragments(role, TEXT, text, [...text].map(() => 1));
      // With pings between the fragments.
      const bytes = concat(...frames.flatMap((bytes) => [bytes, frame(role, PING)]));
      const before = 2 + hex(invalid).length - 1;
      const at = before * (header(role) + 1 + header(role)) + header(role) + 1;
      assertFails(role, bytes, at, 1007, undefined, invalid);
    }
  }
});

Deno.test("Protocol fails with 1007 where text ends inside a character (RFC 6455 section 8.1)", () => {
  for (const role of roles) {
    for (const cut of ["c3", "e2", "e2 82", "f0", "f0 9f", "f0 9f 98"]) {
      for (const before of ["", "Hello"]) {
        const text = concat(bytesOf(before), hex(cut));
        const whole = frame(role, TEXT, text);
        assertFails(role, whole, whole.length, 1007, undefined, cut);
        // An empty last fragment ends it, at its header.
        const fragmented = concat(...fragments(role, TEXT, text, [text.length]));
        assertFails(role, fragmented, fragmented.length, 1007, undefined, cut);
      }
    }
  }
});

Deno.test("Protocol takes all of UTF-8, cut anywhere, and keeps a byte order mark (RFC 6455 section 8.1)", () => {
  const text = `\ufeff${VALID_UTF8}\ufeff`;
  const { length } = bytesOf(text);
  for (const role of roles) {
    for (let cut = 0; cut <= length; cut++) {
      const bytes = concat(...fragments(role, TEXT, text, [cut]));
      assertEquals(eventsOf(role, bytes), [["message", text]]);
    }
    const every = concat(
      ...fragments(role, TEXT, text, Array(length).fill(1)),
      frame(role, TEXT, text),
    );
    assertEvents(role, every, [["message", text], ["message", text]]);
  }
});

Deno.test("Protocol takes U+FFFD for the character that it is (RFC 6455 section 8.1)", () => {
  for (const role of roles) {
    for (const text of ["\ufffd", "\ufeff\ufffd", "a\ufffd\ufeff", "\uffff\ufffe"]) {
      const all = concat(frame(role, TEXT, text), ...fragments(role, TEXT, text, [1]));
      assertEvents(role, all, [["message", text], ["message", text]]);
    }
  }
});

Deno.test("Protocol takes any bytes for a binary message (RFC 6455 section 5.6)", () => {
  for (const role of roles) {
    const bytes = concat(...INVALID_UTF8.map(hex));
    assertEvents(role, frame(role, BINARY, bytes), [["message", bytes]]);
  }
});

/** Bytes that often are UTF-8, or almost. */
const almostText = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.string({ unit: "binary", maxLength: 4 }).map(bytesOf) },
    { weight: 1, arbitrary: fc.constantFrom(...INVALID_UTF8).map(hex) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 2 }) },
  ),
  { maxLength: 12 },
).map((parts) => concat(...parts));

Deno.test("Protocol finds the first byte that is no UTF-8 in any bytes (RFC 6455 section 8.1)", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...roles),
      almostText,
      fc.boolean(),
      (role, text, compressed) => {
        const options = compressed ? compressing(role) : {};
        // A stored block: each byte of text comes with a byte of payload.
        const payload = compressed
          ? concat([0, text.length, 0, ~text.length, 255], text, [0])
          : text;
        const rsv = compressed ? RSV1 : 0;
        const before = header(role) + (compressed ? 5 : 0);
        const proof = firstInvalidUtf8(text);
        fc.pre(payload.length <= 125);
        const bytes = frame(role, TEXT, payload, { rsv });
        const failure = failsAt(role, bytes, options);
        if (proof !== -1) assertEquals(failure, { at: before + proof + 1, code: 1007 });
        else if (failure) assertEquals(failure, { at: bytes.length, code: 1007 });
        // It agrees with the platform.
        const { fatal } = { fatal: true };
        let valid = true;
        try {
          new TextDecoder("utf-8", { fatal }).decode(text);
        } catch {
          valid = false;
        }
        assertEquals(failure === undefined, valid);
      },
    ),
    { numRuns: 500 },
  );
});

// Limits (RFC 6455 section 10.4)

Deno.test("Protocol fails with 1009 at the header of a frame that makes a message too long (RFC 6455 section 7.4.1)", () => {
  for (const role of roles) {
    for (const opcode of [TEXT, BINARY]) {
      const message: Message = opcode === TEXT ? "a".repeat(100) : new Uint8Array(100).fill(97);
      const options = () => ({ maxMessageSize: 100 });
      const fits = bytesOf("a".repeat(100));
      assertEvents(role, frame(role, opcode, fits), [["message", message]], options);
      assertEvents(role, concat(...fragments(role, opcode, fits, [60, 0, 40])), [
        ["message", message],
      ], options);

      const long = bytesOf("a".repeat(101));
      assertFails(role, frame(role, opcode, long), header(role), 1009, options);
      const [first, second] = fragments(role, opcode, long, [60]);
      const both = concat(first!, second!);
      assertFails(role, both, first!.length + header(role), 1009, options);
      // Each message is counted by itself.
      assertEvents(role, concat(frame(role, opcode, fits), frame(role, opcode, fits)), [
        ["message", message],
        ["message", message],
      ], options);
    }
  }
});

Deno.test("Protocol takes control frames of any size where messages must be short", () => {
  for (const role of roles) {
    const payload = bytesOf("a".repeat(125));
    assertEvents(
      role,
      concat(
        frame(role, TEXT, "", { fin: false }),
        frame(role, PING, payload),
        frame(role, CONTINUATION, ""),
        frame(role, CLOSE, closePayload(1000, "bye")),
      ),
      [["ping", payload], ["message", ""], ["close", 1000, "bye"]],
      () => ({ maxMessageSize: 0 }),
    );
  }
});

Deno.test("Protocol fails with 1009 on lengths beyond any memory", () => {
  for (const role of roles) {
    const options = () => ({ maxMessageSize: Number.MAX_SAFE_INTEGER });
    for (const length of [2n ** 53n, 2n ** 62n, 2n ** 63n - 1n]) {
      assertFails(role, hugeHeader(role, BINARY, length), 10, 1009, options);
      const deflating = (role: Role) => ({ ...options(), deflate: codec(role) });
      assertFails(role, hugeHeader(role, TEXT, length, RSV1), 10, 1009, deflating);
    }
    // Compressed, as long as a number can tell.
    const longest = hugeHeader(role, TEXT, 2n ** 53n - 1n, RSV1);
    assertEquals(failsAt(role, longest, compressing(role)), undefined);
    const whole = hugeHeader(role, BINARY, 2n ** 40n);
    assertFails(role, whole, whole.length, 1009);
  }
});

/** Bytes of buffers that `action` leaves behind. */
function memoryOf(action: () => void): number {
  const before = Deno.memoryUsage().external;
  action();
  return Deno.memoryUsage().external - before;
}

Deno.test("Protocol takes memory for what has come, not for what a header claims", () => {
  for (const role of roles) {
    const drivers = Array.from({ length: 100 }, () => new Driver(role));
    const bytes = hugeHeader(role, BINARY, 16n * 1024n * 1024n);
    const memory = memoryOf(() => {
      for (const driver of drivers) driver.feed(concat(bytes, [1, 2, 3]));
    });
    assertLess(memory / drivers.length, 100_000);
    for (const driver of drivers) assertEquals(driver.events, []);
  }
});

Deno.test("Protocol takes memory for text, not for the fragments that it came in", () => {
  const driver = new Driver("client");
  driver.feed(frame("client", TEXT, "a", { fin: false }));
  const some = concat(
    ...Array<Uint8Array>(5000).fill(frame("client", CONTINUATION, "a", { fin: false })),
  );
  const before = Deno.memoryUsage().heapUsed;
  for (let i = 0; i < 200; i++) driver.feed(some);
  // Some that is yet to be collected; a string made of as many would hold 30 MB.
  assertLess(Deno.memoryUsage().heapUsed - before, 20_000_000);
  driver.feed(frame("client", CONTINUATION, "!"));
  assertEquals(driver.events, [["message", `${"a".repeat(1_000_001)}!`]]);
});

// Reading

Deno.test("Protocol owns no memory for input while no frame is half received", () => {
  for (const role of roles) {
    const ping = frame(role, PING, "a".repeat(125));
    const text = frame(role, TEXT, "a".repeat(5000));
    using driver = new Driver(role);
    const { protocol } = driver;
    assertEquals(protocol.held, 0);
    driver.feed(concat(text, ping, text));
    driver.takeFrames();
    assertEquals(protocol.held, 0);
    // A header or a control frame that is not whole takes as little as they can have.
    for (let cut = 1; cut < ping.length; cut++) {
      driver.feed(ping.subarray(0, cut));
      // Its header is kept as what it says.
      const kept = cut !== header(role);
      assertEquals([protocol.held, protocol.hasInput], [kept ? 256 : 0, kept]);
      driver.feed(ping.subarray(cut));
      driver.takeFrames();
      assertEquals([protocol.held, protocol.hasInput], [0, false]);
    }
    assertEquals(driver.events.length, 3 + ping.length - 1);
  }
});

Deno.test("Protocol.held counts the decompressor of a message that is half received", () => {
  const bytes = compressedFrame("server", deflated(LONG));
  for (const [agreed, kib] of [[NO_CONTEXT, 41], [{}, 0]] as const) {
    using driver = new Driver("server", { deflate: codec("server", agreed) });
    const { protocol } = driver;
    driver.feed(bytes.subarray(0, 1000));
    assertGreater(protocol.held, kib * 1024);
    assertLess(protocol.held, kib * 1024 + 20_000);
    driver.feed(bytes.subarray(1000));
    assertEquals(protocol.held, 0);
    // Given up, it serves the next connection at once.
    driver.feed(bytes.subarray(0, 1000));
    protocol.fail(new ProtocolError(1013, "OUT_OF_MEMORY", "Cannot go on"));
    driver.takeFrames();
    assertEquals(protocol.held, 0);
  }
});

Deno.test("Protocol keeps a part of a frame wherever what was read ends", () => {
  for (const role of roles) {
    const ping = frame(role, PING, "a".repeat(100));
    for (let size = 1900; size <= 2060; size++) {
      const text = frame(role, TEXT, "b".repeat(size));
      const driver = new Driver(role);
      // The first piece ends in the text, in a header, or in a ping.
      driver.feed(concat(text, ping, ping), [2048]);
      const events: Seen[] = [
        ["message", "b".repeat(size)],
        ["ping", bytesOf("a".repeat(100))],
        ["ping", bytesOf("a".repeat(100))],
      ];
      assertEquals(driver.events, events, String(size));
      driver.feedBytewise(ping);
      assertEquals(driver.events.slice(3), [events[1]!], String(size));
    }
  }
});

Deno.test("Protocol gives a long binary message in memory of its size", () => {
  for (const role of roles) {
    const payload = randomBytes(100_000);
    const bytes = frame(role, BINARY, payload);
    const driver = new Driver(role);
    const start = bytes.length - payload.length + 1000;
    driver.feed(bytes.subarray(0, start));
    // No more than has come, and a first share.
    assertLess(driver.protocol.held, 1000 + 64 * 1024 + 1);
    driver.feed(bytes.subarray(start, bytes.length - 1));
    // Not a byte more than the frame has.
    assertEquals(driver.protocol.held, payload.length);
    driver.feed(bytes.subarray(bytes.length - 1));
    assertEquals(driver.events, [["message", payload]]);
    const message = driver.events[0]![1] as Uint8Array;
    assertEquals(message.length, message.buffer.byteLength);
    assertEquals(driver.protocol.held, 0);
  }
});

Deno.test("Protocol.receive takes what came with the opening handshake", () => {
  const text = "a".repeat(5000);
  for (const role of roles) {
    const bytes = concat(frame(role, TEXT, text), frame(role, PING, "b"), frame(role, TEXT, text));
    for (const cut of [0, 1, 4, 3000, 5010, bytes.length - 1, bytes.length]) {
      const driver = new Driver(role);
      driver.receive(bytes.subarray(0, cut)).feed(bytes.subarray(cut));
      assertEquals(driver.events, [["message", text], ["ping", bytesOf("b")], ["message", text]]);
    }
  }
});

Deno.test("Protocol.receive keeps what came before", () => {
  for (const role of roles) {
    for (const size of [10, 2000, 2048, 2100, 5000]) {
      const bytes = frame(role, PING, "a".repeat(100));
      const text = frame(role, TEXT, "b".repeat(size));
      for (const cut of [1, 5, 60, bytes.length - 1]) {
        const driver = new Driver(role);
        driver.receive(bytes.subarray(0, cut)).receive(concat(bytes.subarray(cut), text));
        driver.receive(bytes);
        const ping: Seen = ["ping", bytesOf("a".repeat(100))];
        assertEquals(driver.events, [ping, ["message", "b".repeat(size)], ping]);
      }
    }
  }
});

Deno.test("Protocol.next gives one event at a time, and hasInput tells of more", () => {
  const { protocol } = new Driver("client");
  protocol.receive(concat(frame("client", TEXT, "1"), frame("client", TEXT, "2"), hex("81")));
  assertEquals(protocol.hasInput, true);
  assertEquals(protocol.next(), { type: "message", data: "1" });
  assertEquals(protocol.hasInput, true);
  assertEquals(protocol.next(), { type: "message", data: "2" });
  assertEquals(protocol.next(), undefined);
  protocol.receive(hex("0133"));
  assertEquals(protocol.next(), { type: "message", data: "3" });
  assertEquals(protocol.hasInput, false);
});

Deno.test("Protocol gives messages that are nobody else's", () => {
  const driver = new Driver("client");
  const payload = bytesOf("abc");
  for (const opcode of [BINARY, PING, PONG]) driver.feed(frame("client", opcode, payload));
  driver.feed(concat(...fragments("client", BINARY, payload, [1])));
  driver.feed(frame("client", BINARY, "x".repeat(3000)));
  for (const [, data] of driver.events.slice(0, 4)) {
    assertEquals(data, payload);
    assertEquals((data as Uint8Array).buffer.byteLength, 3);
  }
});

// Sending (RFC 6455 section 6.1)

Deno.test("Protocol.send writes one frame, in the fewest bytes (RFC 6455 sections 5.2 and 6.1)", () => {
  for (const role of roles) {
    const driver = new Driver(role);
    for (const size of [0, 1, 125, 126, 65535, 65536]) {
      for (const opcode of [TEXT, BINARY]) {
        const data = opcode === TEXT ? "a".repeat(size) : new Uint8Array(size).fill(7);
        driver.protocol.send(data, true);
        assertEquals(driver.protocol.messageBytes, size);
        const frames = driver.takeFrames();
        assertEquals(frames.length, 1);
        const [sent] = frames;
        assertEquals([sent!.fin, sent!.rsv, sent!.opcode], [true, 0, opcode]);
        assertEquals(sent!.payload, bytesOf(data));
        assertEquals(sent!.lengthBytes, size < 126 ? 0 : size < 65536 ? 2 : 8);
      }
    }
  }
});

Deno.test("Protocol.send writes text as UTF-8, whatever the header (RFC 6455 section 5.6)", () => {
  for (const role of roles) {
    const driver = new Driver(role);
    // Longer in UTF-8 than in UTF-16, across each border of the header's length.
    for (
      const size of [1, 41, 42, 62, 63, 64, 125, 126, 21845, 21846, 32767, 32768, 65535, 70_000]
    ) {
      for (const unit of ["a", "é", "€", "😀", "\ud800"]) {
        const text = unit.repeat(size);
        const bytes = bytesOf(text);
        driver.protocol.send(text, true);
        assertEquals(driver.protocol.messageBytes, bytes.length);
        driver.protocol.send("next", true);
        const [sent, next] = driver.takeFrames();
        assertEquals(sent!.payload, bytes, `${unit} ${size}`);
        assertEquals(next!.payload, bytesOf("next"));
      }
    }
  }
});

Deno.test("Protocol masks what a client sends, and nothing else (RFC 6455 section 5.1)", () => {
  for (const role of roles) {
    const driver = new Driver(role);
    driver.protocol.send("text", false);
    driver.protocol.send(new Uint8Array(100), false);
    driver.protocol.ping(bytesOf("ping"));
    driver.protocol.sendPrepared(prepare("text"), true);
    driver.feed(frame(role, PING, "pong"));
    driver.protocol.close(1000, "close");
    const frames = driver.takeFrames();
    assertEquals(frames.map(({ opcode }) => opcode), [TEXT, BINARY, PING, TEXT, PONG, CLOSE]);
    for (const { mask } of frames) assertEquals(mask !== undefined, role === "client");
  }
});

Deno.test("Protocol draws a new mask for each frame (RFC 6455 section 5.3)", () => {
  const driver = new Driver("client");
  // More than are drawn at once.
  for (let i = 0; i < 3000; i++) driver.protocol.send("", false);
  const masks = driver.takeFrames().map(({ mask }) => mask!);
  // Of random masks, two in 3000 are alike once in a thousand runs, and four never.
  assertGreater(new Set(masks.map(String)).size, 2996);
  // Each of their bits is set about half of the time: ten standard deviations off is no chance.
  for (let bit = 0; bit < 32; bit++) {
    const ones = masks.filter((mask) => mask[bit >> 3]! >> (bit & 7) & 1).length;
    assert(Math.abs(ones - 1500) < 275, `bit ${bit} is set ${ones} times`);
  }
});

Deno.test("Protocol takes its masks from the system's random numbers (RFC 6455 section 10.3)", () => {
  const driver = new Driver("client");
  /** Sends one frame, and returns its mask. */
  const mask = () => {
    driver.protocol.ping(new Uint8Array(0));
    return String(readFrames(driver.takeOutput())[0]!.mask);
  };
  const { getRandomValues } = crypto;
  let drawn = 0;
  crypto.getRandomValues = (array) => {
    drawn++;
    return getRandomValues.call(crypto, array) as typeof array;
  };
  try {
    // Many are drawn at a time.
    const masks = new Set(Array.from({ length: 5000 }, mask));
    assertGreater(drawn, 3);
    assertGreater(masks.size, 4990);
    // There are none but those.
    crypto.getRandomValues = (array) => {
      new Uint8Array(array!.buffer).fill(7);
      return array;
    };
    const known = Array.from({ length: 5000 }, mask);
    assertEquals(known.at(-1), "7,7,7,7");
  } finally {
    crypto.getRandomValues = getRandomValues;
  }
  // Those that are known are not left to others.
  for (let i = 0; i < 5000 && mask() === "7,7,7,7"; i++);
});

Deno.test("Protocol.send leaves what it is given as it is", () => {
  const driver = new Driver("client", { deflate: codec("client") });
  const bytes = new Uint8Array(1000).fill(5);
  driver.protocol.send(bytes, true);
  driver.protocol.send(bytes, false);
  driver.protocol.ping(bytes.subarray(0, 9));
  const prepared = prepare(bytes);
  driver.protocol.sendPrepared(prepared, false);
  driver.protocol.sendPrepared(prepared, false);
  assertEquals(bytes, new Uint8Array(1000).fill(5));
  assertEquals(driver.takeFrames().slice(-2).map(({ payload }) => payload), [bytes, bytes]);
  driver[Symbol.dispose]();
});

Deno.test("Protocol.ping writes a ping (RFC 6455 section 5.5.2)", () => {
  for (const role of roles) {
    const driver = new Driver(role);
    driver.protocol.ping(bytesOf("a".repeat(125)));
    driver.protocol.ping(bytesOf(""));
    const [first, second] = driver.takeFrames();
    assertEquals([first!.opcode, first!.fin, first!.rsv], [PING, true, 0]);
    assertEquals([first!.payload, second!.payload], [bytesOf("a".repeat(125)), bytesOf("")]);
  }
});

// permessage-deflate (RFC 7692)

const HELLO: Seen = ["message", "Hello"];

/** A compressed message in one frame. */
function compressedFrame(role: Role, payload: Payload, opcode = TEXT): Uint8Array<ArrayBuffer> {
  return frame(role, opcode, payload, { rsv: RSV1 });
}

Deno.test("Protocol decompresses the examples of RFC 7692 section 7.2.3", () => {
  const examples: [section: string, bytes: string, messages: number][] = [
    ["7.2.3.1", "c107 f248cdc9c90700", 1],
    ["7.2.3.1, fragmented", "4103 f248cd 8004 c9c90700", 1],
    ["7.2.3.2, with context", "c107 f248cdc9c90700 c105 f200110000", 2],
    ["7.2.3.2, without", "c107 f248cdc9c90700 c107 f248cdc9c90700", 2],
    ["7.2.3.3, not compressed", "c10b 000500faff48656c6c6f00", 1],
    ["7.2.3.4, BFINAL", "c108 f348cdc9c9070000", 1],
    ["7.2.3.5, two blocks", "c10d f248050000 00ffffcac9c90700", 1],
  ];
  for (const [section, bytes, messages] of examples) {
    // Each is followed by a message that uses what is left of it.
    const next = hex("c107 f248cdc9c90700");
    const events = Array<Seen>(messages + 1).fill(HELLO);
    assertEvents("client", concat(hex(bytes), next), events, compressing, section);
  }
  // Section 7.2.3.6: an empty message.
  assertEvents("client", hex("c10100 c10100 810568656c6c6f"), [
    ["message", ""],
    ["message", ""],
    ["message", "hello"],
  ], compressing);
});

/** Text that repeats itself; long enough for a dynamic block. */
const LONG = Array.from({ length: 400 }, (_, i) => `{"id":${i * 7919 % 400},"é":"${i}"}`).join();

Deno.test("Protocol decompresses blocks of every kind, whole and fragmented (RFC 7692 section 7.2.2)", () => {
  const kinds: [name: string, type: number, options: object][] = [
    ["stored", 0, { level: 0 }],
    ["fixed", 1, { strategy: constants.Z_FIXED }],
    ["dynamic", 2, { level: 9 }],
    ["without matches", 2, { strategy: constants.Z_HUFFMAN_ONLY }],
    ["small window", 2, { windowBits: 9 }],
    ["many blocks", 2, { memLevel: 1 }],
  ];
  for (const role of roles) {
    for (const [name, type, options] of kinds) {
      const payload = deflated(LONG, options);
      assertEquals(payload[0]! >> 1 & 3, type, name);
      const message = bytesOf(LONG);
      for (
        const sizes of [[], [1], [0, 5, 0], [100, 1, 1, 1], [payload.length - 1], [payload.length]]
      ) {
        assertEvents(
          role,
          concat(
            ...fragments(role, TEXT, payload, sizes, RSV1),
            ...fragments(role, BINARY, payload, sizes, RSV1),
            compressedFrame(role, deflated("Hello")),
          ),
          [["message", LONG], ["message", message], HELLO],
          compressing,
          `${name} ${sizes}`,
        );
      }
    }
  }
});

Deno.test("Protocol decompresses several blocks, flushed in every way (RFC 7692 sections 7.2.1 and 7.2.3.5)", () => {
  const sync = (text: string) => concat(deflated(text), hex("0000ffff"));
  const full = (text: string) =>
    deflateRawSync(bytesOf(text), { finishFlush: constants.Z_FULL_FLUSH });
  const stored = deflated("stored ", { level: 0 });
  const blocks = concat(sync("sync "), full("full "), stored, hex("0000ffff"), deflated("end"));
  for (const role of roles) {
    assertEvents(
      role,
      concat(compressedFrame(role, blocks), compressedFrame(role, blocks)),
      [["message", "sync full stored end"], ["message", "sync full stored end"]],
      compressing,
    );
    // Empty blocks, as many as one likes.
    const empty = hex("000000ffff");
    assertEvents(
      role,
      concat(
        compressedFrame(role, concat(empty, empty, deflated("Hello"))),
        compressedFrame(role, concat(sync("Hello"), empty, empty, hex("00"))),
      ),
      [HELLO, HELLO],
      compressing,
    );
  }
});

Deno.test("Protocol goes on after a block with BFINAL, at the end and in the middle (RFC 7692 section 7.2.3.4)", () => {
  const final = (text: string, options?: object) => deflateRawSync(bytesOf(text), options);
  for (const role of roles) {
    for (const agreed of [{}, NO_CONTEXT]) {
      const options = (role: Role) => ({ deflate: codec(role, agreed) });
      const payloads: [string, Payload][] = [
        ["without the 0x00", final("Hello")],
        ["with it", concat(final("Hello"), hex("00"))],
        ["stored", final("Hello", { level: 0 })],
        ["stored, with 0x00", concat(final("Hello", { level: 0 }), hex("00"))],
        ["in the middle", concat(final("Hel"), deflated("lo"))],
        ["twice", concat(final("H"), final("el"), final("lo"))],
        ["twice, with 0x00", concat(final("H"), final("el"), final("lo"), hex("00"))],
        ["after another block", concat(deflated("Hel"), hex("0000ffff"), final("lo"), hex("00"))],
        ["an empty one", concat(final(""), deflated("Hello"))],
      ];
      for (const [name, payload] of payloads) {
        const all = concat(
          compressedFrame(role, payload),
          compressedFrame(role, deflated("Hello")),
          ...fragments(role, TEXT, payload, [1, 2, 3], RSV1),
          ...fragments(role, TEXT, payload, [payload.length], RSV1),
          compressedFrame(role, deflated("Hello")),
        );
        assertEvents(role, all, Array<Seen>(5).fill(HELLO), options, name);
      }
    }
    const large = concat(deflateRawSync(bytesOf(LONG)), hex("00"));
    const both = concat(compressedFrame(role, large), compressedFrame(role, large));
    assertEvents(role, both, [["message", LONG], ["message", LONG]], compressing);
  }
});

Deno.test("Protocol takes empty messages of every form (RFC 7692 section 7.2.3.6)", () => {
  const forms = ["00", "000000ffff00", "0200", "0300", "030000", "010000ffff", "010000ffff00"];
  for (const role of roles) {
    for (const form of [...forms, ""]) {
      for (const agreed of [{}, NO_CONTEXT]) {
        assertEvents(
          role,
          concat(
            compressedFrame(role, deflated("Hello")),
            compressedFrame(role, hex(form)),
            ...fragments(role, BINARY, hex(form), [0, 1, 0], RSV1),
            compressedFrame(role, deflated("Hello")),
          ),
          [HELLO, ["message", ""], ["message", bytesOf("")], HELLO],
          (role) => ({ deflate: codec(role, agreed) }),
          form,
        );
      }
    }
  }
});

Deno.test("Protocol takes control frames between compressed fragments (RFC 7692 section 6.1)", () => {
  for (const role of roles) {
    const payload = deflated(LONG);
    const frames = fragments(role, TEXT, payload, [10, 10, 500], RSV1);
    const bytes = concat(...frames.flatMap((bytes) => [bytes, frame(role, PING, "?")]));
    const ping: Seen = ["ping", bytesOf("?")];
    assertEvents(role, bytes, [ping, ping, ping, ["message", LONG], ping], compressing);
  }
});

Deno.test("Protocol takes messages that are not compressed among those that are (RFC 7692 section 6)", async () => {
  for (const role of roles) {
    using peer = new ZlibPeer();
    const bytes = concat(
      compressedFrame(role, await peer.compress("Hello")),
      frame(role, TEXT, "Hello"),
      ...fragments(role, TEXT, "Hello", [2]),
      compressedFrame(role, await peer.compress("Hello")),
    );
    assertEvents(role, bytes, [HELLO, HELLO, HELLO, HELLO], compressing);
  }
});

Deno.test("Protocol keeps the peer's context from message to message (RFC 7692 section 7.2.2)", async () => {
  for (const role of roles) {
    for (const windowBits of [8, 9, 12, 15]) {
      // With a window of 9 bits zlib refers no farther back than one of 8 reaches.
      using peer = new ZlibPeer({ deflate: Math.max(windowBits, 9) });
      const payloads = [
        await peer.compress(LONG),
        await peer.compress(LONG),
        await peer.compress(""),
        await peer.compress(LONG.slice(-400)),
      ];
      if (windowBits === 15) assertLess(payloads[1]!.length, payloads[0]!.length / 10);
      const bytes = concat(
        ...payloads.flatMap((payload, i) => fragments(role, TEXT, payload, [i * 7], RSV1)),
      );
      const options = (role: Role) => ({
        deflate: codec(role, { [`${other(role)}MaxWindowBits`]: windowBits }),
      });
      assertEvents(
        role,
        bytes,
        [LONG, LONG, "", LONG.slice(-400)].map((text) => ["message", text]),
        options,
      );
    }
  }
});

Deno.test("Protocol fails with 1007 on what refers to a message before it, where that was ruled out (RFC 7692 section 7.1.1)", () => {
  // RFC 7692 section 7.2.3.2: the second refers to the first.
  for (const role of roles) {
    const first = compressedFrame(role, hex("f248cdc9c90700"));
    const bytes = concat(first, compressedFrame(role, hex("f200110000")));
    const noContext = (agreed: object) => (role: Role) => ({ deflate: codec(role, agreed) });
    const peers = { [`${other(role)}NoContextTakeover`]: true };
    const failure = failsAt(role, bytes, noContext(peers)(role));
    assertEquals(failure?.code, 1007);
    assertFails(role, bytes, failure!.at, 1007, noContext(peers));
    // One's own promise is not the peer's.
    const own = { [`${role}NoContextTakeover`]: true };
    assertEvents(role, bytes, [HELLO, HELLO], noContext(own));
  }
});

Deno.test("Protocol fails with 1007 on what refers to a message beyond the agreed window (RFC 7692 section 7.1.2)", async () => {
  const random = randomBytes(100);
  for (const role of roles) {
    using peer = new ZlibPeer();
    const messages = [concat(random, randomBytes(1000)), random];
    const frames: Uint8Array[] = [];
    for (const message of messages) {
      frames.push(compressedFrame(role, await peer.compress(message), BINARY));
    }
    const bytes = concat(...frames);
    const windowed = (side: Role) => ({
      deflate: codec(role, { [`${side}MaxWindowBits`]: 10 }),
    });
    assertEquals(eventsOf(role, bytes, windowed(other(role))).at(-1), ["failure", 1007]);
    // One's own window is not the peer's.
    assertEquals(eventsOf(role, bytes, windowed(role)), messages.map((data) => ["message", data]));
  }
});

Deno.test("Protocol fails with 1007 on what is not DEFLATE, at once (RFC 7692 section 7.2.2)", () => {
  for (const role of roles) {
    for (const agreed of [{}, NO_CONTEXT]) {
      const options = (role: Role) => ({ deflate: codec(role, agreed) });
      // A block of the type that is none.
      assertFails(role, compressedFrame(role, hex("07aaaaaa")), header(role) + 1, 1007, options);
      // A stored block whose lengths differ.
      const stored = compressedFrame(role, hex("00 0500 0000 48656c6c6f 00"));
      assertFails(role, stored, header(role) + 5, 1007, options);
      // In the second fragment.
      const [first, second] = fragments(
        role,
        TEXT,
        concat(deflated("Hello"), hex("07aa")),
        [7],
        RSV1,
      );
      const driver = new Driver(role, options(role)).feed(first!);
      assertEquals(driver.events, []);
      assertEquals(driver.feed(second!).events, [["failure", 1007]]);
      driver[Symbol.dispose]();
    }
  }
});

Deno.test("Protocol fails with 1007 on a message that ends inside a block (RFC 7692 section 7.2.2)", () => {
  for (const role of roles) {
    for (const payload of [hex("f248cd"), hex("f2"), hex("000500faff4865"), hex("f248cdc9c9")]) {
      const bytes = compressedFrame(role, payload);
      assertFails(role, bytes, bytes.length, 1007, compressing);
    }
  }
});

Deno.test("Protocol fails with 1007 at the byte that proves that compressed text is no UTF-8 (RFC 6455 section 8.1)", () => {
  for (const role of roles) {
    for (const invalid of INVALID_UTF8) {
      const start = concat(bytesOf("Hé"), hex(invalid));
      const text = concat(start, bytesOf("more and more"));
      // A stored block: each byte of text comes with one byte of payload.
      const stored = compressedFrame(role, deflated(text, { level: 0 }));
      assertFails(role, stored, header(role) + 5 + start.length, 1007, compressing, invalid);

      for (const options of [{ strategy: constants.Z_FIXED }, { level: 9 }]) {
        const payload = deflated(text, options);
        const proof = earliestProof(payload);
        assertLess(proof, payload.length - 3);
        assertFails(
          role,
          compressedFrame(role, payload),
          header(role) + proof,
          1007,
          compressing,
          invalid,
        );
        // In fragments of a byte.
        const frames = fragments(role, TEXT, payload, [...payload].map(() => 1), RSV1);
        assertFails(
          role,
          concat(...frames),
          proof * (header(role) + 1),
          1007,
          compressing,
          invalid,
        );
      }
    }
    // Text that ends inside a character.
    const bytes = compressedFrame(role, deflated(hex("61 e2 82")));
    assertFails(role, bytes, bytes.length, 1007, compressing);
  }
});

/** How many bytes of DEFLATE it takes for zlib to give a byte that proves that text is no UTF-8. */
function earliestProof(payload: Uint8Array): number {
  for (let length = 1; length <= payload.length; length++) {
    const text = inflateRawSync(payload.subarray(0, length), {
      finishFlush: constants.Z_SYNC_FLUSH,
    });
    if (firstInvalidUtf8(text) !== -1) return length;
  }
  throw new Error("there is no proof");
}

Deno.test("Protocol fails with 1009 on a message that decompresses to too much (RFC 6455 section 7.4.1)", () => {
  for (const role of roles) {
    for (const opcode of [TEXT, BINARY]) {
      const options = (role: Role) => ({ deflate: codec(role), maxMessageSize: 100 });
      const stored = (size: number) =>
        compressedFrame(role, deflated("a".repeat(size), { level: 0 }), opcode);
      const message: Message = opcode === TEXT ? "a".repeat(100) : new Uint8Array(100).fill(97);
      assertEvents(role, concat(stored(100), stored(100)), [
        ["message", message],
        ["message", message],
      ], options);
      // At the byte of payload that is one too many.
      assertFails(role, stored(101), header(role) + 5 + 101, 1009, options);
      const fragmented = fragments(
        role,
        opcode,
        deflated("a".repeat(101), { level: 0 }),
        [5 + 60],
        RSV1,
      );
      const at = header(role) + 5 + 60 + header(role) + 41;
      assertFails(role, concat(...fragmented), at, 1009, options);
    }
    // The payload may be longer than the message may: DEFLATE is not always shorter.
    const empty = concat(hex("00"), ...Array(50).fill(hex("0000ffff00")));
    assertEvents(role, compressedFrame(role, empty), [["message", ""]], (role) => ({
      deflate: codec(role),
      maxMessageSize: 0,
    }));
  }
});

Deno.test("Protocol fails with the first of two faults, however the message came", () => {
  const stored = (payload: Payload) => concat(deflated(payload, { level: 0 }));
  const a = (count: number) => bytesOf("a".repeat(count));
  const cases: [name: string, payload: Uint8Array, code: number][] = [
    ...[0, 1, 50, 99].map((count) =>
      [`${count}, no UTF-8`, stored(concat(a(count), [0xff], a(200))), 1007] as const
    ),
    ...[100, 101].map((count) =>
      [`${count}, no UTF-8`, stored(concat(a(count), [0xff], a(200))), 1009] as const
    ),
    ["a character across the limit", stored(concat(a(99), bytesOf("é"), a(200))), 1009],
    ["100, no DEFLATE", concat(stored(a(100)), [0x07, 0]), 1007],
    ["101, no DEFLATE", concat(stored(a(101)), [0x07, 0]), 1009],
    ["5000, no DEFLATE", concat(stored(a(5000)), [0x07, 0]), 1009],
  ] as [string, Uint8Array, number][];
  for (const role of roles) {
    const options = () => ({ deflate: codec(role), maxMessageSize: 100 });
    for (const [name, payload, code] of cases) {
      for (const sizes of [[], [1], [60]]) {
        const bytes = concat(...fragments(role, TEXT, payload, sizes, RSV1));
        assertEquals(eventsOf(role, bytes, options()), [["failure", code]], name);
        assertEquals(failsAt(role, bytes, options())?.code, code, name);
      }
    }
  }
});

Deno.test("Protocol stops at the limit of a message that decompresses to a thousand times its size", () => {
  const bomb = deflated(new Uint8Array(64 * 1024 * 1024).fill(97), { level: 9 });
  assertLess(bomb.length, 70_000);
  for (const role of roles) {
    for (const opcode of [TEXT, BINARY]) {
      const limited = () => ({ deflate: codec(role), maxMessageSize: 1024 * 1024 });
      const bytes = compressedFrame(role, bomb, opcode);
      const failure = failsAt(role, bytes, limited());
      assertEquals(failure?.code, 1009);
      // 1 MiB is a thousandth of it, and then no more is looked at.
      assertLess(failure!.at, 1200);

      using driver = new Driver(role, limited());
      assertLess(memoryOf(() => driver.feed(bytes)), 6 * 1024 * 1024);
      assertEquals(driver.events, [["failure", 1009]]);
    }
    // Without a limit in its way it is a message.
    const all = eventsOf(role, compressedFrame(role, bomb), {
      deflate: codec(role),
      maxMessageSize: 64 * 1024 * 1024,
    });
    assertEquals([all.length, (all[0]![1] as string).length], [1, 64 * 1024 * 1024]);
  }
});

Deno.test("Protocol keeps the messages of several connections apart, half received ones too", () => {
  const texts = ["one", "two", "three", "four"].map((word) => `${word} `.repeat(300));
  for (const agreed of [{}, NO_CONTEXT]) {
    const drivers = texts.map(() => new Driver("server", { deflate: codec("server", agreed) }));
    const bytes = texts.map((text) => compressedFrame("server", deflated(text)));
    for (let round = 0; round < 3; round++) {
      for (const [from, to] of [[0, 7], [7, 12], [12, undefined]]) {
        drivers.forEach((driver, i) => driver.feed(bytes[i]!.subarray(from, to)));
      }
    }
    drivers.forEach((driver, i) => {
      assertEquals(driver.events, Array<Seen>(3).fill(["message", texts[i]!]));
      driver[Symbol.dispose]();
    });
  }
});

Deno.test("Protocol gives nothing of a connection that broke to the next", () => {
  for (let i = 0; i < 3; i++) {
    using broken = new Driver("server", { deflate: codec("server", NO_CONTEXT) });
    broken.feed(compressedFrame("server", concat(deflated(LONG).subarray(0, 99), hex("ff"))));
    using unfinished = new Driver("server", { deflate: codec("server", NO_CONTEXT) });
    unfinished.feed(compressedFrame("server", deflated(LONG)).subarray(0, 99));
    using next = new Driver("server", { deflate: codec("server", NO_CONTEXT) });
    next.feed(compressedFrame("server", deflated("Hello")));
    assertEquals(next.events, [HELLO]);
  }
});

Deno.test("Protocol.send compresses messages with RSV1 on them (RFC 7692 sections 6 and 7.2.1)", async () => {
  for (const role of roles) {
    for (const agreed of [{}, NO_CONTEXT]) {
      for (const threshold of [0, 64, 1000]) {
        using driver = new Driver(role, { deflate: codec(role, agreed, { threshold }) });
        using peer = new ZlibPeer();
        for (
          const text of ["", "a", "é".repeat(32), "a".repeat(63), LONG, "€".repeat(30_000), ""]
        ) {
          for (const data of [text, bytesOf(text)]) {
            const size = bytesOf(text).length;
            driver.protocol.send(data, true);
            assertEquals(driver.protocol.messageBytes, size);
            const frames = driver.takeFrames();
            assertEquals(frames.length, 1);
            const [sent] = frames;
            assertEquals([sent!.fin, sent!.opcode], [
              true,
              typeof data === "string" ? TEXT : BINARY,
            ]);
            assertEquals(sent!.rsv, size >= threshold ? RSV1 : 0, `${size} of ${threshold}`);
            const payload = sent!.rsv ? await peer.decompress(sent!.payload) : sent!.payload;
            assertEquals(payload, bytesOf(text));
            if (size > 1000) assertLess(sent!.payload.length, size / 2);
          }
        }
      }
    }
  }
});

Deno.test("Protocol.send does not compress what it is told not to, nor without agreement (RFC 7692 section 6)", () => {
  for (const role of roles) {
    using agreed = new Driver(role, { deflate: codec(role) });
    agreed.protocol.send(LONG, false);
    agreed.protocol.send(bytesOf(LONG), false);
    agreed.protocol.sendPrepared(prepare(LONG), false);
    agreed.protocol.ping(new Uint8Array(100));
    agreed.protocol.close(1000, "a".repeat(100));
    using without = new Driver(role);
    without.protocol.send(LONG, true);
    without.protocol.sendPrepared(prepare(LONG), true);
    for (const { rsv } of [...agreed.takeFrames(), ...without.takeFrames()]) assertEquals(rsv, 0);
  }
});

Deno.test("Protocol.send writes one frame of a message that compression makes longer", () => {
  for (const role of roles) {
    using driver = new Driver(role, { deflate: codec(role) });
    // Random bytes grow by some: across the borders of the header's length.
    for (
      const size of [118, 119, 120, 121, 125, 126, 65_520, 65_525, 65_530, 65_535, 65_536, 200_000]
    ) {
      const bytes = randomBytes(size);
      driver.protocol.send(bytes, true);
      const sent = driver.takeOutput();
      assertEquals(eventsOf(other(role), sent, { deflate: codec(other(role)) }), [[
        "message",
        bytes,
      ]]);
      driver.protocol.send("x".repeat(size), true);
      driver.takeOutput();
    }
  }
});

// Properties

/** Places to cut bytes at. */
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });

function placesIn(bytes: Uint8Array, fractions: number[]): number[] {
  return fractions.map((fraction) => Math.floor(fraction * bytes.length)).sort((a, b) => a - b);
}

/** What becomes of a connection. */
function outcome(role: Role, options: DriverOptions, feed: (driver: Driver) => void) {
  using driver = new Driver(role, options);
  feed(driver);
  const { closing, closedCleanly, receivingEnded } = driver.protocol;
  return {
    events: driver.events,
    // Masks are random.
    sent: driver.takeFrames().map(({ opcode, payload }) => [opcode, payload]),
    state: { closing, closedCleanly, receivingEnded },
  };
}

const messageSize = fc.oneof(
  { weight: 8, arbitrary: fc.nat(200) },
  { weight: 1, arbitrary: fc.constantFrom(125, 126, 2048, 16_384, 20_000, 65_535, 65_536, 66_000) },
);

/** A message's text, or bytes. */
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 60 }),
  fc.tuple(messageSize, fc.constantFrom("a", "é", "€", "😀", '{"a":1}')).map(([size, unit]) =>
    unit.repeat(Math.ceil(size / bytesOf(unit).length)).slice(0, size)
  ),
  fc.tuple(messageSize, fc.nat(255), fc.constantFrom(0, 1, 7919)).map(([size, start, step]) =>
    Uint8Array.from({ length: size }, (_, i) => start + i * step + (i * step >> 8))
  ),
);

/** What a peer may send to a receiver: frames that follow each other, most of them in order. */
interface Sent {
  message: Message;
  compressed: boolean;
  sizes: number[];
  control: number;
}
const sent: fc.Arbitrary<Sent> = fc.record({
  message,
  compressed: fc.boolean(),
  sizes: fc.array(fc.nat(300), { maxLength: 4 }),
  control: fc.constantFrom(0, PING, PONG),
});

function framesOf(role: Role, messages: Sent[], deflates: boolean): Uint8Array<ArrayBuffer> {
  return concat(...messages.flatMap(({ message, compressed, sizes, control }) => {
    const opcode = typeof message === "string" ? TEXT : BINARY;
    const zip = compressed && deflates;
    const payload = zip ? deflated(message) : bytesOf(message);
    const frames = fragments(role, opcode, payload, sizes, zip ? RSV1 : 0);
    return control === 0 ? frames : frames.flatMap((bytes) => [frame(role, control, "?"), bytes]);
  }));
}

/** What each call of `next` may do, over and over. */
const allowances = fc.array(fc.oneof(fc.constant(1), fc.nat(5000), fc.nat(200_000)), {
  minLength: 1,
  maxLength: 5,
});

function inTurn(values: number[]): () => number {
  let i = 0;
  return () => Math.max(1, values[i++ % values.length]!);
}

/** A byte of the peer's that is not as it should be. */
const damage = fc.option(
  fc.record({
    where: fc.double({ min: 0, max: 1, noNaN: true }),
    value: fc.integer({ min: 1, max: 255 }),
  }),
);

Deno.test("Protocol gives the same events whole, byte by byte, cut anywhere and with any allowance", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...roles),
      fc.array(sent, { minLength: 1, maxLength: 4 }),
      fc.constantFrom("plain", "context", "no context"),
      fc.boolean(),
      damage,
      fc.constantFrom(1000, 1_000_000),
      cuts,
      allowances,
      (role, messages, mode, closes, damage, maxMessageSize, fractions, allowances) => {
        const deflates = mode !== "plain";
        const bytes = concat(
          framesOf(role, messages, deflates),
          closes ? frame(role, CLOSE, closePayload(1001, "bye")) : [],
          closes ? frame(role, TEXT, "after") : [],
        );
        if (damage !== null) {
          const at = Math.min(Math.floor(damage.where * bytes.length), bytes.length - 1);
          bytes[at]! ^= damage.value;
        }
        const of = (feed: (driver: Driver) => void, allowance = () => Infinity) => {
          const agreed = mode === "context" ? {} : NO_CONTEXT;
          const deflate = deflates ? codec(role, agreed) : undefined;
          const result = outcome(role, { deflate, maxMessageSize, allowance }, feed);
          const last = result.events.at(-1);
          // What zlib made of the bytes before those that it refuses is lost with them: whether that was
          // no UTF-8 is known only if it came before. The code is the same, the reason is not.
          if (deflates && last?.[0] === "failure" && last[1] === 1007) result.sent.pop();
          return result;
        };
        const whole = of((driver) => driver.feed(bytes));
        assertEquals(of((driver) => driver.feed(bytes, placesIn(bytes, fractions))), whole);
        assertEquals(of((driver) => driver.receive(bytes)), whole);
        const limited = inTurn(allowances);
        assertEquals(of((driver) => driver.feed(bytes), limited), whole);
        assertEquals(
          of((driver) => driver.feed(bytes, placesIn(bytes, fractions)), limited),
          whole,
        );
        if (bytes.length < 5000) assertEquals(of((driver) => driver.feedBytewise(bytes)), whole);
        if (damage !== null || maxMessageSize === 1000) return;

        // Nothing is wrong: all of it has come.
        const expected: Seen[] = messages.flatMap(({ message, sizes, control }) => {
          const type = control === PING ? "ping" : "pong";
          const controls = Array<Seen>(control === 0 ? 0 : sizes.length + 1).fill([
            type,
            bytesOf("?"),
          ]);
          // Lone surrogates become U+FFFD.
          const data = typeof message === "string" ? message.toWellFormed() : message;
          return [...controls, ["message", data] as Seen];
        });
        if (closes) expected.push(["close", 1001, "bye"]);
        assertEquals(whole.events, expected);
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("Protocol gives long messages the same with any allowance", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...roles),
      fc.integer({ min: 60_000, max: 3_000_000 }),
      fc.constantFrom("a", "é", "€uro ", "😀", "\ufffd?"),
      fc.boolean(),
      fc.boolean(),
      fc.option(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })),
      fc.array(fc.integer({ min: 1, max: 700_000 }), { maxLength: 4 }),
      allowances,
      (role, size, unit, text, compressed, fault, sizes, allowances) => {
        const payload = bytesOf(unit.repeat(Math.ceil(size / bytesOf(unit).length)));
        // A byte that no UTF-8 has, for binary a byte like others.
        if (fault !== null) payload[Math.floor(fault * payload.length)] = 0xff;
        const opcode = text ? TEXT : BINARY;
        const bytes = concat(
          ...fragments(
            role,
            opcode,
            compressed ? deflated(payload) : payload,
            sizes,
            compressed ? RSV1 : 0,
          ),
          frame(role, TEXT, "next"),
        );
        const of = (allowance: () => number) =>
          eventsOf(role, bytes, { deflate: codec(role), allowance });
        const expected: Seen[] = fault !== null && text ? [["failure", 1007]] : [
          ["message", text ? new TextDecoder().decode(payload) : payload],
          ["message", "next"],
        ];
        // Compared by assert, as the difference of two such messages takes minutes to be written down.
        for (const allowance of [() => Infinity, inTurn(allowances)]) {
          const events = of(allowance);
          assertEquals(events.length, expected.length);
          events.forEach(([type, data], i) => {
            assertEquals(type, expected[i]![0]);
            const wanted = expected[i]![1];
            if (typeof data === "object" && typeof wanted === "object") {
              assertEquals(Buffer.compare(data, wanted), 0);
            } else assert(data === wanted);
          });
        }
      },
    ),
    { numRuns: 60 },
  );
});

// Work

/** The largest parts of each call of `next` with this allowance, while all of `bytes` is taken. */
function workOf(
  bytes: Uint8Array,
  allowance: number,
  maxMessageSize = 64 * 1024 * 1024,
): { events: number; steps: number; calls: number; inflated: number; counted: number } {
  const worst = { events: 0, steps: 0, calls: 0, inflated: 0, counted: 0 };
  let calls = 0;
  let inflated = 0;
  withZlib((stream) => {
    const { writeSync } = stream._handle;
    stream._handle.writeSync = (...args) => {
      writeSync.apply(stream._handle, args);
      calls++;
      inflated += args[6] - stream._writeState[0]!;
    };
    return stream;
  }, () => {
    using driver = new Driver("client", { deflate: codec("client"), maxMessageSize });
    const { protocol } = driver;
    for (let at = 0; at < bytes.length; at += 65_536) {
      protocol.receive(bytes.slice(at, at + 65_536));
      do {
        calls = inflated = 0;
        protocol.allowance = allowance;
        const event = protocol.next();
        worst.steps++;
        worst.calls = Math.max(worst.calls, calls);
        worst.inflated = Math.max(worst.inflated, inflated);
        worst.counted = Math.max(worst.counted, allowance - protocol.allowance);
        if (event !== undefined) worst.events++;
        else if (!protocol.stopped) break;
      } while (true);
      protocol.keepInput();
    }
  });
  return worst;
}

Deno.test("Protocol.next does no more than its allowance and one step, whatever the peer sends", () => {
  const allowance = 100_000;
  const bomb = compressedFrame("client", deflated(new Uint8Array(4_000_000), { level: 9 }), BINARY);
  const inflating = workOf(bomb, allowance);
  assertEquals(inflating.events, 1);
  assertLess(inflating.inflated, allowance + 65_537);
  assertGreater(inflating.inflated, allowance - 1);
  assertGreater(inflating.steps, 4_000_000 / (allowance + 65_537));

  // Blocks that give nothing: streams that end at once, and stored blocks of no bytes.
  for (const block of [hex("0300"), hex("000000ffff")]) {
    const empty = concat(...Array<Uint8Array>(30_000).fill(block));
    const idle = workOf(compressedFrame("client", concat(empty, hex("00"))), allowance);
    assertEquals([idle.events, idle.inflated], [1, 0]);
    assertLess(idle.calls, allowance / 100 + 2);
    assertGreater(idle.steps, 1);
  }

  // Fragments without payload, pings, and messages of no bytes.
  const many = (frame: Uint8Array) => concat(...Array<Uint8Array>(20_000).fill(frame));
  const fragmented = concat(hex("0100"), many(hex("0000")), hex("8000"));
  const fragmentedWork = workOf(fragmented, allowance);
  assertEquals(fragmentedWork.events, 1);
  // A frame counts as 1000.
  assertGreater(fragmentedWork.steps, 20_000 / (allowance / 1000 + 1));
  for (const frame of [hex("8900"), hex("8100"), hex("8200")]) {
    assertEquals(workOf(many(frame), allowance).events, 20_000);
    // One after the other, they use up what a caller gives for all of them.
    assertEquals(workOf(frame, allowance).counted, 1000);
  }

  // A long text is decoded in steps.
  const text = "€".repeat(2_000_000);
  const decoding = workOf(concat(...fragments("client", TEXT, text, [1])), 1);
  assertEquals(decoding.events, 1);
  assertLess(decoding.counted, 600_000);
  assertGreater(decoding.steps, 6_000_000 / 65_536 + 6_000_000 / 524_288);
});

/** An agreement, and what each side is set to. */
const connection = fc.option(
  fc.record({
    agreed: fc.record({
      serverNoContextTakeover: fc.boolean(),
      clientNoContextTakeover: fc.boolean(),
      serverMaxWindowBits: fc.integer({ min: 9, max: 15 }),
      clientMaxWindowBits: fc.integer({ min: 8, max: 15 }),
    }),
    options: fc.record({
      level: fc.integer({ min: 1, max: 9 }),
      memLevel: fc.integer({ min: 1, max: 9 }),
      threshold: fc.constantFrom(0, 64, 1000),
    }) satisfies fc.Arbitrary<CompressionOptions>,
  }),
);

Deno.test("Protocol receives what Protocol.send, sendPrepared, ping and close wrote, for every agreement", () => {
  let compressed = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...roles),
      connection,
      fc.array(
        fc.oneof(
          {
            weight: 4,
            arbitrary: fc.record({
              message,
              compress: fc.boolean(),
              times: fc.integer({ min: 1, max: 3 }),
            }),
          },
          {
            weight: 1,
            arbitrary: fc.record({ prepared: message, times: fc.integer({ min: 1, max: 3 }) }),
          },
          { weight: 1, arbitrary: fc.record({ ping: fc.uint8Array({ maxLength: 125 }) }) },
        ),
        { minLength: 1, maxLength: 6 },
      ),
      cuts,
      (role, connection, actions, fractions) => {
        const codecOf = (role: Role) =>
          connection === null ? undefined : codec(role, connection.agreed, connection.options);
        using sender = new Driver(role, { deflate: codecOf(role) });
        using receiver = new Driver(other(role), { deflate: codecOf(other(role)) });
        const { protocol } = sender;
        const expected: Seen[] = [];
        /** The first long message that is compressed, and those after it: pings go before them. */
        const waiting: Seen[] = [];
        for (const action of actions) {
          if ("ping" in action) {
            protocol.ping(action.ping);
            expected.push(["ping", new Uint8Array(action.ping)]);
            continue;
          }
          const data = "message" in action ? action.message : action.prepared;
          // Lone surrogates become U+FFFD.
          const seen = typeof data === "string" ? data.toWellFormed() : data;
          const prepared = "prepared" in action ? prepare(data) : undefined;
          for (let i = 0; i < action.times; i++) {
            const before = protocol.messageBytes;
            if ("message" in action) protocol.send(data, action.compress);
            else protocol.sendPrepared(prepared!, true);
            assertEquals(protocol.messageBytes - before, bytesOf(data).length);
            (protocol.busy ? waiting : expected).push(["message", seen]);
          }
        }
        protocol.close(4999, "the end");
        expected.push(...waiting, ["close", 4999, "the end"]);
        const bytes = sender.takeOutput();
        receiver.feed(bytes, placesIn(bytes, fractions));
        assertEquals(receiver.events, expected);
        compressed += (bytes[0]! & RSV1) === 0 ? 0 : 1;
        // The answer closes the other side.
        sender.feed(receiver.takeOutput());
        assertEquals(sender.events.at(-1), ["close", 4999, ""]);
        assertEquals([protocol.closedCleanly, receiver.protocol.closedCleanly], [true, true]);
      },
    ),
    { numRuns: 300 },
  );
  // Else the property says nothing of compression.
  assertGreater(compressed, 30);
});

Deno.test("Protocol.send is understood by zlib in every agreed window (RFC 7692 section 7.1.2)", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...roles),
      fc.integer({ min: 9, max: 15 }),
      fc.boolean(),
      fc.array(fc.tuple(message, fc.boolean()), { minLength: 1, maxLength: 6 }),
      async (role, windowBits, fresh, messages) => {
        const agreed = agreement({
          [`${role}MaxWindowBits`]: windowBits,
          [`${role}NoContextTakeover`]: fresh,
        });
        using driver = new Driver(role, { deflate: codec(role, agreed, { level: 6 }) });
        using keeping = new ZlibPeer({ inflate: windowBits });
        for (const [data, prepared] of messages) {
          if (prepared) driver.protocol.sendPrepared(prepare(data), true);
          else driver.protocol.send(data, true);
          const [sent] = driver.takeFrames();
          assertEquals(sent!.rsv, RSV1);
          using forgetting = new ZlibPeer({ inflate: windowBits });
          const peer = fresh ? forgetting : keeping;
          assertEquals(await peer.decompress(sent!.payload), bytesOf(data));
        }
      },
    ),
    { numRuns: 60 },
  );
});

/** Frames in no order, and bytes that are none. */
const garbage = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.record({
      opcode: fc.nat(15),
      rsv: fc.constantFrom(0, 0, RSV1, RSV1, RSV2),
      fin: fc.boolean(),
      masked: fc.option(fc.boolean(), { nil: undefined }),
      payload: fc.oneof(
        fc.uint8Array({ maxLength: 140 }),
        fc.string({ unit: "binary", maxLength: 60 }).map(deflated),
      ),
    }),
  ),
  { maxLength: 12 },
);

Deno.test("Protocol throws nothing and ends, whatever comes", () => {
  const codes = new Map<number, number>();
  fc.assert(
    fc.property(
      fc.constantFrom(...roles),
      garbage,
      fc.constantFrom(undefined, {}, NO_CONTEXT),
      fc.constantFrom(0, 50, 1000),
      cuts,
      (role, pieces, agreed, maxMessageSize, fractions) => {
        const bytes = concat(...pieces.map((piece) => {
          if (piece instanceof Uint8Array) return piece;
          const { opcode, payload, masked, ...rest } = piece;
          return frame(role, opcode, payload, masked === undefined ? rest : { masked, ...rest });
        }));
        const deflate = agreed && codec(role, agreed);
        using driver = new Driver(role, { deflate, maxMessageSize });
        driver.feed(bytes, placesIn(bytes, fractions));
        // What it wrote is well formed, and a Close frame is the last of it.
        const opcodes = driver.takeFrames().map(({ opcode }) => opcode);
        const { closing, receivingEnded } = driver.protocol;
        assertEquals(opcodes.slice(0, -1).includes(CLOSE), false);
        assertEquals(opcodes.at(-1) === CLOSE, closing !== Closing.NONE);
        assertEquals(receivingEnded, closing !== Closing.NONE);
        for (const [type, value] of driver.events) {
          if (type !== "failure") continue;
          assert([1002, 1007, 1009].includes(value as number));
          codes.set(value as number, (codes.get(value as number) ?? 0) + 1);
        }
      },
    ),
    { numRuns: 1500 },
  );
  // Else the property says nothing.
  assertEquals([...codes.keys()].sort(), [1002, 1007, 1009]);
});
