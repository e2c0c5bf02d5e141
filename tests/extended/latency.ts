/**
 * How promptly a server over TLS answers one connection: no write waits for the acknowledgement of
 * another.
 */

import { assert, assertEquals } from "@std/assert";
import { besiege } from "../../bench/siege.ts";
import { Victim } from "../attacks.ts";
import { extended, LIMIT_MS, ms } from "./extended.ts";

/** Measures one client's answers: each is asked for when the last has come. */
async function answersOf(size: number, binary: boolean, parts: number) {
  await using victim = await Victim.start({ tls: true, parts: parts > 1 }, LIMIT_MS);
  const figures = await besiege(
    {
      endpoint: { port: victim.port, webSocket: true },
      connections: 1,
      interval: 0,
      duration: 5000,
      patience: 2000,
      size,
      binary,
      parts,
      newcomers: false,
    },
    () => Promise.resolve(undefined),
    { ca: victim.caFile },
  );
  const { asked, answered, p50, p99, worst } = figures;
  console.log(
    `${size} bytes, ${parts} part${parts === 1 ? "" : "s"}: ${answered} answers, ` +
      `p50 ${p50.toFixed(2)} ms, p99 ${ms(p99)}, worst ${ms(worst)}`,
  );
  assertEquals(answered, asked);
  return figures;
}

extended("serve() echoes 64 KiB over TLS within a millisecond", async () => {
  const { p50 } = await answersOf(64 * 1024, true, 1);
  assert(p50 <= 1, ms(p50));
});

extended("serve() answers in three messages 2 ms apart within 8 ms", async () => {
  const { p50 } = await answersOf(64, false, 3);
  assert(p50 <= 8, ms(p50));
});
