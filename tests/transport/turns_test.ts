/**
 * The scheduler with a clock and an event loop of its own, and the event loop of Deno.
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { connect, createServer } from "node:net";
import { afterSockets, Turns, type Work } from "../../transport/turns.ts";

/** A clock that is set by hand, and the turns that were asked for. */
class Loop {
  time = 0;
  readonly deferred: (() => void)[] = [];
  readonly now = () => this.time;
  readonly defer = (run: () => void) => {
    this.deferred.push(run);
  };

  /** Runs one turn; there must be one, and no more than one. */
  turn(): void {
    assertEquals(this.deferred.length, 1);
    this.deferred.pop()!();
  }
}

/** A work that logs its name at each of its steps, each of which takes a millisecond. */
class Logged implements Work {
  constructor(
    readonly name: string,
    readonly loop: Loop,
    readonly log: string[],
    public steps: number,
    readonly during: (step: number) => void = () => {},
  ) {}

  step(): boolean {
    this.log.push(this.name);
    this.loop.time++;
    this.steps--;
    this.during(this.steps);
    return this.steps > 0;
  }
}

/** Collects what is reported while `body` runs, as `reportError` would end the process. */
function reported(body: () => void): unknown[] {
  const errors: unknown[] = [];
  const listener = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error);
  };
  addEventListener("error", listener);
  try {
    body();
  } finally {
    removeEventListener("error", listener);
  }
  return errors;
}

Deno.test("Turns goes round robin, and defers the rest when the share is used up", () => {
  const loop = new Loop();
  const log: string[] = [];
  const turns = new Turns({ ...loop, share: 4 });
  for (const [name, steps] of [["a", 3], ["b", 1], ["c", 2]] as const) {
    turns.add(new Logged(name, loop, log, steps));
  }
  assertEquals(log, [], "Nothing runs in the turn it is added in");
  loop.turn();
  assertEquals(log.join(""), "abca");
  assertEquals(turns.size, 2);
  loop.turn();
  assertEquals(log.join(""), "abcaca");
  assertEquals(turns.size, 0);
  assertEquals(loop.deferred, []);
});

Deno.test("Turns does one step a turn when a step is longer than the share", () => {
  const loop = new Loop();
  const log: string[] = [];
  const turns = new Turns(loop);
  for (const name of "ab") turns.add(new Logged(name, loop, log, 2, () => loop.time += 100));
  for (const done of ["a", "ab", "aba", "abab"]) {
    loop.turn();
    assertEquals(log.join(""), done);
  }
  assertEquals(loop.deferred, []);
});

Deno.test("Turns.add() does nothing for a work that is queued", () => {
  const loop = new Loop();
  const log: string[] = [];
  const turns = new Turns(loop);
  const work = new Logged("a", loop, log, 2);
  turns.add(work);
  turns.add(new Logged("b", loop, log, 2));
  turns.add(work);
  assertEquals(turns.size, 2);
  loop.turn();
  assertEquals(log.join(""), "abab");
});

Deno.test("Turns.add() during the work's own last step keeps it queued", () => {
  const loop = new Loop();
  const log: string[] = [];
  const turns = new Turns(loop);
  const work: Logged = new Logged("a", loop, log, 1, () => {
    if (log.length === 1) turns.add(work);
  });
  turns.add(work);
  loop.turn();
  assertEquals(log.join(""), "aa");
  assertEquals(turns.size, 0);
});

Deno.test("Turns.remove() takes a work out during its own step and during another's", () => {
  const loop = new Loop();
  const log: string[] = [];
  const turns = new Turns(loop);
  const b = new Logged("b", loop, log, 9);
  const a: Logged = new Logged("a", loop, log, 9, () => {
    turns.remove(a);
    turns.remove(b);
    assertEquals(turns.size, 1);
  });
  turns.add(a);
  turns.add(b);
  turns.add(new Logged("c", loop, log, 2));
  loop.turn();
  assertEquals(log.join(""), "acc");
  assertEquals(turns.size, 0);
});

