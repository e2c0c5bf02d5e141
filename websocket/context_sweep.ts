/**
 * Gives compression contexts back that are not used any more.
 *
 * @module
 */

import { contextCount, releaseIdleContexts } from "../protocol/permessage_deflate/codec.ts";

/** How often unused contexts are looked for, in milliseconds. */
const SWEEP_MS = 5000;

let timer: ReturnType<typeof setTimeout> | undefined;

/** Looks for unused contexts for as long as there are any; does not keep the process alive. */
export function sweepContexts(): void {
  if (timer !== undefined || contextCount() === 0) return;
  timer = setTimeout(() => {
    timer = undefined;
    releaseIdleContexts();
    sweepContexts();
  }, SWEEP_MS);
  Deno.unrefTimer(timer);
}

/** Stops that, if there are no contexts any more. */
export function endSweep(): void {
  if (contextCount() > 0) return;
  clearTimeout(timer);
  timer = undefined;
}
