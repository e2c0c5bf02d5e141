/**
 * What holds for topics over each kind of engine.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Backplane, type BackplaneEvent, Topics } from "../../../topics.ts";
import type { NatsBackplaneOptions } from "../../../nats.ts";
import {
  brought,
  developmentCertificates,
  freePort,
  Program,
  projectPath,
} from "../../programs.ts";
import { FakeSocket } from "../../topics/fakes.ts";
import { Engine, type EngineConfig, type Kind } from "./engines.ts";

/** What a test sends until it arrives, to know that a subscription is there. */
const PROBE = "probe ";

/** A socket whose messages are awaited. */
export class Inbox extends FakeSocket {
  /** All that came, but for probes. */
  readonly messages: unknown[] = [];
  #latest = "";
  #changed = Promise.withResolvers<void>();

  override send(data: unknown): void {
    if (typeof data === "string" && data.startsWith(PROBE)) this.#latest = data;
    else this.messages.push(data);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  /** Resolves when so many messages have come. */
  async has(count: number): Promise<void> {
    while (this.messages.length < count) await this.#changed.promise;
  }

  /** Resolves when what is published there comes here. */
  async hears(topics: Topics, topic: string): Promise<void> {
    const probe = PROBE + crypto.randomUUID();
    while (this.#latest !== probe) {
      topics.publish(topic, probe);
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, 5);
      await Promise.race([this.#changed.promise, promise]);
      clearTimeout(timer);
    }
  }
}

/** Topics over a backplane, and what they tell of it. */
export class Node extends Topics {
  readonly told: BackplaneEvent[] = [];
  #changed = Promise.withResolvers<void>();

  constructor(backplane: Backplane) {
    super({ backplane });
    this.addEventListener("backplane", (event) => {
      this.told.push(event);
      this.#changed.resolve();
      this.#changed = Promise.withResolvers<void>();
    });
  }

  /** Resolves when so much has been told. */
  async hasTold(count: number): Promise<void> {
    while (this.told.length < count) await this.#changed.promise;
  }

  /** What was told last, as `true` or the error's text. */
  get states(): (true | string)[] {
    return this.told.map(({ isConnected, error }) => isConnected ? true : (error as Error).message);
  }

  /** A new socket that has subscribed. */
  inbox(topic: string, pattern = false): Inbox {
    const inbox = new Inbox();
    this.subscribe(inbox, topic, { pattern });
    return inbox;
  }
}

/** A process of an application. */
export function node(kind: Kind, servers: string | string[], options: NatsBackplaneOptions = {}) {
  return new Node(kind.backplane({ servers, ...options }));
}

/** Likewise, once it is connected. */
export async function connected(
  kind: Kind,
  servers: string | string[],
  options: NatsBackplaneOptions = {},
): Promise<Node> {
  const made = node(kind, servers, options);
  await made.hasTold(1);
  if (!made.stats.isConnected) {
    await made.close();
    throw new Error(`Not connected: ${made.states}`);
  }
  return made;
}

/** The tests that hold for each kind of engine. */
export function testEngine(kind: Kind): void {
  const test = (name: string, fn: () => Promise<void>) =>
    Deno.test({ name: `Topics over ${kind.name} ${name}`, ignore: kind.ignore, fn });

  test("carries text and bytes between two processes, in order", async () => {
    await using engine = await Engine.start(kind);
    await using one = await connected(kind, engine.url());
    await using other = new Program(Deno.execPath(), [
      "run",
      "-A",
      `--config=${projectPath("topics/engines.json")}`,
      projectPath("tests/interop/engines/peer.ts"),
      kind.name,
      engine.url(),
    ], { cwd: "/" });
    const inbox = one.inbox("out.a");
    assertEquals(await other.stdout.next(), "connected");
    const messages = Array.from(
      { length: 1000 },
      (_, at) => at % 3 === 0 ? Uint8Array.of(at & 255, at >> 8) : `número ${at} ${"x".repeat(at)}`,
    );
    messages.push("", new Uint8Array(0), "\ufeffa", "x".repeat(500_000), new Uint8Array(500_000));
    for (const message of messages) {
      assertEquals(one.publish("in.a", message), 0);
      // To nobody's topic.
      one.publish("in.c", message);
    }
    await inbox.has(messages.length);
    // Not all at once: to show the difference of such long ones takes too much.
    const differs = messages.findIndex((message, at) =>
      inbox.messages[at]?.constructor !== message.constructor ||
      `${inbox.messages[at]}` !== `${message}`
    );
    assertEquals(differs, -1);
    assertEquals(one.stats.lost, 0);
  });

  test("delivers once to each, whatever matches, and not back to the publisher's process", async () => {
    await using engine = await Engine.start(kind);
    await using one = await connected(kind, engine.url());
    await using other = await connected(kind, engine.url());
    const own = one.inbox("a.b");
    const inbox = other.inbox("a.b");
    for (const pattern of ["a.*", "a.>", "*.b", ">", "a.*.c"]) {
      other.subscribe(inbox, pattern, { pattern: true });
    }
    const deep = other.inbox("a.*.c", true);
    await deep.hears(one, "a.x.c");
    await inbox.hears(one, "a.b");
    for (const at of Array(100).keys()) one.publish("a.b", `${at}`);
    one.publish("a.x.c", "deep");
    one.publish("a.x.y.c", "deeper");
    await inbox.has(102);
    const numbers = Array.from(Array(100).keys(), String);
    assertEquals(inbox.messages, [...numbers, "deep", "deeper"]);
    assertEquals(own.messages, numbers);
    assertEquals(deep.messages, ["deep"]);
    assertEquals(one.stats.received, 0);

    // Two patterns may be one and the same to the engine: one of them stays.
    for (const pattern of ["a.>", "*.b", ">", "a.b", "a.*.c"]) other.unsubscribe(inbox, pattern);
    one.publish("a.b", "by the pattern that is left");
    one.publish("a.b.c.d", "for nobody");
    await inbox.hears(one, "a.b");
    assertEquals(inbox.messages.slice(102), ["by the pattern that is left"]);
    other.unsubscribe(inbox, "a.*");
    await deep.hears(one, "a.x.c");
    one.publish("a.b", "for nobody");
    await deep.hears(one, "a.x.c");
    assertEquals(inbox.messages.length, 103);
  });

  test("carries topics of all characters that a topic may have, each as itself", async () => {
    await using engine = await Engine.start(kind);
    await using one = await connected(kind, engine.url());
    await using other = await connected(kind, engine.url());
    const characters = Array.from({ length: 94 }, (_, at) => String.fromCharCode(33 + at))
      .filter((character) => !".*>".includes(character));
    const names = [
      ...characters,
      "é",
      "日本",
      "👍",
      "a?c",
      "a[bc]d",
      "a\\",
      "$SYS",
      "^a",
      "x".repeat(250),
    ];
    const exact = names.map((name) => other.inbox(name));
    const below = names.map((name) => other.inbox(`z.${name}.*`.slice(-256), true));
    await below.at(-1)!.hears(one, `z.${names.at(-1)}.t`.slice(-256));
    for (const name of [...names, "abc", "abd", "a"]) {
      one.publish(name, name);
      one.publish(`z.${name}.t`.slice(-256), name);
    }
    await below.at(-1)!.hears(one, `z.${names.at(-1)}.t`.slice(-256));
    // `a` is a name twice.
    const expected = (name: string) => name === "a" ? ["a", "a"] : [name];
    assertEquals(exact.map(({ messages }) => messages), names.map(expected));
    assertEquals(below.map(({ messages }) => messages), names.map(expected));
  });

  test("keeps applications with different prefixes apart", async () => {
    await using engine = await Engine.start(kind);
    await using one = await connected(kind, engine.url(), { prefix: "one[." });
    await using same = await connected(kind, engine.url(), { prefix: "one[." });
    await using other = await connected(kind, engine.url());
    const inboxes = [same.inbox(">", true), other.inbox(">", true)];
    await inboxes[0]!.hears(one, "x");
    await inboxes[1]!.hears(other, "x");
    one.publish("x", "of one");
    await inboxes[0]!.hears(one, "x");
    assertEquals(inboxes.map(({ messages }) => messages), [["of one"], []]);
  });

  const secret = "s3cr3t/@:é";
  const credentials: [name: string, EngineConfig, NatsBackplaneOptions, url: string][] = [
    [
      "a user",
      { user: { name: "app", password: secret } },
      { user: "app", password: secret },
      `app:${encodeURIComponent(secret)}@`,
    ],
    [
      "a token",
      { token: secret },
      { token: secret },
      kind.name === "NATS" ? `${encodeURIComponent(secret)}@` : `:${encodeURIComponent(secret)}@`,
    ],
  ];
  for (const [name, config, options, url] of credentials) {
    test(`takes the credentials of ${name} by option and by URL, and shows none`, async () => {
      await using engine = await Engine.start(kind, config);
      await using one = await connected(kind, engine.url(), options);
      await using other = await connected(kind, engine.url(url));
      await other.inbox("x").hears(one, "x");

      const wrong = Object.fromEntries(
        Object.entries(options).map(([key, value]) => [key, key === "user" ? value : `${value}!`]),
      );
      for (
        const [servers, given] of [
          [engine.url(), wrong],
          [engine.url(url.replace("@", "!@")), {}],
          [engine.url(), {}],
        ] as const
      ) {
        const backplane = kind.backplane({ servers, ...given });
        await using refused = new Node(backplane);
        await refused.hasTold(1);
        const [state] = refused.states;
        assertMatch(
          state as string,
          new RegExp(`^Cannot reach the engine at 127\\.0\\.0\\.1:${engine.port}: .`),
        );
        const shown = [refused, backplane, refused.told[0]!.error].map((value) =>
          Deno.inspect(value, { depth: 20, showHidden: true })
        ).join();
        assertNotMatch(shown, /s3cr3t/);
      }
    });
  }

  test("connects over TLS to an engine that it trusts, and to no other", async () => {
    const { ca } = await developmentCertificates();
    const { ca: stranger } = await brought();
    await using engine = await Engine.start(kind, { tls: "server" });
    await using one = await connected(kind, engine.url(), { caCerts: [stranger, ca] });
    await using other = await connected(kind, engine.url().replace("127.0.0.1", "localhost"), {
      caCerts: [ca],
    });
    await other.inbox("x").hears(one, "x");
    await using distrustful = node(kind, engine.url(), { caCerts: [stranger] });
    await distrustful.hasTold(1);
    assertMatch(distrustful.states[0] as string, /certificate|UnknownIssuer/i);
    // Without TLS.
    await using plain = node(kind, `${kind.schemes[0]}://127.0.0.1:${engine.port}`);
    await plain.hasTold(1);
    assertEquals(plain.stats.isConnected, false);

    // A certificate of another name.
    const certificates = await brought({ names: ["localhost"] });
    const caCerts = [certificates.ca];
    await using named = await Engine.start(kind, { tls: "server", certificates });
    await using mistaken = node(kind, named.url(), { caCerts });
    await mistaken.hasTold(1);
    assertMatch(mistaken.states[0] as string, /name|certificate/i);
    const url = named.url().replace("127.0.0.1", "localhost");
    await using _right = await connected(kind, url, { caCerts });
  });

  test("shows its certificate to an engine that asks for one", async () => {
    const certificates = await brought();
    const { ca, cert, key } = certificates;
    await using engine = await Engine.start(kind, { tls: "both", certificates });
    await using _known = await connected(kind, engine.url(), { caCerts: [ca], cert, key });
    await using unknown = node(kind, engine.url(), { caCerts: [ca] });
    await unknown.hasTold(1);
    assertEquals(unknown.stats.isConnected, false);
  });

  test("goes on within the process while the engine is away, and comes back with all subscriptions", async () => {
    await using engine = await Engine.prepare(kind);
    // They begin while it is away.
    await using one = node(kind, engine.url());
    await using other = node(kind, engine.url());
    await one.hasTold(1);
    await other.hasTold(1);
    assertMatch(
      one.states[0] as string,
      /^Cannot reach the engine at 127\.0\.0\.1:\d+: .*refused/i,
    );
    const near = one.inbox("x");
    const far = other.inbox("x");
    const [left, joined] = [other.inbox("left"), new Inbox()];
    // More than are subscribed at once.
    const many = Array.from({ length: 2500 }, (_, at) => other.inbox(`many.${at}`));
    assertEquals(one.publish("x", "away"), 1);
    assertEquals(one.stats.lost, 1);
    await engine.start();
    await one.hasTold(2);
    await other.hasTold(2);
    await far.hears(one, "x");
    one.publish("x", "1");
    await far.has(1);

    await engine.crash();
    await one.hasTold(3);
    await other.hasTold(3);
    const { lost } = one.stats;
    assertEquals(one.publish("x", "2"), 1);
    assertEquals(one.stats.lost, lost + 1);
    other.unsubscribe(left, "left");
    other.subscribe(joined, "joined");
    await engine.start();
    await one.hasTold(4);
    await other.hasTold(4);
    for (const [at, inbox] of many.entries()) {
      one.publish(`many.${at}`, "for many");
      if (at % 500 === 0) await inbox.hears(one, `many.${at}`);
    }
    one.publish("left", "for nobody");
    one.publish("joined", "now");
    one.publish("x", "3");
    await far.has(2);
    await joined.has(1);
    assertEquals(far.messages, ["1", "3"]);
    assertEquals(near.messages, ["away", "1", "2", "3"]);
    assertEquals(left.messages, []);
    assertEquals(many.map(({ messages }) => messages.length), Array(2500).fill(1));
    assertEquals(one.told.map(({ isConnected }) => isConnected), [false, true, false, true]);
  });

  test("notices an engine that has stopped, and one that goes on delivers nothing twice", async () => {
    await using engine = await Engine.start(kind);
    const watchful = { pingInterval: 500, connectTimeout: 1000 };
    await using one = await connected(kind, engine.url(), watchful);
    await using other = await connected(kind, engine.url(), watchful);
    const far = other.inbox("x");
    await far.hears(one, "x");
    engine.kill("SIGSTOP");
    for (let at = 0; one.stats.isConnected; at++) {
      one.publish("x", `${at}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await other.hasTold(2);
    assertMatch(one.states[1] as string, /no answer for 1000 ms/);
    const lost = one.stats.lost;
    one.publish("x", "lost");
    assertEquals(one.stats.lost, lost + 1);
    engine.kill("SIGCONT");
    await one.hasTold(3);
    await other.hasTold(3);
    await far.hears(one, "x");
    one.publish("x", "after");
    await far.hears(one, "x");
    assertEquals(far.messages.filter((message) => message === "after"), ["after"]);
    assertEquals(new Set(far.messages).size, far.messages.length);
    assertEquals(one.states.length, 3);
  });

  test("holds what an engine does not read to maxUnsent, and says what is lost", async () => {
    await using engine = await Engine.start(kind);
    const patient = { pingInterval: 60_000, maxUnsent: 4 * 1024 * 1024 };
    await using one = await connected(kind, engine.url(), patient);
    await using other = await connected(kind, engine.url(), patient);
    const far = other.inbox("x");
    await far.hears(one, "x");
    engine.kill("SIGSTOP");
    const before = memory();
    const data = new Uint8Array(1024);
    for (let at = 0; at < 100_000; at++) {
      one.publish("x", data);
      if (at % 1000 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    const grown = memory() - before;
    const { lost } = one.stats;
    assert(lost > 90_000, `${lost} lost`);
    assert(grown < 12 * 1024 * 1024, `${grown} bytes more`);
    engine.kill("SIGCONT");
    await far.hears(one, "x");
    assertEquals(far.messages.length, 100_000 - lost);
    // Of what is published in turns, nothing is lost; an eighth of maxUnsent is free when the engine has just come back.
    const { lost: lostBefore } = one.stats;
    for (let at = 0; at < 100_000; at++) {
      one.publish("x", `${at}`);
      if (at % 500 === 499) await far.hears(one, "x");
    }
    assertEquals(one.stats.lost, lostBefore);
    assertEquals(far.messages.slice(-100_000), Array.from(Array(100_000).keys(), String));
  });

  test("tells what the engine does not permit, and goes on with all else", async () => {
    const user = { name: "app", password: "p" };
    await using engine = await Engine.start(kind, { user, permitted: "ours" });
    await using one = await connected(kind, engine.url("app:p@"));
    await using other = await connected(kind, engine.url("app:p@"));
    const ours = other.inbox("ours.x");
    other.inbox("theirs.x");
    other.inbox("theirs.*", true);
    await other.hasTold(3);
    await ours.hears(one, "ours.x");
    one.publish("theirs.x", "no");
    await one.hasTold(2);
    for (
      const { isConnected, error } of [...other.told, ...one.told].filter(({ error }) => error)
    ) {
      assertEquals(isConnected, true);
      assertMatch((error as Error).message, /permission/i);
    }
    assertEquals([one.told.length, other.told.length], [2, 3]);
    one.publish("ours.x", "yes");
    await ours.has(1);
  });

  test("goes to the next of its servers when one is away", async () => {
    await using engine = await Engine.start(kind);
    const servers = [engine.url(), `${kind.schemes[0]}://127.0.0.1:${freePort()}`];
    await using one = node(kind, servers);
    await using other = node(kind, servers.toReversed());
    const far = other.inbox("x");
    await far.hears(one, "x");
    // A message may come before the engine has confirmed the subscriptions.
    for (const each of [one, other]) {
      while (!each.stats.isConnected) await each.hasTold(each.told.length + 1);
    }
  });

  test("leaves nothing behind when it is closed, in any state", async () => {
    await using engine = await Engine.start(kind);
    const backplane = () => kind.backplane({ servers: engine.url(), connectTimeout: 60_000 });
    // Never started, twice, at once, and connected.
    await backplane().close();
    const twice = new Node(backplane());
    await Promise.all([twice.close(), twice.close()]);
    await twice.close();
    const open = await connected(kind, engine.url());
    open.inbox("x");
    await open.close();
    assertEquals(open.told.length, 1);
    // While it waits for the next attempt.
    const waiting = node(kind, `${kind.schemes[0]}://127.0.0.1:${freePort()}`);
    await waiting.hasTold(1);
    await waiting.close();
    // An engine that says nothing, from the start and later on.
    const late = await connected(kind, engine.url(), { pingInterval: 60_000 });
    engine.kill("SIGSTOP");
    const silent = new Node(backplane());
    await new Promise((resolve) => setTimeout(resolve, 50));
    await Promise.all([late.close(), silent.close()]);
    assertEquals([late.told.length, silent.told.length], [1, 0]);
  });

  test("takes subscriptions at every moment of a loss", async () => {
    await using engine = await Engine.start(kind);
    await using one = await connected(kind, engine.url());
    let isAway = false;
    const { promise, resolve } = Promise.withResolvers<void>();
    const subscribe = (count: number) => {
      const inbox = one.inbox(`x.${count}`);
      if (count % 2 === 0) one.unsubscribe(inbox, `x.${count}`);
      if (isAway) resolve();
      // In turns of the event loop, and several times in each.
      else if (count % 20 === 0) setTimeout(subscribe, 0, count + 1);
      else queueMicrotask(() => subscribe(count + 1));
    };
    subscribe(1);
    await engine.crash();
    await one.hasTold(2);
    isAway = true;
    await promise;
    const { topics } = one.stats;
    await engine.start();
    await one.hasTold(3);
    await using other = await connected(kind, engine.url());
    await one.inbox("x.1").hears(other, "x.1");
    assertEquals(one.stats.topics, topics);
  });

  test("sends what was published before it is closed", async () => {
    await using engine = await Engine.start(kind);
    await using other = await connected(kind, engine.url());
    const far = other.inbox("x");
    const one = await connected(kind, engine.url());
    await far.hears(one, "x");
    one.publish("x", "the last");
    await one.close();
    await far.has(1);
    assertEquals(far.messages, ["the last"]);
  });
}

/** The memory of this process that is in use, in bytes. */
function memory(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}
