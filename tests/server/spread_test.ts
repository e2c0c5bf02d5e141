import { assert, assertEquals, assertNotEquals } from "@std/assert";
import fc from "fast-check";
import { Spread, type SpreadOptions } from "../../server/spread.ts";

/** A clock that the test moves on; a timer may come late. */
class TestClock {
  #now = 1000;
  #timer: { at: number; callback: () => void } | undefined;

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): () => void {
    assertEquals(this.#timer, undefined);
    const timer = this.#timer = { at: this.#now + ms, callback };
    return () => {
      if (this.#timer === timer) this.#timer = undefined;
    };
  }

  /** Time goes on to `end`. Each timer comes so much too late. */
  run(end: number, late: () => number = () => 0): void {
    while (this.#timer !== undefined && this.#timer.at <= end) {
      const { at, callback } = this.#timer;
      this.#timer = undefined;
      this.#now = Math.max(this.#now, at + late());
      callback();
    }
    this.#now = Math.max(this.#now, end);
  }
}

/** A spread of numbers, with the times at which it acts on them. */
function spread(options: Partial<SpreadOptions<number>> = {}) {
  const clock = new TestClock();
  const acts: { item: number; at: number }[] = [];
  let doneAt: number | undefined;
  const made = new Spread<number>({
    act: (item) => void acts.push({ item, at: clock.now() - 1000 }),
    onDone: () => doneAt = clock.now() - 1000,
    clock,
    ...options,
  });
  const run = (to: number, late?: () => number) => clock.run(1000 + to, late);
  return { made, acts, run, doneAt: () => doneAt };
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Most acts in any window of so many milliseconds. */
function mostWithin(times: number[], window: number): number {
  return Math.max(...times.map((from, i) => {
    const after = times.findIndex((at) => at >= from + window);
    return (after === -1 ? times.length : after) - i;
  }));
}

Deno.test("Spread acts once on each, and in no window on more than its mean and two", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 500 }),
    fc.integer({ min: 1, max: 10_000 }),
    fc.array(fc.float({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 1 }),
    (count, ms, randoms) => {
      let at = 0;
      const { made, acts, run, doneAt } = spread({
        random: () => randoms[at++ % randoms.length]!,
      });
      made.begin(numbers(count), ms);
      run(ms + 1);
      assertEquals(acts.map(({ item }) => item).sort((a, b) => a - b), numbers(count));
      const times = acts.map(({ at }) => at);
      const window = ms / 20;
      assert(mostWithin(times, window) <= window * count / ms + 2 + 1e-6);
      assert(times.at(-1)! <= ms + 1e-6);
      assertEquals(doneAt(), times.at(-1));
    },
  ));
});

Deno.test("Spread acts on 1,000 over 5 s with no more than 1.5 times the mean in any 250 ms", () => {
  const { made, acts, run } = spread();
  made.begin(numbers(1000), 5000);
  run(5000);
  assert(mostWithin(acts.map(({ at }) => at), 250) <= 75);
  // In random order, and not at even times.
  assertNotEquals(acts.map(({ item }) => item), numbers(1000));
  assert(new Set(acts.slice(1).map(({ at }, i) => Math.round(at - acts[i]!.at))).size > 5);
});

Deno.test("Spread spreads the rest anew after the process was busy, instead of a burst", () => {
  const { made, acts, run } = spread();
  made.begin(numbers(1000), 5000);
  let isFirst = true;
  run(5001, () => {
    const late = isFirst ? 2000 : 1;
    isFirst = false;
    return late;
  });
  assertEquals(acts.length, 1000);
  // 1,000 in 3 s are 84 in 250 ms; besides, what is made up for, and the timers that are late.
  const most = mostWithin(acts.map(({ at }) => at), 250);
  assert(most <= 84 * 1.2, `${most}`);
});

Deno.test("Spread acts on all at once in no time, and is done with none", () => {
  const { made, acts, doneAt } = spread();
  made.begin(numbers(10), 0);
  assertEquals([acts.length, doneAt()], [10, 0]);
  const none = spread();
  none.made.begin([], 5000);
  assertEquals(none.doneAt(), 0);
});

Deno.test("Spread.hurry() spreads what is left over a shorter time, and never over a longer one", () => {
  const { made, acts, run, doneAt } = spread();
  made.hurry(5);
  made.begin(numbers(1000), 5000);
  run(1000);
  const before = acts.length;
  made.hurry(10_000);
  made.hurry(500);
  run(1500);
  assertEquals(acts.length, 1000);
  assert(mostWithin(acts.slice(before).map(({ at }) => at), 50) <= (1000 - before) / 10 + 2);
  assert(doneAt()! <= 1500);
});

Deno.test("Spread.add() takes a late one among those that are left, and acts at once when none is", () => {
  const { made, acts, run } = spread();
  made.begin(numbers(2), 1000);
  made.add(2);
  run(1000);
  assertEquals(acts.map(({ item }) => item).sort(), [0, 1, 2]);
  made.add(3);
  assertEquals(acts.at(-1), { item: 3, at: 1000 });
});

Deno.test("Spread.stop() acts on none that is left", () => {
  const { made, acts, run, doneAt } = spread();
  made.begin(numbers(1000), 1000);
  run(500);
  const { length } = acts;
  made.stop();
  run(1000);
  assertEquals([acts.length, doneAt()], [length, undefined]);
});
