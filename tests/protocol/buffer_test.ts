import { assert, assertEquals, assertLess } from "@std/assert";
import fc from "fast-check";
import { GrowingBuffer, POOLED_SIZE } from "../../protocol/buffer.ts";
import { concat } from "./driver.ts";

function filled(length: number, value = 7): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).fill(value);
}

Deno.test("GrowingBuffer starts without memory", () => {
  const buffer = new GrowingBuffer();
  assertEquals([buffer.bytes.length, buffer.length], [0, 0]);
  buffer.append(new Uint8Array(0));
  assertEquals([buffer.bytes.length, buffer.length], [0, 0]);
  assertEquals(buffer.take(), new Uint8Array(0));
});

Deno.test("GrowingBuffer.append appends a copy", () => {
  const buffer = new GrowingBuffer();
  const data = Uint8Array.of(1, 2, 3);
  buffer.append(data);
  data.fill(9);
  buffer.append(Uint8Array.of(4));
  assertEquals(buffer.bytes.slice(0, buffer.length), Uint8Array.of(1, 2, 3, 4));
});

Deno.test("GrowingBuffer.reserve makes room, keeps the data and adds none", () => {
  const buffer = new GrowingBuffer();
  buffer.append(Uint8Array.of(1, 2, 3));
  for (const count of [0, 1, POOLED_SIZE - 3, POOLED_SIZE - 2, 100_000]) {
    buffer.reserve(count);
    assertEquals(buffer.length, 3);
    assert(buffer.bytes.length - buffer.length >= count, String(count));
    assertEquals(buffer.bytes.slice(0, 3), Uint8Array.of(1, 2, 3));
  }
});

Deno.test("GrowingBuffer.reserve keeps the memory where there is room", () => {
  const buffer = new GrowingBuffer();
  buffer.reserve(1);
  assertEquals(buffer.bytes.length, POOLED_SIZE);
  const { bytes } = buffer;
  buffer.length = 10;
  buffer.reserve(POOLED_SIZE - 10);
  assert(buffer.bytes === bytes);
});

Deno.test("GrowingBuffer.append moves its data a few times only", () => {
  const buffer = new GrowingBuffer();
  const memories = new Set<Uint8Array>();
  for (let i = 0; i < 4096; i++) {
    buffer.append(filled(256));
    memories.add(buffer.bytes);
  }
  assertEquals(buffer.length, 1 << 20);
  assertLess(memories.size, 10);
  assert(buffer.bytes.length <= 2 << 20);
});

Deno.test("GrowingBuffer.grow takes the capacity it is told", () => {
  const buffer = new GrowingBuffer();
  buffer.append(Uint8Array.of(1, 2));
  for (const capacity of [5, POOLED_SIZE, POOLED_SIZE + 1]) {
    buffer.grow(capacity);
    assertEquals(buffer.bytes.length, capacity);
    assertEquals(buffer.bytes.slice(0, buffer.length), Uint8Array.of(1, 2));
  }
});

Deno.test("GrowingBuffer.take gives the data away in memory of its own", () => {
  for (const length of [0, 1, POOLED_SIZE - 1, POOLED_SIZE, POOLED_SIZE + 1]) {
    const buffer = new GrowingBuffer();
    buffer.append(filled(length));
    const data = buffer.take();
    assertEquals(data, filled(length));
    // No more memory than the data takes, and nobody else's.
    assertEquals(data.buffer.byteLength, length);
    assertEquals(buffer.length, 0);
    buffer.append(filled(length, 8));
    const other = new GrowingBuffer();
    other.append(filled(length, 9));
    assertEquals(data, filled(length));
  }
});

Deno.test("GrowingBuffer.take makes no copy of what fills its memory", () => {
  const buffer = new GrowingBuffer();
  buffer.grow(100_000);
  buffer.length = 100_000;
  const { bytes } = buffer;
  assert(buffer.take() === bytes);
  assert(buffer.bytes !== bytes);
});

Deno.test("GrowingBuffer.release forgets the data; the memory serves the next", () => {
  const buffer = new GrowingBuffer();
  buffer.append(filled(10));
  const { bytes } = buffer;
  buffer.release();
  assertEquals([buffer.bytes.length, buffer.length], [0, 0]);
  const next = new GrowingBuffer();
  next.append(filled(1));
  assert(next.bytes === bytes);
  next.release();
  next.release();
  const one = new GrowingBuffer();
  const other = new GrowingBuffer();
  one.append(filled(1));
  other.append(filled(1));
  assert(one.bytes !== other.bytes);
});

