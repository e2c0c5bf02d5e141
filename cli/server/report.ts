/**
 * What a thread of the server has counted, for the metrics and the last line of the log.
 *
 * @module
 */

import type { ServerStats } from "../../mod.ts";
import type { DelayHistogram } from "./event_loop_delay.ts";

/** What one thread has counted, or several together. It can be sent by a worker. */
export interface Report {
  server: ServerStats;
  eventLoopDelay: DelayHistogram;
}

/** Both reports added up. */
export function sumOf(one: Report, other: Report): Report {
  return sum(one, other);
}

/** Adds up all numbers in objects of the same shape. */
function sum<T>(one: T, other: T): T {
  if (typeof one === "number") return one + (other as number) as T;
  if (Array.isArray(one)) return one.map((value, index) => sum(value, (other as T[])[index])) as T;
  const entries = Object.entries(one as Record<string, unknown>);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, sum(value, (other as Record<string, unknown>)[name])]),
  ) as T;
}

/** What stays of the report of a thread that has ended: it holds nothing any more. */
export function pastOf({ server, eventLoopDelay }: Report): Report {
  const { connections, sockets } = server;
  return {
    server: {
      ...server,
      connections: { ...connections, open: 0 },
      sockets: { ...sockets, open: 0 },
      contexts: { count: 0, bytes: 0 },
      memory: { held: 0, limit: 0 },
    },
    eventLoopDelay,
  };
}
