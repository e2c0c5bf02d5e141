/**
 * The class as Web IDL and the WebSockets standard have it, and as Deno's own has it beyond them.
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { WebSocket } from "../../mod.ts";
import { projectPath, RUNNABLE } from "../programs.ts";
import { served } from "./network.ts";
import { acceptSockets, closed, echo, next, opened } from "./peers.ts";

const Native = globalThis.WebSocket;

/** What a program may do that TypeScript keeps it from. */
// deno-lint-ignore no-explicit-any
const Loose = WebSocket as any;

/** A socket that never opens, as no program makes one. */
const unopened = () => served().socket;

/** The descriptors of an object's own string properties. */
const described = (object: object) => Object.getOwnPropertyDescriptors(object);

/** Ours beside the web's. */
const ADDITIONS = [
  ...["addEventListener", "removeEventListener", "ondrain", "onpong", "ping", "pong"],
  ...["data", "readable", "remoteAddr", "stats", "terminate", "writable"],
];
const CONSTANTS = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];

Deno.test("WebSocket has the properties of Deno's own, and those that are named here", () => {
  const names = (type: typeof Native | typeof WebSocket) => [
    Object.keys(described(type)).sort(),
    Object.keys(described(type.prototype)).sort(),
  ];
  const [statics, members] = names(Native);
  assertEquals(names(WebSocket), [statics!, [...members!, ...ADDITIONS].sort()]);
  assertStrictEquals(Object.getPrototypeOf(WebSocket), EventTarget);
  assertStrictEquals(Object.getPrototypeOf(WebSocket.prototype), EventTarget.prototype);
  assertEquals([WebSocket.name, WebSocket.length], ["WebSocket", 1]);
});

Deno.test("WebSocket describes its members as Deno's own does", () => {
  const ours = described(WebSocket.prototype) as Record<string, PropertyDescriptor>;
  const theirs = described(Native.prototype) as Record<string, PropertyDescriptor>;
  for (const name of Object.keys(theirs).filter((name) => !CONSTANTS.includes(name))) {
    const [mine, other] = [ours[name]!, theirs[name]!];
    const shape = ({ enumerable, configurable, writable, get, set, value }: PropertyDescriptor) => [
      ...[enumerable, configurable, writable, typeof get, typeof set, typeof value],
      ...[get?.length, set?.length],
      ...typeof value === "function" && name !== "constructor" ? [value.name, value.length] : [],
    ];
    assertEquals(shape(mine), shape(other), name);
  }
  for (const name of ADDITIONS) assert(ours[name]!.enumerable, name);
  const tag = Object.getOwnPropertyDescriptor(WebSocket.prototype, Symbol.toStringTag);
  assertEquals(tag, Object.getOwnPropertyDescriptor(Native.prototype, Symbol.toStringTag));
  for (const [value, name] of CONSTANTS.entries()) {
    const constant = { value, writable: false, enumerable: true, configurable: false };
    assertEquals(Object.getOwnPropertyDescriptor(WebSocket, name), constant);
    assertEquals(ours[name], constant);
  }
});

Deno.test("WebSocket's members refuse another object in their place", () => {
  const { constructor: _, ...members } = described(WebSocket.prototype) as Record<
    string,
    PropertyDescriptor
  >;
  for (const [name, { get, set, value }] of Object.entries(members)) {
    for (const other of [{}, WebSocket.prototype, undefined]) {
      if (get) assertThrows(() => get.call(other), TypeError);
      if (set) assertThrows(() => set.call(other, "wrong"), TypeError);
      if (typeof value !== "function") continue;
      // Without an object, an EventTarget's methods are those of the global object.
      if (name.endsWith("EventListener") && other === undefined) continue;
      assertThrows(() => value.call(other, "message", () => {}), TypeError);
    }
  }
  assertThrows(() => Loose("ws://127.0.0.1/"), TypeError);
});

