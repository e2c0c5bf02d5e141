/**
 * The places of a server: how many connections there are, and how many of each client.
 *
 * @module
 */

/** Counts connections, and refuses those beyond its bounds. */
export class Places {
  readonly #most: number;
  readonly #mostPerClient: number;
  #taken = 0;
  readonly #clients = new Map<string, number>();

  /**
   * @param most Connections at a time.
   * @param mostPerClient Connections at a time of one client.
   */
  constructor(most: number, mostPerClient: number) {
    this.#most = most;
    this.#mostPerClient = mostPerClient;
  }

  /**
   * Takes a place for a connection. Returns whether there was one.
   *
   * @param client `undefined` until it is known, as behind a proxy.
   */
  take(client: string | undefined): boolean {
    if (this.#taken >= this.#most || client !== undefined && !this.count(client)) return false;
    this.#taken++;
    return true;
  }

  /** Counts a connection that has a place as one of `client`. Returns whether that may have one more. */
  count(client: string): boolean {
    const own = this.#clients.get(client) ?? 0;
    if (own >= this.#mostPerClient) return false;
    this.#clients.set(client, own + 1);
    return true;
  }

  /** Gives a place back: not before the file descriptor of its connection is. */
  giveBack(client: string | undefined): void {
    this.#taken--;
    if (client !== undefined) this.uncount(client);
  }

  /** Takes back what {@linkcode count} has counted. */
  uncount(client: string): void {
    const others = this.#clients.get(client)! - 1;
    if (others === 0) this.#clients.delete(client);
    else this.#clients.set(client, others);
  }
}
