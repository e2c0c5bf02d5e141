/** Bodies that are streamed, both ways. */

import { assert, assertEquals, assertLess } from "@std/assert";
import { wayNow } from "../../transport/ends.ts";
import { ask, onBoth, readAnswer } from "./both_servers.ts";

onBoth("sends each part of a body when it is there", async (start) => {
  const parts = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
  await using server = await start(() => new Response(parts.readable));
  using client = await server.connect();
  await client.write(ask());
  await client.head();
  const writer = parts.writable.getWriter();
  for (const part of ["one", "second"]) {
    const written = writer.write(new TextEncoder().encode(part));
    const chunk = `${part.length}\r\n${part}\r\n`;
    assertEquals(new TextDecoder().decode(await client.bytes(chunk.length)), chunk);
    await written;
  }
  await writer.close();
  assertEquals(new TextDecoder().decode(await client.bytes(5)), "0\r\n\r\n");
});

onBoth("gives a handler each part of a body when it has come", async (start) => {
  const told: ReturnType<typeof Promise.withResolvers<string>>[] = [
    Promise.withResolvers(),
    Promise.withResolvers(),
  ];
  await using server = await start(async (request) => {
    let at = 0;
    for await (const part of request.body!.pipeThrough(new TextDecoderStream())) {
      told[at++]!.resolve(part);
    }
    return new Response(String(at));
  });
  using client = await server.connect();
  await client.write(ask("/", ["Transfer-Encoding: chunked"], "3\r\none\r\n", "POST"));
  assertEquals(await told[0]!.promise, "one");
  await client.write("3\r\ntwo\r\n");
  assertEquals(await told[1]!.promise, "two");
  await client.write("0\r\n\r\n");
  assertEquals((await readAnswer(client)).body, "2");
});

onBoth("sends a body back while it comes", async (start) => {
  await using server = await start((request) => new Response(request.body));
  using client = await server.connect();
  const size = 3_000_000;
  const body = new Uint8Array(size).fill(97);
  const sent = client.write(ask("/", [`Content-Length: ${size}`], "", "POST"))
    .then(() => client.write(body));
  const answer = await readAnswer(client);
  await sent;
  assertEquals([answer.body.length, answer.isWhole], [size, true]);
});

onBoth("pulls no more of a body than the client takes", async (start) => {
  const most = 100_000_000;
  let pulled = 0;
  // There TLS takes all that is written.
  if (wayNow() === "public") return;
  const canceled = Promise.withResolvers<void>();
  await using server = await start(() =>
    new Response(
      new ReadableStream({
        pull(controller) {
          controller.enqueue(new Uint8Array(65_536));
          pulled += 65_536;
          if (pulled >= most) controller.close();
        },
        cancel: () => canceled.resolve(),
      }),
    )
  );
  const client = await server.connect();
  await client.write(ask());
  await client.head();
  // It is still when two looks find the same.
  for (let before = -1; before !== pulled;) {
    before = pulled;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assertLess(pulled, most);
  client.connection.close();
  await canceled.promise;
});

onBoth("reads no more of a body than the handler takes", async (start) => {
  const release = Promise.withResolvers<void>();
  await using server = await start(async (request) => {
    await release.promise;
    return new Response(String((await request.bytes()).length));
  });
  using client = await server.connect();
  const size = 16_000_000;
  await client.write(ask("/", [`Content-Length: ${size}`], "", "POST"));
  let written = 0;
  const all = (async () => {
    const part = new Uint8Array(65_536);
    while (written < size) {
      written += await client.connection.write(part.subarray(0, size - written));
    }
  })();
  for (let before = -1; before !== written;) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert(written < size, `${written} bytes were taken that nobody has read`);
  release.resolve();
  await all;
  assertEquals((await readAnswer(client)).body, String(size));
});
