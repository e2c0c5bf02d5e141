/**
 * How a server leaves: it drains, its sockets are closed one after the other, and what is left after the grace
 * period is cut off.
 *
 * @module
 */

import { CloseCode } from "../protocol/frame.ts";
import type { Session } from "../websocket/session.ts";
import { MAX_TIMEOUT_MS, numberOption } from "../websocket/options.ts";
import { Spread } from "./spread.ts";

/** How {@linkcode HttpServer.shutdown} leaves. */
export interface ShutdownOptions {
  /**
   * How long the server goes on before it stops to accept, in milliseconds, so that whoever sends it clients
   * learns from its readiness probe that it leaves. Meanwhile requests are answered, each as the last of its
   * connection, and messages too; new upgrades get 503 with `Retry-After`.
   *
   * @default {0}
   */
  drain?: number;
  /**
   * Over how long the sockets are closed after that, in milliseconds: evenly, in random order, so that their
   * clients do not come back all at once.
   *
   * @default {0}
   */
  spread?: number;
  /** The close code: 1001, the server goes away, or 1012, it is started again. @default {1001} */
  code?: 1001 | 1012;
}

const CODES: unknown[] = [undefined, CloseCode.GOING_AWAY, CloseCode.SERVICE_RESTART];

/** Checks the options, and fills in the times. */
function checked({ drain, spread, code }: ShutdownOptions) {
  if (!CODES.includes(code)) {
    throw new RangeError(`Cannot shut down: code is ${JSON.stringify(code)}, must be 1001 or 1012`);
  }
  return {
    drain: numberOption("shut down", "drain", drain, 0, MAX_TIMEOUT_MS, "ms"),
    spread: numberOption("shut down", "spread", spread, 0, MAX_TIMEOUT_MS, "ms"),
    code,
  };
}

/**
 * `Retry-After` of an upgrade that is refused while a server drains, in seconds: at random, as clients that
 * were all told its end would come back together then. Most find another server sooner.
 *
 * @param left What is left of the drain, in milliseconds.
 */
export function retryAfter(left: number): number {
  return 1 + Math.floor(Math.random() * Math.ceil(Math.max(0, left) / 1000));
}

/** What {@linkcode Leaving} has its server do. */
export interface LeavingServer {
  /** Accepts nothing more, and ends what waits for no answer. */
  stopAccepting(): void;
  /** The sessions that are open. */
  sessions(): Session[];
  /** Whether no connection is left, and every socket has been told of its end. */
  isEmpty(): boolean;
  /** Whether there has been a socket. */
  hadSockets(): boolean;
  /** Ends every connection that is left. */
  cutOff(): void;
}

/** What connections that are cut off have to give their descriptors back, in milliseconds. */
const CUT_OFF_MS = 500;

/** The leaving of one server. */
export class Leaving {
  readonly #server: LeavingServer;
  readonly #gracePeriod: number;
  readonly #sockets: Spread<Session>;
  readonly #finished = Promise.withResolvers<void>();
  #hasBegun = false;
  #isDrained = false;
  /** When the drain is over, and when the last socket is to be closed. */
  #drainEnd = Infinity;
  #spreadEnd = Infinity;
  #code: number = CloseCode.GOING_AWAY;
  /** Waits for the end of the drain, of the grace period, and of what is cut off, one after the other. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(server: LeavingServer, gracePeriod: number) {
    this.#server = server;
    this.#gracePeriod = gracePeriod;
    this.#sockets = new Spread({
      act: (session) => this.#sendAway(session),
      onDone: () => this.#wait(gracePeriod, () => this.#cutOff()),
    });
  }

  /** Whether the server leaves. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Whether the drain is over, and nothing more is accepted. */
  get isDrained(): boolean {
    return this.#isDrained;
  }

  /** Resolves when all is done. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  /** `Retry-After` of an upgrade that is refused now. */
  get retryAfter(): number {
    return retryAfter(this.#drainEnd - performance.now());
  }

  /**
   * Begins to leave, or hurries where that ends the drain or the spread earlier than asked for before.
   *
   * @throws {RangeError} If an option is out of its range.
   */
  begin(options: ShutdownOptions): void {
    const { drain, spread, code = this.#code } = checked(options);
    const now = performance.now();
    this.#hasBegun = true;
    this.#code = code;
    this.#drainEnd = Math.min(this.#drainEnd, now + drain);
    this.#spreadEnd = Math.min(this.#spreadEnd, now + drain + spread);
    if (this.#isDrained) return this.#sockets.hurry(this.#spreadEnd - now);
    const left = this.#drainEnd - now;
    if (left > 0) this.#wait(left, () => this.#endDrain());
    else this.#endDrain();
  }

  #endDrain(): void {
    clearTimeout(this.#timer);
    this.#isDrained = true;
    this.#server.stopAccepting();
    this.#sockets.begin(this.#server.sessions(), this.#spreadEnd - performance.now());
    this.checkEmpty();
  }

  /** A session has opened. */
  opened(session: Session): void {
    if (this.#isDrained) this.#sockets.add(session);
  }

  /** Half of the grace period is for answers, the other for the closing handshake. */
  #sendAway(session: Session): void {
    session.goAway(performance.now() + this.#gracePeriod / 2, this.#code);
  }

  #cutOff(): void {
    this.#server.cutOff();
    this.#wait(CUT_OFF_MS, () => this.#finish());
  }

  /** A connection has ended: it may have been the last. */
  checkEmpty(): void {
    if (this.#isDrained && this.#server.isEmpty()) this.#finish();
  }

  #finish(): void {
    this.#sockets.stop();
    clearTimeout(this.#timer);
    // What the last handlers of `close` do at once comes first.
    if (this.#server.hadSockets()) this.#wait(0, () => this.#finished.resolve());
    else this.#finished.resolve();
  }

  #wait(ms: number, callback: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(callback, ms);
  }
}
