/**
 * Faults and attacks: whatever one client does or suffers, it ends as it should, and a client that
 * behaves is served meanwhile.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
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

Deno.test("WebSocket finds a silent peer, and keeps a live one, while the clock jumps", async () => {
  const now = Date.now;
  let jump = 0;
  Date.now = () => now() + jump;
  const timer = setInterval(() => jump = jump === 0 ? 86_400_000 : jump > 0 ? -86_400_000 : 0, 30);
  try {
    await using server = endings({ idleTimeout: 0.2 });
    using silent = await RawClient.open(server.addr.port);
    const alive = await opened(server.url);
    const start = performance.now();
    assertEquals(await server.codes[0], 1006);
    const took = performance.now() - start;
    assert(took > 100 && took < 2000, `${took} ms`);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assertEquals(alive.readyState, WebSocket.OPEN);
    assert((await alive.ping()) < 1000);
    await closed(alive);
    assert(silent.connection !== undefined);
  } finally {
    clearInterval(timer);
    Date.now = now;
  }
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

Deno.test({
  name: "writeCertificates() keeps the pair there is when the disk is full",
  ignore: !RUNNABLE || Deno.build.os !== "linux" || !isRoot(),
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "wss-test-" });
    const command = (name: string, ...args: string[]) =>
      new Deno.Command(name, { args, stderr: "null" }).outputSync().success;
    // Where not even root may mount, there is no disk to be filled.
    const mounted = command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder);
    try {
      if (!mounted) return;
      const made = await developmentCertificates();
      await writeCertificates(`${folder}/certs`, made);
      try {
        for (let i = 0;; i++) await Deno.writeFile(`${folder}/${i}`, new Uint8Array(4096));
      } catch {
        // It is full.
      }
      await assertRejects(() => writeCertificates(`${folder}/certs`, { ...made, ca: "other" }));
      assertEquals(await Deno.readTextFile(`${folder}/certs/server.crt`), made.cert);
      assertEquals(await Deno.readTextFile(`${folder}/certs/server.key`), made.key);
      assertEquals(await Deno.readTextFile(`${folder}/certs/ca.crt`), made.ca);
    } finally {
      if (mounted) command("umount", folder);
      await Deno.remove(folder, { recursive: true });
    }
  },
});
