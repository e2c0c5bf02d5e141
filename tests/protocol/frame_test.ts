import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  applyMask,
  CloseCode,
  closePayload,
  firstByte,
  FrameHeader,
  headerSize,
  isSendableCode,
  MAX_CLOSE_REASON,
  MAX_CONTROL_PAYLOAD,
  MAX_HEADER,
  Opcode,
  readClosePayload,
  writeHeader,
} from "../../protocol/frame.ts";
import { ProtocolError } from "../../protocol/protocol_error.ts";
import { concat, hex } from "./driver.ts";

Deno.test("Opcode has the values of the registry (RFC 6455 section 11.8)", () => {
  assertEquals({ ...Opcode }, {
    CONTINUATION: 0,
    TEXT: 1,
    BINARY: 2,
    CLOSE: 8,
    PING: 9,
    PONG: 10,
  });
});

Deno.test("CloseCode has the values of the registry (RFC 6455 section 7.4.1)", () => {
  assertEquals({ ...CloseCode }, {
    NORMAL: 1000,
    GOING_AWAY: 1001,
    PROTOCOL_ERROR: 1002,
    NO_STATUS: 1005,
    ABNORMAL: 1006,
    INVALID_PAYLOAD: 1007,
    POLICY_VIOLATION: 1008,
    MESSAGE_TOO_BIG: 1009,
    MANDATORY_EXTENSION: 1010,
    INTERNAL_ERROR: 1011,
    SERVICE_RESTART: 1012,
    TRY_AGAIN_LATER: 1013,
  });
});

Deno.test("MAX_CONTROL_PAYLOAD, MAX_CLOSE_REASON and MAX_HEADER are RFC 6455's (sections 5.2, 5.5)", () => {
  assertEquals([MAX_CONTROL_PAYLOAD, MAX_CLOSE_REASON, MAX_HEADER], [125, 123, 14]);
});

Deno.test("ProtocolError carries the close code", () => {
  const error = new ProtocolError(1007, "NOT_UTF8", "Cannot do it");
  assertInstanceOf(error, Error);
  assertEquals([error.name, error.code, error.message], ["ProtocolError", 1007, "Cannot do it"]);
});

/** What a header says, with the bytes it takes. */
function read(bytes: Uint8Array, start = 0, end = bytes.length) {
  const header = new FrameHeader();
  return { size: header.read(bytes, start, end), ...header };
}

Deno.test("FrameHeader.read reads the examples of RFC 6455 section 5.7", () => {
  const blank = {
    rsv1: false,
    rsv23: false,
    minimal: true,
    mask: 0,
  };
  const mask = 0x37fa213d;
  const examples: [bytes: string, expected: Partial<ReturnType<typeof read>>][] = [
    ["8105", { size: 2, fin: true, opcode: Opcode.TEXT, masked: false, length: 5 }],
    ["818537fa213d", { size: 6, fin: true, opcode: Opcode.TEXT, masked: true, length: 5, mask }],
    ["0103", { size: 2, fin: false, opcode: Opcode.TEXT, masked: false, length: 3 }],
    ["8002", { size: 2, fin: true, opcode: Opcode.CONTINUATION, masked: false, length: 2 }],
    ["8905", { size: 2, fin: true, opcode: Opcode.PING, masked: false, length: 5 }],
    ["8a8537fa213d", { size: 6, fin: true, opcode: Opcode.PONG, masked: true, length: 5, mask }],
    ["827e0100", { size: 4, fin: true, opcode: Opcode.BINARY, masked: false, length: 256 }],
    ["827f0000000000010000", {
      size: 10,
      fin: true,
      opcode: Opcode.BINARY,
      masked: false,
      length: 65536,
    }],
  ];
  for (const [bytes, expected] of examples) {
    assertEquals(read(hex(bytes)), { ...blank, ...expected } as ReturnType<typeof read>, bytes);
  }
});

Deno.test("FrameHeader.read tells the reserved bits apart (RFC 6455 section 5.2)", () => {
  for (
    const [first, rsv1, rsv23] of [
      [0x81, false, false],
      [0xc1, true, false],
      [0xa1, false, true],
      [0x91, false, true],
      [0xf1, true, true],
    ] as const
  ) {
    const header = read(Uint8Array.of(first, 0));
    assertEquals([header.rsv1, header.rsv23], [rsv1, rsv23], first.toString(16));
  }
});

Deno.test("FrameHeader.read gives 0 for a part of a header, and the fields that have come", () => {
  const whole = hex("c2ff000000010203040537fa213d");
  for (let end = 0; end < whole.length; end++) {
    assertEquals(read(whole, 0, end).size, 0, `${end} bytes`);
  }
  assertEquals(read(whole).size, whole.length);
  assertEquals(read(whole).length, 0x1_0203_0405);
  assertEquals(read(whole).mask, 0x37fa213d);

  const first = read(whole, 0, 1);
  assertEquals([first.fin, first.rsv1, first.opcode], [true, true, Opcode.BINARY]);
  const second = read(hex("89fe"));
  assertEquals([second.masked, second.length], [true, 126]);
  assertEquals(read(whole, 0, 10).length, 0x1_0203_0405);
});