Deno.test("Turns asks for one turn only, also when the queue was emptied before it came", () => {
  const loop = new Loop();
  const log: string[] = [];
  const turns = new Turns(loop);
  const work = new Logged("a", loop, log, 1);
  turns.add(work);
  turns.remove(work);
  turns.add(work);
  loop.turn();
  assertEquals(log.join(""), "a");
  turns.add(work);
  turns.remove(work);
  loop.turn();
  assertEquals(log.join(""), "a");
  assertEquals(loop.deferred, []);
});

Deno.test("Turns reports what a step throws, drops that work, and goes on with the others", () => {
  const loop = new Loop();
  const log: string[] = [];
  const turns = new Turns(loop);
  const a: Logged = new Logged("a", loop, log, 9, () => {
    turns.add(a);
    throw new Error("Broken step");
  });
  turns.add(a);
  turns.add(new Logged("b", loop, log, 2));
  const errors = reported(() => loop.turn());
  assertEquals(errors.map(String), ["Error: Broken step"]);
  assertEquals(log.join(""), "abb");
  assertEquals(turns.size, 0);
});

Deno.test("Turns runs soon until a share is used up, then after sockets had their chance", () => {
  const loop = new Loop();
  const asked: string[] = [];
  const ask = (kind: string) => (run: () => void) => {
    asked.push(kind);
    loop.defer(run);
  };
  const turns = new Turns({ now: loop.now, defer: ask("defer"), soon: ask("soon"), share: 4 });
  const log: string[] = [];
  for (let work = 0; work < 6; work++) {
    turns.add(new Logged("a", loop, log, 1));
    loop.turn();
    loop.time += 100; // Time in which no step runs is not counted.
  }
  assertEquals(asked, ["soon", "soon", "soon", "soon", "defer", "soon"]);
  asked.length = 0;
  turns.add(new Logged("b", loop, log, 7));
  loop.turn();
  assertEquals(log.join(""), "aaaaaabb", "Two of four milliseconds were left");
  loop.turn();
  assertEquals(log.join(""), "aaaaaabbbbbb");
  loop.turn();
  assertEquals(log.join(""), "aaaaaabbbbbbb");
  assertEquals(asked, ["soon", "defer", "defer"]);
});

/** What a work does to the queue in one of its steps, or what happens between two turns. */
const action = fc.record({
  kind: fc.constantFrom("add", "remove"),
  work: fc.nat({ max: 7 }),
});

const script = fc.array(
  fc.record({
    takes: fc.constantFrom(0, 0.25, 1, 3, 9),
    actions: fc.array(action, { maxLength: 3 }),
    fails: fc.nat({ max: 15 }).map((number) => number === 0),
  }),
  { maxLength: 12, size: "max" },
);

