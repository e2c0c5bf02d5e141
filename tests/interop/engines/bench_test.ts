/** The bench measures what goes over an engine. */

import { assert } from "@std/assert";
import { measureEngine } from "../../../bench/engine.ts";
import { NATS, REDIS } from "./engines.ts";

/** Long enough for some messages. */
const MILLISECONDS = 200;

for (const [engine, { ignore }] of [["nats", NATS], ["redis", REDIS]] as const) {
  for (const way of ["topics", "alone"] as const) {
    Deno.test({
      name: `measureEngine() measures two processes over ${engine}: ${way}`,
      ignore,
      async fn() {
        const figures = await measureEngine(way, engine, MILLISECONDS, (_, command) => command);
        assert(figures.p50 > 0 && figures.p99 >= figures.p50, `${figures.p50}, ${figures.p99}`);
        assert(figures.rate > 0 && figures.cpu > 0, `${figures.rate}, ${figures.cpu}`);
      },
    });
  }
}
