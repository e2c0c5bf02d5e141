/**
 * Both ends of a WebSocket for the tests: a server of ours on a free port, and raw connections to it.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import {
  serve,
  type ServeTcpOptions,
  upgradeWebSocket,
  type UpgradeWebSocketOptions,
  WebSocket,
  type WebSocketOptions,
} from "../../mod.ts";

/** A server that hands each socket to `accept`. */
export function acceptSockets(
  accept: (socket: WebSocket, request: Request) => void,
  upgrade: UpgradeWebSocketOptions = {},
  options: ServeTcpOptions = {},
) {
  const server = serve(
    { port: 0, hostname: "127.0.0.1", onListen() {}, ...options },
    (request) => {
      const { socket, response } = upgradeWebSocket(request, upgrade);
      accept(socket, request);
      return response;
    },
  );
  const scheme = options.cert === undefined ? "ws" : "wss";
  return Object.assign(server, { url: `${scheme}://127.0.0.1:${server.addr.port}/` });
}

/** A server that sends every message back. */
export function echo(upgrade: UpgradeWebSocketOptions = {}, options: ServeTcpOptions = {}) {
  return acceptSockets(
    (socket) => {
      socket.binaryType = "arraybuffer";
      socket.onmessage = ({ data }) => socket.send(data);
    },
    upgrade,
    options,
  );
}

/** The next event of a type. */
export function next<E extends Event = MessageEvent>(
  target: EventTarget,
  type: string,
): Promise<E> {
  return new Promise((resolve) =>
    target.addEventListener(type, (event) => resolve(event as E), { once: true })
  );
}

/** An open client of ours. */
export async function opened(url: string, options: WebSocketOptions = {}): Promise<WebSocket> {
  const socket = new WebSocket(url, options);
  socket.binaryType = "arraybuffer";
  await next<Event>(socket, "open");
  return socket;
}

/** Closes and waits for the end. */
export async function closed(socket: WebSocket, code = 1000, reason = ""): Promise<CloseEvent> {
  const event = next<CloseEvent>(socket, "close");
  socket.close(code, reason);
  return await event;
}

/** Asserts that a compressed socket gets a text and bytes back. */
export async function assertEchoes(socket: WebSocket): Promise<void> {
  assertMatch(socket.extensions, /^permessage-deflate/);
  const text = "hello ".repeat(1000);
  socket.send(text);
  assertEquals((await next(socket, "message")).data, text);
  const bytes = new Uint8Array(1000).fill(7);
  socket.send(bytes);
  assertEquals(new Uint8Array((await next(socket, "message")).data), bytes);
}

/** A client that speaks bytes. */
export class RawClient implements Disposable {
  constructor(readonly connection: Deno.Conn) {}

  static async connect(port: number): Promise<RawClient> {
    return new RawClient(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  /** Connects and completes the opening handshake. */
  static async open(port: number, extensions = ""): Promise<RawClient> {
    const client = await RawClient.connect(port);
    await client.write(handshake(extensions));
    await client.head();
    return client;
  }

  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    for (let at = 0; at < bytes.length;) at += await this.connection.write(bytes.subarray(at));
  }

  /** Reads exactly `count` bytes, or fewer at the end of the connection. */
  async bytes(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    let length = 0;
    while (length < count) {
      const read = await this.connection.read(bytes.subarray(length));
      if (read === null) break;
      length += read;
    }
    return bytes.subarray(0, length);
  }

  /** Reads to the empty line. */
  async head(): Promise<string> {
    let text = "";
    while (!text.endsWith("\r\n\r\n")) {
      const byte = await this.bytes(1);
      if (byte.length === 0) break;
      text += String.fromCharCode(byte[0]!);
    }
    return text;
  }

  /** Reads to the end of the connection; a reset ends it too. */
  async rest(): Promise<string> {
    let text = "";
    const buffer = new Uint8Array(4096);
    try {
      for (;;) {
        const read = await this.connection.read(buffer);
        if (read === null) return text;
        text += new TextDecoder().decode(buffer.subarray(0, read));
      }
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionReset) return text;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.connection.close();
  }
}

/** The opening handshake of RFC 6455 section 1.3. */
export function handshake(extensions = ""): string {
  return "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
    (extensions && `Sec-WebSocket-Extensions: ${extensions}\r\n`) + "\r\n";
}
