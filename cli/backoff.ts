/**
 * How long to wait before the next attempt: longer each time, and partly random.
 *
 * @module
 */

import { unlessStopped } from "./signals.ts";

/** The first wait, in milliseconds. */
const FIRST_MS = 500;

/** The longest wait, in milliseconds. */
const LONGEST_MS = 30_000;

/**
 * The wait before attempt `attempt` (from 1). It doubles with each attempt, up to half a minute, and its
 * upper half is random, so that many clients do not come back at the same moment. It is never shorter
 * than what the server asks for.
 *
 * @param retryAfter The server's `Retry-After` (RFC 9110 section 10.2.3), if any: seconds, or a date.
 * @param random A number from 0 to 1.
 * @param now The current time, in milliseconds since 1970.
 * @returns The wait in milliseconds.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { backoff } from "./backoff.ts";
 *
 * assertEquals(backoff(1, undefined, 1), 500);
 * assertEquals(backoff(3, undefined, 0), 1000);
 * assertEquals(backoff(1, "7", 0), 7250);
 * ```
 */
export function backoff(
  attempt: number,
  retryAfter: string | undefined,
  random: number = Math.random(),
  now: number = Date.now(),
): number {
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** (attempt - 1));
  const wait = Math.round(longest / 2 * (1 + random));
  if (retryAfter === undefined) return wait;
  const asked = /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1000 : Date.parse(retryAfter) - now;
  return asked > 0 ? Math.min(asked, 3_600_000) + wait : wait;
}

/** Waits `ms` milliseconds. Rejects with the reason of `stop` if `stop` aborts first. */
export async function delay(ms: number, stop: AbortSignal): Promise<void> {
  const waited = Promise.withResolvers<void>();
  const timer = setTimeout(waited.resolve, ms);
  try {
    await unlessStopped(waited.promise, stop);
  } finally {
    clearTimeout(timer);
  }
}
