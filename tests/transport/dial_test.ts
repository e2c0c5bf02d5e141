import { assertEquals, assertStringIncludes } from "@std/assert";
import { WebSocket } from "../../mod.ts";
import { brought } from "../programs.ts";
import { echo, next, RawClient } from "../websocket/peers.ts";

Deno.test("WebSocket refuses a certificate that is trusted, and another host's", async () => {
  const { ca, cert, key } = await brought({ names: ["other.example"] });
  await using server = echo({}, { cert, key });
  const socket = new WebSocket(server.url, { caCerts: [ca] });
  const event = await Promise.race([next<ErrorEvent>(socket, "error"), next(socket, "open")]);
  socket.terminate();
  assertStringIncludes((event as ErrorEvent).message ?? event.type, "not valid for name");
});

Deno.test("WebSocket follows no redirect, and shows its headers to nobody else", async () => {
  let reached = 0;
  await using other = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => {
    reached++;
    return new Response();
  });
  for (const status of [301, 302, 307, 308, 401]) {
    await using server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen() {} },
      () =>
        new Response(null, {
          status,
          headers: { Location: `http://127.0.0.1:${other.addr.port}/` },
        }),
    );
    const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`, {
      headers: { Authorization: "Bearer secret" },
    });
    const { error } = await next<ErrorEvent>(socket, "error");
    assertEquals(error.status, status);
  }
  assertEquals(reached, 0);
});

Deno.test("WebSocket takes headers that are not ASCII for a fault of the server, and goes on", async () => {
  for (const name of ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "X-Other"]) {
    await using server = echo(name === "X-Other" ? { protocol: "chat" } : {});
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    // The server's answer, with one header more.
    const relaying = (async () => {
      using connection = await listener.accept();
      const request = new Uint8Array(4096);
      const count = await connection.read(request);
      using client = await RawClient.connect(server.addr.port);
      await client.write(request.subarray(0, count!));
      const head = (await client.head()).replace("\r\n\r\n", `\r\n${name}: caf\xe9\r\n\r\n`);
      await connection.write(Uint8Array.from(head, (character) => character.charCodeAt(0)));
      await connection.read(request);
    })();
    const socket = new WebSocket(`ws://127.0.0.1:${listener.addr.port}/`, {
      protocols: ["chat"],
      compression: false,
    });
    const { type } = await Promise.race([
      next<Event>(socket, "error"),
      next<Event>(socket, "open"),
    ]);
    assertEquals(type, name === "X-Other" ? "open" : "error");
    socket.terminate();
    await relaying;
  }
});
