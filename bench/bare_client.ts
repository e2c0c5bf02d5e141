/**
 * The least a client on Deno can be: one message over TLS, its answer printed, and the end. It imports nothing, checks
 * nothing, and compresses nothing: what the start of a client takes at least.
 *
 * Arguments: port, message of less than 126 bytes.
 *
 * @module
 */

const [port, message = ""] = Deno.args;
const hostname = "127.0.0.1";
const tcp = await Deno.connect({ hostname, port: Number(port) });
// `Deno.connectTls` has no such option: there the request waits for an acknowledgement.
tcp.setNoDelay();
const connection = await Deno.startTls(tcp, { hostname });
const encoder = new TextEncoder();
const buffer = new Uint8Array(4096);
await connection.write(encoder.encode(
  `GET / HTTP/1.1\r\nHost: ${hostname}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
));
await connection.read(buffer);
// A frame of text (RFC 6455 section 5.2) whose mask of zeros leaves the payload as it is.
const payload = encoder.encode(message);
await connection.write(new Uint8Array([0x81, 0x80 | payload.length, 0, 0, 0, 0, ...payload]));
const count = await connection.read(buffer) ?? 0;
console.log(new TextDecoder().decode(buffer.subarray(2, count)));
connection.close();
