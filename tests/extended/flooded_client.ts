/**
 * A client of ours on the port of its argument. Prints `flooded` when it has got its first message, or
 * is open where none comes, and then how late the slowest of ten timers was, in milliseconds.
 *
 * @module
 */

import { WebSocket } from "../../mod.ts";

const TIMERS = 10;
const TIMER_MS = 100;

const caCerts = [Deno.readTextFileSync("certs/ca.crt")];
const socket = new WebSocket(`wss://127.0.0.1:${Deno.args[0]}/`, { caCerts });
await new Promise((resolve, reject) => {
  socket.onopen = resolve;
  socket.onerror = reject;
});
console.log("flooded");
let late = 0;
for (let i = 0; i < TIMERS; i++) {
  const due = performance.now() + TIMER_MS;
  await new Promise((resolve) => setTimeout(resolve, TIMER_MS));
  late = Math.max(late, performance.now() - due);
}
console.log(late);
Deno.exit();
