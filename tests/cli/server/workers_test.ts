import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { generateCertificates } from "../../../certs/generate.ts";
import type { Logger } from "../../../cli/server/log.ts";
import { fill, sentencesIn } from "../../../cli/sentences.ts";
import { Failure } from "../../../cli/failure.ts";
import type { ListenerOptions } from "../../../cli/server/listener.ts";
import { Workers, type WorkersOptions } from "../../../cli/server/workers.ts";
import { WebSocket } from "../../../mod.ts";
import { developmentCertificates, granted } from "../../programs.ts";
import { next } from "../../websocket/peers.ts";

const READABLE = await granted("read");

const LISTENER: ListenerOptions = {
  host: "127.0.0.1",
  port: 0,
  path: "/ws",
  origin: [],
  token: undefined,
  mode: "echo",
  reply: "",
  "max-rooms": 10,
  history: 0,
  backplane: undefined,
  compression: {},
  page: "off",
  "max-message-size": 1000,
  "max-connections": 100,
  "max-per-address": 100,
  "max-memory": 2 ** 27,
  "trust-proxy": [],
  "proxy-protocol": false,
  "idle-timeout": 30,
  grace: 5000,
};

/** The records that are logged, which can be awaited. */
class Records {
  readonly list: Record<string, unknown>[] = [];
  #waiting: (() => void) | undefined;

  get logger(): Logger {
    const error = (_: string, properties: Record<string, unknown>) => {
      this.list.push(properties);
      this.#waiting?.();
    };
    return { error } as unknown as Logger;
  }

  async until(count: number): Promise<void> {
    while (this.list.length < count) {
      await new Promise<void>((resolve) => this.#waiting = resolve);
    }
  }
}

async function begin(records: Records, changes: Partial<WorkersOptions> = {}) {
  const { cert, key, ca } = await developmentCertificates();
  const started = await Workers.start(
    {
      count: 2,
      listener: LISTENER,
      log: { level: "error", format: "text", timestamps: false },
      language: "en",
      ...changes,
    },
    { cert, key },
    records.logger,
  );
  /** A client whose connection is open or has failed. */
  const open = async (authority = ca) => {
    const socket = new WebSocket(`wss://127.0.0.1:${started.port}/ws`, { caCerts: [authority] });
    await Promise.race([next<Event>(socket, "open"), next<Event>(socket, "error")]);
    return socket;
  };
  return { started, open };
}

type Start = (changes?: Partial<WorkersOptions>) => ReturnType<typeof begin>;

function workers(name: string, body: (start: Start, records: Records) => Promise<void>): void {
  const records = new Records();
  const start: Start = (changes) => begin(records, changes);
  Deno.test({ name, ignore: !READABLE, fn: () => body(start, records) });
}

workers(
  "Workers.start() serves on one port, and stop() closes every socket with 1001",
  async (start) => {
    const { started, open } = await start();
    const sockets = await Promise.all(Array.from({ length: 10 }, () => open()));
    for (const socket of sockets) {
      const answer = next(socket, "message");
      socket.send("hello");
      assertEquals((await answer).data, "hello");
    }
    const ends = sockets.map((socket) => next<CloseEvent>(socket, "close"));
    await started.stop({});
    for (const { code } of await Promise.all(ends)) assertEquals(code, 1001);
  },
);

workers("Workers.start() fails with the failure of a worker", async (start) => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const { message } = await assertRejects(
    () => start({ listener: { ...LISTENER, port } }),
    Failure,
  );
  const { portInUse } = sentencesIn("en").failure;
  assertEquals(message, fill(portInUse, { port, flag: "--port" }));
});

workers(
  "Workers.renew() changes the certificate of all workers, or tells why it cannot",
  async (start) => {
    const { started, open } = await start();
    await assertRejects(() => started.renew({ cert: "none", key: "none" }), Failure);
    const before = await open();
    const other = await generateCertificates();
    await started.renew(other);
    for (let i = 0; i < 8; i++) assertEquals((await open(other.ca)).readyState, WebSocket.OPEN);
    assertEquals((await open()).readyState, WebSocket.CLOSED);
    assertEquals(before.readyState, WebSocket.OPEN);
    await started.stop({});
  },
);

