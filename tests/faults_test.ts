/**
 * Faults and attacks: whatever one client does or suffers, it ends as it should, and a client that
 * behaves is served meanwhile.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { developmentCertificates, RUNNABLE } from "./programs.ts";
import { writeCertificates } from "../certs/generate.ts";
import { WebSocket } from "../mod.ts";
import { descriptorsOf, mib, sendBomb, sendWithoutReading, served, Victim } from "./attacks.ts";
import { frame, PING, readFrames, TEXT } from "./websocket/driver.ts";
import {
  acceptSockets,
  closed,
  echo,
  handshake,
  next,
  opened,
  RawClient,
} from "./websocket/peers.ts";

const MIB = 1024 * 1024;

/** Half of a message's frame. */
const half = frame("server", TEXT, "a message cut in two").slice(0, 15);

/** A server that tells how each socket ended. */
function endings(options: Parameters<typeof acceptSockets>[1] = {}) {
  const codes: Promise<number>[] = [];
  const server = acceptSockets((socket) => {
    socket.onmessage = ({ data }) => socket.send(data);
    codes.push(next<CloseEvent>(socket, "close").then(({ code }) => code));
  }, options);
  return Object.assign(server, { codes });
}

Deno.test("serve() takes a reset in the middle of a message for a lost connection", async () => {
  await using server = endings();
  await served(server.url, async () => {
    const client = await RawClient.open(server.addr.port);
    await client.write(frame("server", TEXT, "x".repeat(100)));
    await client.write(half);
    // Closed with input that was not read, TCP resets.
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.connection.close();
    assertEquals(await server.codes[1], 1006);
  });
});

Deno.test("serve() takes a half-closed connection for a lost one", async () => {
  await using server = endings();
  await served(server.url, async () => {
    using client = await RawClient.open(server.addr.port);
    await client.write(half);
    await client.connection.closeWrite();
    assertEquals(await server.codes[1], 1006);
    assertEquals(await client.rest(), "");
  });
});

Deno.test("serve() cuts many slow heads off, each with 408, at their time", async () => {
  await using server = echo({}, { headerTimeout: 300 });
  await served(server.url, async () => {
    const start = performance.now();
    const statuses = await Promise.all(Array.from({ length: 50 }, async () => {
      using client = await RawClient.connect(server.addr.port);
      const bytes = new TextEncoder().encode(handshake());
      const answer = client.rest();
      let done = false;
      answer.then(() => done = true);
      for (let at = 0; at < 40 && !done; at++) {
        await client.write(bytes.subarray(at, at + 1)).catch(() => done = true);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return (await answer).slice(9, 12);
    }));
    assertEquals(new Set(statuses), new Set(["408"]));
    assert(performance.now() - start < 3000);
  });
});

Deno.test("serve() answers 503 to a crowd over its limit, and serves who was there", async () => {
  await using server = echo({}, { maxConnections: 3 });
  await served(server.url, async () => {
    using _second = await RawClient.open(server.addr.port);
    using _third = await RawClient.open(server.addr.port);
    const answers = await Promise.all(Array.from({ length: 60 }, async () => {
      using client = await RawClient.connect(server.addr.port);
      await client.write(handshake()).catch(() => {});
      return (await client.rest().catch(() => "")).slice(9, 12);
    }));
    // Most are told, the rest cut off without a word: nobody is let in.
    assertEquals(answers.filter((status) => status === "101"), []);
    assert(answers.includes("503"), answers.join());
  });
});

Deno.test("serve() answers a flood of pings at its rate, and others at once", async () => {
  await using server = echo({ maxPingsPerSecond: 10 });
  await served(server.url, async () => {
    using client = await RawClient.open(server.addr.port);
    const pings = Array.from({ length: 20_000 }, () => frame("server", PING, "ping"));
    const flood = new Uint8Array(pings.flatMap((bytes) => [...bytes]));
    await client.write(flood);
    const pongs = readFrames(await client.bytes(6 * 10));
    assertEquals(pongs.length, 10);
    // Of all the others, the latest is answered once the second is over.
    const start = performance.now();
    assertEquals(readFrames(await client.bytes(6)).length, 1);
    assert(performance.now() - start > 100);
    await client.write(frame("server", TEXT, "x"));
    assertEquals(readFrames(await client.bytes(3)).length, 1);
  });
});

/** Sets the wall clock ahead and back by turns each time that it is asked, by a day more each time. */
class JumpingClock implements Disposable {
  readonly #date = Date;
  asked = 0;

  constructor() {
    // deno-lint-ignore no-this-alias
    const clock = this;
    const { now } = Date;
    const jumped = () => now() + (++clock.asked % 2 === 0 ? 1 : -1) * clock.asked * 86_400_000;
    globalThis.Date = class extends Date {
      constructor(...given: []) {
        super(...(given.length > 0 ? given : [jumped()]) as []);
      }
      static override now = jumped;
    } as DateConstructor;
  }

  [Symbol.dispose](): void {
    globalThis.Date = this.#date;
  }
}

Deno.test("WebSocket finds a silent peer, and keeps a live one, while the clock jumps", async () => {
  await using server = endings({ idleTimeout: 0.3 });
  using clock = new JumpingClock();
  // Who waits by this clock waits for days, or not at all.
  assert(-Date.now() + Date.now() > 200_000_000);
  assert(-Date.now() + new Date().getTime() > 200_000_000);
  const { asked } = clock;
  using _silent = await RawClient.open(server.addr.port);
  const alive = await opened(server.url);
  const start = performance.now();
  assertEquals(await server.codes[0], 1006);
  const took = performance.now() - start;
  assert(took > 150 && took < 3000, `${took} ms`);
  for (let i = 0; i < 20; i++) {
    const time = await alive.ping();
    assert(time >= 0 && time < 3000, `${time} ms`);
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  assertEquals(alive.readyState, WebSocket.OPEN);
  await closed(alive);
  assertEquals(clock.asked, asked);
});

Deno.test({
  name: "serve() and WebSocket leave no file descriptor behind in 300 connections",
  ignore: Deno.build.os !== "linux" || !RUNNABLE,
  async fn() {
    await using server = echo();
    const cycle = async (i: number) => {
      const socket = await opened(server.url);
      socket.send("x".repeat(100));
      await next(socket, "message");
      if (i % 3 > 0) return void await closed(socket);
      const end = next(socket, "close");
      socket.terminate();
      await end;
    };
    const descriptors = () => descriptorsOf(Deno.pid);
    await cycle(1);
    const before = descriptors();
    for (let i = 0; i < 300; i++) await cycle(i);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert(descriptors() <= before + 2, `${before} became ${descriptors()}`);
  },
});

function isRoot(): boolean {
  return new TextDecoder().decode(new Deno.Command("id", { args: ["-u"] }).outputSync().stdout)
    .trim() === "0";
}

/** A test with a server in a process of its own. */
function withProcess(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !RUNNABLE || Deno.build.os !== "linux", fn });
}

