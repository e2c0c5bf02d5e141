/**
 * What a load has come to: connections, messages, times, and errors by kind.
 *
 * @module
 */

import type { SocketStats } from "../../../mod.ts";
import { Sum } from "../statistics.ts";
import { rounded, Times } from "./times.ts";

/** What can go wrong. */
export type ErrorKind =
  /** No connection, or no WebSocket. */
  | "connect"
  /** No connection in time. */
  | "timeout"
  /** The server answered the handshake with another status than 101. */
  | "status"
  /** The connection ended without a closing handshake. */
  | "lost"
  /** The server closed the connection. */
  | "closed"
  /** An answer was another than wanted, or to no message. */
  | "unexpected"
  /** A message had no answer until the end. */
  | "unanswered"
  /** A message that was due was not sent, as too much was unanswered or unsent. */
  | "unsent";

/** The errors of one kind. */
export interface ErrorCount {
  kind: ErrorKind;
  /** The HTTP status, or the close code. */
  code: number | undefined;
  count: number;
  /** What the first one was, where that is known. */
  reason: string | undefined;
}

/** Counts. */
export class Tally {
  /** From dialling to the end of the opening handshake. */
  readonly connects: Times = new Times();
  /** From when a message was due to its answer. */
  readonly latency: Times = new Times();
  /** From when a message was due until it was sent: how far this program itself was behind. */
  readonly lateness: Times = new Times();
  /** What the connections have carried. */
  readonly sent: Sum = new Sum();
  readonly received: Sum = new Sum();
  /** Messages that were handed to a connection. */
  asked = 0;
  /** How long it took to open all connections, in milliseconds. */
  connecting = 0;
  /** From the first message until the last answer, in milliseconds. */
  loading = 0;
  /** How many errors there were. */
  errorCount = 0;
  readonly #errors = new Map<string, ErrorCount>();

  /** Counts errors. */
  fail(
    kind: ErrorKind,
    details: { code?: number; count?: number; reason?: string } = {},
  ): void {
    const { code, count = 1, reason } = details;
    if (count === 0) return;
    this.errorCount += count;
    const key = keyOf(kind, code);
    const known = this.#errors.get(key);
    if (known !== undefined) known.count += count;
    else this.#errors.set(key, { kind, code, count, reason });
  }

  /** Adds what a connection has carried. */
  carried({ sent, received }: SocketStats): void {
    this.sent.add(sent);
    this.received.add(received);
  }

  /** The errors, those first of which there were most. */
  get errors(): ErrorCount[] {
    return [...this.#errors.values()].sort((a, b) => b.count - a.count);
  }

  toJSON(): Record<string, unknown> {
    const errors = this.errors.map(({ kind, code, count }) => [keyOf(kind, code), count]);
    return {
      connections: {
        opened: this.connects.count,
        seconds: rounded(this.connecting / 1000),
        perSecond: rate(this.connects.count, this.connecting),
        ...percentiles(this.connects),
      },
      messages: {
        sent: this.asked,
        answered: this.latency.count,
        seconds: rounded(this.loading / 1000),
        answersPerSecond: rate(this.latency.count, this.loading),
      },
      latency: percentiles(this.latency),
      lateness: percentiles(this.lateness),
      sent: this.sent.toJSON(),
      received: this.received.toJSON(),
      errors: Object.fromEntries(errors),
    };
  }
}

/** A kind with its code, as in `closed 1011`. */
function keyOf(kind: ErrorKind, code: number | undefined): string {
  return code === undefined ? kind : `${kind} ${code}`;
}

/** The percentiles that are shown, in milliseconds. */
export function percentiles(
  times: Times,
): { p50: number; p90: number; p99: number; p999: number; max: number } {
  return {
    p50: times.percentile(50),
    p90: times.percentile(90),
    p99: times.percentile(99),
    p999: times.percentile(99.9),
    max: times.max,
  };
}

/** So many in so many milliseconds, as a whole number a second. */
export function rate(count: number, ms: number): number {
  return ms === 0 ? 0 : Math.round(count / ms * 1000);
}
