/** The pool of contexts, beside a model that sorts all of them at each reservation. */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  contextBytes,
  type ContextHolder,
  ContextPool,
} from "../../protocol/permessage_deflate/context_pool.ts";

/** A holder that logs its name when it loses its context. */
function holder(address: string, name: string, log: string[]): ContextHolder {
  return { address, dropContext: () => log.push(name) };
}

Deno.test("ContextPool takes the least recently used context", () => {
  const pool = new ContextPool({ budget: 3, addressShare: 3 });
  const log: string[] = [];
  const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => holder(name, name, log)) as [
    ContextHolder,
    ContextHolder,
    ContextHolder,
    ContextHolder,
  ];
  for (const [time, one] of [a, b, c].entries()) assert(pool.reserve(one, 1, time));
  pool.touch(a, 3);
  assert(pool.reserve(d, 1, 5000));
  assertEquals(log, ["b"]);
  assert(pool.reserve(b, 2, 6000));
  assertEquals(log, ["b", "c", "a"]);
  assertEquals([pool.size, pool.bytes], [2, 3]);
});

Deno.test("ContextPool takes none that was used within the last second", () => {
  const pool = new ContextPool({ budget: 2, addressShare: 2 });
  const log: string[] = [];
  const [a, b, c] = ["a", "b", "c"].map((name) => holder(name, name, log)) as [
    ContextHolder,
    ContextHolder,
    ContextHolder,
  ];
  assert(pool.reserve(a, 1, 0));
  assert(pool.reserve(b, 1, 0));
  pool.touch(b, 500);
  assert(!pool.reserve(c, 1, 999));
  assert(!pool.reserve(c, 2, 1000), "a is not enough, so it keeps its context");
  assertEquals(log, []);
  assert(pool.reserve(c, 1, 1000));
  assertEquals(log, ["a"]);
});

Deno.test("ContextPool gives an address no more than its share, which is half by default", () => {
  const pool = new ContextPool({ budget: 8 });
  const log: string[] = [];
  const other = holder("b", "other", log);
  assert(pool.reserve(other, 1, 0));
  for (let name = 0; name < 4; name++) assert(pool.reserve(holder("a", `${name}`, log), 1, 1));
  assert(!pool.reserve(holder("a", "4", log), 1, 100));
  assert(pool.reserve(holder("a", "5", log), 1, 2000));
  assertEquals(log, ["0"], "The other address has the oldest, and keeps it");
  assertEquals(pool.bytes, 5);
  assert(!pool.reserve(holder("b", "huge", log), 5, 9000));
  assertEquals(log, ["0"]);
});

Deno.test("ContextPool has room for 128 contexts by default, 64 for an address", () => {
  const pool = new ContextPool();
  const granted = (address: string) =>
    Array.from({ length: 200 }, () => pool.reserve(holder(address, "", []), contextBytes(15, 8), 0))
      .filter(Boolean).length;
  assertEquals([granted("a"), granted("b"), granted("c")], [64, 64, 0]);
});

Deno.test("ContextPool lets connections without an address share the whole budget", () => {
  const pool = new ContextPool({ budget: 4 });
  const log: string[] = [];
  for (let name = 0; name < 4; name++) assert(pool.reserve(holder("", `${name}`, log), 1, 0));
  assert(!pool.reserve(holder("", "4", log), 1, 999));
  assert(pool.reserve(holder("", "4", log), 1, 1000));
  assertEquals(log, ["0"]);
});

Deno.test("ContextPool.budget may change: contexts beyond a smaller one go when the next is reserved", () => {
  const pool = new ContextPool({ budget: 4 });
  const log: string[] = [];
  for (const name of ["a", "b", "c", "d"]) assert(pool.reserve(holder(name, name, log), 1, 0));
  pool.budget = 2;
  assertEquals(pool.size, 4);
  assert(pool.reserve(holder("e", "e", log), 1, 1000));
  assertEquals([log, pool.size], [["a", "b", "c"], 2]);
  pool.budget = 3;
  assert(pool.reserve(holder("f", "f", log), 1, 1000));
  assertEquals([log.length, pool.size], [3, 3]);
});

Deno.test("contextBytes() is what was measured, within a tenth", () => {
  // 300 compressors that had compressed 60 KB each, on Deno 2.9.6.
  const measured: [windowBits: number, memLevel: number, kib: number][] = [
    [15, 8, 296.7],
    [15, 5, 275.8],
    [15, 1, 268.6],
    [12, 8, 183.3],
    [12, 4, 160.0],
    [9, 1, 143.1],
    [9, 8, 170.3],
  ];
  for (const [windowBits, memLevel, kib] of measured) {
    const ratio = contextBytes(windowBits, memLevel) / 1024 / kib;
    assert(ratio > 0.95 && ratio < 1.1, `${windowBits} ${memLevel}: ${ratio}`);
  }
});

