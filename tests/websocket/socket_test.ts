import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { generateCertificates } from "../../certs/generate.ts";
import { prepare, WebSocket, type WebSocketOptions } from "../../mod.ts";
import { acceptOf } from "../../protocol/handshake.ts";
import { concat, frame, TEXT } from "../protocol/driver.ts";
import { acceptSockets, closed, echo, next, opened, RawClient } from "./peers.ts";

Deno.test("WebSocket is the web's class", async () => {
  await using server = echo();
  const socket = new WebSocket(server.url);
  assertInstanceOf(socket, EventTarget);
  assertEquals(
    [WebSocket.CONNECTING, WebSocket.OPEN, WebSocket.CLOSING, WebSocket.CLOSED],
    [0, 1, 2, 3],
  );
  assertEquals([socket.CONNECTING, socket.OPEN, socket.CLOSING, socket.CLOSED], [0, 1, 2, 3]);
  assertEquals(socket.readyState, WebSocket.CONNECTING);
  assertEquals([socket.url, socket.protocol, socket.extensions], [server.url, "", ""]);
  assertEquals([socket.binaryType, socket.bufferedAmount], ["blob", 0]);
  assertEquals([socket.onopen, socket.onmessage, socket.onerror, socket.onclose], [
    null,
    null,
    null,
    null,
  ]);
  await next(socket, "open");
  assertEquals(socket.readyState, WebSocket.OPEN);
  assertEquals(socket.extensions, "permessage-deflate");
  const end = closed(socket);
  assertEquals(socket.readyState, WebSocket.CLOSING);
  await end;
  assertEquals(socket.readyState, WebSocket.CLOSED);
});

Deno.test("WebSocket takes http URLs for ws URLs", async () => {
  await using server = echo();
  const socket = await opened(server.url.replace("ws:", "http:"));
  assertEquals(socket.url, server.url);
  await closed(socket);
});

Deno.test("WebSocket refuses a URL or subprotocol that is malformed", () => {
  const refused: [string, string | string[]][] = [
    ["ws://", []],
    ["ftp://localhost/", []],
    ["ws://localhost/#part", []],
    ["ws://localhost/#", []],
    ["ws://localhost/", "not a token"],
    ["ws://localhost/", ["twice", "twice"]],
    ["ws://localhost/", ""],
  ];
  for (const [url, protocols] of refused) {
    const error = assertThrows(() => new WebSocket(url, protocols), DOMException);
    assertEquals(error.name, "SyntaxError", url);
  }
});

Deno.test("WebSocket refuses options out of range", () => {
  for (
    const options of [{ maxMessageSize: -1 }, { highWaterMark: NaN }, { idleTimeout: -1 }, {
      idleTimeout: 1e9,
    }]
  ) {
    assertThrows(() => new WebSocket("ws://localhost/", options), RangeError);
  }
});

Deno.test("WebSocket refuses options that are half written", () => {
  const wrong: [unknown, typeof TypeError | typeof RangeError][] = [
    ...[null, "1000", NaN, -1, {}, true].flatMap((value) =>
      [
        "maxMessageSize",
        "messageTimeout",
        "idleTimeout",
        "highWaterMark",
        "maxBufferedAmount",
        "maxPingsPerSecond",
        "handshakeTimeout",
      ].map((name) => [{ [name]: value }, RangeError] as [unknown, typeof RangeError])
    ),
    ...[null, "3", NaN].flatMap((value) =>
      ["level", "memLevel", "threshold", "serverMaxWindowBits", "clientMaxWindowBits"]
        .map((name) =>
          [{ compression: { [name]: value } }, RangeError] as [unknown, typeof RangeError]
        )
    ),
    ...[null, "off", 0].map((value) =>
      [{ compression: value }, TypeError] as [unknown, typeof TypeError]
    ),
    [{ compression: { serverNoContextTakeover: "false" } }, TypeError],
    [{ compression: { clientNoContextTakeover: null } }, TypeError],
    [{ insecure: "false" }, TypeError],
    [{ caCerts: "-----BEGIN CERTIFICATE-----" }, TypeError],
    [{ signal: {} }, TypeError],
  ];
  for (const [options, type] of wrong) {
    assertThrows(
      () => new WebSocket("ws://127.0.0.1:9/", options as WebSocketOptions),
      type,
      "Cannot set up",
    );
  }
});

Deno.test("WebSocket.binaryType gives Blobs or ArrayBuffers", async () => {
  await using server = echo();
  const socket = await opened(server.url);
  socket.binaryType = "blob";
  socket.send(new Uint8Array([1, 2, 3]));
  const { data: blob } = await next(socket, "message");
  assertInstanceOf(blob, Blob);
  assertEquals(await blob.bytes(), new Uint8Array([1, 2, 3]));
  socket.binaryType = "arraybuffer";
  socket.binaryType = "nonsense" as BinaryType;
  socket.send(new Uint8Array([4]));
  const { data: buffer } = await next(socket, "message");
  assertInstanceOf(buffer, ArrayBuffer);
  assertEquals(new Uint8Array(buffer), new Uint8Array([4]));
  await closed(socket);
});

