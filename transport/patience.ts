/**
 * How long a peer may need to read what it was sent: what the network has taken may wait in the system's
 * buffers of both ends, megabytes before the peer, and nothing tells how much of it is still there.
 *
 * @module
 */

/** A peer that reads this much, in bytes a second, is never given up for what waits before it. */
let leastRate = 8 * 1024;

/** Sets another least rate, for tests that cannot wait so long. Returns the one before. */
export function setLeastRate(rate: number): number {
  const before = leastRate;
  leastRate = rate;
  return before;
}

/**
 * What may wait in the system's buffers, in bytes. Linux gives a connection 4 MiB to send at most (`tcp_wmem`);
 * seen over loopback were 2.5 to 3 MB before a write was pending, and a third of that from one write that was
 * taken to the next.
 */
const MOST_WAITING = 4 * 1024 * 1024;

/** What was written to a peer, and could still be unread if it read at the least rate. */
export class Unread {
  #bytes = 0;
  #since = performance.now();

  /** The network has taken some bytes. */
  wrote(count: number): void {
    this.#bytes += count;
  }

  /**
   * Milliseconds until a peer that reads at the least rate has read all.
   *
   * @param more Bytes that are to be written yet.
   */
  wait(more = 0): number {
    const now = performance.now();
    const read = (now - this.#since) * leastRate / 1000;
    this.#since = now;
    this.#bytes = Math.min(Math.max(0, this.#bytes - read), MOST_WAITING);
    return Math.min(this.#bytes + more, MOST_WAITING) * 1000 / leastRate;
  }
}
