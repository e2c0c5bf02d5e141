/**
 * Faults and attacks: whatever one client does or suffers, it ends as it should, and a client that
 * behaves is served meanwhile.
 */

import { setLeastRate } from "../transport/patience.ts";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { deadline } from "@std/async/deadline";
import {
  certificatesFolder,
  commandOf,
  developmentCertificates,
  Folder,
  listeningPort,
  Program,
  projectPath,
  RUNNABLE,
} from "./programs.ts";
import { writeCertificates } from "../certs/generate.ts";
import { serve, upgradeWebSocket, WebSocket } from "../mod.ts";
import { descriptorsOf, mib, sendBomb, sendWithoutReading, served, Victim } from "./attacks.ts";
import { concat, CONTINUATION, frame, PING, PONG, readFrames, TEXT } from "./protocol/driver.ts";
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

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Fails when what is to end by itself does not. */
function inTime<T>(ending: Promise<T>): Promise<T> {
  return deadline(ending, 15_000);
}

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

/** Peers are expected to read fast: what a slow one is given time for would take minutes. */
function fastPeers(): Disposable {
  const before = setLeastRate(4 * MIB);
  return { [Symbol.dispose]: () => void setLeastRate(before) };
}

Deno.test("serve() takes a reset in the middle of a message for a lost connection", async () => {
  await using server = endings();
  await served(server.url, async () => {
    const client = await RawClient.open(server.addr.port);
    await client.write(frame("server", TEXT, "x".repeat(100)));
    await client.write(half);
    // Closed with input that was not read, TCP resets.
    await wait(50);
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
        await wait(20);
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

Deno.test("serve() gives up who is silent, or takes nothing, in the idle timeout, and serves others", async () => {
  using _ = fastPeers();
  await using server = endings({ idleTimeout: 0.4 });
  await served(server.url, async () => {
    const start = performance.now();
    const clients = await Promise.all(
      Array.from({ length: 50 }, () => RawClient.open(server.addr.port)),
    );
    // Some are silent from the first, some in the middle, and some take none of their answers.
    const message = frame("server", TEXT, "x".repeat(4 * MIB));
    const writing = clients.map((client, i) => {
      const bytes = i % 10 === 1 ? message : i % 10 === 2 ? half : new Uint8Array(0);
      return client.write(bytes).catch(() => {});
    });
    const codes = await inTime(Promise.all(server.codes.slice(1)));
    assertEquals(codes, Array(50).fill(1006));
    const took = performance.now() - start;
    assert(took > 200, `${took} ms`);
    for (const client of clients) client.connection.close();
    await Promise.all(writing);
  });
});

Deno.test("serve() cuts off who is too slow for what it is sent, and serves others", async () => {
  const codes: Promise<number>[] = [];
  await using server = acceptSockets((socket, request) => {
    socket.onmessage = ({ data }) => socket.send(data);
    if (!request.url.endsWith("/feed")) return;
    codes.push(next<CloseEvent>(socket, "close").then(({ code }) => code));
    const event = new Uint8Array(256 * 1024);
    socket.onopen = () => {
      const feeding = setInterval(() => {
        if (socket.readyState === WebSocket.OPEN) socket.send(event);
        else clearInterval(feeding);
      }, 2);
    };
  }, { maxBufferedAmount: 2 * MIB, compression: false, idleTimeout: 0 });
  await served(server.url, async () => {
    const clients = await Promise.all(Array.from({ length: 10 }, async () => {
      const client = await RawClient.connect(server.addr.port);
      await client.write(handshake().replace("GET / ", "GET /feed "));
      await client.head();
      return client;
    }));
    assertEquals(await inTime(Promise.all(codes)), Array(10).fill(1006));
    for (const client of clients) client.connection.close();
  });
});

Deno.test("serve() gives up who does not take its answer, and serves others", async () => {
  using _ = fastPeers();
  const failures: Promise<unknown>[] = [];
  await using server = serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen() {},
    responseTimeout: 300,
  }, (request, { completed }) => {
    if (request.headers.has("upgrade")) {
      const { socket, response } = upgradeWebSocket(request);
      socket.onmessage = ({ data }) => socket.send(data);
      return response;
    }
    failures.push(completed.then(() => "completed", (error) => error));
    const part = new Uint8Array(64 * 1024);
    return new Response(new ReadableStream({ pull: (controller) => controller.enqueue(part) }));
  });
  const { port } = server.addr;
  await served(`ws://127.0.0.1:${port}/`, async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(port)));
    for (const client of clients) await client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while (failures.length < 20) await wait(10);
    for (const failure of await inTime(Promise.all(failures))) assertInstanceOf(failure, Error);
    for (const client of clients) client.connection.close();
  });
});