Deno.test("WebSocket.send takes every type the standard names, and keeps their order", async () => {
  await using server = echo();
  const socket = await opened(server.url);
  const received: unknown[] = [];
  const all = new Promise<void>((resolve) => {
    socket.onmessage = ({ data }) => {
      received.push(typeof data === "string" ? data : [...new Uint8Array(data)]);
      if (received.length === 8) resolve();
    };
  });
  const buffer = new Uint8Array([0, 1, 2, 3, 4, 5]).buffer;
  const changing = new Uint8Array([7]);
  socket.send("text \ud800");
  socket.send(new Blob([new Uint8Array(100_000).fill(9)]));
  socket.send(changing);
  changing[0] = 8;
  socket.send(buffer);
  socket.send(new DataView(buffer, 1, 2));
  socket.send(new Uint16Array(buffer, 2, 1));
  socket.send(prepare("prepared"));
  socket.send(12.5 as unknown as string);
  assertEquals(
    socket.bufferedAmount,
    8 + 100_000 + 1 + 6 + 2 + 2 + 8 + 4 - 0,
  );
  await all;
  assertEquals(received, [
    "text \ufffd",
    new Array(100_000).fill(9),
    [7],
    [0, 1, 2, 3, 4, 5],
    [1, 2],
    [2, 3],
    "prepared",
    "12.5",
  ]);
  assertEquals(socket.bufferedAmount, 0);
  await closed(socket);
});

Deno.test("WebSocket.close waits for the Blobs before it", async () => {
  await using server = echo();
  const socket = await opened(server.url);
  const message = next(socket, "message");
  socket.send(new Blob(["last"]));
  const event = next<CloseEvent>(socket, "close");
  socket.close(3000, "after it");
  assertEquals(socket.readyState, WebSocket.CLOSING);
  // The answer comes while the socket is closing, and is not delivered; the server has it all the same.
  const { code, wasClean } = await event;
  assertEquals([code, wasClean], [3000, true]);
  void message;
});

Deno.test("WebSocket.send throws while connecting, and loses what comes after the close", async () => {
  await using server = echo();
  const socket = new WebSocket(server.url);
  const error = assertThrows(() => socket.send("early"), DOMException);
  assertEquals(error.name, "InvalidStateError");
  assertStringIncludes(error.message, "CONNECTING");
  await next(socket, "open");
  const end = closed(socket);
  socket.send("déjà");
  assertEquals(socket.bufferedAmount, 6);
  await end;
  socket.send(new Uint8Array(4));
  assertEquals(socket.bufferedAmount, 10);
});

Deno.test("WebSocket.close validates code and reason", async () => {
  await using server = echo();
  const socket = await opened(server.url);
  for (const code of [0, 999, 1001, 1005, 1006, 1011, 2999, 5000, NaN]) {
    const error = assertThrows(() => socket.close(code), DOMException);
    assertEquals(error.name, "InvalidAccessError", String(code));
  }
  const error = assertThrows(() => socket.close(1000, "é".repeat(62)), DOMException);
  assertEquals(error.name, "SyntaxError");
  const { code, reason, wasClean } = await closed(socket, 4999, "é".repeat(61));
  // The peer answers with the code alone (RFC 6455 section 5.5.1).
  assertEquals([code, reason, wasClean], [4999, "", true]);
});

Deno.test("WebSocket.close without a code is received as 1005", async () => {
  const closing = Promise.withResolvers<CloseEvent>();
  await using server = acceptSockets((socket) => socket.onclose = closing.resolve);
  const socket = await opened(server.url);
  const event = next<CloseEvent>(socket, "close");
  socket.close();
  assertEquals((await event).code, 1005);
  const { code, reason, wasClean } = await closing.promise;
  assertEquals([code, reason, wasClean], [1005, "", true]);
});

Deno.test("WebSocket.close while connecting ends with error and 1006", async () => {
  await using server = echo();
  const socket = new WebSocket(server.url);
  const events: string[] = [];
  socket.onopen = () => events.push("open");
  socket.onerror = () => events.push("error");
  socket.close();
  assertEquals(socket.readyState, WebSocket.CLOSING);
  const { code, wasClean } = await next<CloseEvent>(socket, "close");
  assertEquals([events, code, wasClean], [["error"], 1006, false]);
});

Deno.test("WebSocket fires error, then close, when the connection cannot be made", async () => {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr;
  listener.close();
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
  const error = await next<ErrorEvent>(socket, "error");
  assertStringIncludes(error.message, "refused");
  assertEquals(socket.readyState, WebSocket.CLOSED);
});

Deno.test("WebSocket tells the status of a server that does not upgrade", async () => {
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => {
    return new Response("no", { status: 403 });
  });
  const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`);
  const { error } = await next<ErrorEvent>(socket, "error");
  assertEquals([error.name, error.status], ["HandshakeError", 403]);
});

Deno.test("WebSocket gives up at its signal", async () => {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const accepted = listener.accept();
  const controller = new AbortController();
  const socket = new WebSocket(`ws://127.0.0.1:${listener.addr.port}/`, {
    signal: controller.signal,
  });
  using _connection = await accepted;
  controller.abort(new Error("no longer wanted"));
  const { message } = await next<ErrorEvent>(socket, "error");
  assertEquals(message, "no longer wanted");
});

