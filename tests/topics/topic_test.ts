import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { isPattern, isTopic, MAX_TOPIC_BYTES, topicToken } from "../../topics/topic.ts";

Deno.test("isTopic() takes tokens separated by dots, and nothing that an engine could read otherwise", () => {
  for (const name of ["a", "chat.room-7", "é.日本", "%2E", "$SYS", "a*".slice(0, 1)]) {
    assertEquals(isTopic(name), true, name);
  }
  const bad = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "*",
    ">",
    "a.*",
    "a.>",
    "a*",
    "a>b",
    "a b",
    "a\tb",
    "a\r\nPUB b",
    "a\0",
  ];
  for (const name of [...bad, "a\u00a0b", "a\u2028b", "a\u0085", "\ud800"]) {
    assertEquals(isTopic(name), false, JSON.stringify(name));
  }
  assertEquals(isTopic("a".repeat(MAX_TOPIC_BYTES)), true);
  assertEquals(isTopic("a".repeat(MAX_TOPIC_BYTES + 1)), false);
  assertEquals(isTopic("é".repeat(MAX_TOPIC_BYTES / 2)), true);
  assertEquals(isTopic("é".repeat(MAX_TOPIC_BYTES / 2 + 1)), false);
  assertEquals(isTopic(7 as unknown as string), false);
});

Deno.test("isPattern() takes * as a token and > as the last, and no name", () => {
  for (const name of ["*", ">", "a.*", "*.a", "a.*.b.>", "a.>"]) {
    assertEquals(isPattern(name), true, name);
  }
  for (const name of ["a", "a.b", "", "a*", "a.b>", ">.a", "a.>.b", "a..*", "* ", "**"]) {
    assertEquals(isPattern(name), false, name);
  }
});

Deno.test("topicToken() makes one token of any text, and never the same of two", () => {
  assertEquals(topicToken("Room_7-b"), "Room_7-b");
  assertEquals(topicToken("a.b"), "a%2Eb");
  assertEquals(topicToken("*"), "%2A");
  assertEquals(topicToken("%2A"), "%252A");
  assertEquals(topicToken("é"), "%C3%A9");
  assertThrows(() => topicToken(""), RangeError, "must have 1 to 256");
  assertThrows(() => topicToken(" ".repeat(86)), RangeError, "would have 258 bytes");
  const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
  fc.assert(fc.property(text, text, (one, other) => {
    assertEquals(isTopic(topicToken(one)) && !topicToken(one).includes("."), true);
    assertEquals(
      topicToken(one) === topicToken(other),
      one.toWellFormed() === other.toWellFormed(),
    );
  }));
});