Deno.test("serve() gives up TLS handshakes that do not come, and serves others", async () => {
  const { ca, cert, key } = await developmentCertificates();
  const limits = { handshakeTimeout: 500, maxConnections: 51 };
  await using server = echo({}, { cert, key, ...limits });
  await served(server.url, async () => {
    const clients = await Promise.all(
      Array.from({ length: 50 }, () => RawClient.connect(server.addr.port)),
    );
    // Some begin: a record of a handshake, of which nothing comes.
    for (const client of clients.slice(25)) await client.write(new Uint8Array([22, 3, 1, 2, 0]));
    const outcome = async () => {
      const socket = new WebSocket(server.url, { caCerts: [ca] });
      const { type } = await Promise.race([
        next<Event>(socket, "open"),
        next<Event>(socket, "error"),
      ]);
      if (type === "open") await closed(socket);
      return type;
    };
    assertEquals(await outcome(), "error");
    const start = performance.now();
    while (await outcome() !== "open") {
      assert(performance.now() - start < 15_000);
      await wait(20);
    }
    for (const client of clients) client.connection.close();
  }, [ca]);
});

Deno.test("HttpServer.shutdown cuts off who does not end, and lets others finish", async () => {
  const codes: Promise<number>[] = [];
  const server = acceptSockets(
    (socket) => {
      codes.push(next<CloseEvent>(socket, "close").then(({ code }) => code));
      socket.onmessage = async ({ data }) => {
        await wait(200);
        socket.send(data);
      };
    },
    {},
    { gracePeriod: 1000 },
  );
  const deaf = await Promise.all(
    Array.from({ length: 20 }, () => RawClient.open(server.addr.port)),
  );
  const clients = await Promise.all(Array.from({ length: 5 }, () => opened(server.url)));
  const start = performance.now();
  const endings = clients.map(async (client, i) => {
    const end = next<CloseEvent>(client, "close");
    const answer = next(client, "message");
    client.send(`question ${i}`);
    await wait(50);
    assertEquals((await answer).data, `question ${i}`);
    const { code, wasClean } = await end;
    return [code, wasClean];
  });
  await wait(100);
  await server.shutdown();
  assert(performance.now() - start >= 1000, "nobody was waited for");
  assertEquals(await Promise.all(endings), Array(5).fill([1001, true]));
  const seen = await Promise.all(codes);
  assertEquals(seen, [...Array(20).fill(1006), ...Array(5).fill(1001)]);
  // By themselves they would have been waited for for ten seconds.
  assert(performance.now() - start < 7000);
  for (const client of deaf) {
    // A Close frame of 1001, and the end.
    assertEquals([...await client.bytes(100)], [0x88, 2, 0x03, 0xe9]);
    client.connection.close();
  }
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
    await wait(40);
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
    await wait(100);
    // Tests of other files open some in the same process: what each third connection left would be 100.
    assert(descriptors() <= before + 50, `${before} became ${descriptors()}`);
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
  // 53 to 66 MiB were seen, most of it garbage of the first burst.
  assert(growth < 80 * MIB, `${growth} bytes`);
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

withProcess("serve() holds nothing of pongs that nobody asked for", async () => {
  await using victim = await Victim.start();
  await victim.warmUp();
  await sendPongs(victim, 20_000);
  const before = await victim.collected();
  await served(victim.url, () => sendPongs(victim, 400_000));
  const growth = await victim.collected() - before;
  console.log(`the server holds ${mib(growth)} more`);
  // Their payloads alone were 48 MiB.
  assert(growth < 16 * MIB, `${growth} bytes`);
});

/** Sends pongs of 125 bytes, and waits until the server has read them. */
async function sendPongs(victim: Victim, count: number): Promise<void> {
  using client = await RawClient.open(victim.port);
  const thousand = concat(...Array(1000).fill(frame("server", PONG, new Uint8Array(125))));
  for (let i = 0; i < count; i += 1000) await client.write(thousand);
  await client.write(frame("server", TEXT, "x"));
  assertEquals(readFrames(await client.bytes(3)).length, 1);
}

withProcess("serve() ends a message whose fragments do not end with 1009", async () => {
  await using victim = await Victim.start();
  const before = await victim.warmUp();
  await served(victim.url, async () => {
    const client = await RawClient.open(victim.port);
    await client.write(frame("server", TEXT, "x", { fin: false }));
    const fragment = frame("server", CONTINUATION, "x".repeat(1000), { fin: false });
    const mebibyte = concat(...Array(1048).fill(fragment));
    let sent = 0;
    const writing = (async () => {
      for (; sent < 64; sent++) await client.write(mebibyte);
    })().catch(() => {});
    const [first, _length, high, low] = await client.bytes(4);
    assertEquals([first, high! << 8 | low!], [0x88, 1009]);
    client.connection.close();
    await writing;
    assert(sent < 64);
  });
  const growth = victim.memory("VmHWM") - before;
  console.log(`the server grew by ${mib(growth)}`);
  assert(growth < 80 * MIB, `${growth} bytes`);
});

withProcess(
  "server.ts serves its clients without a file descriptor free, and others once one is",
  async () => {
    await using folder = await certificatesFolder();
    const limited = ["-c", 'ulimit -n 64; exec "$0" "$@"', Deno.execPath(), ...commandOf("serve")];
    await using program = new Program("sh", [...limited, "--host=127.0.0.1", "--port=0"], {
      cwd: folder.path,
    });
    const port = await listeningPort(program);
    const { ca } = await developmentCertificates();
    const url = `wss://127.0.0.1:${port}/ws`;
    const options = { caCerts: [ca] };
    const client = await opened(url, options);
    const ask = async (client: WebSocket) => {
      const answer = next(client, "message");
      client.send("question");
      assertEquals((await inTime(answer)).data, "Retorno do servidor!");
    };
    await ask(client);

    const crowd = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(port)));
    for (const start = performance.now(); descriptorsOf(program.pid) < 64;) {
      assert(performance.now() - start < 15_000, `${descriptorsOf(program.pid)} are open`);
      await wait(20);
    }
    let open = false;
    const late = opened(url, options).finally(() => open = true);
    for (let i = 0; i < 20; i++) {
      await ask(client);
      await wait(20);
    }
    assertEquals(open, false);

    for (const { connection } of crowd) connection.close();
    const other = await inTime(late);
    await ask(other);
    await ask(client);
    await closed(other);
    await closed(client);
    program.kill("SIGTERM");
    assertEquals((await program.end()).code, 0);
  },
);

