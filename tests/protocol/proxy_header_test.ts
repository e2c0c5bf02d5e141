import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ProxyHeaderError, ProxyHeaderReader } from "../../protocol/proxy_header.ts";

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];

function latin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** A header of version 2. */
function second(
  command: number,
  family: number,
  rest: number[],
  length = rest.length,
): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...SIGNATURE, command, family, length >> 8, length & 255, ...rest]);
}

/** 192.0.2.1:49152 to 198.51.100.7:443. */
const IPV4 = [192, 0, 2, 1, 198, 51, 100, 7, 0xc0, 0x00, 0x01, 0xbb];
/** [2001:db8::1]:49152 to [::1]:443. */
const IPV6 = [
  ...[0x20, 0x01, 0x0d, 0xb8, ...Array(11).fill(0), 1],
  ...[...Array(15).fill(0), 1],
  ...[0xc0, 0x00, 0x01, 0xbb],
];

/** Reads a header and what follows it, in one piece. */
function read(bytes: Uint8Array) {
  const reader = new ProxyHeaderReader();
  const taken = reader.push(bytes);
  return { taken, client: reader.client };
}

/** Reads as a transport does that must take nothing of what follows. */
function readExactly(bytes: Uint8Array) {
  const reader = new ProxyHeaderReader();
  let at = 0;
  for (let reads = 0; reader.wanted > 0 && at < bytes.length; reads++) {
    const part = bytes.subarray(at, at + reader.wanted);
    at += part.length;
    assertEquals(reader.push(part) !== undefined, reader.wanted === 0);
    assert(reads < 60, "It takes a header in few reads");
  }
  return { taken: reader.wanted === 0 ? at : undefined, client: reader.client };
}

/** What an action throws, or gives. */
function outcome(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    assertInstanceOf(error, ProxyHeaderError);
    assertEquals(error.name, "ProxyHeaderError");
    return error.message;
  }
}

