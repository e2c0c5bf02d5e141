import { assertEquals } from "@std/assert";
import { Pending } from "../../../../cli/client/load/pending.ts";

Deno.test("Pending gives times in their order, as it grows and goes round", () => {
  const pending = new Pending(16);
  const taken: (number | undefined)[] = [];
  let next = 0;
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 3 && !pending.isFull; i++) pending.push(next++);
    taken.push(pending.shift(), pending.shift());
  }
  while (pending.length > 0) taken.push(pending.shift());
  assertEquals(taken, Array.from({ length: next }, (_, index) => index));
  assertEquals(pending.shift(), undefined);
});

Deno.test("Pending is full at its bound, and empty once cleared", () => {
  const pending = new Pending(4);
  for (let i = 0; i < 4; i++) {
    assertEquals(pending.isFull, false);
    pending.push(i);
  }
  assertEquals(pending.isFull, true);
  pending.clear();
  assertEquals([pending.length, pending.shift()], [0, undefined]);
});
