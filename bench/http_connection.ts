/**
 * One HTTP connection of the load generator: it sends the same request again and again, and counts the answers.
 *
 * @module
 */

import { dial, type Endpoint, writeAll } from "./connection.ts";

/** Longest head of an answer. */
const MAX_HEAD = 4096;

const READ_SIZE = 64 * 1024;

/** The bytes of a request that asks for the page, or of one that uploads so many bytes. */
export function requestOf(upload?: number): Uint8Array<ArrayBuffer> {
  const head = upload === undefined
    ? "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    : `POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${upload}\r\n\r\n`;
  return new TextEncoder().encode(head + "u".repeat(upload ?? 0));
}

/** The length of a whole answer, once its head has come. */
export function answerLength(text: string, bodyLength: number): number | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end === -1 && text.length < MAX_HEAD) return undefined;
  const head = text.slice(0, end + 2);
  const length = Number(/^content-length: *(\d+)\r$/im.exec(head)?.[1]);
  if (!head.startsWith("HTTP/1.1 200 ") || length !== bodyLength) {
    throw new Error(`Cannot measure: the server answered with "${head}"`);
  }
  return end + 4 + length;
}

/** A connection that is kept. All answers have the same length: only the digits of the date change. */
export class HttpConnection {
  /** No WebSocket extension was agreed on. */
  readonly extensions = "";
  /** Bytes received. */
  received = 0;
  readonly #connection: Deno.Conn;
  readonly #request: Uint8Array;
  readonly #answerLength: number;
  #closed = false;

  private constructor(connection: Deno.Conn, request: Uint8Array, answerLength: number) {
    this.#connection = connection;
    this.#request = request;
    this.#answerLength = answerLength;
  }

  /** Connects, and checks the first answer, whose body must have so many bytes. */
  static async open(
    { port, tls = true }: Endpoint,
    request: Uint8Array,
    bodyLength: number,
  ): Promise<HttpConnection> {
    const connection = tls ? await dial(port) : await Deno.connect({ hostname: "127.0.0.1", port });
    await writeAll(connection, request);
    const buffer = new Uint8Array(READ_SIZE);
    let text = "";
    let length: number | undefined;
    while (length === undefined || text.length < length) {
      const count = await connection.read(buffer);
      if (count === null) throw new Error("Cannot measure: the server ended a connection");
      text += new TextDecoder("latin1").decode(buffer.subarray(0, count));
      length ??= answerLength(text, bodyLength);
    }
    return new HttpConnection(connection, request, length);
  }

  /** Sends one request. */
  send(): void {
    writeAll(this.#connection, this.#request).catch(this.#orClosed);
  }

  /** Reads until {@linkcode close}, and tells of answers as they end. */
  async listen(onAnswers: (count: number) => void): Promise<void> {
    const buffer = new Uint8Array(READ_SIZE);
    let unfinished = 0;
    try {
      for (;;) {
        const count = await this.#connection.read(buffer);
        if (count === null) throw new Error("Cannot measure: the server ended a connection");
        this.received += count;
        unfinished += count;
        const ended = Math.floor(unfinished / this.#answerLength);
        unfinished %= this.#answerLength;
        if (ended > 0) onAnswers(ended);
      }
    } catch (error) {
      this.#orClosed(error);
    }
  }

  /** An error is none once the connection was cut off here. */
  #orClosed = (error: unknown): void => {
    if (!this.#closed) throw error;
  };

  /** Cuts the connection off. */
  close(): void {
    this.#closed = true;
    this.#connection.close();
  }
}
