import { assert, assertEquals, assertMatch } from "@std/assert";
import { serve, upgradeWebSocket } from "../../mod.ts";
import { closed, echo, handshake, next, opened, RawClient } from "../websocket/peers.ts";

/** The opening handshake with a header besides its own, of bytes from 0 to 255. */
function handshakeWith(line: string): Uint8Array {
  const text = handshake().replace("\r\n\r\n", `\r\n${line}\r\n\r\n`);
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

Deno.test("upgradeWebSocket() takes no longer than the headers are long", async () => {
  await using server = echo({}, { maxHeaderBytes: 2 ** 20 });
  const spaces = " ".repeat(100_000);
  for (const name of ["Sec-WebSocket-Protocol", "Connection", "Upgrade"]) {
    using client = await RawClient.connect(server.addr.port);
    const start = performance.now();
    await client.write(handshakeWith(`${name}: a${spaces}b`));
    assertMatch(await client.head(), /^HTTP\/1\.1 101 /);
    // Some milliseconds; where each run of spaces is gone over from each of its spaces, eight seconds.
    assert(performance.now() - start < 2000, name);
  }
});

Deno.test("upgradeWebSocket() chooses no subprotocol that is not ASCII, and goes on", async () => {
  // A handler that takes the first that is offered, whatever it is.
  await using server = serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen() {},
    onError: () => new Response(null, { status: 400 }),
  }, (request) => {
    const [protocol] = request.headers.get("Sec-WebSocket-Protocol")!.split(", ");
    const { socket, response } = upgradeWebSocket(request, { protocol: protocol! });
    socket.onmessage = ({ data }) => socket.send(data);
    return response;
  });
  for (
    const [names, status] of [
      ["caf\xe9", 400],
      ["caf\xe9, chat", 400],
      ["\xff\xfe", 400],
      ["chat, caf\xe9", 101],
    ]
  ) {
    using client = await RawClient.connect(server.addr.port);
    await client.write(handshakeWith(`Sec-WebSocket-Protocol: ${names}`));
    assertMatch(await client.head(), new RegExp(`^HTTP/1\\.1 ${status} `));
  }
  const socket = await opened(`ws://127.0.0.1:${server.addr.port}/`, { protocols: ["chat"] });
  socket.send("served");
  assertEquals((await next(socket, "message")).data, "served");
  await closed(socket);
});
