/**
 * Whether the peer is alive: pings and pongs (RFC 6455 sections 5.5.2 and 5.5.3), and a watch over its
 * silence.
 *
 * @module
 */

import { Unread } from "../transport/patience.ts";

/** What a {@linkcode Liveness} asks and tells its session. */
export interface LivenessOwner {
  sendPing(data: Uint8Array): void;
  /** Bytes that the network has not taken. */
  readonly unsent: number;
  /** Whether this end does not read, so that it could not see a sign of life. */
  readonly isDeaf: boolean;
  /** Breaks the connection off. */
  fail(error: Error): void;
}

/** A ping that waits for its pong. */
interface PendingPing {
  data: Uint8Array;
  sentAt: number;
  pong: PromiseWithResolvers<number>;
}

const NO_DATA = new Uint8Array(0);

/** The signs of life of one peer. */
export class Liveness {
  readonly #idleTimeout: number;
  readonly #owner: LivenessOwner;
  #pings: PendingPing[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** How often bytes have come, messages were sent, and writes that the network did not take at once ended. */
  #reads = 0;
  #sends = 0;
  #writes = 0;
  #isWriting = false;
  /** What the peer may not have read yet: a ping waits behind it. */
  readonly #unread = new Unread();

  /** @param idleTimeout Longest silence in seconds; 0 for no bound. */
  constructor(idleTimeout: number, owner: LivenessOwner) {
    this.#idleTimeout = idleTimeout;
    this.#owner = owner;
  }

  /** Bytes have come. */
  seen(): void {
    this.#reads++;
  }

  /** A message was sent. */
  sent(): void {
    this.#sends++;
  }

  /** A write of some bytes begins. */
  wrote(count: number): void {
    this.#unread.wrote(count);
  }

  /** It was not taken by the network at once. */
  writing(): void {
    this.#isWriting = true;
  }

  /** Milliseconds in which a slow peer reads what it was sent: so long its answer to it may be late. */
  get patience(): number {
    return this.#unread.wait(this.#owner.unsent);
  }

  /** That write has been taken. */
  written(): void {
    this.#isWriting = false;
    this.#writes++;
  }

  /** Changes with everything that comes or goes out. */
  get activity(): number {
    return this.#reads + this.#sends;
  }

  /**
   * The writes at this moment, for {@linkcode tookSince}. What the network takes at once says nothing of
   * the peer, but a write that waits ends only when the peer has taken some of what was before it.
   */
  get progress(): number {
    return this.#isWriting ? this.#writes : -1;
  }

  /** Whether the write that was waiting then has ended. */
  tookSince(progress: number): boolean {
    return progress >= 0 && this.#writes > progress;
  }

  /**
   * Sends a ping to a silent peer, and gives it up if that is not answered. A peer that reads slowly reads
   * the ping late, and is given the time for what is before it.
   */
  watch(): void {
    // Looked at three times: silence is noticed by the second look, and has its ping until the third.
    const interval = this.#idleTimeout * 1000 / 3;
    if (interval === 0) return;
    let asked = false;
    /** When a peer that was asked is given up. */
    let deadline = 0;
    let reads = -1;
    let progress = -1;
    const look = () => {
      if (this.#reads !== reads || this.tookSince(progress)) {
        asked = false;
      } else if (asked) {
        if (performance.now() < deadline) return this.#lookAgain(look, interval);
        return this.#owner.fail(
          new Error("Connection lost: peer was silent, and did not answer a ping"),
        );
      } else {
        // While we pause reading we cannot see a pong, so its absence proves nothing.
        asked = !this.#owner.isDeaf;
        // A millisecond less, as a timer may fire early.
        deadline = performance.now() + interval + this.patience - 1;
        this.#owner.sendPing(NO_DATA);
      }
      reads = this.#reads;
      progress = this.progress;
      this.#lookAgain(look, interval);
    };
    this.#lookAgain(look, interval);
  }

  #lookAgain(look: () => void, interval: number): void {
    this.#timer = setTimeout(look, interval);
  }

  /** Resolves with the time that the pong of a ping with `data` takes, in milliseconds. */
  expectPong(data: Uint8Array): Promise<number> {
    const pong = Promise.withResolvers<number>();
    // A caller that ignores this promise must not get an unhandled rejection.
    pong.promise.catch(() => {});
    this.#pings.push({ data, sentAt: performance.now(), pong });
    return pong.promise;
  }

  /** A pong has come: it answers its ping, and those before it (RFC 6455 section 5.5.3). */
  pong(data: Uint8Array): void {
    const at = this.#pings.findLastIndex((ping) =>
      ping.data.length === data.length && ping.data.every((byte, i) => byte === data[i])
    );
    if (at === -1) return;
    const now = performance.now();
    for (const { sentAt, pong } of this.#pings.splice(0, at + 1)) pong.resolve(now - sentAt);
  }

  /** The connection has ended. */
  end(error: unknown): void {
    clearTimeout(this.#timer);
    for (const { pong } of this.#pings.splice(0)) {
      pong.reject(error ?? new Error("Connection lost"));
    }
  }
}
