/**
 * Tries again after a failure, as `--reconnect` and `--reconnect-on` say.
 *
 * @module
 */

import { backoff, delay } from "../backoff.ts";
import { Failure } from "../failure.ts";
import { UsageError } from "../flags.ts";
import { fill } from "../sentences.ts";
import type { Run } from "./mode.ts";
import { Refusal } from "./refusal.ts";

/** What {@linkcode reconnecting} tries. */
export interface Attempts<T> {
  /** One attempt. */
  attempt(): Promise<T>;
  /** Told why an attempt failed. Returns whether it got somewhere: then the attempts are counted anew. */
  failed(failure: Failure): boolean;
}

/**
 * Repeats an attempt until it succeeds, or has failed too often.
 *
 * @throws {Failure} The last one; `failed` has been told.
 * @throws {Stopped} If the client must stop.
 */
export async function reconnecting<T>(
  { options, sentences, report, stop }: Pick<Run, "options" | "sentences" | "report" | "stop">,
  { attempt, failed }: Attempts<T>,
): Promise<T> {
  const limit = options.reconnect;
  for (let count = 1;; count++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (failed(error)) count = 1;
      if (count > limit || !isWorthwhile(error, options["reconnect-on"])) throw error;
      const retryAfter = error instanceof Refusal ? error.headers.get("Retry-After") : null;
      const details = { ms: backoff(count, retryAfter ?? undefined), attempt: count, limit };
      const line = fill(sentences.client.reconnecting, details);
      report.err(line, { event: "reconnecting", ...details });
      await delay(details.ms, stop);
    }
  }
}

/** Whether another attempt may fare better. */
function isWorthwhile(failure: Failure, statuses: string[]): boolean {
  if (failure instanceof UsageError) return false;
  return !(failure instanceof Refusal) || !failure.isFinal ||
    statuses.includes(String(failure.status));
}
