import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BackplaneEvent, type BackplaneListener, type SkipEvent, Topics } from "../../topics.ts";
import { EnvelopeWriter } from "../../topics/envelope.ts";
import { turns } from "../../transport/turns.ts";
import { acceptSockets, closed, next, opened } from "../websocket/peers.ts";
import { FakeBackplane, FakeEngine, FakeSocket } from "./fakes.ts";

Deno.test("Topics.publish() sends to the subscribers of the topic, and tells how many", () => {
  const topics = new Topics();
  const [a, b, c] = [new FakeSocket(), new FakeSocket(), new FakeSocket()];
  topics.subscribe(a, "x");
  topics.subscribe(b, "x");
  topics.subscribe(b, "x");
  topics.subscribe(c, "y");
  assertEquals(topics.publish("x", "one"), 2);
  assertEquals(topics.publish("x", "two", { except: a }), 1);
  assertEquals(topics.publish("z", "none"), 0);
  assertEquals([a.sent, b.sent, c.sent], [["one"], ["one", "two"], []]);
  assertEquals([topics.subscribers("x"), topics.subscribers("z")], [2, 0]);
  assertEquals(topics.unsubscribe(b, "x"), true);
  assertEquals(topics.unsubscribe(b, "x"), false);
  assertEquals(topics.unsubscribe(c, "x"), false);
  assertEquals(topics.publish("x", "three"), 1);
  assertEquals(topics.topicsOf(a), ["x"]);
  assertEquals(topics.topicsOf(b), []);
  const { published, delivered, subscribers, topics: count } = topics.stats;
  assertEquals([published, delivered, subscribers, count], [4, 4, 2, 2]);
});

Deno.test("Topics.publish() copies bytes, and refuses what is no message or no topic", () => {
  const topics = new Topics();
  const socket = new FakeSocket();
  topics.subscribe(socket, "x");
  const bytes = Uint8Array.of(1, 2, 3);
  topics.publish("x", bytes);
  bytes.fill(0);
  assertEquals(socket.sent, [Uint8Array.of(1, 2, 3)]);
  assertThrows(() => topics.publish("x", 7 as unknown as string), TypeError, "data is 7");
  for (const bad of ["x.*", ">", "", "a b", null as unknown as string]) {
    assertThrows(() => topics.publish(bad, "m"), SyntaxError, "Cannot publish: topic is");
    assertThrows(() => topics.subscribe(socket, bad), SyntaxError, "Cannot subscribe: topic is");
  }
});

Deno.test("Topics.subscribe() takes a pattern only where it is said to be one", () => {
  const topics = new Topics();
  const [all, some] = [new FakeSocket(), new FakeSocket()];
  topics.subscribe(all, ">", { pattern: true });
  topics.subscribe(some, "chat.*", { pattern: true });
  topics.subscribe(some, "chat.a");
  assertThrows(() => topics.subscribe(some, "chat.b", { pattern: true }), SyntaxError);
  // One that matches twice is sent once.
  assertEquals(topics.publish("chat.a", "1"), 2);
  assertEquals(topics.publish("chat.b", "2"), 2);
  assertEquals(topics.publish("other", "3"), 1);
  assertEquals([all.sent, some.sent], [["1", "2", "3"], ["1", "2"]]);
  topics.unsubscribe(some, "chat.*");
  assertEquals(topics.publish("chat.b", "4"), 1);
  assertEquals(topics.topicsOf(some), ["chat.a"]);
  assertEquals(topics.subscribers(">"), 1);
});

Deno.test("Topics lets a socket that ends leave all its topics", () => {
  const engine = new FakeEngine();
  const backplane = new FakeBackplane(engine);
  const topics = new Topics({ backplane });
  const [a, b] = [new FakeSocket(), new FakeSocket()];
  topics.subscribe(a, "x");
  topics.subscribe(a, "y.*", { pattern: true });
  topics.subscribe(b, "x");
  a.end();
  assertEquals(topics.stats.topics, 1);
  assertEquals(topics.stats.subscribers, 1);
  assertEquals(backplane.subscriptions, ["x"]);
  topics.subscribe(a, "x");
  assertEquals(topics.topicsOf(a), []);
  b.end();
  assertEquals(backplane.log, ["+x", "+y.*", "-y.*", "-x"]);
});

Deno.test("Topics.subscribe() holds a socket to maxTopicsPerSocket", () => {
  const topics = new Topics({ maxTopicsPerSocket: 2 });
  const socket = new FakeSocket();
  topics.subscribe(socket, "a");
  topics.subscribe(socket, "b");
  topics.subscribe(socket, "b");
  assertThrows(() => topics.subscribe(socket, "c"), RangeError, "must have 2 at most");
  topics.unsubscribe(socket, "a");
  topics.subscribe(socket, "c");
  assertEquals(topics.topicsOf(socket), ["b", "c"]);
});