Deno.test("ContextPool.releaseIdle() drops what was not used for ten seconds", () => {
  const pool = new ContextPool();
  const log: string[] = [];
  const [a, b, c] = ["a", "b", "c"].map((name) => holder("same", name, log)) as [
    ContextHolder,
    ContextHolder,
    ContextHolder,
  ];
  for (const one of [a, b, c]) pool.reserve(one, 1, 0);
  pool.touch(a, 1);
  pool.reserve(c, 1, 500);
  pool.releaseIdle(9999);
  assertEquals(log, []);
  pool.releaseIdle(10_001);
  assertEquals(log, ["b", "a"]);
  pool.releaseIdle(20_000);
  assertEquals(log, ["b", "a", "c"]);
  assertEquals([pool.size, pool.bytes], [0, 0]);
});

Deno.test("ContextPool.release() makes room, and does not tell the holder", () => {
  const pool = new ContextPool({ budget: 1, addressShare: 1 });
  const log: string[] = [];
  const a = holder("a", "a", log);
  assert(pool.reserve(a, 1, 0));
  pool.release(a);
  pool.release(a);
  pool.touch(a, 1);
  assertEquals(pool.size, 0);
  assert(pool.reserve(holder("b", "b", log), 1, 2));
  assertEquals(log, []);
});

Deno.test("ContextPool may be used by a holder that loses its context", () => {
  const pool = new ContextPool({ budget: 1, addressShare: 1 });
  const log: boolean[] = [];
  const loser: ContextHolder = {
    address: "a",
    dropContext() {
      pool.release(loser);
      log.push(pool.reserve(loser, 1, 1000));
    },
  };
  assert(pool.reserve(loser, 1, 0));
  assert(pool.reserve(holder("b", "b", []), 1, 1000));
  assertEquals(log, [false]);
  assertEquals([pool.size, pool.bytes], [1, 1]);
});

Deno.test("ContextPool goes on when a holder throws", () => {
  const pool = new ContextPool({ budget: 2, addressShare: 2 });
  const errors: string[] = [];
  const listener = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(String(event.error));
  };
  addEventListener("error", listener);
  const log: string[] = [];
  const broken = {
    address: "a",
    dropContext() {
      throw new Error("Broken holder");
    },
  };
  pool.reserve(broken, 1, 0);
  pool.reserve(holder("b", "b", log), 1, 0);
  assert(pool.reserve(holder("c", "c", log), 2, 1000));
  removeEventListener("error", listener);
  assertEquals(errors, ["Error: Broken holder"]);
  assertEquals(log, ["b"]);
});

const operation = fc.record({
  kind: fc.constantFrom("reserve", "reserve", "reserve", "touch", "release", "releaseIdle"),
  of: fc.nat(11),
  bytes: fc.integer({ min: 1, max: 4 }),
  after: fc.constantFrom(0, 1, 50, 100, 300),
});

Deno.test("ContextPool does what a naive model does, in any mix of operations", () => {
  const property = fc.property(
    fc.array(operation, { maxLength: 150, size: "max" }),
    fc.integer({ min: 3, max: 16 }),
    fc.integer({ min: 2, max: 16 }),
    (operations, budget, addressShare) => {
      const pool = new ContextPool({ budget, addressShare, minHold: 100, idle: 500 });
      const log: string[] = [];
      const holders = Array.from(
        { length: 12 },
        (_, number) => holder(String(number % 3), String(number), log),
      );
      /** In the order of their last use. */
      let model: { of: number; address: string; bytes: number; used: number }[] = [];
      const sum = (address?: string) =>
        model.filter((one) => address === undefined || one.address === address)
          .reduce((total, one) => total + one.bytes, 0);
      let expected: string[] = [];
      let now = 0;

      for (const { kind, of, bytes, after } of operations) {
        now += after;
        const address = String(of % 3);
        const known = model.find((one) => one.of === of);
        if (kind === "touch" || kind === "reserve" && known !== undefined) {
          if (kind === "touch") pool.touch(holders[of]!, now);
          else assert(pool.reserve(holders[of]!, bytes, now));
          if (known !== undefined) {
            known.used = now;
            model = [...model.filter((one) => one !== known), known];
          }
        } else if (kind === "release") {
          pool.release(holders[of]!);
          model = model.filter((one) => one !== known);
        } else if (kind === "releaseIdle") {
          pool.releaseIdle(now);
          expected.push(...model.filter((one) => now - one.used >= 500).map((one) => `${one.of}`));
          model = model.filter((one) => now - one.used < 500);
        } else {
          const before = [...model];
          const lost: string[] = [];
          const takeOne = (from: typeof model) => {
            const victim = from.find((one) => now - one.used >= 100);
            if (victim === undefined) return false;
            model = model.filter((one) => one !== victim);
            lost.push(String(victim.of));
            return true;
          };
          let fits = true;
          while (fits && sum(address) + bytes > addressShare) {
            fits = takeOne(model.filter((one) => one.address === address));
          }
          while (fits && sum() + bytes > budget) fits = takeOne(model);
          if (fits) {
            model.push({ of, address, bytes, used: now });
            expected = [...expected, ...lost];
          } else model = before;
          assertEquals(pool.reserve(holders[of]!, bytes, now), fits);
        }
        assertEquals(log, expected);
        assertEquals([pool.size, pool.bytes], [model.length, sum()]);
        assertEquals(pool.addressCount, new Set(model.map((one) => one.address)).size);
      }
    },
  );
  fc.assert(property, { numRuns: 2000 });
});
