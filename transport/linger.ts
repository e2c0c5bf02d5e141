/**
 * The time after our last word: what the peer still sends is read and dropped. Closed at once with unread
 * input, TCP would reset the connection, and the peer lose what it has not read yet (RFC 9112 section 9.6).
 *
 * @module
 */

/** What lingers: a connection, or a socket of `node:http`. */
interface Lingering {
  destroy(): void;
}

/**
 * How often a lingering connection is looked at, in milliseconds. A peer that has sent nothing since the look
 * before is not waited for.
 */
export const LINGER_MS = 2000;

/**
 * What a peer must send between two looks, in bytes, or the wait is over: one TLS record, as no part of it can
 * be seen. So the slowest sender that is read to its end sends 8 KiB a second, less than any line of today.
 */
const LINGER_LEAST = 16 * 1024;

/**
 * Longest wait, in milliseconds. A peer that reads only when it has sent everything gets our last word behind
 * 7 MB at 1 Mbit/s, and behind 75 MB at 10 Mbit/s. Reading and dropping takes less time than handling messages
 * would, and the connection keeps its place among those of its address: nothing is gained by it.
 */
const LINGER_MOST_MS = 60_000;

/** Whether a peer goes on sending, so that its connection is worth keeping for a while. */
export class StillSending {
  readonly #end: number;
  /** Bytes since the latest look. */
  #fresh = 0;

  constructor(now: number = performance.now()) {
    this.#end = now + LINGER_MOST_MS;
  }

  /** Bytes have come. */
  came(count: number): void {
    this.#fresh += count;
  }

  /** Whether enough has come since the last time this was asked, and the longest wait is not over. */
  look(now: number = performance.now()): boolean {
    const sends = this.#fresh >= LINGER_LEAST;
    this.#fresh = 0;
    return sends && now < this.#end;
  }
}

/** Reads and drops what comes, and ends the connection when the peer is done, or the bound is reached. */
export class Linger {
  readonly #connection: Lingering;
  readonly #sending = new StillSending();
  #timer: ReturnType<typeof setTimeout>;

  /**
   * @param connection To be resumed by the caller, as bytes may come at once. Its owner passes them on to
   *   {@linkcode drop}, and calls {@linkcode stop} at its end.
   */
  constructor(connection: Lingering) {
    this.#connection = connection;
    const look = () => {
      if (this.#sending.look()) this.#timer = setTimeout(look, LINGER_MS);
      else connection.destroy();
    };
    this.#timer = setTimeout(look, LINGER_MS);
  }

  /** Bytes have come that nobody wants. */
  drop(count: number): void {
    this.#sending.came(count);
  }

  /** The peer has ended its side. */
  peerEnded(): void {
    this.#connection.destroy();
  }

  /** The connection has ended. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