Deno.test("Topics sends nothing to a socket that is not open", () => {
  const topics = new Topics();
  const socket = new FakeSocket();
  socket.readyState = 0;
  topics.subscribe(socket, "x");
  assertEquals(topics.publish("x", "early"), 0);
  socket.readyState = 1;
  assertEquals(topics.publish("x", "now"), 1);
  socket.readyState = 2;
  assertEquals(topics.publish("x", "late"), 0);
  assertEquals(socket.sent, ["now"]);
});

Deno.test("Topics skips a slow subscriber, and tells and counts it; nobody else misses anything", () => {
  const topics = new Topics({ maxUnsent: 100 });
  const [slow, quick] = [new FakeSocket(), new FakeSocket()];
  topics.subscribe(slow, "x");
  topics.subscribe(quick, "x");
  const skipped: SkipEvent[] = [];
  topics.addEventListener("skip", (event) => skipped.push(event));
  slow.bufferedAmount = 101;
  assertEquals(topics.publish("x", "1"), 1);
  slow.bufferedAmount = 100;
  assertEquals(topics.publish("x", "2"), 2);
  assertEquals([slow.sent, quick.sent], [["2"], ["1", "2"]]);
  assertEquals(skipped.map(({ topic, socket }) => [topic, socket === slow]), [["x", true]]);
  assertEquals(topics.stats.skipped, 1);
  assertEquals(slow.closing, undefined);
});

Deno.test("Topics keeps the order, and sends once, what a listener of skip publishes", () => {
  const engine = new FakeEngine();
  const topics = new Topics({ maxUnsent: 10, backplane: new FakeBackplane(engine) });
  const elsewhere = new Topics({ backplane: new FakeBackplane(engine) });
  const [slow, other, far] = [new FakeSocket(), new FakeSocket(), new FakeSocket()];
  elsewhere.subscribe(far, ">", { pattern: true });
  slow.bufferedAmount = 11;
  topics.subscribe(slow, "x");
  topics.subscribe(other, "x");
  topics.subscribe(other, "*", { pattern: true });
  topics.addEventListener("skip", () => topics.publish("notices", "skipped"));
  assertEquals(topics.publish("x", "message"), 1);
  assertEquals([other.sent, far.sent], [["message", "skipped"], ["message", "skipped"]]);
});

Deno.test("Topics ends a slow subscriber where it is told to", async () => {
  assertThrows(() => new Topics({ slow: "wait" as "end" }), RangeError, 'slow is "wait"');
  const topics = new Topics({ maxUnsent: 100, slow: "end" });
  const socket = new FakeSocket();
  topics.subscribe(socket, "x");
  socket.bufferedAmount = 101;
  assertEquals(topics.publish("x", "1"), 0);
  assertEquals(socket.closing?.code, 4013);

  const ours = Promise.withResolvers<void>();
  await using server = acceptSockets((socket) => {
    socket.onopen = () => {
      topics.subscribe(socket, "y");
      socket.send("a".repeat(1000), { compress: false });
      topics.publish("y", "one too many");
      ours.resolve();
    };
  });
  const client = await opened(server.url);
  assertEquals((await next<CloseEvent>(client, "close")).code, 1013);
  await ours.promise;
});

Deno.test("Topics leaves out what would take more than maxWaiting", async () => {
  // Each of those that wait counts as 256 bytes more.
  const topics = new Topics({ maxWaiting: 266 });
  const sockets = Array.from({ length: 100 }, () => new FakeSocket());
  for (const socket of sockets) topics.subscribe(socket, "x");
  assertEquals(topics.publish("x", "123456"), 100);
  assertEquals(topics.publish("x", "12345"), 0);
  assertEquals(topics.publish("x", "1234"), 100);
  assertEquals(topics.stats.waiting, 522);
  await done();
  assertEquals(topics.stats.waiting, 0);
  assert(sockets.every(({ sent }) => sent.join() === "123456,1234"));
  assertEquals(topics.stats.skipped, 100);
});

