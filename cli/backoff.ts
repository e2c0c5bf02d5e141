/**
 * How long to wait before connecting again: longer each time, never in step with others.
 *
 * @module
 */

import { unlessStopped } from "./signals.ts";

/** The first wait, in milliseconds. */
const FIRST_MS = 500;

/** The longest. */
const LONGEST_MS = 30_000;

/**
 * The wait before attempt `attempt` (from 1): doubled each time up to half a minute, the upper half of
 * it random, so that a crowd does not come back at once. What the server asks for is waited at least.
 *
 * @param retryAfter A `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date.
 * @param random From 0 to 1.
 * @param now The time, in milliseconds since 1970.
 * @returns Milliseconds.
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

/** Waits `ms` milliseconds; rejects with the reason of `stop` when that aborts first. */
export async function delay(ms: number, stop: AbortSignal): Promise<void> {
  const waited = Promise.withResolvers<void>();
  const timer = setTimeout(waited.resolve, ms);
  try {
    await unlessStopped(waited.promise, stop);
  } finally {
    clearTimeout(timer);
  }
}
