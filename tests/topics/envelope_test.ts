import { assertEquals, assertNotEquals } from "@std/assert";
import fc from "fast-check";
import { EnvelopeWriter, readEnvelope } from "../../topics/envelope.ts";

/** Bytes before the message. */
const ENVELOPE_BYTES = 15;

Deno.test("readEnvelope() reads what EnvelopeWriter wrote", () => {
  const data = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.uint8Array().map((bytes) => new Uint8Array(bytes)),
  );
  fc.assert(fc.property(fc.array(fc.tuple(data, fc.boolean())), (messages) => {
    const writer = new EnvelopeWriter();
    for (const [at, [data, compress]] of messages.entries()) {
      const envelope = readEnvelope(writer.write(data, compress), 1000);
      assertEquals(envelope, { data, compress, origin: writer.origin, number: at + 1 });
    }
  }));
  assertNotEquals(new EnvelopeWriter().origin, new EnvelopeWriter().origin);
});

Deno.test("readEnvelope() keeps a byte order mark, and numbers beyond 32 bits", () => {
  const bytes = new EnvelopeWriter().write("\ufeffa", true);
  assertEquals(readEnvelope(bytes, 10)?.data, "\ufeffa");
  bytes.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 9);
  assertEquals(readEnvelope(bytes, 10)?.number, 2 ** 48 - 1);
});

Deno.test("readEnvelope() leaves out what it does not know, and what is too long", () => {
  const written = () => new EnvelopeWriter().write("text", true);
  assertEquals(readEnvelope(written(), 4)?.data, "text");
  assertEquals(readEnvelope(written(), 3), undefined);
  assertEquals(readEnvelope(written().subarray(0, ENVELOPE_BYTES - 1), 10), undefined);
  for (const first of [0x00, 0x20, 0x14, 0x18, 0xff]) {
    const bytes = written();
    bytes[0] = first;
    assertEquals(readEnvelope(bytes, 10), undefined);
  }
  const invalid = written();
  invalid[ENVELOPE_BYTES] = 0xff;
  assertEquals(readEnvelope(invalid, 10), undefined);
});
