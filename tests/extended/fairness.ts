/**
 * What becomes of everybody else while some peers take all they can get of the server: answers, new
 * clients, and `SIGTERM`.
 */

import { assert, assertEquals } from "@std/assert";
import { type Attack, FLOODS } from "../../bench/attacker.ts";
import { attack as start, besiege } from "../../bench/siege.ts";
import { Victim } from "../attacks.ts";
import { certificatesFolder, freePort, Program } from "../programs.ts";
import { extended, LIMIT_MS, ms, wait } from "./extended.ts";

/** The bounds, in milliseconds. */
const P99_MS = 50;
const WORST_MS = 250;
const NEWCOMER_MS = 250;

/** The grace period of the server, and what ending its process takes. */
const GRACE_MS = 2000;
const EXIT_MS = 500;

/** A server that has not stopped by then is killed. */
const GIVE_UP_MS = 10_000;

interface Siege {
  attack: Attack;
  mode: "reply" | "echo";
  /** Connections that attack. */
  attackers?: number;
  /** Peers that behave. */
  peers?: number;
  seconds?: number;
}

/** Waits until somebody listens on a port. */
async function listening(port: number): Promise<void> {
  for (;;) {
    try {
      return (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    } catch {
      await wait(20);
    }
  }
}

/**
 * Attacks `server.ts` while honest peers ask every 100 ms and others connect, then asks it to stop
 * while the attack goes on. Prints what was measured, and holds it to the bounds.
 */
async function holdOut({ attack, mode, attackers = 1, peers = 50, seconds = 8 }: Siege) {
  await using folder = await certificatesFolder();
  const port = freePort();
  // A line for each message would be measured too; so the line that tells the port is not there either.
  const quiet = ["--log-level=error", "--host=127.0.0.1", `--port=${port}`];
  await using program = Program.task(
    "serve",
    ["--path=/", `--mode=${mode}`, `--grace=${GRACE_MS}`, ...quiet],
    { cwd: folder.path, limitMs: LIMIT_MS },
  );
  // Reads what it writes, so that it never waits for a full pipe.
  const ending = program.end();
  ending.catch(() => {});
  await Promise.race([listening(port), ending]);
  let stopping = 0;
  const endpoint = { port, webSocket: true };
  const options = { ca: `${folder.path}/certs/ca.crt` };
  const figures = await besiege(
    {
      endpoint,
      connections: peers,
      interval: 100,
      duration: 1000 * seconds,
      patience: 10_000,
      size: 64,
      binary: false,
      parts: 1,
      newcomers: true,
    },
    () => start({ endpoint, attack, connections: attackers }, options),
    options,
    async () => {
      const startedAt = performance.now();
      program.kill("SIGTERM");
      const killing = setTimeout(() => program.kill("SIGKILL"), GIVE_UP_MS);
      await ending.catch(() => {});
      clearTimeout(killing);
      stopping = performance.now() - startedAt;
    },
  );
  const { asked, answered, p50, p99, worst, newcomers, newcomer } = figures;
  console.log(
    `${attack}, ${mode}: ${answered} of ${asked} answered, p50 ${ms(p50)}, p99 ${ms(p99)}, ` +
      `worst ${ms(worst)}; ${newcomers} newcomers, the slowest in after ${ms(newcomer)}; ` +
      `stopped after ${ms(stopping)}`,
  );
  assertEquals(answered, asked, "answers");
  assert(p99 <= P99_MS, `p99 ${ms(p99)}`);
  assert(worst <= WORST_MS, `worst ${ms(worst)}`);
  assert(newcomer <= NEWCOMER_MS, `newcomer ${ms(newcomer)}`);
  assert(stopping <= GRACE_MS + EXIT_MS, `SIGTERM obeyed after ${ms(stopping)}`);
}

for (const mode of ["reply", "echo"] as const) {
  for (const attack of FLOODS) {
    extended(
      `server is fair to 50 peers while one floods it: ${attack}, ${mode}`,
      () => holdOut({ attack, mode }),
    );
  }
  for (const attack of ["bombs-text", "bombs-binary"] as const) {
    extended(
      `server is fair to 50 peers while 100 send bombs: ${attack}, ${mode}`,
      () => holdOut({ attack, mode, attackers: 100 }),
    );
    extended(
      `server is fair to one peer while 10 send bombs: ${attack}, ${mode}`,
      () => holdOut({ attack, mode, attackers: 10, peers: 1 }),
    );
  }
}

extended(
  "server obeys SIGTERM within its grace period after 12 s of a flood",
  () => holdOut({ attack: "tiny", mode: "reply", seconds: 12 }),
);

/** Sockets of a room, of which each message goes to all, without a pause. */
const IN_ROOM = 5000;

extended("Topics are fair to 50 peers while one message after another goes to 5,000", async () => {
  await using victim = await Victim.start({
    tls: true,
    descriptors: 2 * IN_ROOM,
    // The peers are silent until all of the room are there, and answer no pings.
    idleTimeout: 300,
    serve: { maxConnectionsPerAddress: 2 * IN_ROOM },
  }, LIMIT_MS);
  const { port } = victim;
  const endpoint = { port, webSocket: true };
  const options = { ca: victim.caFile };
  const room = { ...endpoint, path: "/room" };
  const figures = await besiege(
    {
      endpoint,
      connections: 50,
      interval: 100,
      duration: 8000,
      patience: 10_000,
      size: 64,
      binary: false,
      parts: 1,
      newcomers: true,
    },
    () => start({ endpoint: room, attack: "broadcast", connections: IN_ROOM }, options),
    options,
  );
  const { asked, answered, p50, p99, worst, newcomer } = figures;
  console.log(
    `beside broadcasts to ${IN_ROOM}: ${answered} of ${asked} answered, p50 ${ms(p50)}, p99 ${
      ms(p99)
    }, ` +
      `worst ${ms(worst)}; the slowest newcomer in after ${ms(newcomer)}`,
  );
  assertEquals(answered, asked, "answers");
  assert(p99 <= P99_MS, `p99 ${ms(p99)}`);
  assert(worst <= WORST_MS, `worst ${ms(worst)}`);
  assert(newcomer <= NEWCOMER_MS, `newcomer ${ms(newcomer)}`);
});
