/**
 * The last word of a connection reaches a peer that reads only when it has written everything.
 */

import { assertEquals, assertMatch } from "@std/assert";
import { WebSocket } from "../../mod.ts";
import { closePayload } from "../protocol/driver.ts";
import { onEachWay } from "../transport/ends.ts";
import { developmentCertificates } from "../programs.ts";
import { echo, handshake, next, opened, RawClient } from "./peers.ts";
import { serverHandshake } from "../extended/server_handshake.ts";

const MIB = 1024 * 1024;

/** More than the system's buffers of both ends hold, and than one second's reading used to be bounded by. */
const SIZE = 12 * MIB;

/** The header of a binary frame of `SIZE` bytes; a client's mask is of zeros. */
function header(masked: boolean): Uint8Array {
  const bytes = new Uint8Array(masked ? 14 : 10);
  bytes[0] = 0x82;
  bytes[1] = (masked ? 0x80 : 0) | 127;
  new DataView(bytes.buffer).setBigUint64(2, BigInt(SIZE));
  return bytes;
}

/** Writes everything, in parts, with a pause after each. */
async function writeAll(connection: Deno.Conn, pause = 0): Promise<void> {
  const part = new Uint8Array(MIB / 4);
  for (let sent = 0; sent < SIZE; sent += part.length) {
    for (let at = 0; at < part.length;) at += await connection.write(part.subarray(at));
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** All that comes to the end of the connection. */
async function readAll(connection: Deno.Conn): Promise<Uint8Array> {
  return new Uint8Array(await new Response(connection.readable).arrayBuffer());
}

/** Connects to a server of ours, over TLS or TCP, and has it hear a message over its limit. */
async function sendTooMuch(secure: boolean, pause = 0): Promise<void> {
  const { ca, cert, key } = await developmentCertificates();
  await using server = echo({ maxMessageSize: MIB }, secure ? { cert, key } : {});
  const { port } = server.addr;
  const connection = secure
    ? await Deno.connectTls({ hostname: "127.0.0.1", port, caCerts: [ca] })
    : await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(handshake()));
  await connection.write(header(true));
  await writeAll(connection, pause);
  const received = await readAll(connection);
  const headEnd = received.findIndex((_, i) =>
    received.subarray(i, i + 4).join() === "13,10,13,10"
  );
  const [first, _length, ...code] = received.subarray(headEnd + 4, headEnd + 8);
  assertEquals([first, ...code], [0x88, ...closePayload(1009)]);
}

for (const secure of [false, true]) {
  onEachWay(
    `Session tells a peer 1009 that reads it behind 12 MiB over ${secure ? "TLS" : "TCP"}`,
    () => sendTooMuch(secure),
  );
}

Deno.test("Session tells a peer 1009 that takes three seconds to send what is over the limit", () =>
  sendTooMuch(false, 62));

onEachWay("WebSocket of a client tells a server 1009 that reads it behind 12 MiB", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { maxMessageSize: MIB });
  const close = next<CloseEvent>(socket, "close");
  const connection = await listener.accept();
  const request = new Uint8Array(4096);
  const length = (await connection.read(request))!;
  const response = await serverHandshake(new TextDecoder().decode(request.subarray(0, length)));
  await connection.write(new TextEncoder().encode(response));
  await connection.write(header(false));
  await writeAll(connection);
  const [first, second, ...mask] = await readAll(connection);
  assertEquals([first, second! & 0x80], [0x88, 0x80]);
  assertEquals(mask.length > 4 && [mask[4]! ^ mask[0]!, mask[5]! ^ mask[1]!], [
    ...closePayload(1009),
  ]);
  assertEquals((await close).code, 1006);
});

onEachWay("serve() tells a client 413 that reads it behind a body of 12 MiB", async () => {
  await using server = echo({}, { maxBodySize: MIB });
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port });
  const head = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${SIZE}\r\n\r\n`;
  await connection.write(new TextEncoder().encode(head));
  await writeAll(connection);
  assertMatch(new TextDecoder().decode(await readAll(connection)), /^HTTP\/1\.1 413 /);
});

Deno.test("serve() ends within its grace period, although a peer goes on sending after its last word", async () => {
  const server = echo({ maxMessageSize: MIB }, { gracePeriod: 200 });
  using client = await RawClient.open(server.addr.port);
  await client.write(header(true));
  let sent = 0;
  const sending = (async () => {
    for (;;) {
      await client.write(new Uint8Array(64 * 1024));
      sent++;
    }
  })().catch(() => {});
  const others = await opened(server.url);
  const answer = next(others, "message");
  others.send("still served");
  assertEquals((await answer).data, "still served");
  while (sent < 200) await new Promise((resolve) => setTimeout(resolve, 0));
  await server.shutdown();
  await sending;
});
