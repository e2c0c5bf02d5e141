import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { prettyJson } from "../../cli/pretty_json.ts";

Deno.test("prettyJson() lays out as JSON.stringify does, whatever the value", () => {
  fc.assert(fc.property(fc.json(), (text) => {
    const value = JSON.parse(text);
    const isLaidOut = typeof value === "object" && value !== null;
    assertEquals(prettyJson(text), isLaidOut ? JSON.stringify(value, null, 2) : text);
  }));
});

Deno.test("prettyJson() keeps numbers, repeated keys and escapes as they were sent", () => {
  const text = '{ "a":1e400, "a":-0.10, "\\u0041\\"]":"\\ud800,{" }';
  assertEquals(
    prettyJson(text),
    '{\n  "a": 1e400,\n  "a": -0.10,\n  "\\u0041\\"]": "\\ud800,{"\n}',
  );
});

Deno.test("prettyJson() leaves what is no JSON, too deep or too long as it is", () => {
  for (
    const text of ["", "text", "{", '{"a":}', "[1,]", "null", "[".repeat(65) + "]".repeat(65)]
  ) {
    assertEquals(prettyJson(text), text);
  }
  const long = `[${"1,".repeat(40_000)}1]`;
  assertEquals(prettyJson(long), long);
});