withProcess("WebSocket cannot reach by a name the address that --deny-net denies", async () => {
  await using server = echo();
  await using folder = new Folder();
  await Deno.writeTextFile(
    `${folder.path}/client.ts`,
    `import { WebSocket as ours } from "${import.meta.resolve("../mod.ts")}";
    for (const type of [ours, WebSocket]) {
      const socket = new type("ws://localhost:${server.addr.port}/");
      const event = await new Promise((resolve) => socket.onopen = socket.onerror = resolve);
      console.log(event.type, event.message);
      socket.close();
    }`,
  );
  const lines = async (...flags: string[]) => {
    const args = ["run", "--no-prompt", "--allow-net", ...flags, "client.ts"];
    await using program = new Program(Deno.execPath(), args, { cwd: folder.path });
    return (await program.end()).stdout;
  };
  assertEquals(await lines(), ["open undefined", "open undefined"]);
  const denied = await lines("--deny-net=127.0.0.1,[::1]");
  assertEquals(denied.length, 2);
  for (const line of denied) assertMatch(line, /^error .*Requires net access to "127\.0\.0\.1:/);
});

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

Deno.test({
  name: "SECURITY.md names tests that there are",
  ignore: !RUNNABLE,
  async fn() {
    const [, audit] = (await Deno.readTextFile(projectPath("SECURITY.md"))).split("## Audit");
    const files = new Map<string, string>();
    for (const [, letter, file] of audit!.matchAll(/`([A-Z])`\s+(?:is\s+)?`(tests[^`]+)`/g)) {
      files.set(letter!, file!);
    }
    const rows = audit!.split("\n").filter((line) => /^\| (?!fault|-)/.test(line));
    assert(rows.length > 20);
    for (const row of rows) {
      for (const reference of row.split("|").at(-2)!.split("; ")) {
        const [, letter, path, name] = /^(?:([A-Z])|`(.+?)`): (.+)$/.exec(reference.trim())!;
        const file = path ?? files.get(letter!)!;
        const text = await Deno.readTextFile(projectPath(file));
        // In a name of several tests, `…` stands for what the template fills in.
        const templates = [...text.matchAll(/`((?:[^`$]|\$\{[^}]*\})+)`/g)]
          .map(([, template]) => template!.replaceAll(/\$\{[^}]*\}/g, "…"));
        assert(
          text.includes(`"${name}"`) || name!.includes("…") && templates.includes(name!),
          `${file} has no test of the name "${name}"`,
        );
      }
    }
  },
});
