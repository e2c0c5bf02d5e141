import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { LogLimit } from "../../../cli/server/log_limit.ts";

/** The lines that an address gets when it asks for `asked` at once. */
function taken(limit: LogLimit, address: string, asked: number, now: number): number {
  let count = 0;
  for (let i = 0; i < asked; i++) if (limit.take(address, now)) count++;
  return count;
}

/** A limit at time 0, and what it has reported. */
function limitAtZero(workers = 1): { limit: LogLimit; reports: number[] } {
  const reports: number[] = [];
  return { limit: new LogLimit((leftOut) => reports.push(leftOut), workers, 0), reports };
}

Deno.test("LogLimit.take() bounds the lines of an address, which come back with time", () => {
  const { limit } = limitAtZero();
  assertEquals(taken(limit, "a", 50_000, 0), 30_000);
  assertEquals(taken(limit, "a", 50_000, 1000), 100);
  assertEquals(taken(limit, "a", 50_000, 11_000), 1000);
  assertEquals(taken(limit, "a", 50_000, 86_400_000), 30_000);
  limit.flush();
});

Deno.test("LogLimit.take() does not let one address use up the lines of others", () => {
  const { limit } = limitAtZero();
  taken(limit, "hostile", 1_000_000, 0);
  assertEquals(taken(limit, "honest", 1000, 0), 1000);
  limit.flush();
});

Deno.test("LogLimit.take() bounds the lines of all addresses together", () => {
  const { limit } = limitAtZero();
  let count = 0;
  for (let i = 0; i < 30_000; i++) count += taken(limit, `address ${i}`, 5, 0);
  assertEquals(count, 100_000);
  count = 0;
  for (let i = 0; i < 30_000; i++) count += taken(limit, `address ${i}`, 1, 1000);
  assertEquals(count, 1000);
  limit.flush();
});

Deno.test("LogLimit.take() is never short of a line for traffic of 50 messages a second", () => {
  const { limit, reports } = limitAtZero();
  for (let now = 0; now < 3_600_000; now += 20) {
    assert(limit.take("a", now) && limit.take("a", now));
  }
  limit.flush();
  assertEquals(reports, []);
});

Deno.test("LogLimit.take() shares its lines among workers", () => {
  const { limit } = limitAtZero(4);
  assertEquals(taken(limit, "a", 50_000, 0), 7500);
  assertEquals(taken(limit, "a", 50_000, 1000), 25);
  limit.flush();
});

Deno.test("LogLimit.take() stays within its rate whatever the traffic", () => {
  const traffic = fc.array(fc.tuple(fc.nat(20), fc.nat(5000), fc.nat(2000)), { maxLength: 40 });
  fc.assert(
    fc.property(traffic, (steps) => {
      const { limit } = limitAtZero();
      let now = 0;
      let count = 0;
      for (const [address, asked, ms] of steps) {
        now += ms;
        count += taken(limit, `address ${address}`, asked, now);
      }
      limit.flush();
      assertLessOrEqual(count, 100_000 + now);
    }),
    { numRuns: 20 },
  );
});

Deno.test("LogLimit reports each line left out, once", () => {
  const { limit, reports } = limitAtZero();
  taken(limit, "a", 30_007, 0);
  limit.flush();
  limit.flush();
  taken(limit, "a", 3, 0);
  limit.flush();
  assertEquals(reports, [7, 3]);
});

Deno.test("LogLimit reports by itself, ten seconds after the first line left out", () => {
  const { setTimeout } = globalThis;
  const timers: [() => void, number][] = [];
  const fake = (run: () => void, ms: number) => timers.push([run, ms]);
  Object.assign(globalThis, { setTimeout: fake });
  const { unrefTimer } = Deno;
  Object.assign(Deno, { unrefTimer: () => {} });
  try {
    const { limit, reports } = limitAtZero();
    taken(limit, "a", 30_005, 0);
    assertEquals(timers.map(([, ms]) => ms), [10_000]);
    timers[0]![0]();
    assertEquals(reports, [5]);
    taken(limit, "a", 2, 0);
    assertEquals(timers.length, 2);
    limit.flush();
    assertEquals(reports, [5, 2]);
  } finally {
    Object.assign(globalThis, { setTimeout });
    Object.assign(Deno, { unrefTimer });
  }
});

Deno.test("LogLimit forgets addresses beyond ten thousand, first those with all their lines", () => {
  const { limit } = limitAtZero();
  taken(limit, "a", 30_000, 0);
  for (let i = 0; i < 9_999; i++) limit.take(`old ${i}`, 0);
  // By now all but the first address have got their line back.
  for (let i = 0; i < 9_000; i++) limit.take(`new ${i}`, 50_000);
  assertEquals(taken(limit, "a", 30_000, 50_000), 5000);
  // Nobody has all lines: the oldest go.
  for (let i = 0; i < 2_000; i++) limit.take(`newest ${i}`, 50_000);
  assertEquals(taken(limit, "a", 40_000, 50_000), 30_000);
  limit.flush();
});