workers("Workers.unready() has every worker say so, and all else goes on", async (start) => {
  const { started, open } = await start();
  const { ca } = await developmentCertificates();
  const probe = async () => {
    // A connection each: the kernel chooses the worker.
    using client = Deno.createHttpClient({ caCerts: [ca] });
    const response = await fetch(`https://127.0.0.1:${started.port}/healthz`, { client });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await probe(), 200);
  await started.unready();
  for (let i = 0; i < 8; i++) assertEquals(await probe(), 503);
  const socket = await open();
  assertEquals(socket.readyState, WebSocket.OPEN);
  const end = next<CloseEvent>(socket, "close");
  await started.stop({ drain: 20, spread: 20, code: 1012 });
  assertEquals((await end).code, 1012);
});

workers("Workers replaces workers that crash", async (start, records) => {
  const module = new URL("crashing_worker.ts", import.meta.url).href;
  const { started, open } = await start({ module });
  await assertRejects(() => started.renew({ cert: "crash", key: "crash" }), Failure);
  await records.until(2);
  assertEquals(records.list.map(({ worker }) => worker).sort(), [1, 2]);
  for (const { event, reason, ms } of records.list) {
    assertEquals(event, "workerFailed");
    assertMatch(String(reason), /crashed/);
    assert(Number(ms) > 0, "one that crashes at its start is not replaced at once");
  }
  let socket = await open();
  // No worker listens until the replacements have started.
  while (socket.readyState !== WebSocket.OPEN) socket = await open();
  const answer = next(socket, "message");
  socket.send("again");
  assertEquals((await answer).data, "again");
  await started.stop({});
});

workers(
  "Workers replaces a worker that crashes again and again ever more slowly",
  async (start, records) => {
    const module = new URL("crashing_worker.ts", import.meta.url).href;
    const { started, open } = await start({ module, count: 1 });
    const { now } = performance;
    let later = 0;
    performance.now = () => now.call(performance) + later;
    try {
      for (let crash = 1; crash <= 3; crash++) {
        let socket = await open();
        while (socket.readyState !== WebSocket.OPEN) socket = await open();
        const closed = next(socket, "close");
        socket.close();
        await closed;
        // Each worker has worked for a quarter of an hour.
        later += 900_000;
        await assertRejects(() => started.renew({ cert: "crash", key: "crash" }), Failure);
        await records.until(crash);
      }
    } finally {
      performance.now = now;
    }
    const [first, second, third] = records.list.map(({ ms }) => Number(ms));
    assertEquals(first, 0);
    assert(second! >= 500 && second! <= 1000, `${second} ms`);
    assert(third! >= 1000 && third! <= 2000, `${third} ms`);
    await started.stop({});
  },
);

/** Has a worker send a message back, and waits for the end of the connection. */
async function exchange(socket: WebSocket): Promise<void> {
  const answer = next(socket, "message");
  socket.send("hello");
  await answer;
  const closed = next(socket, "close");
  socket.close();
  await closed;
}

workers(
  "Workers.report() adds up what all workers count, those that have ended too",
  async (start, records) => {
    const module = new URL("crashing_worker.ts", import.meta.url).href;
    const { started, open } = await start({ module });
    for (let i = 0; i < 6; i++) await exchange(await open());
    const before = (await started.report())!.server;
    assertEquals([before.sockets.total, before.received.messages], [6, 6]);
    assertEquals(before.memory.limit, LISTENER["max-memory"]);
    await assertRejects(() => started.renew({ cert: "crash", key: "crash" }), Failure);
    await records.until(2);
    const crashed = (await started.report())!.server;
    assertEquals([crashed.sockets.total, crashed.received.messages], [6, 6]);
    assertEquals(crashed.memory.limit < LISTENER["max-memory"], true);
    let socket = await open();
    while (socket.readyState !== WebSocket.OPEN) socket = await open();
    await exchange(socket);
    await started.stop({});
    const { sockets, sent } = (await started.report())!.server;
    assertEquals([sockets.open, sockets.total, sent.messageBytes], [0, 7, 35]);
  },
);

workers("Workers.start() shares a limit among the workers, and never exceeds it", async (start) => {
  const { started, open } = await start({ listener: { ...LISTENER, "max-connections": 3 } });
  let opened = 0;
  // The kernel chooses the worker: after so many attempts, both are full.
  for (let attempt = 0; attempt < 40; attempt++) {
    if ((await open()).readyState === WebSocket.OPEN) opened++;
  }
  assertEquals(opened, 3);
  await started.stop({});
});