Deno.test("WebSocket ends at its signal, at any moment and for any reason", async () => {
  await using server = echo();
  for (const reason of [undefined, null, "text", Symbol("symbol"), Object.create(null)]) {
    for (let moment = 0; moment < 6; moment++) {
      const controller = new AbortController();
      const socket = new WebSocket(server.url, { signal: controller.signal });
      const error = next<ErrorEvent>(socket, "error");
      const close = next<CloseEvent>(socket, "close");
      for (let i = 0; i < moment; i++) await new Promise((resolve) => setTimeout(resolve, 0));
      controller.abort(reason);
      assert((await error).message !== "");
      assertEquals((await close).code, 1006);
    }
  }
});

Deno.test("WebSocket is cut off at its signal once it is open", async () => {
  await using server = echo();
  const controller = new AbortController();
  const socket = await opened(server.url, { signal: controller.signal });
  const end = next<CloseEvent>(socket, "close");
  controller.abort();
  assertEquals((await end).code, 1006);
});

Deno.test("WebSocket sends its own headers and subprotocols", async () => {
  const request = Promise.withResolvers<Request>();
  await using server = acceptSockets((_, given) => request.resolve(given), { protocol: "b" });
  const socket = await opened(server.url, {
    protocols: ["a", "b"],
    headers: { "X-Mine": "yes" },
  });
  const { headers } = await request.promise;
  assertEquals(headers.get("x-mine"), "yes");
  assertEquals(headers.get("sec-websocket-version"), "13");
  assertEquals(headers.get("sec-websocket-protocol"), "a, b");
  assertEquals(socket.protocol, "b");
  await closed(socket);
});

Deno.test("WebSocket.terminate ends at once with error and 1006 on both sides", async () => {
  const peerEnd = Promise.withResolvers<CloseEvent>();
  await using server = acceptSockets((socket) => socket.onclose = peerEnd.resolve);
  const socket = await opened(server.url);
  const failed = next<ErrorEvent>(socket, "error");
  const end = next<CloseEvent>(socket, "close");
  socket.terminate();
  await failed;
  assertEquals([(await end).code, (await peerEnd.promise).code], [1006, 1006]);
  socket.terminate();
});

Deno.test("WebSocket.ping resolves with the time its pong took", async () => {
  const pings: unknown[] = [];
  await using server = acceptSockets((socket) => {
    socket.onopen = async () => {
      pings.push(await socket.ping());
      pings.push(await socket.ping(new Uint8Array(125)));
    };
  });
  const socket = await opened(server.url);
  const pong = next(socket, "pong");
  const time = await socket.ping("payload");
  assert(time >= 0 && time < 60_000);
  assertEquals(new TextDecoder().decode((await pong).data), "payload");
  assertEquals(socket.ping("cut off".repeat(2)) instanceof Promise, true);
  assertThrows(() => socket.ping(new Uint8Array(126)), RangeError);
  assertThrows(() => socket.ping(50 as never), TypeError, "must be text or bytes");
  while (pings.length < 2) await socket.ping();
  const lost = socket.ping();
  socket.terminate();
  await assertRejects(() => lost, Error, "terminated");
  assertThrows(() => socket.ping(), DOMException, "must be OPEN");
});

Deno.test("WebSocket.pong sends a pong that no ping asked for, from either end", async () => {
  await using server = acceptSockets((socket) => {
    socket.onpong = ({ data }) => {
      socket.pong(data);
      socket.pong();
    };
  });
  const socket = await opened(server.url);
  const first = next(socket, "pong");
  socket.pong("sign of life");
  assertEquals(new TextDecoder().decode((await first).data), "sign of life");
  assertEquals((await next(socket, "pong")).data.byteLength, 0);
  assertThrows(() => socket.pong(new Uint8Array(126)), RangeError, "Cannot send pong");
  assertThrows(() => socket.pong(50 as never), TypeError, "must be text or bytes");
  socket.terminate();
  assertThrows(() => socket.pong(), DOMException, "must be OPEN");
});

Deno.test("WebSocket runs all that a handler started before the next message", async () => {
  await using server = acceptSockets((socket) => {
    socket.onopen = () => {
      for (let i = 0; i < 20; i++) socket.send(String(i));
    };
  });
  const socket = new WebSocket(server.url);
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    socket.onmessage = async ({ data }) => {
      order.push(`start ${data}`);
      for (let i = 0; i < 30; i++) await null;
      order.push(`end ${data}`);
      if (data === "19") resolve();
    };
  });
  assertEquals(
    order,
    Array.from({ length: 20 }, (_, i) => [`start ${i}`, `end ${i}`]).flat(),
  );
  await closed(socket);
});

Deno.test("WebSocket handler attributes keep their place among the listeners", async () => {
  await using server = echo();
  const socket = await opened(server.url);
  const calls: string[] = [];
  socket.onmessage = () => calls.push("replaced");
  socket.addEventListener("message", () => calls.push("listener"));
  socket.onmessage = () => calls.push("attribute");
  const removed = () => calls.push("removed");
  socket.addEventListener("message", removed);
  socket.removeEventListener("message", removed);
  socket.send("x");
  await next(socket, "message");
  socket.onmessage = "nonsense" as never;
  assertEquals(socket.onmessage, null);
  assertEquals(calls, ["attribute", "listener"]);
  await closed(socket);
});

