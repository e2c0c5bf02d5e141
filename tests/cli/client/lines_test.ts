import { assertEquals, assertThrows } from "@std/assert";
import { BadInput, Lines } from "../../../cli/client/lines.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** All texts of an input that comes in pieces of `size` bytes. */
function cut(input: Uint8Array, size: number, terminator: "\n" | "\0" = "\n"): string[] {
  const lines = new Lines(terminator, 100);
  const texts: string[] = [];
  for (let at = 0; at < input.length; at += size) {
    texts.push(...lines.push(input.subarray(at, at + size)));
  }
  return [...texts, ...lines.end()];
}

Deno.test("Lines cuts alike however the input comes", () => {
  const cases: [input: string, lines: string[]][] = [
    ["", []],
    ["\n", [""]],
    ["a", ["a"]],
    ["a\n", ["a"]],
    ["a\r\n\r\nb\rc\n", ["a", "", "b\rc"]],
    ["\ufeffá😀\n\n\u2028x", ["\ufeffá😀", "", "\u2028x"]],
  ];
  for (const [input, lines] of cases) {
    for (let size = 1; size < 9; size++) assertEquals(cut(bytes(input), size), lines);
  }
  assertEquals(cut(bytes("a\r\n\0b\0\0c"), 2, "\0"), ["a\r\n", "b", "", "c"]);
});

Deno.test("Lines refuses what is no UTF-8, also at the end", () => {
  assertThrows(() => cut(Uint8Array.of(0x61, 0xff), 2), BadInput, "notText");
  assertThrows(() => cut(Uint8Array.of(0x61, 0xc3), 2), BadInput, "notText");
});

Deno.test("Lines refuses a text over its limit, ended or not", () => {
  const [most, more] = ["x".repeat(100), "x".repeat(101)];
  for (const size of [7, 64, 1000]) {
    assertEquals(cut(bytes(`${most}\n${most}`), size), [most, most]);
    assertThrows(() => cut(bytes(`${more}\n`), size), BadInput, "tooLong");
    assertThrows(() => cut(bytes(more), size), BadInput, "tooLong");
  }
});
