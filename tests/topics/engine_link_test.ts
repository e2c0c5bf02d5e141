import { assertEquals, assertMatch } from "@std/assert";
import {
  type EngineConnection,
  EngineLink,
  type EngineListener,
} from "../../topics/engine_link.ts";
import { type EngineOptions, engineSettings } from "../../topics/engine_options.ts";

/** A connection that answers when it is told to. */
class FakeConnection implements EngineConnection {
  readonly overhead = 10;
  readonly log: string[] = [];
  readonly #ended = Promise.withResolvers<unknown>();
  readonly ended = this.#ended.promise;
  readonly pings: (() => void)[] = [];
  /** Whether pings are answered at once. */
  answers: boolean;
  /** Whether it throws, as one does that takes no message, or that has ended. */
  refuses = false;

  constructor(answers: boolean) {
    this.answers = answers;
  }

  subscribe(topic: string): void {
    if (this.refuses) throw new Error("ended");
    this.log.push(`+${topic}`);
  }

  unsubscribe(topic: string): void {
    this.log.push(`-${topic}`);
  }

  publish(topic: string): void {
    if (this.refuses) throw new Error("too long");
    this.log.push(topic);
  }

  ping(): Promise<void> {
    if (this.answers) return Promise.resolve();
    return new Promise((resolve) => this.pings.push(resolve));
  }

  /** Answers what is asked, and from now on all. */
  answer(): void {
    this.answers = true;
    for (const resolve of this.pings.splice(0)) resolve();
  }

  end(reason?: unknown): void {
    this.#ended.resolve(reason);
  }
}

/** A link, and the connections that it makes. */
class Linked implements AsyncDisposable {
  readonly link: EngineLink;
  readonly connections: FakeConnection[] = [];
  readonly servers: string[] = [];
  readonly told: unknown[] = [];
  /** What opening rejects with, one for each attempt; without one it succeeds. */
  readonly failures: unknown[];
  engine: EngineListener | undefined;
  #changed = Promise.withResolvers<void>();

  constructor(options: EngineOptions = {}, answers = true, failures: unknown[] = []) {
    this.failures = failures;
    const settings = engineSettings(options, { schemes: ["nats", "tls"], port: 4222 });
    // deno-lint-ignore require-await
    this.link = new EngineLink(settings, async ({ hostname }, _, listener) => {
      this.servers.push(hostname);
      this.engine = listener;
      if (this.failures.length > 0) throw this.failures.shift();
      const connection = new FakeConnection(answers);
      this.connections.push(connection);
      this.#change();
      return connection;
    });
    const tell = (value: unknown) => {
      this.told.push(value instanceof Error ? value.message : value);
      this.#change();
    };
    this.link.start({
      onMessage: (topic) => tell(topic),
      onState: (isConnected, error) => tell(error ?? isConnected),
      onRefusal: tell,
    });
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  async hasTold(count: number): Promise<void> {
    while (this.told.length < count) await this.#changed.promise;
  }

  async has(connections: number): Promise<FakeConnection> {
    while (this.connections.length < connections) await this.#changed.promise;
    return this.connections[connections - 1]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.connections) connection.answer();
    await this.link.close();
  }
}

const EMPTY = new Uint8Array(0);

Deno.test("EngineLink takes messages once the engine has confirmed all subscriptions", async () => {
  await using linked = new Linked({}, false);
  const { link } = linked;
  link.subscribe("a");
  assertEquals(link.publish("a", EMPTY), false);
  const connection = await linked.has(1);
  while (connection.pings.length === 0) await Promise.resolve();
  assertEquals(link.publish("a", EMPTY), false);
  assertEquals(linked.told, []);
  link.subscribe("b");
  link.unsubscribe("a");
  connection.answer();
  await linked.hasTold(1);
  assertEquals(linked.told, [true]);
  assertEquals(link.publish("b", EMPTY), true);
  assertEquals(connection.log, ["+a", "+b", "-a", "b"]);
});

Deno.test("EngineLink subscribes in batches, each after the engine has confirmed the one before", async () => {
  await using linked = new Linked({}, false);
  const { link } = linked;
  const topics = Array.from({ length: 2001 }, (_, at) => `t${at}`);
  for (const topic of topics) link.subscribe(topic);
  const connection = await linked.has(1);
  while (connection.pings.length === 0) await Promise.resolve();
  assertEquals(connection.log.length, 1000);
  // Of the first batch, of the next, and one more.
  link.unsubscribe("t0");
  link.unsubscribe("t1500");
  link.subscribe("late");
  connection.answer();
  await linked.hasTold(1);
  const wanted = new Set<string>();
  for (const entry of connection.log) {
    if (entry.startsWith("+")) wanted.add(entry.slice(1));
    else wanted.delete(entry.slice(1));
  }
  assertEquals([...wanted], [...topics.filter((t) => t !== "t0" && t !== "t1500"), "late"]);
});

