/**
 * Peers that come over TLS from an address of their own and speak in bytes. `Deno.connect` has no
 * choice of the address, `node:net` has.
 *
 * @module
 */

import { connect as connectTcp } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { AnswerCounter } from "../../bench/answers.ts";
import { handshake } from "../programs.ts";

/** For {@linkcode Stranger.connect}. */
export interface StrangerOptions {
  port: number;
  /** The authority that the server's certificate is of. */
  ca: string;
  /** The address that it comes from. */
  address?: string;
  /** The extensions that it offers. */
  extensions?: string;
}

/** One peer, with its opening handshake done. */
export class Stranger {
  /** Bytes received behind the head. */
  received = 0;
  /** Messages received. */
  messages = 0;
  readonly closed: Promise<void>;
  readonly #socket: TLSSocket;
  readonly #counter = new AnswerCounter();
  #onmessage = () => {};

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    // The connection ends then, which is what counts.
    socket.on("error", () => {});
  }

  static async connect(options: StrangerOptions): Promise<Stranger> {
    const { port, ca, address = "127.0.0.1", extensions = null } = options;
    const tcp = connectTcp({ host: "127.0.0.1", port, localAddress: address });
    const socket = connectTls({ socket: tcp, ca, servername: "localhost" });
    const stranger = new Stranger(socket);
    const opened = Promise.withResolvers<void>();
    void stranger.closed.then(() => opened.reject(new Error("The server let nobody in")));
    const onHead = (head: Uint8Array) => {
      if (new TextDecoder().decode(head).startsWith("HTTP/1.1 101")) opened.resolve();
      socket.off("data", onHead);
      socket.on("data", (bytes: Uint8Array) => stranger.#receive(bytes));
    };
    socket.on("data", onHead);
    socket.write(handshake("/", { "Sec-WebSocket-Extensions": extensions }));
    await opened.promise;
    return stranger;
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Sends a message and waits for its answer, or for the end. */
  async ask(message: Uint8Array): Promise<void> {
    const answered = new Promise<void>((resolve) => this.#onmessage = resolve);
    this.write(message);
    await Promise.race([answered, this.closed]);
  }

  async close(): Promise<void> {
    this.#socket.destroy();
    await this.closed;
  }

  #receive(bytes: Uint8Array): void {
    this.received += bytes.length;
    try {
      const ended = this.#counter.push(bytes, bytes.length);
      this.messages += ended;
      if (ended > 0) this.#onmessage();
    } catch {
      // A Close frame.
      this.#socket.destroy();
    }
  }
}

/** Many of them, from so many addresses in turn, of which the first is 127.0.0.`from`. */
export async function strangers(
  count: number,
  options: StrangerOptions,
  addresses = 1,
  from = 1,
): Promise<Stranger[]> {
  const all: Stranger[] = [];
  let next = 0;
  await Promise.all(Array.from({ length: 32 }, async () => {
    while (next < count) {
      const address = `127.0.0.${from + next++ % addresses}`;
      all.push(await Stranger.connect({ ...options, address }));
    }
  }));
  return all;
}