withProcess("WebSocket tells that its server was killed in the middle of a message", async () => {
  await using victim = await Victim.start();
  const socket = await opened(victim.url);
  socket.send(new Uint8Array(8 * MIB));
  const end = next<CloseEvent>(socket, "close");
  victim.program.kill("SIGKILL");
  const { code, wasClean } = await end;
  assertEquals([code, wasClean], [1006, false]);
});

withProcess("serve() tells that its client was killed in the middle of a message", async () => {
  await using server = endings();
  await served(server.url, async () => {
    const code = `const s = new WebSocket("${server.url}");
      s.onopen = () => { s.send(new Uint8Array(64 << 20)); console.log("sending"); };`;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", code],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    assertEquals(await server.codes[1], 1006);
  });
});

withProcess("serve() takes little memory for clients that send and never read", async () => {
  await using victim = await Victim.start();
  const before = await victim.warmUp();
  await served(victim.url, () => sendWithoutReading(victim.port, 20, 1000));
  const growth = victim.memory("VmHWM") - before;
  console.log(`the server grew by ${mib(growth)}`);
  assert(growth < 64 * MIB, `${growth} bytes`);
});

withProcess(
  "serve() takes no more memory than its limit for what decompresses to more",
  async () => {
    await using victim = await Victim.start();
    const before = await victim.warmUp();
    await served(victim.url, async () => assertEquals(await sendBomb(victim.port, 64 * MIB), 1009));
    const growth = victim.memory("VmHWM") - before;
    console.log(`the server grew by ${mib(growth)}`);
    // The limit of 16 MiB, the buffer that it grew out of, and what is not collected yet.
    assert(growth < 56 * MIB, `${growth} bytes`);
  },
);

/** Runs a command; returns whether there is one, and it succeeded. */
function succeeded(name: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(name, { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** A file system of 64 KiB in a folder. */
function mountSmall(folder: string): boolean {
  return succeeded("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder);
}

/** Whether one can be had: not even every root may mount. */
function canMount(): boolean {
  if (!RUNNABLE || Deno.build.os !== "linux" || !isRoot()) return false;
  const folder = Deno.makeTempDirSync({ prefix: "wss-test-" });
  try {
    return mountSmall(folder) && succeeded("umount", folder);
  } finally {
    Deno.removeSync(folder);
  }
}

Deno.test({
  name: "writeCertificates() keeps the pair there is when the disk is full",
  ignore: !canMount(),
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "wss-test-" });
    assert(mountSmall(folder));
    try {
      const made = await developmentCertificates();
      await writeCertificates(`${folder}/certs`, made);
      let full: unknown;
      for (let i = 0; full === undefined; i++) {
        await Deno.writeFile(`${folder}/${i}`, new Uint8Array(4096)).catch((error) => full = error);
      }
      assertStringIncludes(String(full), "No space left");
      await assertRejects(() => writeCertificates(`${folder}/certs`, { ...made, ca: "other" }));
      assertEquals(await Deno.readTextFile(`${folder}/certs/server.crt`), made.cert);
      assertEquals(await Deno.readTextFile(`${folder}/certs/server.key`), made.key);
      assertEquals(await Deno.readTextFile(`${folder}/certs/ca.crt`), made.ca);
    } finally {
      assert(succeeded("umount", folder));
      await Deno.remove(folder);
    }
  },
});
