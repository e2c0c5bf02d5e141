import { assert, assertEquals } from "@std/assert";
import { payloads } from "../../../../cli/client/load/payloads.ts";

Deno.test("payloads() makes different messages of the size, text or bytes", () => {
  for (const size of [64, 1000, 70_000]) {
    const texts = payloads(size, false);
    assertEquals(new Set(texts.map((text) => (text as string).length)), new Set([size]));
    assertEquals(new Set(texts).size, texts.length);
    const bytes = payloads(size, true);
    assertEquals(new Set(bytes.map((message) => message.length)), new Set([size]));
    assert(bytes.every((message) => message instanceof Uint8Array));
  }
});

Deno.test("payloads() bounds the memory of all messages, and makes one at least", () => {
  assertEquals(payloads(16 * 1024 * 1024, true).length, 1);
  assertEquals(payloads(1024 * 1024, true).length, 4);
  assertEquals(payloads(0, false).every((message) => message === ""), true);
});
