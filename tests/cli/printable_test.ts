import { assertEquals, assertLessOrEqual, assertMatch, assertNotMatch } from "@std/assert";
import fc from "fast-check";
import {
  MAX_BINARY,
  MAX_TEXT,
  MOST_SHOWN,
  printable,
  printableLines,
} from "../../cli/printable.ts";

Deno.test("printable() leaves plain text as it is", () => {
  for (const text of ["", "Olá, servidor WebSocket!", "日本語 العربية", "👩‍👩‍👧 क्‍ष", 'a\\n"b"']) {
    assertEquals(printable(text), text);
  }
});

Deno.test("printable() escapes what moves the cursor, breaks the line or hides", () => {
  const cases: [string, string][] = [
    ["\n\r\t", "\\n\\r\\t"],
    ["\0\x07\b\x1b[2J\x7f", "\\u{0}\\u{7}\\u{8}\\u{1b}[2J\\u{7f}"],
    ["\x85\x9b", "\\u{85}\\u{9b}"],
    ["\u2028\u2029", "\\u{2028}\\u{2029}"],
    ["\u202e\u2066\u200f", "\\u{202e}\\u{2066}\\u{200f}"],
    ["\u200b\ufeff\u00ad", "\\u{200b}\\u{feff}\\u{ad}"],
    ["\u{e0041}", "\\u{e0041}"],
    ["\ud83d \ude00", "\\u{d83d} \\u{de00}"],
  ];
  for (const [text, shown] of cases) assertEquals(printable(text), shown);
});

Deno.test("printable() cuts long text and names its size in bytes", () => {
  const longest = "á".repeat(MAX_TEXT);
  assertEquals(printable(longest), longest);
  assertEquals(printable(`${longest}x`), `${longest}… (${2 * MAX_TEXT + 1} bytes)`);
});

Deno.test("printable() shows bytes as hexadecimal with their number, and cuts many", () => {
  assertEquals(printable(new Uint8Array()), "(0 bytes)");
  assertEquals(printable(new Uint8Array([0x1b])), "1b (1 byte)");
  assertEquals(printable(new Uint8Array([0, 10, 255])), "000aff (3 bytes)");
  const longest = new Uint8Array(MAX_BINARY).fill(0xab);
  assertEquals(printable(longest), `${"ab".repeat(MAX_BINARY)} (${MAX_BINARY} bytes)`);
  assertEquals(
    printable(new Uint8Array(MAX_BINARY + 1).fill(0xab)),
    `${"ab".repeat(MAX_BINARY)}… (${MAX_BINARY + 1} bytes)`,
  );
});

/** Any sequence of UTF-16 code units, often dangerous ones, and often longer than the limit. */
const anyText = fc.array(
  fc.oneof(
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)),
    fc.constantFrom("\n", "\r\n", "\x1b[31m", "\u2028", "\u202e", "😀", "\ud83d", "a".repeat(99)),
  ),
).map((parts) => parts.join(""));

Deno.test("printable() is one line without control or format characters, whatever the text", () => {
  fc.assert(fc.property(anyText, (text) => {
    const shown = printable(text);
    // The two joiners that words and emoji need are allowed.
    assertNotMatch(shown, /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
  }));
});

Deno.test("printable() is bounded, whatever the text", () => {
  fc.assert(fc.property(anyText, (text) => {
    const escaped = "\\u{ffff}".length;
    assertLessOrEqual(printable(text).length, MAX_TEXT * escaped + "… (1234567 bytes)".length);
  }));
});

Deno.test("printable() never cuts a surrogate pair", () => {
  const pairs = fc.tuple(fc.nat(MAX_TEXT + 2), fc.nat(MAX_TEXT), fc.nat(3)).map(
    ([before, count, after]) => "x".repeat(before) + "😀".repeat(count) + "y".repeat(after),
  );
  fc.assert(fc.property(pairs, (text) => {
    const shown = printable(text);
    assertMatch(shown, /^x*(?:😀)*y*(?:… \(\d+ bytes\))?$/u);
  }));
});

Deno.test("printable() keeps text without anything to escape, cut or not", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme-ascii", maxLength: 600 }), (text) => {
    const cut = `${text.slice(0, MAX_TEXT)}… (${text.length} bytes)`;
    assertEquals(printable(text), text.length <= MAX_TEXT ? text : cut);
  }));
});

Deno.test("printable() is bounded and hexadecimal, whatever the bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 3 * MAX_BINARY }), (bytes) => {
    const hex = bytes.subarray(0, MAX_BINARY).toHex();
    const shown = printable(bytes);
    assertMatch(shown, /^(?:(?:[0-9a-f]{2}){1,64}…? )?\(\d+ bytes?\)$/);
    assertEquals(shown.startsWith(hex), true);
  }));
});

Deno.test("printableLines() shows a text line by line, and escapes all else", () => {
  assertEquals(printableLines("a\r\nb\rc\n\x1b]0;x\x07\u202e"), [
    "a",
    "b\\rc",
    "\\u{1b}]0;x\\u{7}\\u{202e}",
  ]);
  assertEquals(printableLines(""), [""]);
  assertEquals(printableLines(new Uint8Array([1, 2])), ["0102 (2 bytes)"]);
});

Deno.test("printableLines() leaves out what is beyond a few screens, and says so", () => {
  const { lines, text, binary } = MOST_SHOWN;
  const many = printableLines("é\n".repeat(lines + 1));
  assertEquals([many.length, many.at(-1)], [lines, `é… (${3 * (lines + 1)} bytes)`]);
  const long = printableLines(`${"x".repeat(text - 1)}😀`);
  assertEquals(long, [`${"x".repeat(text - 1)}… (${text + 3} bytes)`]);
  assertEquals(printableLines("x".repeat(text)), ["x".repeat(text)]);
  const bytes = printableLines(new Uint8Array(binary + 1));
  assertEquals(bytes, [`${"00".repeat(binary)}… (${binary + 1} bytes)`]);
});
