/** Upgrades that cannot work: each is told once, answered with 500, and leaves no socket CONNECTING. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { serve, type ServeHandler, upgradeWebSocket, WebSocket } from "../../mod.ts";
import { closed, handshake, next, opened, RawClient } from "../websocket/peers.ts";

function start(handler: ServeHandler<Deno.NetAddr>) {
  return serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, handler);
}

/** What is printed while `run` is at work. */
async function printed(run: () => Promise<void>): Promise<string[]> {
  const original = console.error;
  const lines: string[] = [];
  console.error = (line: unknown) =>
    lines.push(line instanceof Error ? line.message : String(line));
  try {
    await run();
  } finally {
    console.error = original;
  }
  return lines;
}

/** The status of the answers to two handshakes. */
async function statuses(port: number): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < 2; i++) {
    using client = await RawClient.connect(port);
    await client.write(handshake());
    found.push(Number((await client.rest()).slice(9, 12)));
  }
  return found;
}

const misuses: Record<
  string,
  [message: RegExp, handler: (request: Request, ends: unknown[]) => Response]
> = {
  "forgets": [/did not return the response of the upgrade/, (request, ends) => {
    watch(upgradeWebSocket(request).socket, ends);
    return new Response("forgotten");
  }],
  "refuses after all": [/did not return the response of the upgrade/, (request, ends) => {
    watch(upgradeWebSocket(request).socket, ends);
    return new Response("no", { status: 403 });
  }],
  "makes twice": [/was upgraded before: upgrade it once/, (request, ends) => {
    watch(upgradeWebSocket(request).socket, ends);
    return upgradeWebSocket(request).response;
  }],
  "makes of a copied request": [/the request is a copy, must be the very one/, (request) => {
    return upgradeWebSocket(new Request(request)).response;
  }],
  "makes by Deno's own": [
    /status is 101, must come of upgradeWebSocket of this library/,
    (request) => {
      return Deno.upgradeWebSocket(request).response;
    },
  ],
};

/** Notes how a socket ends. */
function watch(socket: WebSocket, ends: unknown[]): void {
  socket.onerror = () => ends.push("error");
  socket.onclose = ({ code }) => ends.push(code, socket.readyState);
}

for (const [what, [message, handler]] of Object.entries(misuses)) {
  Deno.test(`serve() answers an upgrade with 500 that the handler ${what}, and tells why once`, async () => {
    const ends: unknown[] = [];
    const lines = await printed(async () => {
      await using server = start((request) => handler(request, ends));
      assertEquals(await statuses(server.addr.port), [500, 500]);
    });
    assert(lines.length <= 1, lines.join("\n"));
    for (const line of lines) assertMatch(line, message);
    for (let at = 0; at < ends.length; at += 3) {
      assertEquals(ends.slice(at, at + 3), ["error", 1006, WebSocket.CLOSED]);
    }
  });
}

Deno.test("upgradeWebSocket() refuses a request that has been answered", async () => {
  let kept: Request | undefined;
  await using server = start((request) => {
    kept = request;
    return new Response("answered");
  });
  using client = await RawClient.connect(server.addr.port);
  await client.write(handshake());
  await client.rest();
  const error = await assertRejects(async () => await upgradeWebSocket(kept!), TypeError);
  assertStringIncludes(error.message, "has been answered: upgrade it before the handler returns");
});

Deno.test("upgradeWebSocket() can take the place of Deno's own", async () => {
  const original = Deno.upgradeWebSocket;
  Object.assign(Deno, { upgradeWebSocket });
  try {
    const handler = (request: Request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.onmessage = ({ data }) => socket.send(data);
      return response;
    };
    await using ours = start(handler);
    const listen = { port: 0, hostname: "127.0.0.1", onListen() {} };
    await using own = Deno.serve(listen, handler);
    for (const { addr } of [ours, own]) {
      const socket = await opened(`ws://127.0.0.1:${addr.port}/`);
      socket.send("hello");
      assertEquals((await next(socket, "message")).data, "hello");
      await closed(socket);
    }
  } finally {
    Object.assign(Deno, { upgradeWebSocket: original });
  }
});

Deno.test("serve() aborts the request's signal when the client leaves, and rejects completed", async () => {
  const aborted = Promise.withResolvers<unknown>();
  const called = Promise.withResolvers<void>();
  const completed: Promise<void>[] = [];
  await using server = start((request, info) => {
    completed.push(info.completed);
    request.signal.addEventListener("abort", () => aborted.resolve(request.signal.reason));
    called.resolve();
    return aborted.promise.then(() => new Response("too late ".repeat(1e6)));
  });
  const client = await RawClient.connect(server.addr.port);
  await client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await called.promise;
  client.connection.close();
  assertEquals(((await aborted.promise) as DOMException).name, "AbortError");
  await assertRejects(() => completed[0]!, Deno.errors.Interrupted);
});

Deno.test("serve() aborts no signal of a request that was answered", async () => {
  let signal: AbortSignal | undefined;
  await using server = start((request, { completed }) => {
    signal = request.signal;
    void completed.then(() => {});
    return new Response("answered");
  });
  await (await fetch(`http://127.0.0.1:${server.addr.port}/`)).text();
  assertEquals(signal!.aborted, false);
});

Deno.test("serve() hears an abort inside onListen", async () => {
  const stop = new AbortController();
  const options = {
    port: 0,
    hostname: "127.0.0.1",
    signal: stop.signal,
    onListen: () => stop.abort(),
  };
  await serve(options, () => new Response()).finished;
});
