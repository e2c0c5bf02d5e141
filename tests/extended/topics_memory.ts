/**
 * Prints the bytes of the engine's heap that each of so many topics takes, with one subscriber each. In a process of
 * its own, with `--v8-flags=--expose-gc`.
 *
 * @module
 */

import { Topics } from "../../topics.ts";
import { FakeSocket } from "../topics/fakes.ts";

const [count, perSocket] = Deno.args.map(Number) as [number, number];

function used(): number {
  const { gc } = globalThis as unknown as { gc(): void };
  for (let i = 0; i < 3; i++) gc();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

// What the first use takes once does not count.
await using first = new Topics();
first.subscribe(new FakeSocket(), "rooms");
await using topics = new Topics();
const before = used();
for (let i = 0; i < count / perSocket; i++) {
  const socket = new FakeSocket();
  for (let j = 0; j < perSocket; j++) topics.subscribe(socket, `rooms.${i}.${j}`);
}
console.log((used() - before) / topics.stats.topics);
