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

  /** Takes a place for a connection of `client`. Returns whether there was one. */
  take(client: string): boolean {
    const own = this.#clients.get(client) ?? 0;
    if (this.#taken >= this.#most || own >= this.#mostPerClient) return false;
    this.#taken++;
    this.#clients.set(client, own + 1);
    return true;
  }

  /** Gives a place back: not before the file descriptor of its connection is. */
  giveBack(client: string): void {
    this.#taken--;
    const others = this.#clients.get(client)! - 1;
    if (others === 0) this.#clients.delete(client);
    else this.#clients.set(client, others);
  }
}
