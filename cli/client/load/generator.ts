/**
 * Opens connections to a server and keeps it busy, by a schedule or as it answers.
 *
 * @module
 */

import { deadline } from "@std/async/deadline";
import { delay } from "../../backoff.ts";
import type { Dialled } from "../dial.ts";
import type { OwnMessage } from "../messages.ts";
import { type ConnectionListener, type ConnectionOptions, LoadConnection } from "./connection.ts";
import { Schedule } from "./schedule.ts";
import type { Tally } from "./tally.ts";

/** So many connections are being opened at a time. */
const OPENING = 64;

/** Most messages sent in one go by a generator that is behind: answers are read in between. */
const BURST = 256;

/** Longest wait for the closing handshakes, in milliseconds. */
const CLOSING_MS = 1000;

/** What is done. Times are in milliseconds. */
export interface Plan extends ConnectionOptions {
  connections: number;
  /** Over how long the connections are opened. */
  ramp: number;
  /** Messages a second over all connections; undefined for a closed loop: each connection sends when it was answered. */
  rate: number | undefined;
  /** For how long messages are sent, once all connections have been opened. */
  duration: number;
  /** What is sent, in turn. */
  messages: OwnMessage[];
  /** Starts to connect. */
  dial: () => Dialled;
}

/** What a generator is doing. */
export type Phase = "connecting" | "loading" | "finishing";

/** One load, from the first connection to the last. */
export class Generator implements ConnectionListener {
  phase: Phase = "connecting";
  /** When messages begin to be sent, in milliseconds. */
  start = 0;
  readonly #plan: Plan;
  readonly #tally: Tally;
  /** The connections that are open. */
  readonly #open: LoadConnection[] = [];
  /** How many connections were begun. */
  #begun = 0;
  /** How many messages were taken from the plan's, and whose turn it is. */
  #turn = 0;
  /** Messages of open connections that have no answer yet. */
  #unanswered = 0;
  /** When the last answer came. */
  #lastAnswer = 0;
  #schedule: Schedule | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Resolves when there is nothing more to wait for in this phase. */
  #done = Promise.withResolvers<void>();

  constructor(plan: Plan, tally: Tally) {
    this.#plan = plan;
    this.#tally = tally;
  }

  /** How many connections are open. */
  get open(): number {
    return this.#open.length;
  }

  /**
   * Runs the load to its end.
   *
   * @param stop Ends it early.
   */
  async run(stop: AbortSignal): Promise<void> {
    await this.#connect(stop);
    if (!stop.aborted && this.#open.length > 0) await this.#load(stop);
    await this.#close();
  }

  /** Opens the connections, each at its time. */
  async #connect(stop: AbortSignal): Promise<void> {
    const start = this.#plan.now();
    const { connections, ramp } = this.#plan;
    const opening = new Set<LoadConnection>();
    const giveUp = () => opening.forEach((connection) => connection.terminate());
    stop.addEventListener("abort", giveUp);
    const openSome = async () => {
      while (this.#begun < connections && !stop.aborted) {
        const at = start + ramp * this.#begun++ / connections;
        const ms = at - this.#plan.now();
        // A signal ends the wait, and the loop.
        if (ms > 0) await delay(ms, stop).catch(() => {});
        if (stop.aborted) return;
        const connection = new LoadConnection(this.#plan.dial(), this.#plan, this.#tally, this);
        opening.add(connection);
        if (await connection.open()) connection.index = this.#open.push(connection) - 1;
        opening.delete(connection);
      }
    };
    await Promise.all(Array.from({ length: OPENING }, openSome));
    stop.removeEventListener("abort", giveUp);
    this.#tally.connecting = this.#plan.now() - start;
  }

  /** Sends messages for as long as the plan says, then waits for the answers that are still to come. */
  async #load(stop: AbortSignal): Promise<void> {
    const { rate, duration, timeout } = this.#plan;
    this.phase = "loading";
    this.start = this.#lastAnswer = this.#plan.now();
    const finish = () => this.#done.resolve();
    stop.addEventListener("abort", finish);
    const timer = setTimeout(finish, duration);
    if (rate === undefined) {
      for (const connection of this.#open) this.#askNext(connection);
    } else {
      this.#schedule = new Schedule(this.start, rate, duration);
      this.#tick();
    }
    await this.#done.promise;
    clearTimeout(timer);
    clearTimeout(this.#timer);
    stop.removeEventListener("abort", finish);

    if (this.#schedule !== undefined) this.#askDue();
    const end = this.#plan.now();
    // What was due and not sent: this program was too slow, or the server has gone.
    this.#tally.fail("unsent", { count: this.#schedule?.takeDue(end) ?? 0 });
    this.phase = "finishing";
    if (this.#unanswered > 0) {
      this.#done = Promise.withResolvers();
      const ms = stop.aborted ? CLOSING_MS : timeout;
      await deadline(this.#done.promise, ms).catch(() => {});
    }
    this.#tally.loading = Math.max(Math.min(end, this.start + duration), this.#lastAnswer) -
      this.start;
  }

  /** Closes all connections. */
  async #close(): Promise<void> {
    for (const connection of this.#open) connection.close();
    const closed = Promise.all(this.#open.map(({ closed }) => closed));
    await deadline(closed, CLOSING_MS).catch(() => {});
    for (const connection of this.#open) connection.terminate();
    await closed;
  }

  answered(connection: LoadConnection): void {
    this.#lastAnswer = this.#plan.now();
    this.#unanswered--;
    if (this.phase === "finishing") {
      if (this.#unanswered === 0) this.#done.resolve();
    } else if (this.#schedule === undefined) this.#askNext(connection);
    // A timer is a millisecond late: whatever is due goes out with the next answer, too.
    else this.#askDue();
  }

  ended(connection: LoadConnection): void {
    const last = this.#open.pop()!;
    if (last !== connection) {
      this.#open[connection.index] = last;
      last.index = connection.index;
    }
    this.#unanswered -= connection.unanswered;
    const isDone = this.phase === "finishing"
      ? this.#unanswered === 0
      : this.phase === "loading" && this.#open.length === 0;
    if (isDone) this.#done.resolve();
  }

  /** Sends all messages that are due, and comes back when the next one is. */
  readonly #tick = (): void => {
    this.#askDue();
    const ms = this.#schedule!.due - this.#plan.now();
    if (ms < Infinity) this.#timer = setTimeout(this.#tick, Math.max(ms, 0));
  };

  /** Sends the messages that are due, each on the next connection. */
  #askDue(): void {
    const schedule = this.#schedule!;
    const now = this.#plan.now();
    for (let left = BURST; left > 0 && this.#open.length > 0; left--) {
      const { due } = schedule;
      if (due > now) return;
      schedule.take();
      this.#tally.lateness.record(now - due);
      this.#ask(this.#open[this.#turn % this.#open.length]!, due);
    }
  }

  /** Sends the next message of a connection that was answered. */
  #askNext(connection: LoadConnection): void {
    this.#ask(connection, this.#plan.now());
  }

  #ask(connection: LoadConnection, due: number): void {
    const { messages } = this.#plan;
    if (connection.ask(messages[this.#turn++ % messages.length]!, due)) this.#unanswered++;
  }
}
