/**
 * An hour of everyday life: clients that come and go, send messages of every size, and are cut off,
 * against the library's server in a process of its own. Prints its memory, file descriptors and the
 * messages of each minute, and fails when an answer is wrong or does not come.
 *
 * `deno run --allow-net=127.0.0.1 --allow-run --allow-read --allow-write --allow-env bench/soak.ts --minutes=60`
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { mib, Victim } from "../tests/attacks.ts";
import { closed, next, opened } from "../tests/websocket/peers.ts";

/** Longer than a day is no soak, but a server. */
const MOST_MINUTES = 24 * 60;

/** Clients at a time. */
const CLIENTS = 50;

const { minutes: given } = parseArgs(Deno.args, { string: ["minutes"] });
const minutes = Math.min(Number(given ?? 60), MOST_MINUTES);
if (!(minutes > 0)) {
  console.error("Cannot soak: --minutes must be a number over 0");
  Deno.exit(2);
}

const MINUTE_MS = 60_000;
const end = performance.now() + minutes * MINUTE_MS;
await using victim = await Victim.start({ tls: true }, (minutes + 2) * MINUTE_MS);
let messages = 0;
let connections = 0;

/** One client after another, each with a few messages. */
async function live(): Promise<void> {
  while (performance.now() < end) {
    const socket = await opened(victim.url, {
      caCerts: [victim.ca],
      compression: Math.random() < 0.8,
    });
    connections++;
    for (let count = 1 + Math.random() * 200; count > 0 && performance.now() < end; count--) {
      const size = Math.floor(10 ** (1 + 4 * Math.random()));
      const text = `${count} `.repeat(size / 4).slice(0, size);
      const answer = next(socket, "message");
      socket.send(text);
      if ((await answer).data !== text) throw new Error("The answer is another");
      messages++;
      await new Promise((resolve) => setTimeout(resolve, 50 * Math.random()));
    }
    if (Math.random() < 0.2) {
      const gone = next(socket, "close");
      socket.terminate();
      await gone;
    } else await closed(socket);
  }
}

const living = Promise.all(Array.from({ length: CLIENTS }, live));
console.log("minute  memory     descriptors  connections  messages");
const report = (async () => {
  for (let minute = 1; minute <= minutes; minute++) {
    const left = end - (minutes - minute) * MINUTE_MS - performance.now();
    await new Promise((resolve) => setTimeout(resolve, Math.max(left, 0)));
    console.log([
      String(minute).padEnd(6),
      mib(await victim.collected()).padEnd(9),
      String(victim.descriptors()).padEnd(11),
      String(connections).padEnd(11),
      messages,
    ].join("  "));
  }
})();
await Promise.all([living, report]);
await new Promise((resolve) => setTimeout(resolve, 2000));
console.log(`at the end: ${mib(await victim.collected())}, ${victim.descriptors()} descriptors`);