Deno.test("EngineLink comes back with its subscriptions, and tells each change once", async () => {
  await using linked = new Linked({ servers: "nats://u:s3cr3t@h:7" });
  const { link } = linked;
  link.subscribe("a");
  link.subscribe("b");
  const first = await linked.has(1);
  await linked.hasTold(1);
  linked.failures.push(new Error("once\r\nmore"), new Error("and again"));
  first.end(new Error(`gone\n${"!".repeat(300)}`));
  link.unsubscribe("b");
  await linked.hasTold(2);
  assertEquals(link.publish("a", EMPTY), false);
  const second = await linked.has(2);
  await linked.hasTold(3);
  assertEquals(second.log, ["+a"]);
  assertEquals(link.publish("a", EMPTY), true);
  const reason = `gone ${"!".repeat(195)}`;
  assertEquals(linked.told, [true, `Cannot reach the engine at h:7: ${reason}`, true]);
  linked.engine!.onRefusal(new Error("not\npermitted"));
  assertEquals(linked.told[3], "The engine at h:7 refuses: not permitted");
});

Deno.test("EngineLink takes a subscription when the connection has just ended", async () => {
  await using linked = new Linked();
  const { link } = linked;
  const first = await linked.has(1);
  first.refuses = true;
  link.subscribe("a");
  await linked.hasTold(1);
  link.subscribe("b");
  first.end();
  await linked.hasTold(3);
  assertEquals(linked.connections[1]!.log, ["+a", "+b"]);
});

Deno.test("EngineLink goes through its servers", async () => {
  await using linked = new Linked({ servers: ["nats://a", "nats://b", "nats://c"] }, true, [
    1,
    undefined,
  ]);
  await linked.has(1);
  assertEquals(linked.servers.toSorted(), ["a", "b", "c"]);
  await linked.hasTold(2);
  assertMatch(linked.told[0] as string, /: the connection has ended$/);
});

Deno.test("EngineLink takes as much as the engine confirms, and maxUnsent at most", async () => {
  await using linked = new Linked({ maxUnsent: 100 });
  const { link } = linked;
  const connection = await linked.has(1);
  await linked.hasTold(1);
  connection.answers = false;
  const bytes = new Uint8Array(14);
  const taken = () => Array.from({ length: 6 }, () => link.publish("a", bytes));
  // 14 of the message, 1 of the topic, 10 for each.
  assertEquals(taken(), [true, true, true, true, false, false]);
  assertEquals(connection.pings.length, 1);
  connection.pings.shift()!();
  // Asked after the first: one is confirmed, and the rest asked for.
  while (connection.pings.length === 0) await Promise.resolve();
  assertEquals(taken(), [true, false, false, false, false, false]);
  connection.answer();
  await Promise.resolve();
  await Promise.resolve();
  assertEquals(link.publish("a", bytes), true);
  connection.refuses = true;
  assertEquals(link.publish("a", EMPTY), false);
});

Deno.test("EngineLink gives up an engine that does not answer", async () => {
  await using linked = new Linked({ pingInterval: 10 });
  const connection = await linked.has(1);
  await linked.hasTold(1);
  connection.answers = false;
  await linked.hasTold(3);
  assertMatch(linked.told[1] as string, /: no answer for 20 ms$/);
  assertEquals(linked.told[2], true);
});

Deno.test("EngineLink.close() waits for the engine to confirm, for a second at most", async () => {
  await using linked = new Linked({});
  const connection = await linked.has(1);
  await linked.hasTold(1);
  connection.answers = false;
  let isClosed = false;
  const closing = linked.link.close().then(() => isClosed = true);
  assertEquals(linked.link.publish("a", EMPTY), false);
  linked.link.subscribe("a");
  while (connection.pings.length === 0) await Promise.resolve();
  assertEquals(isClosed, false);
  connection.answer();
  await closing;
  assertEquals(linked.told, [true]);
  assertEquals(connection.log, []);

  await using silent = new Linked({});
  const other = await silent.has(1);
  await silent.hasTold(1);
  other.answers = false;
  await silent.link.close();
});
