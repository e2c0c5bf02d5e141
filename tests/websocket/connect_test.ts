import { assertEquals, assertStringIncludes } from "@std/assert";
import { WebSocket } from "../../mod.ts";
import { brought } from "../programs.ts";
import { echo, next } from "./peers.ts";

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
