/**
 * The results of a run, as `--json` writes them.
 *
 * @module
 */

import type { Load } from "./loads.ts";
import type { MetricName } from "./metrics.ts";

/** What one contestant gave under one load. */
export interface Result {
  load: Load;
  /** The contestant's id and name. */
  rival: string;
  name: string;
  /** The extensions agreed on. */
  extensions: string;
  /** One figure a round. */
  samples: Partial<Record<MetricName, number[]>>;
}

/** A run. */
export interface Results {
  /** The command that made them. */
  command: string;
  date: string;
  rounds: number;
  /** Name and value of what the figures depend on. */
  machine: [string, string][];
  /** Name of each contestant that is not here, and why. */
  missing: [string, string][];
  /** What went wrong while it was measured. */
  failed: string[];
  results: Result[];
}