Deno.test("WebSocket hands its message handler an event that looks dispatched", async () => {
  const seen = Promise.withResolvers<unknown[]>();
  const look = (event: MessageEvent) => {
    assertInstanceOf(event, MessageEvent);
    event.preventDefault();
    event.stopImmediatePropagation();
    const { type, data, origin, lastEventId, bubbles, cancelable, defaultPrevented } = event;
    const { target, currentTarget, eventPhase } = event;
    return [type, data, origin, lastEventId, bubbles, cancelable, defaultPrevented, eventPhase]
      .concat([target, currentTarget, ...event.composedPath()].map((it) => it === socket));
  };
  await using server = echo();
  const socket = await opened(server.url);
  const both: unknown[][] = [];
  socket.onmessage = (event) => seen.resolve(look(event));
  socket.send("x");
  both.push(await seen.promise);
  // With a listener, it is dispatched.
  socket.onmessage = null;
  const dispatched = Promise.withResolvers<unknown[]>();
  socket.addEventListener("message", (event) => dispatched.resolve(look(event)));
  socket.send("x");
  both.push(await dispatched.promise);
  assertEquals(both[0], both[1]);
  await closed(socket);
});

Deno.test("WebSocket of a client reports what its message handler throws, and goes on", async () => {
  await using server = echo();
  const socket = await opened(server.url);
  const reported: unknown[] = [];
  const report = (event: ErrorEvent) => {
    event.preventDefault();
    reported.push(event.error.message);
  };
  globalThis.addEventListener("error", report);
  const second = Promise.withResolvers<void>();
  socket.onmessage = ({ data }) => {
    if (data === "2") second.resolve();
    throw new Error(data);
  };
  socket.send("1");
  socket.send("2");
  await second.promise;
  await closed(socket);
  globalThis.removeEventListener("error", report);
  assertEquals(reported, ["1", "2"]);
});

Deno.test("WebSocket of a server closes with 1011 when a handler fails, and others go on", async () => {
  const errors: unknown[] = [];
  const original = console.error;
  console.error = (error: unknown) => errors.push(error);
  try {
    await using server = acceptSockets((socket) => {
      socket.onmessage = ({ data }) => {
        if (data === "throw") throw new Error("sync");
        if (data === "reject") return Promise.reject(new Error("async"));
        return socket.send(data);
      };
      socket.addEventListener("message", {
        handleEvent: ({ data }: MessageEvent) => {
          if (data === "object") throw new Error("object");
        },
      } as EventListenerObject);
    });
    const other = await opened(server.url);
    for (const fault of ["throw", "reject", "object"]) {
      const socket = await opened(server.url);
      const end = next<CloseEvent>(socket, "close");
      socket.send(fault);
      const { code, wasClean } = await end;
      assertEquals([code, wasClean], [1011, true]);
    }
    other.send("still here");
    assertEquals((await next(other, "message")).data, "still here");
    await closed(other);
  } finally {
    console.error = original;
  }
  assertEquals(errors.map(String), ["Error: sync", "Error: async", "Error: object"]);
});

Deno.test("WebSocket tells a lost connection by error and 1006", async () => {
  const end = Promise.withResolvers<CloseEvent>();
  const errors: string[] = [];
  await using server = acceptSockets((socket) => {
    socket.onerror = (event) => errors.push((event as ErrorEvent).message);
    socket.onclose = end.resolve;
  });
  using client = await RawClient.open(server.addr.port);
  await client.connection.closeWrite();
  const { code, wasClean } = await end.promise;
  assertEquals([code, wasClean, errors.length], [1006, false, 1]);
  assertStringIncludes(errors[0]!, "without a Close frame");
});

Deno.test("WebSocket answers a breach of the protocol with its close code, then ends", async () => {
  const end = Promise.withResolvers<CloseEvent>();
  await using server = acceptSockets((socket) => socket.onclose = end.resolve);
  using client = await RawClient.open(server.addr.port);
  await client.write(new Uint8Array([0x83, 0x80, 0, 0, 0, 0]));
  const frame = await client.bytes(4);
  assertEquals([frame[0], frame[2]! << 8 | frame[3]!], [0x88, 1002]);
  await client.rest();
  client.connection.closeWrite();
  assertEquals((await end.promise).code, 1006);
});

Deno.test("WebSocket gives a silent peer up after its idle timeout", async () => {
  const end = Promise.withResolvers<ErrorEvent>();
  await using server = acceptSockets(
    (socket) => socket.onerror = (event) => end.resolve(event as ErrorEvent),
    { idleTimeout: 0.05 },
  );
  using client = await RawClient.open(server.addr.port);
  const ping = await client.bytes(2);
  assertEquals([...ping], [0x89, 0]);
  assertStringIncludes((await end.promise).message, "silent");
});

Deno.test("WebSocket keeps a peer that answers pings", async () => {
  await using server = echo({ idleTimeout: 0.06 });
  const socket = await opened(server.url, { idleTimeout: 0.06 });
  await new Promise((resolve) => setTimeout(resolve, 200));
  socket.send("alive");
  assertEquals((await next(socket, "message")).data, "alive");
  await closed(socket);
});

