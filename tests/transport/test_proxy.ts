/**
 * An HTTP proxy that opens tunnels, or answers what a test wants.
 *
 * @module
 */

import type { KeyPair } from "../../transport/key_pair.ts";

/** What a {@linkcode TestProxy} does. */
export interface TestProxyOptions {
  /** With it, TLS is spoken with the proxy. */
  pair?: KeyPair | undefined;
  /** Answers the request with what this returns, if anything, and opens no tunnel. */
  answer?: (head: string) => string | undefined;
  /** Comes before the server's bytes, in the same write as the proxy's answer. */
  greeting?: string;
  /** The answer that opens a tunnel. */
  opens?: string;
}

/** Accepts connections on a free port of 127.0.0.1. */
export class TestProxy implements AsyncDisposable {
  /** The heads of the requests, in order. */
  readonly heads: string[] = [];
  readonly port: number;
  readonly #listener: Deno.TcpListener | Deno.TlsListener;
  readonly #options: TestProxyOptions;
  readonly #open = new Set<Deno.Conn>();
  readonly #serving: Promise<void>;

  constructor(options: TestProxyOptions = {}) {
    const address = { hostname: "127.0.0.1", port: 0 };
    this.#options = options;
    this.#listener = options.pair === undefined
      ? Deno.listen(address)
      : Deno.listenTls({ ...address, ...options.pair });
    this.port = this.#listener.addr.port;
    this.#serving = this.#serve();
  }

  /** The URL of the proxy, with credentials as URLs have them. */
  url(credentials = ""): string {
    const scheme = this.#options.pair === undefined ? "http" : "https";
    return `${scheme}://${credentials && `${credentials}@`}127.0.0.1:${this.port}`;
  }

  async #serve(): Promise<void> {
    const all: Promise<void>[] = [];
    try {
      for (;;) {
        const connection = await this.#listener.accept();
        this.#open.add(connection);
        all.push(this.#relay(connection).catch(() => {}));
      }
    } catch {
      // It listens no more.
    }
    await Promise.all(all);
  }

  async #relay(client: Deno.Conn): Promise<void> {
    let head = "";
    const buffer = new Uint8Array(16 * 1024);
    while (!head.endsWith("\r\n\r\n")) {
      const count = await client.read(buffer);
      if (count === null) return this.#close(client);
      head += new TextDecoder().decode(buffer.subarray(0, count));
    }
    this.heads.push(head);
    const { answer, greeting = "", opens = "HTTP/1.1 200 Connection established\r\n\r\n" } =
      this.#options;
    const refusal = answer?.(head);
    if (refusal !== undefined) {
      await client.write(new TextEncoder().encode(refusal));
      return this.#close(client);
    }
    const [, hostname, port] = /^CONNECT \[?([^ ]+?)\]?:(\d+) /.exec(head)!;
    const server = await Deno.connect({ hostname: hostname!, port: Number(port) });
    this.#open.add(server);
    await client.write(new TextEncoder().encode(opens + greeting));
    await Promise.allSettled([
      client.readable.pipeTo(server.writable),
      server.readable.pipeTo(client.writable),
    ]);
    this.#close(client);
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
