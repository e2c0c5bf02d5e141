/** Handlers and bodies that fail, and what `onError` makes of it. */

import { assertEquals } from "@std/assert";
import { ask, exchange, type Handler, onBoth } from "./both_servers.ts";

const CLOSE = ["Connection: close"];

/** Runs without what the servers print of errors. */
async function quietly(run: () => Promise<void>): Promise<void> {
  const { error } = console;
  console.error = () => {};
  try {
    await run();
  } finally {
    console.error = error;
  }
}

/** A body that fails after its parts. */
function failing(...parts: unknown[]): ReadableStream {
  return new ReadableStream({
    async pull(controller) {
      for (let i = 0; i < 100; i++) await undefined;
      const part = parts.shift();
      if (part === undefined) throw new Error("no more");
      controller.enqueue(part);
    },
  });
}

const FAULTS: Record<string, Handler> = {
  "a handler that throws": () => {
    throw new Error("thrown");
  },
  "a handler that rejects with no Error": () => Promise.reject("thrown"),
  "a handler that rejects": () => Promise.reject(new Error("thrown")),
  "a handler that returns nothing": () => undefined as unknown as Response,
  "a handler that returns a string": () => "text" as unknown as Response,
  "a handler that returns what looks like a Response": () =>
    Object.create(Response.prototype) as Response,
  "a handler that returns Response.error()": () => Response.error(),
  "a handler that returns a Response whose body was read": async () => {
    const response = new Response("text");
    await response.text();
    return response;
  },
};

for (const [name, handler] of Object.entries(FAULTS)) {
  onBoth(`answers 500 for ${name}`, (start) =>
    quietly(async () => {
      await using server = await start(handler);
      const { status, body } = await exchange(server, ask("/", CLOSE));
      assertEquals([status, body], [500, "Internal Server Error"]);
    }));

  onBoth(`answers with what onError makes of ${name}`, async (start) => {
    let told = 0;
    const onError = () => {
      told++;
      return new Response("sorry", { status: 503 });
    };
    await using server = await start(handler, { onError });
    const { status, body } = await exchange(server, ask("/", CLOSE));
    assertEquals([status, body, told], [503, "sorry", 1]);
  });
}

onBoth("answers 500 where onError fails too", (start) =>
  quietly(async () => {
    const faults: (() => Response | Promise<Response>)[] = [
      () => {
        throw new Error("twice");
      },
      () => Promise.reject(new Error("twice")),
      () => undefined as unknown as Response,
    ];
    for (const onError of faults) {
      await using server = await start(FAULTS["a handler that throws"]!, { onError });
      assertEquals((await exchange(server, ask("/", CLOSE))).status, 500);
    }
  }));

onBoth("goes on with the connection after a handler that throws", (start) =>
  quietly(async () => {
    await using server = await start(FAULTS["a handler that throws"]!);
    using client = await server.connect();
    await client.write(ask() + ask("/", CLOSE));
    const text = await client.rest();
    assertEquals(text.match(/HTTP\/1\.1 500 /g)?.length, 2);
  }));

const BODIES: Record<string, [body: () => ReadableStream, sent: string]> = {
  "fails at once": [() => failing(), ""],
  "fails later": [() => failing(new TextEncoder().encode("abc")), "abc"],
  "has a part that is no Uint8Array": [() => failing(new TextEncoder().encode("abc"), "d"), "abc"],
  "begins with a part that is no Uint8Array": [
    () =>
      new ReadableStream({
        start(controller) {
          controller.enqueue("abc");
          controller.close();
        },
      }),
    "",
  ],
};

for (const [name, [body, sent]] of Object.entries(BODIES)) {
  onBoth(`cuts off an answer whose body ${name}, and tells onError`, async (start) => {
    const told = Promise.withResolvers<unknown>();
    const onError = (error: unknown) => {
      told.resolve(error);
      return new Response();
    };
    await using server = await start(() => new Response(body()), { onError });
    using client = await server.connect();
    await client.write(ask("/", CLOSE));
    const head = await client.head();
    assertEquals(/^HTTP\/1\.1 200 /.test(head), true, head);
    const rest = await client.rest();
    assertEquals([rest.includes(sent), rest.endsWith("0\r\n\r\n")], [true, false]);
    assertEquals(await told.promise instanceof Error, true);
  });
}
