/**
 * Bytes sent back through `Deno.listenTls`, and nothing else: the floor of what a WebSocket can cost.
 *
 * @module
 */

import { announce, LOCAL, serverArguments } from "./server.ts";

const { cert, key } = serverArguments();
const listener = Deno.listenTls({ ...LOCAL, cert, key });
announce(listener.addr);

for await (const connection of listener) void echo(connection);

async function echo(connection: Deno.TlsConn): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  try {
    for (let count = await connection.read(buffer); count !== null;) {
      for (let at = 0; at < count;) at += await connection.write(buffer.subarray(at, count));
      count = await connection.read(buffer);
    }
  } catch {
    // The client cut the connection off.
  }
}