Deno.test("FrameHeader.read reads no further than the end, and from the start", () => {
  const bytes = hex("ffff 8105 ffff");
  const { size, length, masked } = read(bytes, 2, 4);
  assertEquals([size, length, masked], [2, 5, false]);
  assertEquals(read(bytes, 2, 2).size, 0);
  assertEquals(read(bytes, 2, 3).size, 0);
});

Deno.test("FrameHeader.read forgets the header before", () => {
  const header = new FrameHeader();
  header.read(hex("f2fe0001"), 0, 4);
  assertEquals([header.rsv1, header.rsv23, header.masked, header.minimal], [
    true,
    true,
    true,
    false,
  ]);
  assertEquals(header.read(hex("0103"), 0, 2), 2);
  assertEquals(
    [header.fin, header.rsv1, header.rsv23, header.masked, header.minimal, header.length],
    [false, false, false, false, true, 3],
  );
});

Deno.test("FrameHeader.read tells a length that is not in the fewest bytes (RFC 6455 section 5.2)", () => {
  for (
    const [bytes, length, minimal] of [
      ["817e0000", 0, false],
      ["817e007d", 125, false],
      ["817e007e", 126, true],
      ["817effff", 65535, true],
      ["817f000000000000007d", 125, false],
      ["817f000000000000ffff", 65535, false],
      ["817f0000000000010000", 65536, true],
      ["817f0000000100000000", 2 ** 32, true],
      ["817f001fffffffffffff", Number.MAX_SAFE_INTEGER, true],
    ] as const
  ) {
    const header = read(hex(bytes));
    assertEquals([header.length, header.minimal], [length, minimal], bytes);
  }
});

Deno.test("FrameHeader.read gives Infinity for a length with its highest bit set (RFC 6455 section 5.2)", () => {
  assertEquals(read(hex("817f8000000000000000")).length, Infinity);
  assertEquals(read(hex("817fffffffffffffffff")).length, Infinity);
  assertEquals(read(hex("817f7fffffffffffffff")).length, 2 ** 63);
  assertEquals(read(hex("817f0020000000000000")).length, 2 ** 53);
});

Deno.test("writeHeader() writes the examples of RFC 6455 section 5.7", () => {
  const write = (first: number, length: number, mask?: number) => {
    const bytes = new Uint8Array(MAX_HEADER + 1).fill(0xee);
    const end = writeHeader(bytes, 1, first, length, mask);
    assertEquals(bytes[0], 0xee);
    assertEquals(end, 1 + headerSize(length, mask !== undefined));
    return bytes.slice(1, end);
  };
  assertEquals(write(firstByte(Opcode.TEXT, false), 5), hex("8105"));
  assertEquals(write(firstByte(Opcode.TEXT, false), 5, 0x37fa213d), hex("818537fa213d"));
  assertEquals(write(firstByte(Opcode.BINARY, false), 256), hex("827e0100"));
  assertEquals(write(firstByte(Opcode.BINARY, false), 65536), hex("827f0000000000010000"));
  assertEquals(write(firstByte(Opcode.BINARY, false), 2 ** 32), hex("827f0000000100000000"));
  assertEquals(
    write(firstByte(Opcode.TEXT, true), 0x1_0203_0405, -1),
    hex("c1ff0000000102030405ffffffff"),
  );
});

Deno.test("writeHeader() takes the fewest bytes for a length (RFC 6455 section 5.2)", () => {
  for (
    const [length, size] of [
      [0, 2],
      [125, 2],
      [126, 4],
      [65535, 4],
      [65536, 10],
      [2 ** 32, 10],
      [Number.MAX_SAFE_INTEGER, 10],
    ] as const
  ) {
    const bytes = new Uint8Array(MAX_HEADER);
    assertEquals(writeHeader(bytes, 0, 0x82, length, undefined), size, String(length));
    assertEquals(writeHeader(bytes, 0, 0x82, length, 1), size + 4, String(length));
    assertEquals([headerSize(length, false), headerSize(length, true)], [size, size + 4]);
  }
});

