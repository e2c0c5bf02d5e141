/**
 * A server's half of the opening handshake, for servers that then break every rule.
 *
 * @module
 */

/** The response to a request (RFC 6455 section 4.2.2), with permessage-deflate where it is offered. */
export async function serverHandshake(request: string): Promise<string> {
  const key = /^sec-websocket-key: *(.*?)\r$/im.exec(request)?.[1];
  const bytes = new TextEncoder().encode(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  const accept = new Uint8Array(await crypto.subtle.digest("SHA-1", bytes)).toBase64();
  const compressed = /^sec-websocket-extensions:.*permessage-deflate/im.test(request);
  return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${accept}\r\n` +
    (compressed
      ? "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; " +
        "client_no_context_takeover\r\n"
      : "") +
    "\r\n";
}
