/** What the hooks of a program are told, and what becomes of one that fails. */

import { assertEquals, assertThrows } from "@std/assert";
import {
  type FrameInfo,
  type HandshakeHead,
  prepare,
  serve,
  upgradeWebSocket,
  WebSocket,
} from "../../mod.ts";
import { onEachWay } from "../transport/ends.ts";
import { acceptSockets, closed, next, opened, RawClient } from "./peers.ts";

/** A frame as its other end tells it. */
function fromOtherEnd(frame: FrameInfo): FrameInfo {
  return { ...frame, direction: frame.direction === "sent" ? "received" : "sent" };
}

/** The frames that went one way. */
function going(direction: FrameInfo["direction"], frames: FrameInfo[]): FrameInfo[] {
  return frames.filter((frame) => frame.direction === direction);
}

/** Collects what is logged while `action` runs. */
async function logged(action: () => Promise<void>): Promise<unknown[]> {
  const { error } = console;
  const lines: unknown[] = [];
  console.error = (line: unknown) => lines.push(line);
  try {
    await action();
  } finally {
    console.error = error;
  }
  return lines;
}

onEachWay("onFrame tells both ends the same frames", async () => {
  const ofServer: FrameInfo[] = [];
  const ofClient: FrameInfo[] = [];
  const ended = Promise.withResolvers<void>();
  await using server = acceptSockets((socket) => {
    socket.onmessage = ({ data }) => socket.send(data);
    socket.onclose = () => ended.resolve();
  }, { onFrame: (frame) => ofServer.push(frame) });
  const socket = await opened(server.url, { onFrame: (frame) => ofClient.push(frame) });
  const text = "compressed, as it is long enough and says the same again and again ".repeat(10);
  for (const data of ["hi", text, prepare(text), new Uint8Array(200_000)]) {
    socket.send(data);
    await next(socket, "message");
  }
  await socket.ping();
  await closed(socket);
  await ended.promise;

  assertEquals(going("received", ofServer).map(fromOtherEnd), going("sent", ofClient));
  assertEquals(going("received", ofClient).map(fromOtherEnd), going("sent", ofServer));
  assertEquals(
    going("sent", ofClient).map(({ opcode, fin, rsv1, masked, payloadLength }) => [
      opcode,
      fin,
      rsv1,
      masked,
      payloadLength,
    ]),
    [
      [1, true, false, true, 2],
      [1, true, true, true, text.length],
      [1, true, true, true, text.length],
      [2, true, true, true, 200_000],
      [9, true, false, true, 1],
      [8, true, false, true, 2],
    ],
  );
  assertEquals(going("sent", ofServer).map(({ opcode }) => opcode), [1, 1, 1, 2, 10, 8]);
});

onEachWay(
  "onFrame that fails is logged once, not called again, and the connection goes on",
  async () => {
    const failure = new Error("a hook's own");
    for (
      const onFrame of [
        () => {
          throw failure;
        },
        () => Promise.reject(failure),
      ]
    ) {
      const lines = await logged(async () => {
        await using server = acceptSockets((socket) => {
          socket.onmessage = ({ data }) => socket.send(data);
        }, { onFrame });
        const socket = await opened(server.url, { onFrame });
        for (const data of ["a", "b", "c"]) {
          socket.send(data);
          assertEquals((await next(socket, "message")).data, data);
        }
        assertEquals((await closed(socket)).wasClean, true);
      });
      // One of each end.
      assertEquals(lines, [failure, failure]);
    }
  },
);

onEachWay("onFrame may send, close and terminate", async () => {
  await using server = acceptSockets((socket) => {
    socket.onmessage = ({ data }) => socket.send(data);
  });
  const socket = await opened(server.url, {
    onFrame({ direction, opcode, payloadLength }) {
      if (direction === "received" && payloadLength === 5) socket.send("a further one");
      if (direction === "received" && payloadLength === 13) socket.close(4001);
      if (direction === "sent" && opcode === 8) socket.send("lost");
    },
  });
  socket.send("first");
  const closing = await next<CloseEvent>(socket, "close");
  assertEquals([closing.wasClean, closing.code], [true, 4001]);

  const cut: WebSocket = await opened(server.url, { onFrame: () => cut.terminate() });
  cut.send("a");
  assertEquals((await next<CloseEvent>(cut, "close")).wasClean, false);
});

Deno.test("WebSocket and upgradeWebSocket() refuse a hook that is no function", async () => {
  for (const name of ["onFrame", "onHandshake"]) {
    assertThrows(
      () => new WebSocket("ws://127.0.0.1:1/", { [name]: "log" }),
      TypeError,
      `Cannot set up socket: ${name} is "log", must be a function`,
    );
  }
  const failed = Promise.withResolvers<unknown>();
  await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    try {
      return upgradeWebSocket(request, { onFrame: {} as never }).response;
    } catch (error) {
      failed.resolve(error);
      return new Response(null, { status: 500 });
    }
  });
  const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`);
  const ended = next(socket, "close");
  assertEquals(
    String(await failed.promise),
    'TypeError: Cannot set up socket: onFrame is "[object Object]", must be a function',
  );
  await ended;
});

onEachWay("onHandshake tells the heads as they went over the network", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const requested = (async () => {
    using client = new RawClient(await listener.accept());
    const request = await client.head();
    await client.write(
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Nothing  here\r\n" +
        "content-length: 0\r\nSET-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n",
    );
    return request;
  })();
  const heads: HandshakeHead[] = [];
  const socket = new WebSocket(`ws://127.0.0.1:${listener.addr.port}/chat?a=1`, {
    protocols: ["chat"],
    headers: { Authorization: "Bearer secret" },
    onHandshake: (head) => heads.push(head),
  });
  await next(socket, "close");

  const [request, ...answers] = heads;
  const lines = [request!.line, ...request!.headers.map(([name, value]) => `${name}: ${value}`)];
  assertEquals(request!.direction, "sent");
  assertEquals(`${lines.join("\r\n")}\r\n\r\n`, await requested);
  assertEquals(answers, [
    { direction: "received", line: "HTTP/1.1 103 Early Hints", headers: [["Link", "</a>"]] },
    {
      direction: "received",
      line: "HTTP/1.1 404 Nothing  here",
      headers: [["content-length", "0"], ["SET-Cookie", "a=1"], ["set-cookie", "b=2"]],
    },
  ]);
});

onEachWay("onHandshake that fails is logged once, and the connection opens", async () => {
  const failure = new Error("a hook's own");
  const lines = await logged(async () => {
    await using server = acceptSockets(() => {});
    const socket = await opened(server.url, {
      onHandshake() {
        throw failure;
      },
    });
    await closed(socket);
  });
  assertEquals(lines, [failure]);
});
