import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { sha1 } from "../../protocol/sha1.ts";

const encode = (text: string) => new TextEncoder().encode(text);

Deno.test("sha1() gives the digests of RFC 3174 section 7.3", () => {
  const cases: [message: string, times: number, digest: string][] = [
    ["abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d"],
    [
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      1,
      "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
    ],
    ["a", 1_000_000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"],
    [
      "0123456701234567012345670123456701234567012345670123456701234567",
      10,
      "dea356a2cddd90c7a7ecedc5ebb563934f460452",
    ],
  ];
  for (const [message, times, digest] of cases) {
    assertEquals(sha1(encode(message.repeat(times))).toHex(), digest);
  }
});

Deno.test("sha1() is WebCrypto's, whatever the message", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (message) => {
      const digest = await crypto.subtle.digest("SHA-1", new Uint8Array(message));
      assertEquals(sha1(message), new Uint8Array(digest));
    }),
  );
});