Deno.test("WebSocket.send keeps one message from compression", async () => {
  await using server = acceptSockets((socket) => {
    socket.onopen = () => {
      socket.send("a".repeat(100));
      socket.send("a".repeat(100), { compress: false });
      socket.send(prepare("b".repeat(100)));
      socket.send("c".repeat(10));
    };
  }, { compression: { threshold: 20 } });
  using client = await RawClient.open(server.addr.port, "permessage-deflate");
  const first: number[] = [];
  for (let i = 0; i < 4; i++) {
    const [byte, length] = await client.bytes(2);
    first.push(byte!);
    await client.bytes(length!);
  }
  assertEquals(first, [0xc1, 0x81, 0xc1, 0x81]);
});

Deno.test("WebSocket receives what a peer compresses after a prepared message", async () => {
  const text = "the same words over and over, the same words";
  await using server = acceptSockets((socket) => {
    socket.onopen = () => {
      for (let i = 0; i < 3; i++) {
        socket.send(text);
        socket.send(prepare(`${text} ${i}`));
      }
      socket.send(text);
    };
  }, { compression: { threshold: 0 } });
  const socket = new WebSocket(server.url);
  const received: string[] = [];
  await new Promise<void>((resolve) => {
    socket.onmessage = ({ data }) => received.push(data) === 7 && resolve();
  });
  assertEquals(received, [text, `${text} 0`, text, `${text} 1`, text, `${text} 2`, text]);
  await closed(socket);
});

