import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  formatAddress,
  isIn,
  parseAddress,
  parseNetwork,
  urlHost,
} from "../../protocol/ip_address.ts";

/** The text that an address comes back as. */
function again(text: string): string | undefined {
  const bytes = parseAddress(text);
  return bytes && formatAddress(bytes);
}

Deno.test("parseAddress() reads IPv4 and IPv6, and formatAddress() writes the shortest form (RFC 5952)", () => {
  const cases: [string, string][] = [
    ["0.0.0.0", "0.0.0.0"],
    ["192.0.2.255", "192.0.2.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["fe80::1%eth0", "fe80::1"],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["::FFFF:c000:201", "192.0.2.1"],
  ];
  for (const [text, wanted] of cases) assertEquals(again(text), wanted, text);
});

Deno.test("parseAddress() takes nothing else", () => {
  for (
    const text of [
      "",
      "localhost",
      "1.2.3",
      "1.2.3.4.5",
      "01.2.3.4",
      "1.2.3.256",
      "1.2.3.-4",
      "1.2.3.4 ",
      "1.2.3.4:80",
      "0x1.2.3.4",
      ":",
      ":::",
      "1:",
      ":1",
      "1::2::3",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7:8::",
      "12345::",
      "g::",
      "[::1]",
      "::1.2.3",
      "1.2.3.4::",
      "::1.2.3.4:5",
      `${"0:".repeat(40)}1`,
    ]
  ) {
    assertEquals(parseAddress(text), undefined, text);
  }
});

Deno.test("formatAddress() writes what parseAddress() and the URL standard read as the same", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ minLength: 4, maxLength: 4 }),
        fc.array(fc.constantFrom(0, 0, 1, 255), { minLength: 16, maxLength: 16 }),
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
      ),
      (given) => {
        const bytes = Uint8Array.from(given);
        const text = formatAddress(bytes);
        const read = parseAddress(text)!;
        assertEquals(
          formatAddress(read),
          read.length === bytes.length ? text : formatAddress(read),
        );
        if (read.length === bytes.length) assertEquals(read, bytes);
        if (bytes.length === 16) assertEquals(URL.parse(`http://[${text}]`)!.hostname, `[${text}]`);
      },
    ),
  );
});

Deno.test("parseNetwork() and isIn() compare the bits that count (RFC 4632)", () => {
  const has = (network: string, address: string) =>
    isIn(parseNetwork(network)!, parseAddress(address)!);
  for (
    const [network, inside, outside] of [
      ["192.0.2.1", "192.0.2.1", "192.0.2.2"],
      ["10.0.0.0/8", "10.255.0.1", "11.0.0.0"],
      ["10.1.2.3/8", "10.255.0.1", "11.0.0.0"],
      ["192.0.2.128/25", "192.0.2.200", "192.0.2.127"],
      ["192.0.2.4/31", "192.0.2.5", "192.0.2.6"],
      ["0.0.0.0/0", "192.0.2.5", "::1"],
      ["::/0", "2001:db8::1", "192.0.2.5"],
      ["::1", "::1", "::2"],
      ["2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"],
      ["fc00::/7", "fdff::1", "fe00::"],
      ["::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"],
      ["192.0.2.1", "::ffff:192.0.2.1", "::c000:201"],
    ] as const
  ) {
    assert(has(network, inside), `${inside} is in ${network}`);
    assert(!has(network, outside), `${outside} is not in ${network}`);
  }
  for (
    const text of [
      "",
      "/8",
      "10.0.0.0/",
      "10.0.0.0/33",
      "::/129",
      "10.0.0.0/8/8",
      "10/8",
      "a",
      "10.0.0.0/-1",
      "::ffff:10.0.0.0/104",
    ]
  ) {
    assertEquals(parseNetwork(text), undefined, text);
  }
});

Deno.test("urlHost() puts an IPv6 address, and nothing else, in brackets", () => {
  assertEquals(["::1", "192.0.2.1", "example.com"].map(urlHost), [
    "[::1]",
    "192.0.2.1",
    "example.com",
  ]);
});
