/** Clients that leave, and what a handler hears of it. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ask, exchange, onBoth, readAnswer } from "./both_servers.ts";

onBoth("fails the body of a client that leaves in the middle of it", async (start) => {
  let failed = Promise.withResolvers<void>();
  await using server = await start(async (request) => {
    await assertRejects(() => request.text());
    failed.resolve();
    return new Response();
  });
  for (
    const request of [
      ask("/", ["Content-Length: 10"], "12345", "POST"),
      ask("/", ["Content-Length: 1000000"], "x".repeat(500_000), "POST"),
      ask("/", ["Transfer-Encoding: chunked"], "a\r\n12345", "POST"),
      ask("/", ["Transfer-Encoding: chunked"], "5\r\n12345\r\n", "POST"),
    ]
  ) {
    failed = Promise.withResolvers();
    const client = await server.connect();
    await client.write(request);
    client.connection.close();
    await failed.promise;
  }
});

onBoth("aborts the signal of a request whose client leaves before the answer", async (start) => {
  const asked = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  await using server = await start(async ({ signal }) => {
    asked.resolve();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    aborted.resolve();
    return new Response();
  });
  const client = await server.connect();
  await client.write(ask());
  await asked.promise;
  client.connection.close();
  await aborted.promise;
});

onBoth("cancels the body of an answer whose client leaves", async (start) => {
  const canceled = Promise.withResolvers<void>();
  const body = () =>
    new ReadableStream({
      start: (controller) => controller.enqueue(new Uint8Array(10)),
      cancel: () => canceled.resolve(),
    });
  await using server = await start(() => new Response(body()));
  const client = await server.connect();
  await client.write(ask());
  await client.head();
  client.connection.close();
  await canceled.promise;
});

onBoth("resolves completed when all of an answer has been sent", async (start) => {
  const completed = Promise.withResolvers<void>();
  await using server = await start((_, info) => {
    info.completed.then(completed.resolve, completed.reject);
    return new Response("x".repeat(100_000));
  });
  assertEquals((await exchange(server, ask("/", ["Connection: close"]))).body.length, 100_000);
  await completed.promise;
});

onBoth("serves other clients while one leaves in the middle of its head", async (start) => {
  await using server = await start(() => new Response("ok"));
  const client = await server.connect();
  await client.write("GET / HTTP/1.1\r\nHost: exa");
  client.connection.close();
  assertEquals((await exchange(server, ask("/", ["Connection: close"]))).body, "ok");
});

onBoth(
  "ends at its shutdown when kept connections are idle, and answers those at work",
  async (start) => {
    const asked = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const server = await start(async ({ url }) => {
      if (url.endsWith("/slow")) {
        asked.resolve();
        await release.promise;
      }
      return new Response("ok");
    });
    using idle = await server.connect();
    await idle.write(ask());
    assertEquals((await readAnswer(idle)).body, "ok");
    using busy = await server.connect();
    await busy.write(ask("/slow"));
    await asked.promise;
    const stopped = server[Symbol.asyncDispose]();
    assertEquals(await idle.rest(), "");
    release.resolve();
    assertEquals((await readAnswer(busy)).body, "ok");
    assertEquals(await busy.rest(), "");
    await stopped;
    await assertRejects(() => Deno.connect({ hostname: "127.0.0.1", port: server.port }));
  },
);

onBoth("stops at its signal", async (start) => {
  const controller = new AbortController();
  const server = await start(() => new Response("ok"), { signal: controller.signal });
  assertEquals((await exchange(server, ask("/", ["Connection: close"]))).status, 200);
  controller.abort();
  await server[Symbol.asyncDispose]();
  await assertRejects(() => server.connect().then(assert));
});
