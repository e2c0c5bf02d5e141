/**
 * One WebSocket of the load generator: the least that can send prepared frames and count answers, so
 * that the server's work is what is measured.
 *
 * @module
 */

import { AnswerCounter, concat } from "./answers.ts";
import type { FrameStream, Mode } from "./frames.ts";

/** Where a server listens, and whether it speaks WebSocket at all. */
export interface Endpoint {
  port: number;
  webSocket: boolean;
  /** @default {"/"} */
  path?: string;
  /** Whether it speaks TLS. @default {true} */
  tls?: boolean | undefined;
}

/** A connection with its opening handshake done, if there is one to do. */
export interface Connected {
  connection: Deno.Conn;
  /** The extensions agreed on. */
  extensions: string;
}

/** What a client offers for each way of compressing. */
const OFFERS: Record<Mode, string | undefined> = {
  "plain": undefined,
  "no-context": "permessage-deflate; client_no_context_takeover; server_no_context_takeover; " +
    "client_max_window_bits",
  "context": "permessage-deflate; client_max_window_bits",
};

/** Longest response to the opening handshake. */
const MAX_HEAD = 4096;

/** What a read takes at most: some frames, or a good part of a large one. */
const READ_SIZE = 64 * 1024;

/** Connects, and opens a WebSocket if there is one to open. */
export async function open(endpoint: Endpoint, mode: Mode): Promise<LoadConnection> {
  const { connection, extensions } = await connect(endpoint, mode);
  return new LoadConnection(connection, extensions);
}

/** Connects as {@linkcode open} does, for callers that read and write the bytes themselves. */
export async function connect(
  { port, webSocket, path = "/" }: Endpoint,
  mode: Mode,
): Promise<Connected> {
  const connection = await dial(port);
  try {
    const extensions = webSocket ? await shakeHands(connection, path, OFFERS[mode]) : "";
    return { connection, extensions };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/**
 * Connects to a server of the bench.
 *
 * @param caCerts Authorities to trust besides those of the process.
 */
export async function dial(port: number, caCerts: string[] = []): Promise<Deno.TlsConn> {
  const tcp = await Deno.connect({ hostname: "127.0.0.1", port });
  // Otherwise the request waits until the server acknowledges the end of the TLS handshake.
  tcp.setNoDelay();
  return await Deno.startTls(tcp, { hostname: "127.0.0.1", caCerts });
}

async function shakeHands(
  connection: Deno.Conn,
  path: string,
  offer: string | undefined,
): Promise<string> {
  const request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n` +
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
    (offer === undefined ? "" : `Sec-WebSocket-Extensions: ${offer}\r\n`) + "\r\n";
  await writeAll(connection, new TextEncoder().encode(request));
  const bytes = new Uint8Array(MAX_HEAD);
  let head = "";
  // Nothing follows the head: no server here speaks first.
  while (!head.endsWith("\r\n\r\n")) {
    const count = await connection.read(bytes);
    if (count === null || head.length > MAX_HEAD) break;
    head += new TextDecoder().decode(bytes.subarray(0, count));
  }
  if (!head.startsWith("HTTP/1.1 101 ")) {
    throw new Error(`Cannot measure: the server answered the handshake with "${head}"`);
  }
  return /^sec-websocket-extensions: *(.*)\r$/im.exec(head)?.[1] ?? "";
}

/** An open connection. */
export class LoadConnection {
  /** The extensions agreed on. */
  readonly extensions: string;
  /** Bytes received, up to the last message that ended. */
  received = 0;
  /** Bytes received behind that. */
  #unfinished = 0;
  readonly #connection: Deno.Conn;
  readonly #counter = new AnswerCounter();
  #frames: FrameStream | undefined;
  /** The frame that is sent next. */
  #next = 0;
  /** Frames to be sent when the write that is under way is done. */
  #owed = 0;
  #writing = false;
  #closed = false;

  constructor(connection: Deno.Conn, extensions: string) {
    this.#connection = connection;
    this.extensions = extensions;
  }

  /** Sets what is sent. */
  use(frames: FrameStream): void {
    this.#frames = frames;
  }

  /** Sends the next `count` frames, in as few writes as can be. */
  send(count: number): void {
    this.#owed += count;
    if (!this.#writing) void this.#write();
  }

  async #write(): Promise<void> {
    const frames = this.#frames!;
    this.#writing = true;
    try {
      while (this.#owed > 0) {
        const bytes = frames.slice(this.#next, this.#owed);
        this.#next = frames.after(this.#next, this.#owed);
        this.#owed = 0;
        await writeAll(this.#connection, bytes);
      }
    } catch (error) {
      if (!this.#closed) throw error;
    }
    this.#writing = false;
  }

  /** Reads until {@linkcode close}, and tells of messages as they end. */
  async listen(onMessages: (count: number) => void): Promise<void> {
    const buffer = new Uint8Array(READ_SIZE);
    try {
      for (;;) {
        const count = await this.#connection.read(buffer);
        if (count === null) throw new Error("Cannot measure: the server ended a connection");
        this.#unfinished += count;
        const ended = this.#counter.push(buffer, count);
        if (ended === 0) continue;
        this.received += this.#unfinished;
        this.#unfinished = 0;
        onMessages(ended);
      }
    } catch (error) {
      if (!this.#closed) throw error;
    }
  }

  /** Sends one frame and returns the frames of the answer to it. */
  ask(): Promise<Uint8Array> {
    this.send(1);
    return this.receive(1);
  }

  /** Reads so many messages at least, and returns their frames. */
  async receive(messages: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (let ended = 0; ended < messages;) {
      const buffer = new Uint8Array(READ_SIZE);
      const count = await this.#connection.read(buffer);
      if (count === null) throw new Error("Cannot measure: the server ended a connection");
      parts.push(buffer.subarray(0, count));
      ended += this.#counter.push(buffer, count);
    }
    return concat(parts);
  }

  /** Cuts the connection off. */
  close(): void {
    this.#closed = true;
    this.#connection.close();
  }
}

/** Writes all of `bytes`. */
export async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}