const WHOLE: [string, Uint8Array<ArrayBuffer>, { hostname: string; port: number } | undefined][] = [
  [
    "TCP4",
    latin1("PROXY TCP4 192.0.2.1 198.51.100.7 49152 443\r\n"),
    { hostname: "192.0.2.1", port: 49152 },
  ],
  ["shortest", latin1("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), { hostname: "1.1.1.1", port: 1 }],
  ["TCP6", latin1("PROXY TCP6 2001:DB8::1 ::1 0 65535\r\n"), { hostname: "2001:db8::1", port: 0 }],
  ["TCP6, short", latin1("PROXY TCP6 ::1 ::1 1 2\r\n"), { hostname: "::1", port: 1 }],
  [
    "TCP6, of IPv4",
    latin1("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"),
    { hostname: "192.0.2.1", port: 1 },
  ],
  ["UNKNOWN", latin1("PROXY UNKNOWN\r\n"), undefined],
  ["UNKNOWN with more", latin1("PROXY UNKNOWN ffff::1 a b c d e f\r\n"), undefined],
  ["longest", latin1(`PROXY UNKNOWN ${"f".repeat(91)}\r\n`), undefined],
  ["v2 TCP over IPv4", second(0x21, 0x11, IPV4), { hostname: "192.0.2.1", port: 49152 }],
  ["v2 UDP over IPv4", second(0x21, 0x12, IPV4), { hostname: "192.0.2.1", port: 49152 }],
  ["v2 TCP over IPv6", second(0x21, 0x21, IPV6), { hostname: "2001:db8::1", port: 49152 }],
  [
    "v2 with more behind the addresses",
    second(0x21, 0x11, [...IPV4, 0x04, 0x00, 0x02, 1, 2, ...Array(4000).fill(0x0d)]),
    { hostname: "192.0.2.1", port: 49152 },
  ],
  [
    "v2 of IPv4 in IPv6",
    second(0x21, 0x21, [...Array(10).fill(0), 255, 255, ...IPV4.slice(0, 4), ...Array(20).fill(1)]),
    { hostname: "192.0.2.1", port: 257 },
  ],
  ["v2 Unix", second(0x21, 0x31, Array(216).fill(0x61)), undefined],
  ["v2 UNSPEC", second(0x21, 0x00, []), undefined],
  ["v2 UNSPEC with more", second(0x21, 0x00, [1, 2, 3]), undefined],
  ["v2 LOCAL", second(0x20, 0x00, []), undefined],
  ["v2 LOCAL with addresses", second(0x20, 0x11, IPV4), undefined],
  ["v2 LOCAL of any family", second(0x20, 0xff, [1]), undefined],
];

Deno.test("ProxyHeaderReader reads headers of both versions, and tells what follows", () => {
  for (const [name, bytes, client] of WHOLE) {
    const more = Uint8Array.from([...bytes, 0x0d, 0x0a, 0x16, 0x03]);
    assertEquals(read(more), { taken: bytes.length, client }, name);
    assertEquals(readExactly(more), { taken: bytes.length, client }, `${name}, exactly`);
    for (let cut = 0; cut < Math.min(bytes.length, 300); cut++) {
      const reader = new ProxyHeaderReader();
      assertEquals(reader.push(bytes.subarray(0, cut)), undefined, `${name} at ${cut}`);
      assert(reader.wanted <= bytes.length - cut, `${name} at ${cut}: ${reader.wanted}`);
      assertEquals(reader.push(bytes.subarray(cut)), bytes.length - cut);
      assertEquals([reader.client, reader.wanted], [client, 0]);
    }
  }
});

Deno.test("ProxyHeaderReader refuses what is none, or malformed", () => {
  const refused: (string | Uint8Array)[] = [
    "GET / HTTP/1.1\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00",
    "proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
    "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
    "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
    "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
    "PROXY TCP4 1.1.1.1 2.2.2.256 1 2\r\n",
    "PROXY TCP4 ::1 ::2 1 2\r\n",
    "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
    "PROXY TCP6 ::1%a ::1 1 2\r\n",
    "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
    "PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n",
    "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
    "PROXY UNKNOWNS \r\n",
    "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
    "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rx",
    `PROXY UNKNOWN ${"f".repeat(92)}\r\n`,
    "PROXY TCP4 " + "1".repeat(200),
    second(0x11, 0x11, IPV4),
    second(0x22, 0x11, IPV4),
    second(0x21, 0x41, IPV4),
    second(0x21, 0x13, IPV4),
    second(0x21, 0x11, IPV4.slice(1)),
    second(0x21, 0x21, IPV6.slice(1)),
    second(0x21, 0x31, Array(215).fill(0)),
    second(0x21, 0x11, [], 4097),
    Uint8Array.from([...SIGNATURE.slice(0, 11), 0x0b, 0x21, 0x11, 0, 0]),
  ];
  for (const given of refused) {
    const bytes = typeof given === "string" ? latin1(given) : given;
    assertThrows(() => read(bytes), ProxyHeaderError, "Cannot read PROXY header: ", String(given));
    assertThrows(() => readExactly(bytes), ProxyHeaderError, "Cannot read PROXY header: ");
  }
});

Deno.test("ProxyHeaderReader refuses at the first byte that no header has", () => {
  for (const start of ["G", "PR ", "PROXY_", "\r\nG", "\r\r"]) {
    const reader = new ProxyHeaderReader();
    for (const byte of latin1(start.slice(0, -1))) reader.push(Uint8Array.of(byte));
    assertThrows(() => reader.push(latin1(start.at(-1)!)), ProxyHeaderError);
  }
});

Deno.test("ProxyHeaderReader gives the same however the bytes are cut, and wants no byte of what follows", () => {
  const header = fc.oneof(
    fc.constantFrom(...WHOLE.map(([, bytes]) => bytes)),
    fc.uint8Array({ maxLength: 40 }).map((rest) => second(0x21, 0x11, [...rest])),
    fc.tuple(fc.constantFrom("TCP4", "TCP6"), fc.ipV4(), fc.ipV6(), fc.nat(70_000)).map(
      ([family, v4, v6, port]) => {
        const address = family === "TCP4" ? v4 : v6;
        return latin1(`PROXY ${family} ${address} ${address} ${port} 1\r\n`);
      },
    ),
  );
  const change = fc.record({ at: fc.nat(60), byte: fc.nat(255) });
  fc.assert(
    fc.property(
      header,
      fc.option(change, { nil: undefined, freq: 3 }),
      fc.array(fc.nat(120)),
      (bytes, change, cuts) => {
        const changed = Uint8Array.from([...bytes, ...latin1("\r\nfollows")]);
        if (change !== undefined) changed[change.at % changed.length] = change.byte;
        const whole = outcome(() => read(changed));
        assertEquals(outcome(() => readExactly(changed)), whole);
        assertEquals(
          outcome(() => {
            const reader = new ProxyHeaderReader();
            let at = 0;
            for (const cut of [...cuts.sort((a, b) => a - b), changed.length]) {
              const taken = reader.push(changed.subarray(at, cut));
              if (taken !== undefined) return { taken: at + taken, client: reader.client };
              at = Math.max(at, Math.min(cut, changed.length));
            }
            return { taken: undefined, client: undefined };
          }),
          whole,
        );
      },
    ),
    { numRuns: 2000 },
  );
});

Deno.test("ProxyHeaderReader.release gives the memory of an unfinished header back", () => {
  const reader = new ProxyHeaderReader();
  reader.push(latin1("PROXY"));
  reader.release();
  assertEquals(reader.wanted, 15);
});
