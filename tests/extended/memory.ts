/**
 * What strangers can make a server hold: unfinished messages, unfinished heads, contexts of
 * compression, connections without any of it, and topics.
 */

import { assert, assertEquals } from "@std/assert";
import { FULL } from "../../bench/loads.ts";
import { measure } from "../../bench/measure.ts";
import { Pinning } from "../../bench/process.ts";
import { RIVALS } from "../../bench/rivals.ts";
import { besiege } from "../../bench/siege.ts";
import { median } from "../../bench/statistics.ts";
import { BINARY, compressedPayload, TEXT, wireFrame } from "../../bench/wire.ts";
import { mib, Victim } from "../attacks.ts";
import { certificatesFolder, projectPath } from "../programs.ts";
import { extended, LIMIT_MS, MIB, ms, wait } from "./extended.ts";
import { type Stranger, strangers } from "./strangers.ts";

/** What all unfinished messages together may take by default. */
const BUDGET = 128 * MIB;

/** A server that has grown by this is stopped, before it takes the machine with it. */
const GUARD = 1024 * MIB;

/** Bytes that a bomb inflates to, less than the most that a message may have. */
const BOMB_BYTES = 16 * MIB - 1024;

/** So long the others are watched: some time after the last bomb could have been inflated. */
const BOMBS_SECONDS = 30;

/** A piece of a bomb's text: one character is outside Latin-1, so that a string takes 16 bits for each. */
const PIECE = "a".repeat(8 * 1024 - 3) + "€";

/** A compressed message of some 20 KB without an end: a frame with more to follow. */
function unfinishedBomb(opcode: number): Uint8Array {
  const text = PIECE.repeat(Math.floor(BOMB_BYTES / (8 * 1024)));
  const payload = compressedPayload(new TextEncoder().encode(text));
  return wireFrame(opcode, payload, { fin: false, compressed: true });
}

/** Looks at a server's memory again and again until it is disposed of. */
class Watch implements Disposable {
  most = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(victim: Victim, limit: number) {
    this.#timer = setInterval(() => {
      try {
        this.most = Math.max(this.most, victim.memory("VmRSS"));
        if (this.most > limit) victim.program.kill("SIGKILL");
      } catch {
        // It is gone, which its test finds out.
        this[Symbol.dispose]();
      }
    }, 50);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Peers that ask every 100 ms for some seconds. */
function honestPeers(port: number, seconds: number) {
  return {
    endpoint: { port, webSocket: true },
    connections: 5,
    interval: 100,
    duration: 1000 * seconds,
    patience: 5000,
    size: 64,
    binary: false,
    parts: 1,
    newcomers: true,
  };
}

for (const [name, opcode] of [["text", TEXT], ["binary", BINARY]] as const) {
  for (const addresses of [1, 10]) {
    extended(
      `serve() holds 1,000 unfinished bombs within its budget: ${name}, ${addresses} address${
        addresses === 1 ? "" : "es"
      }`,
      async () => {
        await using victim = await Victim.start({ tls: true, idleTimeout: 120 }, LIMIT_MS);
        const { port, ca } = victim;
        await victim.warmUp();
        const all = await strangers(
          1000,
          { port, ca, extensions: "permessage-deflate" },
          addresses,
        );
        const idle = await victim.collected();
        const bomb = unfinishedBomb(opcode);
        using watch = new Watch(victim, idle + GUARD);
        const figures = await besiege(honestPeers(port, BOMBS_SECONDS), () => {
          for (const stranger of all) stranger.write(bomb);
          return Promise.resolve(undefined);
        }, { ca: victim.caFile });
        const alive = victim.isAlive();
        const growth = watch.most - idle;
        await Promise.all(all.map((stranger) => stranger.close()));
        console.log(
          `${name}, ${addresses}: from ${mib(idle)} grew by ${mib(growth)} for ` +
            `${mib(bomb.length * all.length)} sent, ${
              alive ? "alive" : growth > GUARD ? "stopped by the guard" : "dead"
            }; ${figures.answered} of ${figures.asked} answered, p99 ${ms(figures.p99)}, ` +
            `worst ${ms(figures.worst)}, a newcomer in after ${ms(figures.newcomer)} at most`,
        );
        assert(alive, "the server is gone");
        // From one address, whose share is half of the budget, all is within the budget and a fifth. From
        // ten, 225 to 235 MiB were seen: besides the budget, what zlib and TLS have used of 1,000
        // connections, which glibc keeps.
        assert(growth <= (addresses === 1 ? 1.2 : 2) * BUDGET, mib(growth));
        assertEquals(figures.answered, figures.asked, "answers");
      },
    );
  }
}

/** Bytes of each head that does not end. */
const HEAD_BYTES = 11_000;

extended("serve() holds no more of a dribbled head than its bytes", async () => {
  await using victim = await Victim.start({ serve: { headerTimeout: 120_000 } }, LIMIT_MS);
  await victim.warmUp();
  const connections = await Promise.all(
    Array.from({ length: 200 }, async () => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: victim.port });
      connection.setNoDelay();
      return connection;
    }),
  );
  const start = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: ";
  const head = new TextEncoder().encode(start.padEnd(HEAD_BYTES, "x"));
  const before = await victim.collected();
  using watch = new Watch(victim, before + GUARD);
  for (let at = 0; at < head.length; at++) {
    const byte = head.subarray(at, at + 1);
    await Promise.all(connections.map((connection) => connection.write(byte)));
  }
  const held = await victim.collected() - before;
  for (const connection of connections) connection.close();
  console.log(
    `${connections.length} heads of ${HEAD_BYTES} bytes, one at a time: ${mib(held)} held, ` +
      `${mib(watch.most - before)} at the peak`,
  );
  assert(held <= 20 * MIB, mib(held));
});

