import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { isToken, listElements, trimmed } from "../../protocol/grammar.ts";

/** The characters of a token as RFC 9110 section 5.6.2 lists them. */
const TOKEN_CHARACTERS =
  "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

Deno.test("isToken() takes the characters of RFC 9110 section 5.6.2 and no others", () => {
  for (let code = 0; code < 0x180; code++) {
    const character = String.fromCharCode(code);
    const expected = TOKEN_CHARACTERS.includes(character);
    for (const text of [character, `a${character}`, `${character}a`]) {
      assertEquals(isToken(text), expected, JSON.stringify(text));
    }
  }
  assertEquals(isToken(""), false);
  assertEquals(isToken("token\n"), false);
});

Deno.test("listElements() gives what is between commas, and skips what is empty (RFC 9110 section 5.6.1)", () => {
  assertEquals(listElements(null), []);
  assertEquals(listElements(undefined), []);
  assertEquals(listElements(""), []);
  assertEquals(listElements(" ,\t, "), []);
  assertEquals(listElements("a"), ["a"]);
  assertEquals(listElements("a,b ,\t c d\t, ,e,"), ["a", "b", "c d", "e"]);
  // A space that does not break is no white space of a header.
  assertEquals(listElements("\u00a0a,\vb"), ["\u00a0a", "\vb"]);
});

Deno.test("listElements() gives back what was joined", () => {
  const element = fc.string({ unit: fc.constantFrom(...'ab;="\\ \t'), minLength: 1, maxLength: 6 })
    .map(trimmed).filter((text) => text !== "");
  const gap = fc.constantFrom("", " ", "\t ", ", ,");
  fc.assert(
    fc.property(fc.array(fc.tuple(element, gap)), (elements) => {
      const header = elements.map(([text, gap]) => `${gap}${text}${gap}`).join(",");
      assertEquals(listElements(header), elements.map(([text]) => text));
    }),
  );
});

Deno.test("trimmed() goes over each character once, however many spaces there are", () => {
  // An expression that tries each run of spaces from each of its places would take minutes.
  const text = `a${" ".repeat(1_000_000)}b`;
  assertEquals(trimmed(`${text}${" ".repeat(1_000_000)}`), text);
});