Deno.test("WebSocket stops reading from a peer that does not read", async () => {
  const size = 64 * 1024;
  let accepted: WebSocket | undefined;
  let messages = 0;
  await using server = acceptSockets((socket) => {
    accepted = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      messages++;
      socket.send(data);
    };
  }, { compression: false });
  using client = await RawClient.open(server.addr.port);
  const frame = new Uint8Array(14 + size);
  frame.set([0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  // Writes until the server takes no more: then its memory is bounded, and ours is the kernel's.
  let written = 0;
  let stuck = false;
  while (!stuck && written < 2000) {
    const write = client.write(frame).catch(() => {});
    let timer;
    const late = new Promise<"late">((resolve) => timer = setTimeout(resolve, 500, "late"));
    stuck = await Promise.race([write, late]) === "late";
    clearTimeout(timer);
    if (!stuck) written++;
  }
  assert(stuck, "the server took everything");
  assert(accepted!.bufferedAmount < 2 * 1024 * 1024, `${accepted!.bufferedAmount} bytes waiting`);
  assert(messages < 2000);
  accepted!.terminate();
});

Deno.test("WebSocket over TLS trusts the authority it is given, or any when told so", async () => {
  const { ca, cert, key } = await generateCertificates();
  await using server = echo({}, { cert, key });
  const trusting = await opened(server.url, { caCerts: [ca] });
  trusting.send("trusted");
  assertEquals((await next(trusting, "message")).data, "trusted");
  await closed(trusting);

  const wary = new WebSocket(server.url);
  const { message } = await next<ErrorEvent>(wary, "error");
  assertStringIncludes(message, "certificate");
});

Deno.test({
  name: "WebSocket accepts any certificate when told so",
  // node:tls reads the environment.
  fn: async () => {
    const { cert, key } = await generateCertificates();
    await using server = echo({}, { cert, key });
    const socket = await opened(server.url, { insecure: true });
    const big = new Uint8Array(300_000).map((_, i) => i * 7);
    socket.send(big);
    assertEquals(new Uint8Array((await next(socket, "message")).data), big);
    assertEquals((await closed(socket)).wasClean, true);
  },
});

Deno.test("WebSocket exchanges messages of every size with and without context", async () => {
  const settings = [
    false,
    { threshold: 0 },
    { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
    { threshold: 0, level: 9, memLevel: 9, serverMaxWindowBits: 9, clientMaxWindowBits: 9 },
  ];
  for (const compression of settings) {
    await using server = echo({ compression: compression === false ? false : { threshold: 0 } });
    const socket = await opened(server.url, { compression });
    for (const size of [0, 1, 125, 126, 65_535, 65_536, 1_000_000]) {
      const text = "0123456789abcdé".repeat(Math.ceil(size / 16)).slice(0, size);
      socket.send(text);
      assertEquals((await next(socket, "message")).data === text, true, `text of ${size}`);
      const bytes = new Uint8Array(size).map((_, i) => i * i >> 3);
      socket.send(bytes);
      const answer = new Uint8Array((await next(socket, "message")).data);
      assertEquals(answer.length, size);
      assert(answer.every((byte, i) => byte === bytes[i]), `binary of ${size}`);
    }
    await closed(socket);
  }
});

Deno.test("WebSocket.readable and writable carry messages both ways, and end with the socket", async () => {
  await using server = acceptSockets((socket) => {
    socket.readable.pipeTo(socket.writable).catch(() => {});
  });
  const socket = new WebSocket(server.url);
  const writer = socket.writable.getWriter();
  const reader = socket.readable.getReader();
  await writer.write("text");
  await writer.write(new Uint8Array([1, 2]));
  await writer.write(new Blob(["blob"]));
  assertEquals((await reader.read()).value, "text");
  assertEquals((await reader.read()).value, new Uint8Array([1, 2]));
  assertEquals((await reader.read()).value, new TextEncoder().encode("blob"));
  await writer.close();
  assertEquals(socket.readyState, WebSocket.CLOSED);
  assertEquals((await reader.read()).done, true);
});

Deno.test("WebSocket.readable fails when the connection is lost, and so does writable", async () => {
  await using server = acceptSockets((socket) => socket.onopen = () => socket.terminate());
  const socket = new WebSocket(server.url);
  await assertRejects(() => socket.readable.getReader().read(), Error, "Connection lost");
  const writer = socket.writable.getWriter();
  await assertRejects(() => writer.write("x"), Error, "Connection lost");
  await assertRejects(() => writer.closed, Error, "Connection lost");
});

Deno.test("WebSocket.readable that nobody reads stops the peer, and goes on when somebody does", async () => {
  const total = 200;
  let accepted: WebSocket | undefined;
  await using server = acceptSockets((socket) => {
    accepted = socket;
    void socket.readable;
  }, { compression: false });
  const socket = await opened(server.url, { compression: false });
  const writer = socket.writable.getWriter();
  const chunk = new Uint8Array(256 * 1024);
  let written = 0;
  const done = (async () => {
    for (; written < total; written++) await writer.write(chunk);
  })();
  // The kernel takes a few megabytes of the fifty; the rest waits until it is read.
  let before = -1;
  while (before !== written || written === 0) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert(written < total, "everything was taken");
  let received = 0;
  for await (const message of accepted!.readable) {
    received += message.length;
    if (received === total * chunk.length) break;
  }
  await done;
  await writer.close();
});

Deno.test("WebSocket fires drain when what was over the high-water mark is sent", async () => {
  await using server = acceptSockets((socket) => {
    socket.onopen = () => {
      socket.ondrain = () => socket.send(`drained, ${socket.bufferedAmount} left`);
      socket.send("x".repeat(10));
      socket.send("x".repeat(300_000));
    };
  }, { compression: false });
  const socket = new WebSocket(server.url);
  const lengths: unknown[] = [];
  await new Promise<void>((resolve) => {
    socket.onmessage = ({ data }) => {
      lengths.push(data.length > 50 ? data.length : data);
      if (lengths.length === 3) resolve();
    };
  });
  assertEquals(lengths, ["x".repeat(10), 300_000, "drained, 0 left"]);
  await closed(socket);
});

Deno.test("WebSocket cuts off a peer that is too slow for what it is sent", async () => {
  const end = Promise.withResolvers<ErrorEvent>();
  await using server = acceptSockets((socket) => {
    socket.onerror = (event) => end.resolve(event as ErrorEvent);
    socket.onopen = () => {
      for (let i = 0; i < 100; i++) socket.send(new Uint8Array(1024 * 1024));
    };
  }, { compression: false, maxBufferedAmount: 8 * 1024 * 1024 });
  using _client = await RawClient.open(server.addr.port);
  assertStringIncludes((await end.promise).message, "must be 8388608 at most");
});

Deno.test("WebSocket answers a flood of pings at a bounded rate, the latest last", async () => {
  await using server = echo({ maxPingsPerSecond: 3 });
  using client = await RawClient.open(server.addr.port);
  const other = await opened(server.url);
  for (let i = 0; i < 50; i++) {
    await client.write(new Uint8Array([0x89, 0x81, 0, 0, 0, 0, i]));
  }
  const started = performance.now();
  const pongs: number[] = [];
  for (let i = 0; i < 4; i++) pongs.push((await client.bytes(3))[2]!);
  assertEquals(pongs, [0, 1, 2, 49]);
  assert(performance.now() - started > 500, "the fourth came at once");
  other.send("served");
  assertEquals((await next(other, "message")).data, "served");
  await closed(other);
});

Deno.test("WebSocket of a client reads on while its server does not take what it sends", async () => {
  await using server = echo({ compression: false });
  const socket = await opened(server.url, { compression: false });
  const chunk = new Uint8Array(1024 * 1024);
  let received = 0;
  await new Promise<void>((resolve) => {
    socket.onmessage = () => ++received === 24 && resolve();
    for (let i = 0; i < 24; i++) socket.send(chunk);
  });
  await closed(socket);
});

Deno.test("WebSocket ends although nobody reads its readable", async () => {
  for (const how of ["terminate", "peer", "shutdown"]) {
    const accepted = Promise.withResolvers<WebSocket>();
    const server = acceptSockets(
      (socket) => {
        void socket.readable;
        accepted.resolve(socket);
      },
      { compression: false },
      { gracePeriod: 50 },
    );
    const socket = await opened(server.url, { compression: false });
    for (let i = 0; i < 5; i++) socket.send("more than is read");
    const served = await accepted.promise;
    const end = next<CloseEvent>(served, "close");
    const ours = next<CloseEvent>(socket, "close");
    if (how === "peer") socket.terminate();
    if (how === "terminate") {
      served.terminate();
      await end;
    }
    await server.shutdown();
    await Promise.all([end, ours]);
  }
});

Deno.test("WebSocket keeps a peer that is slow but takes something", async () => {
  const failures: string[] = [];
  const size = 24 * 1024 * 1024;
  await using server = acceptSockets((socket) => {
    socket.onerror = (event) => failures.push((event as ErrorEvent).message);
    socket.onopen = () => socket.send(new Uint8Array(size));
  }, { compression: false, idleTimeout: 0.9 });
  using client = await RawClient.open(server.addr.port);
  // Longer than the two idle timeouts that a peer may be silent for.
  for (let taken = 0; taken < size;) {
    taken += (await client.bytes(Math.min(1024 * 1024, size + 10 - taken))).length;
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  assertEquals(failures, []);
});

Deno.test("WebSocket.send of bytes that are gone, or shared, sends none, or a copy", async () => {
  for (const compression of [false, { threshold: 0 }]) {
    await using server = echo({ compression });
    const socket = await opened(server.url, { compression });
    const gone = new Uint8Array(100);
    gone.buffer.transfer();
    const shared = new Uint8Array(new SharedArrayBuffer(3)).fill(7);
    const received: number[][] = [];
    await new Promise<void>((resolve) => {
      socket.onmessage = ({ data }) => {
        received.push([...new Uint8Array(data)]);
        if (received.length === 4) resolve();
      };
      socket.send(gone);
      socket.send(gone.buffer);
      socket.send(shared);
      socket.send(shared.buffer);
    });
    assertEquals(received, [[], [], [7, 7, 7], [7, 7, 7]]);
    await closed(socket);
  }
});

Deno.test("WebSocket of a server can be terminated before it opens", async () => {
  const events: string[] = [];
  await using server = acceptSockets((socket) => {
    socket.onopen = () => events.push("open");
    socket.onclose = ({ code }) => events.push(`close ${code}`);
    socket.terminate();
  });
  const socket = new WebSocket(server.url);
  assertEquals((await next<CloseEvent>(socket, "close")).code, 1006);
  await server.shutdown();
  assertEquals(events, ["close 1006"]);
});

Deno.test("WebSocket.writable tells of what was lost", async () => {
  const accepted = Promise.withResolvers<WebSocket>();
  await using server = acceptSockets(accepted.resolve, { compression: false });
  const client = await RawClient.open(server.addr.port);
  const socket = await accepted.promise;
  let drained = false;
  socket.ondrain = () => drained = true;
  const writer = socket.writable.getWriter();
  writer.closed.catch(() => {});
  const writing = writer.write(new Uint8Array(32 * 1024 * 1024));
  client[Symbol.dispose]();
  await assertRejects(() => writing);
  assertEquals(drained, false);
});

Deno.test("WebSocket.bufferedAmount counts what waits behind a Blob", async () => {
  await using server = echo();
  const socket = await opened(server.url);
  const blob = new Blob(["b".repeat(1000)]);
  const read = Promise.withResolvers<void>();
  blob.bytes = async () => {
    await read.promise;
    return new TextEncoder().encode("b".repeat(1000));
  };
  socket.send("0123456789");
  socket.send(blob);
  assertEquals((await next(socket, "message")).data.length, 10);
  assertEquals(socket.bufferedAmount, 1000);
  const answer = next(socket, "message");
  read.resolve();
  assertEquals((await answer).data.byteLength, 1000);
  assertEquals(socket.bufferedAmount, 0);
  await closed(socket);
});

Deno.test("WebSocket looks like the web's: constants, name, origin, unset listeners", async () => {
  await using server = echo();
  assertThrows(() => new WebSocket(server.url, { compression: { level: 99 } }), RangeError);
  const socket = await opened(server.url);
  assertEquals(Object.prototype.toString.call(socket), "[object WebSocket]");
  assertEquals(WebSocket.prototype.OPEN, 1);
  assertEquals(Object.hasOwn(socket, "OPEN"), false);
  socket.addEventListener("message", undefined as never);
  socket.removeEventListener("message", null);
  socket.send("x");
  assertEquals((await next(socket, "message")).origin, server.url.slice(0, -1));
  await closed(socket);
});

Deno.test("WebSocket passes over interim responses", async () => {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const socket = new WebSocket(`ws://127.0.0.1:${listener.addr.port}/`);
  using connection = await listener.accept();
  const buffer = new Uint8Array(2048);
  const request = new TextDecoder().decode(buffer.subarray(0, (await connection.read(buffer))!));
  const key = /Sec-WebSocket-Key: (\S+)/.exec(request)![1]!;
  const digest = await crypto.subtle.digest(
    "SHA-1",
    new TextEncoder().encode(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`),
  );
  const interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
  const final = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" +
    `Connection: Upgrade\r\nSec-WebSocket-Accept: ${new Uint8Array(digest).toBase64()}\r\n\r\n`;
  const frame = new Uint8Array([0x81, 2, 0x68, 0x69]);
  await connection.write(new TextEncoder().encode(interim + final));
  await connection.write(frame);
  assertEquals((await next(socket, "message")).data, "hi");
  const end = next(socket, "close");
  socket.terminate();
  await end;
});

Deno.test("WebSocket takes a response as ordinary servers write it (RFC 9112 sections 4 and 5.2)", async () => {
  for (const status of ["HTTP/1.1 101 ", "HTTP/1.1 101", "HTTP/1.0 101 OK", "HTTP/1.2 101 OK"]) {
    using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
    const socket = new WebSocket(`ws://127.0.0.1:${listener.addr.port}/`);
    using connection = await listener.accept();
    const buffer = new Uint8Array(2048);
    const request = new TextDecoder().decode(buffer.subarray(0, (await connection.read(buffer))!));
    const accept = acceptOf(/Sec-WebSocket-Key: (\S+)/.exec(request)![1]!);
    const response = `${status}\r\nUPGRADE:WebSocket\r\nconnection: keep-alive,\r\n\tUpgrade\r\n` +
      `X-Folded: a\r\n  b\r\nX-Latin: \xe9\r\nSec-WebSocket-Accept:\t${accept} \r\n\r\n`;
    await connection.write(Uint8Array.from(response, (character) => character.charCodeAt(0)));
    await next(socket, "open");
    const end = next(socket, "close");
    socket.terminate();
    await end;
  }
});

Deno.test("WebSocket of a server reads no further while its handlers are at work", async () => {
  const release = Promise.withResolvers<void>();
  let running = 0;
  let most = 0;
  await using server = acceptSockets((socket) => {
    socket.binaryType = "arraybuffer";
    socket.onmessage = async ({ data }) => {
      most = Math.max(most, ++running);
      await release.promise;
      running--;
      socket.send(data);
    };
  }, { highWaterMark: 10_000 });
  const socket = await opened(server.url);
  const count = 2000;
  const answers = Promise.withResolvers<void>();
  let answered = 0;
  socket.onmessage = () => ++answered === count && answers.resolve();
  for (let i = 0; i < count; i++) socket.send(new Uint8Array(1000));
  // Whoever asks after them is answered: the server has not stopped, but waits.
  for (const other of [await opened(server.url), await opened(server.url)]) await closed(other);
  assert(running > 1 && running < 12, `${running} handlers are at work`);
  release.resolve();
  await answers.promise;
  assert(most < 12);
  await closed(socket);
});

Deno.test("WebSocket of a server lets one handler wait for the next message", async () => {
  await using server = acceptSockets((socket) => {
    let resume: ((data: string) => void) | undefined;
    socket.onmessage = async ({ data }) => {
      if (resume) return resume(data);
      socket.send(await new Promise<string>((resolve) => resume = resolve));
    };
  }, { highWaterMark: 10 });
  const socket = await opened(server.url);
  const answer = next(socket, "message");
  socket.send("long ".repeat(100));
  socket.send("next");
  assertEquals((await answer).data, "next");
  await closed(socket);
});

Deno.test("WebSocket answers pings while its reader is at work", async () => {
  await using server = acceptSockets(async (socket) => {
    const reader = socket.readable.getReader();
    await reader.read();
  });
  const socket = await opened(server.url);
  socket.send("one");
  await socket.ping();
  await closed(socket);
});

Deno.test("WebSocket gives an opening handshake up that takes too long", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const socket = new WebSocket(`ws://127.0.0.1:${listener.addr.port}/`, { handshakeTimeout: 50 });
  using _connection = await listener.accept();
  const { message } = await next<ErrorEvent>(socket, "error");
  assertEquals(message, "Cannot open WebSocket: it took over 50 ms");
  for (const handshakeTimeout of [-1, NaN, 2 ** 31]) {
    assertThrows(() => new WebSocket("ws://127.0.0.1/", { handshakeTimeout }), RangeError);
  }
});

Deno.test("WebSocket of a server reads the message that its handlers wait for, however many are at work", async () => {
  await using server = acceptSockets((socket) => {
    socket.onmessage = async ({ data }) => {
      await socket.ping();
      socket.send(data.slice(0, 3));
    };
  }, { highWaterMark: 10 });
  const socket = await opened(server.url);
  const answers: string[] = [];
  const all = Promise.withResolvers<void>();
  socket.onmessage = ({ data }) => answers.push(data) === 3 && all.resolve();
  for (const word of ["one", "two", "six"]) socket.send(word.padEnd(100));
  await all.promise;
  assertEquals(answers.sort(), ["one", "six", "two"]);
  await closed(socket);
});

Deno.test("WebSocket of a server finds that its peer has left while its handlers are at work", async () => {
  const ended = Promise.withResolvers<number>();
  const working = Promise.withResolvers<void>();
  let count = 0;
  await using server = acceptSockets((socket) => {
    socket.onmessage = () => {
      if (++count === 2) working.resolve();
      return new Promise<void>((resolve) => socket.addEventListener("close", () => resolve()));
    };
    socket.onclose = ({ code }) => ended.resolve(code);
  }, { highWaterMark: 10 });
  const client = await RawClient.open(server.addr.port);
  await client.write(concat(frame("server", TEXT, "a long one"), frame("server", TEXT, "another")));
  await working.promise;
  client.connection.close();
  assertEquals(await ended.promise, 1006);
});

Deno.test("WebSocket of a server goes on when a program dispatches a message event without data", async () => {
  const done = Promise.withResolvers<unknown>();
  await using server = acceptSockets((socket) => {
    socket.onopen = () => {
      socket.addEventListener("message", async ({ data }) => {
        await undefined;
        done.resolve(data);
      });
      socket.dispatchEvent(new MessageEvent("message"));
    };
  });
  const socket = await opened(server.url);
  assertEquals(await done.promise, null);
  await socket.ping();
  await closed(socket);
});

Deno.test("WebSocket.readable fails when it is first used after the connection was lost", async () => {
  await using server = acceptSockets((socket) => socket.onopen = () => socket.terminate());
  const socket = new WebSocket(server.url);
  await next<Event>(socket, "close");
  await assertRejects(() => socket.readable.getReader().read(), Error, "Connection lost");
});
