/**
 * A SOCKS5 proxy (RFC 1928) with users and passwords (RFC 1929), as far as the tests need one.
 *
 * @module
 */

/** Accepts connections on a free port of 127.0.0.1; leads all of them to one port of this machine. */
export class SocksServer implements AsyncDisposable {
  /** What was asked for: `user:password` if any, and the server's name and port. */
  readonly asked: string[] = [];
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Deno.Conn>();
  readonly #serving: Promise<void>;

  /**
   * @param target Where all connections lead.
   * @param login `user:password` that is asked for; without it, none is.
   */
  constructor(readonly target: number, readonly login?: string) {
    this.#serving = this.#serve();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(): Promise<void> {
    const all: Promise<void>[] = [];
    try {
      for (;;) {
        const connection = await this.#listener.accept();
        this.#open.add(connection);
        all.push(this.#relay(connection).catch(() => {}).finally(() => this.#close(connection)));
      }
    } catch {
      // It listens no more.
    }
    await Promise.all(all);
  }

  async #relay(client: Deno.Conn): Promise<void> {
    const take = async (count: number) => {
      const bytes = new Uint8Array(count);
      for (let at = 0; at < count;) at += (await client.read(bytes.subarray(at)))!;
      return bytes;
    };
    const text = async () => new TextDecoder().decode(await take((await take(1))[0]!));
    await take((await take(2))[1]!);
    let login = "";
    await client.write(new Uint8Array([5, this.login === undefined ? 0 : 2]));
    if (this.login !== undefined) {
      await take(1);
      login = `${await text()}:${await text()} `;
      await client.write(new Uint8Array([1, login === `${this.login} ` ? 0 : 1]));
    }
    const kind = (await take(4))[3]!;
    const name = kind === 3 ? await text() : (await take(kind === 1 ? 4 : 16)).join(".");
    const [high, low] = await take(2);
    this.asked.push(`${login}${name}:${high! * 256 + low!}`);
    const server = await Deno.connect({ hostname: "127.0.0.1", port: this.target });
    this.#open.add(server);
    await client.write(new Uint8Array([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    await Promise.allSettled([
      client.readable.pipeTo(server.writable),
      server.readable.pipeTo(client.writable),
    ]);
    this.#close(server);
  }

  #close(connection: Deno.Conn): void {
    this.#open.delete(connection);
    try {
      connection.close();
    } catch {
      // Its streams have closed it.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open) this.#close(connection);
    await this.#serving;
  }
}