Deno.test("WebSocket refuses a call without its arguments, and symbols", async () => {
  const symbol = Symbol("no string");
  assertThrows(() => new Loose(), TypeError, "URL is missing");
  for (const given of [[symbol], ["ws://127.0.0.1/", symbol], ["ws://127.0.0.1/", [symbol]]]) {
    assertThrows(() => new Loose(...given), TypeError);
  }
  // Before the state is looked at.
  // deno-lint-ignore no-explicit-any
  const early = unopened() as any;
  assertThrows(() => early.send(), TypeError, "data is missing");
  assertThrows(() => early.send(symbol), TypeError);
  assertThrows(() => early.addEventListener("open"), TypeError);
  assertThrows(() => early.removeEventListener("open"), TypeError);
  assertThrows(() => early.binaryType = symbol, TypeError);
  assertThrows(() => early.close(symbol), TypeError);
  assertThrows(() => early.close(1n), TypeError);
  assertThrows(() => early.close(1000, symbol), TypeError);
  early.addEventListener("open", null);
  early.addEventListener("open", undefined);

  await using server = echo();
  const socket = await opened(server.url);
  assertThrows(() => socket.send(symbol as never), TypeError);
  await closed(socket);
});

/** The subprotocols that a request offers when the constructor is given `rest`. */
async function offered(...rest: unknown[]): Promise<string | null> {
  const request = Promise.withResolvers<string | null>();
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    ({ headers }) => {
      request.resolve(headers.get("Sec-WebSocket-Protocol"));
      return new Response(null, { status: 403 });
    },
  );
  const socket = new Loose(`ws://127.0.0.1:${server.addr.port}/`, ...rest);
  const close = next(socket, "close");
  const header = await request.promise;
  await close;
  return header;
}

Deno.test("WebSocket takes as protocols a string, any iterable, or options that have them", async () => {
  function* generated() {
    yield "a";
    yield "b";
  }
  const cases: [unknown[], string | null][] = [
    [[], null],
    [[undefined], null],
    [[null], null],
    [[{}], null],
    [[[]], null],
    [["a"], "a"],
    [[5], "5"],
    [[true], "true"],
    [[["a", "b"]], "a, b"],
    [[["a", 7, { toString: () => "c" }]], "a, 7, c"],
    [[new Set(["a", "b"])], "a, b"],
    [[generated()], "a, b"],
    [[{ protocols: new Set(["a", "b"]) }], "a, b"],
    [[{ protocols: "ab" }], "ab"],
    [[{ protocols: undefined }], null],
    [[Object.assign(() => {}, { protocols: ["a"] })], "a"],
  ];
  for (const [rest, header] of cases) assertEquals(await offered(...rest), header);
  for (const protocols of [null, 12, {}, Symbol("none")]) {
    const given = () => new Loose("ws://127.0.0.1/", { protocols });
    assertThrows(given, TypeError, "must be a string or iterable");
  }
});

Deno.test("WebSocket fails the connection where the server chooses none of its subprotocols", async () => {
  await using server = echo();
  const socket = new WebSocket(server.url, ["a", "b"]);
  const events: string[] = [];
  socket.onopen = () => events.push("open");
  socket.onerror = (event) => events.push((event as ErrorEvent).message);
  const { code, reason, wasClean } = await next<CloseEvent>(socket, "close");
  assertEquals([code, reason, wasClean, socket.protocol], [1006, "", false, ""]);
  assertEquals(events, [
    "Cannot open WebSocket: server chose none of the subprotocols that were offered",
  ]);
});

Deno.test("WebSocket.close clamps its code, and takes a reason as text", async () => {
  const cases: [unknown, number | undefined][] = [
    [999.6, 1000],
    [1000.5, 1000],
    [999.5, 1000],
    [2999.5, 3000],
    ["3001", 3001],
    [{ valueOf: () => 4999 }, 4999],
    [4999.4, 4999],
    [1001, undefined],
    [2999.4, undefined],
    [65536 + 1000, undefined],
    [-1, undefined],
    [Infinity, undefined],
    [NaN, undefined],
    [null, undefined],
    ["text", undefined],
  ];
  const codes: Promise<number>[] = [];
  await using server = acceptSockets((socket) => {
    codes.push(next<CloseEvent>(socket, "close").then(({ code }) => code));
  });
  for (const [code, sent] of cases) {
    const socket = await opened(server.url);
    if (sent === undefined) {
      const error = assertThrows(() => socket.close(code as number), DOMException);
      assertEquals(error.name, "InvalidAccessError", String(code));
      socket.close(1000);
    } else {
      socket.close(code as number);
    }
    const end = await next<CloseEvent>(socket, "close");
    assertEquals(end.code, sent ?? 1000);
  }
  assertEquals(await Promise.all(codes), cases.map(([, sent]) => sent ?? 1000));
});