Deno.test("Turns loses no step, repeats none, keeps order, fairness and share in any mix", () => {
  const property = fc.property(
    fc.array(script, { minLength: 1, maxLength: 8, size: "max" }),
    fc.array(fc.array(action, { maxLength: 4 }), { maxLength: 30, size: "max" }),
    fc.constantFrom(0, 0.5, 2, 4),
    (scripts, between, share) => {
      const loop = new Loop();
      /** Milliseconds of work since sockets had their chance. */
      let worked = 0;
      const turns = new Turns({
        now: loop.now,
        defer(run) {
          broken ??= worked < share ? new Error("Sockets had their chance too early") : undefined;
          worked = 0;
          loop.defer(run);
        },
        soon(run) {
          broken ??= worked >= share ? new Error("Sockets had no chance") : undefined;
          loop.defer(run);
        },
        share,
      });
      /** The works that must be queued, in order: a work's place is where it was put last. */
      const queued: number[] = [];
      let running: number | undefined;
      let firstOfTurn = true;
      let steps = 0;
      let failures = 0;
      /** An assertion that failed within a step, whose errors the scheduler reports. */
      let broken: unknown;
      /** The number of each work's last step, and of the step during or after which it was queued. */
      const lastStep = scripts.map(() => -1);
      const since = scripts.map(() => -1);
      /** What the running work was told about itself. */
      let told: "add" | "remove" | undefined;

      const act = ({ kind, work }: { kind: string; work: number }) => {
        const number = work % scripts.length;
        if (kind === "add") {
          turns.add(works[number]!);
          if (number === running) told = "add";
          else if (!queued.includes(number)) {
            queued.push(number);
            since[number] = running === undefined ? steps + 0.5 : steps;
          }
        } else {
          turns.remove(works[number]!);
          if (number === running) told = "remove";
          else if (queued.includes(number)) queued.splice(queued.indexOf(number), 1);
        }
        const runs = running !== undefined && told !== "remove" ? 1 : 0;
        assertEquals(turns.size, queued.length + runs);
      };

      const works = scripts.map((script, number): Work => {
        let at = 0;
        return {
          step() {
            try {
              assertEquals(running, undefined, "A step began within a step");
              assertEquals(number, queued.shift(), "Not the one whose turn it was");
              for (const other of queued) {
                const waited = since[other]! <= lastStep[number]!;
                assert(
                  !waited || lastStep[other]! > lastStep[number]!,
                  "Two steps while one waited",
                );
              }
              assert(firstOfTurn || worked < share, "A step began after the share");
            } catch (error) {
              broken ??= error;
            }
            steps++;
            lastStep[number] = steps;
            running = number;
            told = undefined;
            const { takes, actions, fails } = script[at++] ??
              { takes: 1, actions: [], fails: false };
            loop.time += takes;
            worked += takes;
            firstOfTurn = false;
            actions.forEach(act);
            const more = at < script.length;
            running = undefined;
            if (fails) {
              failures++;
              throw new Error("Broken step");
            }
            if (told === "add" || more && told === undefined) queued.push(number);
            told = undefined;
            return more;
          },
        };
      });

      const errors = reported(() => {
        for (const actions of [...between, ...Array(600).fill([])]) {
          actions.forEach(act);
          if (loop.deferred.length === 0) continue;
          const waiting = queued.length;
          firstOfTurn = true;
          const before = steps;
          loop.turn();
          if (broken !== undefined) throw broken;
          assert(waiting === 0 || steps > before, "A turn without a step");
          assertEquals(turns.size, queued.length);
          assertEquals(loop.deferred.length, queued.length > 0 ? 1 : 0);
          loop.time += 10; // Time between turns, which is not counted.
        }
      });
      assertEquals(errors.length, failures);
      assertEquals(queued, [], "A work that never ends was not scripted");
    },
  );
  fc.assert(property, { numRuns: 5000 });
});

Deno.test("afterSockets() lets a socket be heard while turns are busy", async () => {
  const server = createServer((socket) => socket.on("data", (data) => socket.write(data)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = connect((server.address() as { port: number }).port, "127.0.0.1");
  client.setNoDelay(true);
  await new Promise<void>((resolve) => client.once("connect", resolve));

  const EXCHANGES = 20;
  let steps = 0;
  let exchanges = 0;
  const turns = new Turns({ now: () => performance.now(), defer: afterSockets, share: 0 });
  const busy: Work = {
    step: () => {
      steps++;
      const end = performance.now() + 1;
      while (performance.now() < end);
      return exchanges < EXCHANGES;
    },
  };
  turns.add(busy);
  const done = Promise.withResolvers<void>();
  client.on("data", () => {
    if (++exchanges === EXCHANGES) done.resolve();
    else client.write("again");
  });
  client.write("first");
  await done.promise;
  // Each exchange needs a few turns. With `nextTurn()` each would need more than a hundred.
  assert(steps < EXCHANGES * 20, `${steps} turns for ${EXCHANGES} exchanges`);

  client.destroy();
  await new Promise((resolve) => server.close(resolve));
  while (turns.size > 0) await new Promise<void>(afterSockets);
});
