/**
 * How evenly a server that leaves closes its sockets, as their clients see it.
 */

import { assert, assertEquals } from "@std/assert";
import { certificatesFolder, clientFrame, OPCODE, RawPeer, startServer } from "../programs.ts";
import { extended, LIMIT_MS } from "./extended.ts";

const SOCKETS = 1000;
const SPREAD_MS = 5000;
const WINDOW_MS = 250;

/** Sockets that are opened at a time. */
const AT_ONCE = 50;

/** Most closes in a window, beside the mean. */
const MOST = 1.5;

/** Waits for the Close frame, answers it, and returns when it came. */
async function closedAt(peer: RawPeer): Promise<number> {
  const { opcode, payload } = await peer.readFrame();
  const at = performance.now();
  assertEquals(opcode, OPCODE.close);
  await peer.write(clientFrame(OPCODE.close, payload));
  await peer.readToEnd();
  peer.close();
  return at;
}

/** Most of `times`, which are sorted, within any window. */
function mostWithin(times: number[], window: number): number {
  return Math.max(
    ...times.map((from, i) => times.slice(i).filter((at) => at < from + window).length),
  );
}

for (const flag of ["--compression=on", "--workers=2", "--compression=off"]) {
  extended(`server.ts ${flag} closes 1,000 sockets evenly over --spread=5000`, async () => {
    await using folder = await certificatesFolder();
    const args = [flag, `--spread=${SPREAD_MS}`, "--idle-timeout=0"];
    await using server = await startServer(args, { cwd: folder.path, limitMs: LIMIT_MS });
    const output = server.program.end();
    const peers: RawPeer[] = [];
    while (peers.length < SOCKETS) {
      const more = Array.from({ length: AT_ONCE }, () => RawPeer.upgraded(server.port));
      peers.push(...await Promise.all(more));
    }
    const closing = Promise.all(peers.map(closedAt));
    const before = performance.now();
    server.program.kill("SIGTERM");
    const times = (await closing).sort((a, b) => a - b);
    assertEquals((await output).code, 0);

    const mean = SOCKETS * WINDOW_MS / SPREAD_MS;
    const most = mostWithin(times, WINDOW_MS);
    const [first, last] = [times[0]! - before, times.at(-1)! - before];
    console.log(
      `${flag}: ${most} in ${WINDOW_MS} ms at most, ${(most / mean).toFixed(2)} times the mean; ` +
        `from ${first.toFixed(0)} to ${last.toFixed(0)} ms`,
    );
    assert(most <= MOST * mean, `${most} closes in ${WINDOW_MS} ms`);
    assert(last >= SPREAD_MS * 0.9, `the last after ${last} ms`);
  });
}
