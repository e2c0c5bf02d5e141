/**
 * Passes connections on to a port of this machine, and can cut them off.
 *
 * @module
 */

/** The relay. */
export class Relay implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #connections = new Set<Deno.Conn>();
  readonly #work: Promise<unknown>[] = [];

  /** @param port Where connections go. */
  constructor(port: number) {
    this.#work.push(this.#serve(port));
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /** Cuts off all connections that there are. */
  cut(): void {
    for (const connection of this.#connections) this.#close(connection);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.cut();
    await Promise.all(this.#work);
  }

  async #serve(port: number): Promise<void> {
    try {
      for await (const client of this.#listener) this.#work.push(this.#relay(client, port));
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #relay(client: Deno.TcpConn, port: number): Promise<void> {
    const server = await Deno.connect({ hostname: "127.0.0.1", port });
    this.#connections.add(client).add(server);
    await Promise.allSettled([
      client.readable.pipeTo(server.writable),
      server.readable.pipeTo(client.writable),
    ]);
    this.#close(client);
    this.#close(server);
  }

  #close(connection: Deno.Conn): void {
    this.#connections.delete(connection);
    try {
      connection.close();
    } catch {
      // Its streams have closed it.
    }
  }
}
