/**
 * The server's log: LogTape set up for a person (the demo's bare lines) or for a program (JSON lines).
 *
 * Lines up to `info` go to standard output, warnings and errors to standard error.
 *
 * @module
 */

import {
  configureSync,
  getJsonLinesFormatter,
  getLogger,
  type Logger,
  type LogLevel,
  type LogRecord,
} from "@logtape/logtape";
import type { Output } from "../output.ts";

export type { Logger };

/** The levels `--log-level` knows; the first is the default. */
export const LOG_LEVELS = ["info", "debug", "warning", "error"] as const;

/** How {@linkcode openLog} writes. */
export interface LogOptions {
  /** Lowest level written. */
  level: typeof LOG_LEVELS[number];
  /**
   * `text`: the message alone; at level `debug`, a line about a client begins with the number of its connection
   * and its address. `json`: one object a line.
   */
  format: "text" | "json";
  /** Whether a line of text begins with the date and time (ISO 8601, UTC); JSON always has them. */
  timestamps: boolean;
}

/** The client that a line is about, as `#2 192.0.2.1:50000 `, of the second worker as `#2.2 192.0.2.1:50000 `. */
function clientOf({ properties: { client, connection, worker } }: LogRecord): string {
  if (client === undefined) return "";
  if (connection === undefined) return `${client} `;
  return `#${worker === undefined ? "" : `${worker}.`}${connection} ${client} `;
}

/**
 * Sets up the log of the whole process, and returns it.
 *
 * A record's properties fill the `{name}`s of its message.
 */
export function openLog(options: LogOptions, output: Output): Logger {
  const asJson = getJsonLinesFormatter();
  const format = options.format === "json"
    ? (record: LogRecord) => asJson(record).trimEnd()
    : (record: LogRecord) => {
      const client = options.level === "debug" ? clientOf(record) : "";
      const line = client + record.message.join("");
      return options.timestamps ? `${new Date(record.timestamp).toISOString()} ${line}` : line;
    };
  const toError: ReadonlySet<LogLevel> = new Set(["warning", "error", "fatal"]);
  configureSync({
    reset: true,
    sinks: {
      output(record: LogRecord) {
        const line = format(record);
        if (toError.has(record.level)) output.err(line);
        else output.out(line);
      },
    },
    loggers: [
      { category: "server", sinks: ["output"], lowestLevel: options.level },
      { category: ["logtape", "meta"], sinks: ["output"], lowestLevel: "error" },
    ],
  });
  return getLogger("server");
}