Deno.test("WebSocket.close sends a reason with half a surrogate pair as a replacement character", async () => {
  const reason = Promise.withResolvers<string>();
  await using server = acceptSockets((socket) => {
    socket.onclose = (event) => reason.resolve(event.reason);
  });
  const socket = await opened(server.url);
  // 41 characters of 3 bytes each, where each is replaced.
  await closed(socket, 3000, "\ud800".repeat(41));
  assertEquals(await reason.promise, "\ufffd".repeat(41));
  const { length } = WebSocket.prototype.close;
  assertEquals(length, 0);
});

Deno.test("WebSocket keeps any object as a handler, and nothing else", () => {
  // deno-lint-ignore no-explicit-any
  const socket = unopened() as any;
  for (const type of ["open", "message", "error", "close", "drain", "pong"]) {
    const name = `on${type}`;
    for (const value of [() => {}, {}, [], { handleEvent() {} }, new Date(), class {}]) {
      socket[name] = value;
      assertStrictEquals(socket[name], value);
    }
    for (const value of [undefined, null, 5, "text", true, Symbol("none"), 1n]) {
      socket[name] = () => {};
      socket[name] = value;
      assertStrictEquals(socket[name], null);
    }
  }
  let called = 0;
  socket.onopen = { handleEvent: () => called++ };
  socket.dispatchEvent(new Event("open"));
  assertEquals(called, 0);
});

Deno.test("WebSocket gives a handler its place among the listeners anew after null", () => {
  const { socket } = served();
  const calls: string[] = [];
  socket.onopen = () => calls.push("first");
  socket.addEventListener("open", () => calls.push("listener"));
  socket.onopen = () => calls.push("replaced");
  socket.dispatchEvent(new Event("open"));
  socket.onopen = null;
  socket.dispatchEvent(new Event("open"));
  socket.onopen = () => calls.push("again");
  socket.dispatchEvent(new Event("open"));
  assertEquals(calls, ["replaced", "listener", "listener", "listener", "again"]);
});

Deno.test("WebSocket cancels an event whose handler returns false", () => {
  const { socket } = served();
  for (const [value, canceled] of [[false, true], [0, false], [undefined, false], [true, false]]) {
    socket.onopen = () => value;
    const event = new Event("open", { cancelable: true });
    assertEquals(socket.dispatchEvent(event), !canceled);
    assertEquals(event.defaultPrevented, canceled);
  }
});

Deno.test("WebSocket calls the handler of a message as its own, in both ways", async () => {
  await using server = echo();
  const socket = await opened(server.url);
  const seen: unknown[] = [];
  const handler = function (this: unknown) {
    seen.push(this);
    return false;
  };
  socket.onmessage = handler;
  socket.send("handed");
  socket.send("awaited");
  await next(socket, "message");
  assert(seen.length > 0 && seen.every((self) => self === socket));
  await closed(socket);
});

Deno.test("WebSocket's message event can be copied, and dispatched again", async () => {
  await using server = echo();
  for (const withListener of [false, true]) {
    const socket = await opened(server.url);
    if (withListener) socket.addEventListener("message", () => {});
    const elsewhere = new EventTarget();
    const copies: MessageEvent[] = [];
    elsewhere.addEventListener("message", (event) => copies.push(event as MessageEvent));
    const handed = Promise.withResolvers<MessageEvent>();
    const state: unknown[] = [];
    socket.onmessage = (event) => {
      event.stopImmediatePropagation();
      assertEquals(event.eventPhase, Event.AT_TARGET);
      elsewhere.dispatchEvent(new MessageEvent(event.type, event as unknown as MessageEventInit));
      // An event that is being dispatched cannot be dispatched.
      state.push(assertThrows(() => elsewhere.dispatchEvent(event), DOMException).name);
      handed.resolve(event);
    };
    socket.send("data");
    const event = await handed.promise;
    assertEquals(state, ["InvalidStateError"]);
    assertEquals([event.currentTarget, event.eventPhase, event.composedPath()], [null, 0, []]);
    assertStrictEquals(event.target, socket);
    assertEquals(event.isTrusted, true);
    assertStrictEquals(event.constructor, MessageEvent);
    assertEquals(Object.prototype.toString.call(event), "[object MessageEvent]");
    assertStringIncludes(Deno.inspect(event), "MessageEvent {");

    let during: unknown[] = [];
    elsewhere.addEventListener("message", ({ target, currentTarget, eventPhase }) => {
      during = [target === elsewhere, currentTarget === elsewhere, eventPhase];
    }, { once: true });
    elsewhere.dispatchEvent(event);
    assertEquals(during, [true, true, Event.AT_TARGET]);
    assertStrictEquals(event.target, elsewhere);

    const [copy, again] = copies;
    assertStrictEquals(again, event);
    assert(copy !== event);
    assertInstanceOf(copy, MessageEvent);
    const { data, origin, lastEventId, source, ports } = copy!;
    assertEquals([data, origin, lastEventId, source, ports], [
      ...["data", server.url.slice(0, -1), "", null, []],
    ]);
    await closed(socket);
  }
});