Deno.test("GrowingBuffer gives memory that it grows out of to the next", () => {
  const buffer = new GrowingBuffer();
  buffer.append(filled(10));
  const { bytes } = buffer;
  buffer.reserve(POOLED_SIZE);
  assert(buffer.bytes !== bytes);
  const next = new GrowingBuffer();
  next.append(filled(10, 8));
  assert(next.bytes === bytes);
  assertEquals(buffer.bytes.slice(0, 10), filled(10));
});

Deno.test("GrowingBuffer takes what a few bytes need where many buffers are in use", () => {
  const buffers = Array.from({ length: 300 }, () => {
    const buffer = new GrowingBuffer();
    buffer.append(filled(10));
    return buffer;
  });
  const last = buffers.at(-1)!;
  assert(last.held < 100, `${last.held} bytes`);
  const more = filled(10_000).map((_, i) => i);
  for (let at = 0; at < more.length; at += 10) last.append(more.subarray(at, at + 10));
  assertEquals(last.bytes.subarray(0, last.length), new Uint8Array([...filled(10), ...more]));
  for (const buffer of buffers) buffer.release();
});

Deno.test("GrowingBuffer keeps 4 MiB for the next, in memories of up to 1 MiB, and no more", () => {
  const MIB = 1024 * 1024;
  // What other tests have left there is taken out.
  for (let size = POOLED_SIZE; size <= MIB; size *= 2) {
    for (let i = 0; i < 4 * MIB / size; i++) {
      new GrowingBuffer().reserve(size);
      new GrowingBuffer().reserve(size + 1);
    }
  }
  for (const [size, kept] of [[POOLED_SIZE, 256], [MIB / 4, 15], [MIB, 3], [2 * MIB, 0]]) {
    const buffers = Array.from({ length: kept! + 10 }, () => {
      const buffer = new GrowingBuffer();
      buffer.reserve(size!);
      return buffer;
    });
    const memories = new Set(buffers.map(({ bytes }) => bytes));
    assertEquals(memories.size, buffers.length);
    for (const buffer of buffers) buffer.release();
    for (const buffer of buffers) buffer.reserve(size!);
    assertEquals(buffers.filter(({ bytes }) => memories.has(bytes)).length, kept, String(size));
  }
});

Deno.test("GrowingBuffer.borrow makes no copy, writes nothing into it, and gives it to nobody", () => {
  for (const length of [10, POOLED_SIZE, 2 * 1024 * 1024]) {
    const data = filled(length);
    const buffer = new GrowingBuffer();
    buffer.append(filled(3));
    buffer.borrow(data);
    assert(buffer.bytes === data);
    buffer.append(filled(1, 9));
    assert(buffer.bytes !== data);
    assertEquals(buffer.bytes.slice(0, buffer.length), concat(data, filled(1, 9)));
    buffer.borrow(data);
    buffer.release();
    const next = new GrowingBuffer();
    next.append(filled(length, 8));
    assert(next.bytes !== data);
    assertEquals(data, filled(length));
  }
});

Deno.test("GrowingBuffer holds what was appended, whatever is done in between", () => {
  const action = fc.oneof(
    { weight: 5, arbitrary: fc.record({ append: fc.nat(40_000) }) },
    fc.record({ reserve: fc.nat(40_000) }),
    fc.constantFrom("take", "release"),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1), action), { maxLength: 30 }), (actions) => {
      // Two share the memory.
      const buffers = [new GrowingBuffer(), new GrowingBuffer()];
      const expected: Uint8Array[][] = [[], []];
      actions.forEach(([which, action], i) => {
        const buffer = buffers[which]!;
        if (typeof action !== "string" && "append" in action) {
          const data = filled(action.append, i + 1);
          buffer.append(data);
          expected[which]!.push(data);
        } else if (typeof action !== "string") {
          buffer.reserve(action.reserve);
        } else if (action === "take") {
          assertEquals(buffer.take(), concat(...expected[which]!.splice(0)));
        } else {
          buffer.release();
          expected[which] = [];
        }
      });
      buffers.forEach((buffer, i) =>
        assertEquals(buffer.bytes.slice(0, buffer.length), concat(...expected[i]!))
      );
    }),
    { numRuns: 50 },
  );
});
