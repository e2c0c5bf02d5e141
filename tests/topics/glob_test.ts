import { assertEquals } from "@std/assert";
import { globOf } from "../../topics/glob.ts";

Deno.test("globOf() escapes what a glob has a meaning for, and lets * stand for the tokens that vary", () => {
  assertEquals(globOf("topics.", "a.*.c"), "topics.a.*.c");
  assertEquals(globOf("topics.", "a.>"), "topics.a.*");
  assertEquals(globOf("p[1].", ">"), "p\\[1\\].*");
  assertEquals(globOf("t.", "a?[b-c]\\^d.*"), "t.a\\?\\[b-c\\]\\\\\\^d.*");
});