Deno.test("WebSocket dispatches its events itself, whatever a subclass dispatches", async () => {
  class Quiet extends WebSocket {
    override dispatchEvent(): boolean {
      throw new Error("Called by nobody");
    }
  }
  await using server = echo();
  const socket = new Quiet(server.url);
  await next(socket, "open");
  const message = next(socket, "message");
  socket.send("x");
  assertEquals((await message).data, "x");
  await closed(socket);
});

Deno.test("WebSocket shows its state, URL, protocol and extensions when it is logged", async () => {
  await using server = acceptSockets(() => {}, { protocol: "chat" });
  const socket = await opened(server.url, { protocols: "chat" });
  const text = Deno.inspect(socket);
  for (
    const part of [
      `WebSocket {`,
      `url: "${server.url}"`,
      "readyState: 1",
      'protocol: "chat"',
      `extensions: "${socket.extensions}"`,
      'binaryType: "arraybuffer"',
      "bufferedAmount: 0",
      "onmessage: null",
    ]
  ) assertStringIncludes(text, part);
  const { inspect } = (globalThis as unknown as {
    process: { getBuiltinModule(name: string): { inspect(value: unknown): string } };
  }).process.getBuiltinModule("node:util");
  assertStringIncludes(inspect(socket), "readyState: 1");
  assertEquals(Object.keys(socket), []);
  // Nothing that is shown throws where there is no socket.
  Deno.inspect(WebSocket.prototype);
  class Named extends WebSocket {}
  const named = new Named(server.url, "chat");
  assertStringIncludes(Deno.inspect(named), "Named {");
  await next(named, "open");
  await Promise.all([closed(socket), closed(named)]);
});

/** The head of the request that `make` sends to the host it is given, line by line. */
async function requestOf(make: (host: string) => WebSocket): Promise<[string[], string]> {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const socket = make(`127.0.0.1:${listener.addr.port}`);
  const close = next(socket, "close");
  using connection = await listener.accept();
  let head = "";
  const bytes = new Uint8Array(4096);
  while (!head.endsWith("\r\n\r\n")) {
    head += new TextDecoder().decode(bytes.subarray(0, (await connection.read(bytes))!));
  }
  socket.terminate();
  await close;
  return [head.split("\r\n").map((line) => line.toLowerCase()), socket.url];
}

Deno.test("WebSocket makes a URL's user and password a header, and no part of its URL", async () => {
  const cases: [credentials: string, plain: string][] = [
    ["user:password", "user:password"],
    ["us%40er:p%C3%A4ss", "us@er:pÃ¤ss"],
    ["user", "user:"],
    [":secret", ":secret"],
    ["%ff%zz:x", "ÿ%zz:x"],
  ];
  for (const [credentials, plain] of cases) {
    const given: string[] = [];
    const [head, url] = await requestOf((host) => {
      given.push(`ws://${host}/`);
      return new WebSocket(`ws://${credentials}@${host}/`);
    });
    assertEquals([url], given);
    assert(head.includes(`authorization: basic ${btoa(plain)}`.toLowerCase()), head.join("\n"));
  }
  const [head] = await requestOf((host) =>
    new WebSocket(`ws://user:password@${host}/`, { headers: { authorization: "Bearer token" } })
  );
  assertEquals(head.filter((line) => line.startsWith("authorization")), [
    "authorization: bearer token",
  ]);
  const given = new URL("ws://user@127.0.0.1:9/");
  const socket = new WebSocket(given);
  assertEquals(given.username, "user");
  const close = next(socket, "close");
  socket.close();
  await close;
});

