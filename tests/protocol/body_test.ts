import { assertEquals } from "@std/assert";
import { BodyReader } from "../../protocol/body.ts";
import type { HeaderLines } from "../../protocol/http.ts";

/** What is kept of a body, whether it came to its end, and how many bytes were taken. */
function read(headers: HeaderLines, body: string, most = 100, size = body.length) {
  const reader = new BodyReader(headers, most);
  const bytes = new TextEncoder().encode(body);
  let taken: number | undefined = reader.push(bytes.subarray(0, 0));
  for (let at = 0; at < bytes.length && taken === undefined; at += size) {
    const count = reader.push(bytes.subarray(at, at + size));
    if (count !== undefined) taken = at + count;
  }
  return [reader.text(), taken];
}

const CHUNKED: HeaderLines = [["Transfer-Encoding", "gzip, Chunked"]];

Deno.test("BodyReader takes a body to its length, its last chunk, or the end of the connection", () => {
  const chunks = "5\r\nhello\r\n1;a=b\r\n \r\nA \r\n0123456789\r\n0\r\n\r\n";
  for (const size of [1, 2, 3, 1000]) {
    assertEquals(read([["content-length", "5"]], "hello, world", 100, size), ["hello", 5]);
    assertEquals(read([], "hello, world", 100, size), ["hello, world", undefined]);
    assertEquals(read(CHUNKED, chunks, 100, size), ["hello 0123456789", chunks.length - 2]);
  }
  assertEquals(read([["content-length", "0"]], ""), ["", 0]);
});

Deno.test("BodyReader takes no more than it is to keep", () => {
  for (const size of [1, 7, 1000]) {
    assertEquals(read([], "hello, world", 5, size), ["hello", 5]);
    assertEquals(read([["Content-Length", "9".repeat(400)]], "hello, world", 5, size), [
      "hello",
      5,
    ]);
    assertEquals(read(CHUNKED, "3\r\nhel\r\nff\r\nlo, world", 5, size), ["hello", 14]);
  }
});

Deno.test("BodyReader ends at a chunk that is malformed, and at a size line without end", () => {
  for (const size of [1, 1000]) {
    assertEquals(read(CHUNKED, "3\r\nhelXX\r\n1\r\n2\r\n", 100, size)[0], "hel");
    assertEquals(read(CHUNKED, "zz\r\nhello", 100, size), ["", 4]);
    assertEquals(read(CHUNKED, "fffffffff\r\nhello", 100, size), ["", 11]);
    assertEquals(read(CHUNKED, "1".repeat(1000), 100, size), ["", 255]);
  }
});

Deno.test("BodyReader leaves a character out that was cut off", () => {
  assertEquals(read([], "aé", 2)[0], "a");
  assertEquals(read([], "aé", 3)[0], "aé");
});