/** Short messages, each much like the last, and of little in itself to compress. */
function tick(i: number): string {
  const price = (1000 + 7919 * i % 1000) / 8;
  return `{"type":"quote","exchange":"B3","symbol":"WINZ26","session":"continuous","last":${price},` +
    `"quantity":${104_729 * i % 9973}}`;
}

/** Messages of a stream before it is measured: its context has to fill first. */
const TICKS_BEFORE = 20;

/** Bytes on the wire for each byte of a message, in a stream of messages to each of some clients. */
async function ratioOfStreams(streams: Stranger[], count: number): Promise<number> {
  let plain = 0;
  let wire = 0;
  for (let i = 0; i < TICKS_BEFORE + count; i++) {
    const question = wireFrame(TEXT, tick(i));
    const before = streams.reduce((total, { received }) => total + received, 0);
    await Promise.all(streams.map((stream) => stream.ask(question)));
    await wait(50);
    if (i < TICKS_BEFORE) continue;
    wire += streams.reduce((total, { received }) => total + received, 0) - before;
    // An answer that is not compressed has the length of the question, without its mask.
    plain += streams.length * (question.length - 4);
  }
  return wire / plain;
}

extended("serve() keeps compressing for others while 128 bots hold contexts", async () => {
  await using victim = await Victim.start({ tls: true, idleTimeout: 120 }, LIMIT_MS);
  const options = { port: victim.port, ca: victim.ca, extensions: "permessage-deflate" };
  const percent = (ratio: number) => `${(100 * ratio).toFixed(0)} %`;
  const undisturbed = await strangers(5, options);
  const usual = await ratioOfStreams(undisturbed, 100);
  await Promise.all(undisturbed.map((stranger) => stranger.close()));
  // What they held is given back within 20 s of their last message.
  await wait(25_000);

  const bots = await strangers(128, options, 10, 2);
  const message = wireFrame(TEXT, "b".repeat(132));
  const keepOn = () => Promise.all(bots.map((bot) => bot.ask(message)));
  await keepOn();
  const timer = setInterval(() => void keepOn(), 5000);
  await wait(500);
  const streams = await strangers(5, options);
  const besides = await ratioOfStreams(streams, 200);
  clearInterval(timer);
  await Promise.all([...bots, ...streams].map((stranger) => stranger.close()));
  console.log(
    `a stream takes ${percent(usual)} of plain, and ${
      percent(besides)
    } beside 128 bots that send ` +
      `${message.length} bytes each 5 s`,
  );
  assert(usual < 0.35, "nothing is compressed");
  assert(besides <= 1.3 * usual, percent(besides));
});

/** Rounds of the next test, of which the middle figure counts. */
const IDLE_ROUNDS = 3;

extended("serve() takes at most 46 KB for an idle connection, and little beyond TLS", async () => {
  await using folder = await certificatesFolder();
  const path = `${folder.path}/certs`;
  const compressed = FULL.loads.find(({ id }) => id === "idle-no-context-2000")!;
  const workshop = { folder: path, fetchBun: false };
  const contestant = async (id: string) => {
    const rival = RIVALS.find((rival) => rival.id === id)!;
    return { rival, ...await rival.prepare(workshop) };
  };
  const [ours, bare, native] = await Promise.all(["ours", "node-tls", "deno"].map(contestant));
  const arena = { pinning: await Pinning.find(), folder: path, host: ours! };
  const figures: Record<string, number[]> = { ours: [], bare: [], native: [] };
  for (let round = 0; round < IDLE_ROUNDS; round++) {
    for (
      const [name, one, load] of [
        ["ours", ours!, compressed],
        ["bare", bare!, compressed],
        // Deno's own does not compress.
        ["native", native!, { ...compressed, mode: "plain" as const }],
      ] as const
    ) {
      const outcome = await measure(load, FULL.times.idle, one, arena);
      figures[name]!.push(outcome.figures.memory!);
    }
  }
  const bytes = (name: string) => median(figures[name]!);
  const beyond = bytes("ours") - bytes("bare");
  const kb = (bytes: number) => `${(bytes / 1000).toFixed(1)} KB`;
  console.log(
    `each of ${compressed.connections}: ours ${kb(bytes("ours"))}, Deno's own ` +
      `${kb(bytes("native"))}, node:tls alone ${kb(bytes("bare"))}; ours beyond that ${kb(beyond)}`,
  );
  // 44 are aimed at, and 8 beyond node:tls. Since the runtime's HTTP parser reads every opening handshake, which
  // takes 3.5 of them, 43.1 to 44.8 and 11.4 to 13.1 were seen on different machines.
  assert(bytes("ours") <= 46_000, kb(bytes("ours")));
  assert(beyond <= 14_500, `${kb(beyond)} beyond node:tls`);
});

/** Topics of the next test, and how many of them a socket subscribes to. */
const TOPICS = 100_000;
const TOPICS_PER_SOCKET = 1000;

/** Most bytes of the heap for a topic with one subscriber. */
const TOPIC_BYTES = 400;

extended("Topics take at most 400 bytes for a topic with one subscriber", async () => {
  const program = projectPath("tests/extended/topics_memory.ts");
  const flags = ["run", "--no-prompt", "--v8-flags=--expose-gc", program];
  const args = [...flags, String(TOPICS), String(TOPICS_PER_SOCKET)];
  const { stdout } = await new Deno.Command(Deno.execPath(), { args }).output();
  const bytes = Number(new TextDecoder().decode(stdout));
  console.log(`${TOPICS} topics take ${bytes.toFixed(0)} bytes each`);
  assert(bytes > 0 && bytes <= TOPIC_BYTES, `${bytes} bytes a topic`);
});