Deno.test("FrameHeader.read reads what writeHeader() wrote", () => {
  fc.assert(
    fc.property(
      fc.record({
        opcode: fc.constantFrom(...Object.values(Opcode)),
        compressed: fc.boolean(),
        length: fc.oneof(
          fc.nat(300),
          fc.constantFrom(125, 126, 65535, 65536),
          fc.maxSafeNat(),
        ),
        mask: fc.option(fc.integer(), { nil: undefined }),
        before: fc.nat(9),
      }),
      ({ opcode, compressed, length, mask, before }) => {
        const bytes = new Uint8Array(before + MAX_HEADER);
        const end = writeHeader(bytes, before, firstByte(opcode, compressed), length, mask);
        assertEquals(read(bytes, before, end), {
          size: end - before,
          fin: true,
          rsv1: compressed,
          rsv23: false,
          opcode,
          masked: mask !== undefined,
          length,
          minimal: true,
          mask: mask ?? 0,
        });
        assertEquals(read(bytes, before, end - 1).size, 0);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("applyMask() unmasks the example of RFC 6455 section 5.7", () => {
  const bytes = hex("7f9f4d5158");
  applyMask(bytes, 0, 5, 0x37fa213d, 0);
  assertEquals(new TextDecoder().decode(bytes), "Hello");
});

Deno.test("applyMask() is octet i XOR mask octet i MOD 4 (RFC 6455 section 5.3)", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ size: "max", maxLength: 200 }),
      fc.nat(7),
      fc.nat(8),
      fc.nat(8),
      fc.integer(),
      fc.nat(),
      (payload, offset, before, after, mask, phase) => {
        const buffer = concat(new Uint8Array(offset), payload).buffer;
        const bytes = new Uint8Array(buffer, offset);
        const start = Math.min(before, payload.length);
        const end = Math.max(start, payload.length - after);
        applyMask(bytes, start, end, mask, phase);
        const octets = [mask >>> 24, mask >>> 16 & 255, mask >>> 8 & 255, mask & 255];
        const expected = payload.map((byte, i) =>
          i < start || i >= end ? byte : byte ^ octets[(phase % 4 + i - start) % 4]!
        );
        assertEquals(bytes, new Uint8Array(expected));
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("applyMask() piece by piece is applyMask() at once (RFC 6455 section 5.3)", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ size: "max", maxLength: 300 }),
      fc.array(fc.nat(300), { maxLength: 6 }),
      fc.integer(),
      (payload, cuts, mask) => {
        const whole = payload.slice();
        applyMask(whole, 0, whole.length, mask, 0);
        const pieces = payload.slice();
        let at = 0;
        for (const cut of [...cuts.sort((a, b) => a - b), payload.length]) {
          const end = Math.min(cut, payload.length);
          applyMask(pieces, at, end, mask, at);
          at = end;
        }
        assertEquals(pieces, whole);
      },
    ),
  );
});

Deno.test("isSendableCode() keeps to the ranges of RFC 6455 section 7.4", () => {
  const sendable: number[] = [];
  for (let code = 0; code <= 0xffff; code++) if (isSendableCode(code)) sendable.push(code);
  const range = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => from + i);
  // 1012 to 1014 have been registered since; 1004 is reserved, 1005, 1006 and 1015 stand for no code.
  assertEquals(sendable, [...range(1000, 1003), ...range(1007, 1014), ...range(3000, 4999)]);
});

Deno.test("readClosePayload() reads code and reason (RFC 6455 section 5.5.1)", () => {
  assertEquals(readClosePayload(hex("")), { code: 1005, reason: "" });
  assertEquals(readClosePayload(hex("03e8")), { code: 1000, reason: "" });
  assertEquals(readClosePayload(hex("1387 c3a9")), { code: 4999, reason: "é" });
  assertEquals(readClosePayload(hex("03e8 efbbbf")), { code: 1000, reason: "\ufeff" });
});

Deno.test("readClosePayload() refuses what no Close frame has (RFC 6455 sections 5.5.1, 7.4 and 8.1)", () => {
  const codeOf = (payload: Uint8Array) =>
    assertThrows(() => readClosePayload(payload), ProtocolError).code;
  for (const first of ["03", "0c", "13"]) assertEquals(codeOf(hex(first)), 1002, first);
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]) {
    assertEquals(codeOf(Uint8Array.of(code >> 8, code & 255)), 1002, String(code));
  }
  assertEquals(codeOf(hex("03e8 ff")), 1007);
  assertEquals(codeOf(hex("03e8 c3")), 1007);
  assertEquals(codeOf(hex("03e8 eda080")), 1007);
});

Deno.test("closePayload() is what readClosePayload() reads", () => {
  assertEquals(closePayload(1000, ""), hex("03e8"));
  assertEquals(closePayload(4000, "bye"), hex("0fa0 627965"));
  // RFC 6455 section 7.4.1: 1005 is never in a frame.
  assertEquals(closePayload(1005, ""), hex(""));
  fc.assert(
    fc.property(
      fc.integer({ min: 3000, max: 4999 }),
      fc.string({ unit: "grapheme", maxLength: 20 }),
      (code, reason) => {
        assertEquals(readClosePayload(closePayload(code, reason)), { code, reason });
      },
    ),
  );
});

Deno.test("closePayload() cuts a reason at a character, at most at 125 bytes (RFC 6455 section 5.5)", () => {
  assertEquals(readClosePayload(closePayload(1000, "a".repeat(200))).reason, "a".repeat(123));
  assertEquals(closePayload(1000, "a".repeat(123)).length, 125);
  assertEquals(readClosePayload(closePayload(1000, "é".repeat(100))).reason, "é".repeat(61));
  assertEquals(readClosePayload(closePayload(1000, "😀".repeat(100))).reason, "😀".repeat(30));
});