Deno.test("WebSocket names its user agent, unless the program does", async () => {
  const agents = (head: string[]) => head.filter((line) => line.startsWith("user-agent"));
  const [plain] = await requestOf((host) => new WebSocket(`ws://${host}/`));
  assertEquals(agents(plain), [`user-agent: ${navigator.userAgent.toLowerCase()}`]);
  const headers = { "User-Agent": "mine" };
  const [own] = await requestOf((host) => new WebSocket(`ws://${host}/`, { headers }));
  assertEquals(agents(own), ["user-agent: mine"]);
  assertEquals(plain.filter((line) => line.startsWith("origin")), []);
});

Deno.test("WebSocket refuses a malformed header at once", () => {
  const wrong: unknown[] = [
    ...[{ "a b": "x" }, { a: "x\ny" }, { a: "\u0100" }, null, 5, [["a"]]],
  ];
  for (const headers of wrong) {
    assertThrows(() => new Loose("ws://127.0.0.1/", { headers }), TypeError);
  }
});

/** What a script of a process of its own logs, that has `WebSocket` of the library. */
async function logOf(script: string, flags: string[]): Promise<string[]> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", `--config=${projectPath("deno.json")}`, ...flags],
      "-",
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const library = `import { WebSocket } from "file://${projectPath("mod.ts")}";\n`;
  const source = new Blob([library, script]).stream();
  const [{ success, stdout }] = await Promise.all([child.output(), source.pipeTo(child.stdin)]);
  assert(success);
  return new TextDecoder().decode(stdout).trim().split("\n");
}

Deno.test({
  name: "WebSocket resolves a URL against --location, and sends its origin",
  ignore: !RUNNABLE,
  async fn() {
    const request = Promise.withResolvers<Request>();
    await using server = acceptSockets((_, given) => request.resolve(given));
    const base = `http://127.0.0.1:${server.addr.port}`;
    const script = `
      const urls = ["socket", "/socket?q", "?q", "../up", null, 12, new URL("ws://a/")];
      for (const url of urls) {
        const socket = new WebSocket(url);
        socket.close();
        console.log(socket.url);
      }
      const socket = new WebSocket("/folder/socket");
      await new Promise((resolve) => socket.onopen = resolve);
      console.log(socket.url);
      socket.terminate();`;
    const flags = [`--location=${base}/folder/page?query#fragment`, "--allow-net"];
    const own = base.replace("http", "ws");
    assertEquals(await logOf(script, flags), [
      ...["folder/socket", "socket?q", "folder/page?q", "up", "folder/null", "folder/12"]
        .map((path) => `${own}/${path}`),
      "ws://a/",
      `${own}/folder/socket`,
    ]);
    assertEquals((await request.promise).headers.get("Origin"), base);
    for (const url of ["/socket", "?q", "socket", ""]) {
      assertEquals(assertThrows(() => new WebSocket(url), DOMException).name, "SyntaxError");
    }
  },
});

Deno.test({
  name: "WebSocket throws at once where the program may not connect",
  ignore: !RUNNABLE,
  async fn() {
    const script = `
      for (const url of ["ws://127.0.0.2/", "wss://127.0.0.1:9/"]) {
        try {
          new WebSocket(url).close();
        } catch (error) {
          console.log(error instanceof Deno.errors.NotCapable, error.message);
        }
      }`;
    const wanted = (host: string) =>
      `true Cannot open WebSocket: it requires net access to "${host}", ` +
      "run again with the --allow-net flag";
    const both = [wanted("127.0.0.2:80"), wanted("127.0.0.1:9")];
    assertEquals(await logOf(script, []), both);
    assertEquals(await logOf(script, ["--allow-net=127.0.0.1:10"]), both);
    assertEquals(await logOf(script, ["--allow-net", "--deny-net=127.0.0.1:9"]), [both[1]!]);
    assertEquals(await logOf(script, ["--allow-net=127.0.0.2", "--deny-net=127.0.0.1"]), [
      both[1]!,
    ]);
  },
});

Deno.test({
  name: "WebSocket tells by its events that a host cannot be, as Deno's own does",
  ignore: !RUNNABLE,
  async fn() {
    const script = `
      for (const host of ["a*b", "a..b", ".", "${"a".repeat(300)}"]) {
        const socket = new WebSocket("ws://" + host + "/");
        const { code } = await new Promise((resolve) => socket.onclose = resolve);
        console.log(code);
      }`;
    assertEquals(await logOf(script, ["--allow-net"]), Array(4).fill("1006"));
  },
});