/** Resolves when nothing waits for its turn. */
async function done(): Promise<void> {
  while (turns.size > 0) await new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("Topics bounds empty messages that wait, and ends nobody for the bound", async () => {
  const topics = new Topics({ maxWaiting: 1000, slow: "end" });
  const sockets = Array.from({ length: 100 }, () => new FakeSocket());
  for (const socket of sockets) topics.subscribe(socket, "x");
  for (let i = 0; i < 10; i++) topics.publish("x", "");
  assertEquals([topics.stats.delivered, topics.stats.skipped], [400, 600]);
  await done();
  assertEquals([topics.stats.waiting, topics.publish("x", "")], [0, 100]);
  assert(sockets.every(({ closing }) => closing === undefined));
  await done();
});

Deno.test("Topics sends what is on its way to a socket that unsubscribes before what comes after", async () => {
  const topics = new Topics();
  const sockets = Array.from({ length: 100 }, () => new FakeSocket());
  for (const socket of sockets) topics.subscribe(socket, "x");
  const last = sockets.at(-1)!;
  topics.publish("x", "before");
  topics.unsubscribe(last, "x");
  topics.subscribe(last, "y");
  topics.publish("y", "after");
  await done();
  assertEquals(last.sent, ["before", "after"]);
});

Deno.test("Topics lets a publication to few overtake one to many, but for nobody who gets both", async () => {
  const topics = new Topics();
  const many = Array.from({ length: 500 }, () => new FakeSocket());
  for (const socket of many) topics.subscribe(socket, "many");
  const [both, few] = [many.at(-1)!, new FakeSocket()];
  for (const socket of [both, few]) topics.subscribe(socket, "few");
  const sentBefore = new Promise<number>((resolve) => {
    few.send = () => resolve(many.filter(({ sent }) => sent.length > 0).length);
  });
  topics.publish("many", "first");
  topics.publish("few", "second");
  assert(await sentBefore < 100, "the few waited for the many");
  await done();
  assertEquals(both.sent, ["first", "second"]);
  assert(many.slice(0, -1).every(({ sent }) => sent.join() === "first"));
});

Deno.test("Topics keeps the order of publications for each subscriber", async () => {
  const name = fc.constantFrom("a", "b", "c");
  const publications = fc.array(fc.tuple(name, fc.boolean()), { maxLength: 30 });
  const sizes = fc.record({ a: fc.nat(60), b: fc.nat(60), c: fc.nat(60) });
  await fc.assert(
    fc.asyncProperty(publications, sizes, async (publications, sizes) => {
      const topics = new Topics();
      const sockets = Array.from({ length: 60 }, () => new FakeSocket());
      for (const name of ["a", "b", "c"] as const) {
        for (const socket of sockets.slice(0, sizes[name])) topics.subscribe(socket, name);
      }
      const expected = sockets.map((): string[] => []);
      for (const [at, [name, waits]] of publications.entries()) {
        const message = `${name}${at}`;
        assertEquals(topics.publish(name, message), sizes[name as "a"]);
        for (const list of expected.slice(0, sizes[name as "a"])) list.push(message);
        if (waits) await new Promise((resolve) => setTimeout(resolve, 0));
      }
      await done();
      assertEquals(sockets.map(({ sent }) => sent), expected);
    }),
    { numRuns: 40 },
  );
});

Deno.test("Topics sends a message once to each subscriber of a backplane, whatever matches", () => {
  const engine = new FakeEngine();
  const there = () => new Topics({ backplane: new FakeBackplane(engine) });
  const [one, other] = [there(), there()];
  const [a, b] = [new FakeSocket(), new FakeSocket()];
  one.subscribe(a, "x.y");
  one.subscribe(a, "x.*", { pattern: true });
  other.subscribe(b, "x.y");
  other.subscribe(b, ">", { pattern: true });
  assertEquals(one.publish("x.y", "text"), 1);
  assertEquals(other.publish("x.y", Uint8Array.of(1, 2), { compress: false }), 1);
  assertEquals([a.sent, b.sent], [
    ["text", Uint8Array.of(1, 2)],
    ["text", Uint8Array.of(1, 2)],
  ]);
  assertEquals([one.stats.received, other.stats.received], [1, 1]);
});

Deno.test("Topics subscribes at the backplane only to what has a subscriber here", () => {
  const engine = new FakeEngine();
  const backplane = new FakeBackplane(engine);
  const topics = new Topics({ backplane });
  const [a, b] = [new FakeSocket(), new FakeSocket()];
  topics.subscribe(a, "x");
  topics.subscribe(b, "x");
  topics.unsubscribe(a, "x");
  assertEquals(backplane.log, ["+x"]);
  topics.unsubscribe(b, "x");
  topics.subscribe(b, "x");
  assertEquals(backplane.log, ["+x", "-x", "+x"]);
});

Deno.test("Topics goes on here while the backplane is away, and tells what is lost", () => {
  const backplane = new FakeBackplane(new FakeEngine());
  const topics = new Topics({ backplane });
  const socket = new FakeSocket();
  topics.subscribe(socket, "x");
  const events: [boolean, unknown][] = [];
  topics.addEventListener("backplane", (event) => {
    assert(event instanceof BackplaneEvent);
    events.push([event.isConnected, event.error]);
  });
  const error = new Error("the engine is away");
  backplane.isAway = true;
  backplane.listener!.onState(false, error);
  backplane.listener!.onState(false, error);
  assertEquals(topics.publish("x", "here"), 1);
  assertEquals([topics.stats.lost, topics.stats.isConnected], [1, false]);
  backplane.isAway = false;
  backplane.listener!.onState(true);
  assertEquals(events, [[false, error], [true, undefined]]);
  assertEquals(socket.sent, ["here"]);
});

Deno.test("Topics tells of a backplane that is away from the start, and of what its engine refuses", () => {
  let listener: BackplaneListener;
  const backplane = Object.assign(new FakeBackplane(new FakeEngine()), {
    start: (given: BackplaneListener) => listener = given,
  });
  const topics = new Topics({ backplane });
  assertEquals(topics.stats.isConnected, false);
  const events: [boolean, unknown][] = [];
  topics.addEventListener("backplane", ({ isConnected, error }) => {
    events.push([isConnected, error]);
  });
  listener!.onState(false, "away");
  listener!.onState(false, "away still");
  listener!.onState(true);
  listener!.onRefusal("not permitted");
  assertEquals(events, [[false, "away"], [true, undefined], [true, "not permitted"]]);
});

Deno.test("Topics.addEventListener() gives a listener its event's type, and takes what any EventTarget takes", () => {
  const backplane = new FakeBackplane(new FakeEngine());
  const topics = new Topics({ backplane });
  const told: unknown[] = [];
  const listener = ({ isConnected }: BackplaneEvent) => told.push(isConnected);
  topics.addEventListener("backplane", listener);
  topics.addEventListener("backplane", ({ isConnected }) => told.push(isConnected), { once: true });
  topics.addEventListener("skip", ({ topic, socket }) => told.push(topic, socket));
  topics.addEventListener("other", { handleEvent: ({ type }) => told.push(type) });
  topics.addEventListener("other", null);
  // @ts-expect-error: the event is no SkipEvent.
  topics.addEventListener("backplane", (_: SkipEvent) => {});
  backplane.listener!.onState(false);
  topics.removeEventListener("backplane", listener);
  backplane.listener!.onState(true);
  topics.dispatchEvent(new Event("other"));
  assertEquals(told, [false, false, "other"]);
  // @ts-expect-error: the listener is missing.
  assertThrows(() => topics.addEventListener("other"), TypeError);
});

Deno.test("Topics drops the second of a message whose pattern has ended in between", () => {
  const engine = new FakeEngine();
  const backplane = new FakeBackplane(engine);
  const topics = new Topics({ backplane });
  const other = new EnvelopeWriter();
  const socket = new FakeSocket();
  topics.subscribe(socket, "x");
  topics.subscribe(socket, "*", { pattern: true });
  const bytes = other.write("once", true);
  backplane.listener!.onMessage("x", bytes.slice());
  topics.unsubscribe(socket, "*");
  backplane.listener!.onMessage("x", bytes.slice());
  backplane.listener!.onMessage("x", other.write("next", true));
  assertEquals(socket.sent, ["once", "next"]);
});

Deno.test("Topics.close() ends subscriptions and backplane, and leaves sockets as they are", async () => {
  const backplane = new FakeBackplane(new FakeEngine());
  const topics = new Topics({ backplane });
  const socket = new FakeSocket();
  topics.subscribe(socket, "x");
  await topics.close();
  assertEquals(backplane.isClosed, true);
  assertEquals(backplane.subscriptions, []);
  assertEquals(socket.readyState, 1);
  assertThrows(() => topics.publish("x", "m"), TypeError, "these topics are closed");
  assertThrows(() => topics.subscribe(socket, "x"), TypeError, "these topics are closed");
  backplane.listener!.onMessage("x", new Uint8Array(20));
});

Deno.test("Topics serves sockets of this library and of Deno's own alike", async () => {
  await using topics = new Topics();
  await using ours = acceptSockets((socket) => {
    socket.onopen = () => topics.subscribe(socket, "x");
  });
  await using native = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.onopen = () => topics.subscribe(socket, "x");
      return response;
    },
  );
  const urls = [ours.url, ours.url, `ws://127.0.0.1:${native.addr.port}/`];
  const clients = await Promise.all(urls.map((url) => opened(url)));
  // A server's `open` may come after the client's.
  while (topics.subscribers("x") < 3) await new Promise((resolve) => setTimeout(resolve, 0));
  for (const message of ["text", "long ".repeat(20_000), Uint8Array.of(1, 2, 3)]) {
    const came = clients.map((client) => next(client, "message"));
    assertEquals(topics.publish("x", message), 3);
    for (const { data } of await Promise.all(came)) {
      assertEquals(data instanceof ArrayBuffer ? new Uint8Array(data) : data, message);
    }
  }
  await Promise.all(clients.map((client) => closed(client)));
  while (topics.subscribers("x") > 0) await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(topics.stats.subscribers, 0);
});
