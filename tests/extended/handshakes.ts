/**
 * Handshakes that do not end: their descriptors must be free again when their places are.
 */

import { assert } from "@std/assert";
import { Victim } from "../attacks.ts";
import { extended, LIMIT_MS, ms, wait } from "./extended.ts";

/** Most connections of the server, and as many silent ones beyond them. */
const CONNECTIONS = 150;

/** Longest wait of a client that behaves, in milliseconds. */
const ENTRY_MS = 5000;

/** Whether a client gets an answer in time, which asks again as long as it is refused. */
async function entered(victim: Victim): Promise<boolean> {
  using client = Deno.createHttpClient({ caCerts: [victim.ca] });
  const signal = AbortSignal.timeout(ENTRY_MS);
  while (!signal.aborted) {
    try {
      const response = await fetch(victim.url.replace("ws", "http") + "memory", { client, signal });
      await response.body?.cancel();
      if (response.ok) return true;
    } catch {
      // Refused, or cut off.
    }
    await wait(50);
  }
  return false;
}

extended("serve() lets a client in after silent sockets were given up", async () => {
  await using victim = await Victim.start({
    tls: true,
    serve: { maxConnections: CONNECTIONS, handshakeTimeout: 1000 },
    descriptors: 2 * CONNECTIONS,
  }, LIMIT_MS);
  const before = victim.descriptors();
  const silent: Deno.Conn[] = [];
  for (let i = 0; i < 2 * CONNECTIONS; i++) {
    silent.push(await Deno.connect({ hostname: "127.0.0.1", port: victim.port }));
  }
  // The handshakes have been given up, and their places are free.
  await wait(3000);
  const alive = victim.isAlive();
  const during = victim.descriptors();
  const startedAt = performance.now();
  const isIn = await entered(victim);
  const took = performance.now() - startedAt;
  for (const connection of silent) connection.close();
  console.log(
    `${silent.length} silent sockets: ${before} descriptors before, ${
      alive ? `${during} when they were given up` : "then the server died"
    }; ` +
      `a client is in after ${isIn ? ms(took) : `more than ${ms(took)}`}`,
  );
  assert(alive, "the server is gone");
  assert(isIn, "nobody gets in");
  assert(during <= before + 10, `${during} descriptors`);
});
