/**
 * A client of ours with a server that floods it: its own timers must still fire.
 */

import { assert } from "@std/assert";
import { FLOODS } from "../../bench/attacker.ts";
import { certificatesFolder, Program, projectPath } from "../programs.ts";
import { extended, ms } from "./extended.ts";

/** How late the slowest of ten timers may be, in milliseconds. */
const LATE_MS = 20;

/** A client that has not told how late its timers were by then is stopped. */
const GIVE_UP_MS = 10_000;

for (const attack of [...FLOODS, "bombs-text", "bombs-binary"] as const) {
  extended(`WebSocket leaves its program's timers alone in a flood: ${attack}`, async () => {
    await using folder = await certificatesFolder();
    const run = (file: string, ...args: string[]) =>
      new Program(
        Deno.execPath(),
        ["run", "-A", `--config=${projectPath("deno.json")}`, projectPath(file), ...args],
        { cwd: folder.path },
      );
    await using server = run("tests/extended/flooding_server.ts", attack);
    const port = await server.stdout.next();
    await using client = run("tests/extended/flooded_client.ts", port);
    await client.stdout.match(/^flooded$/);
    const giveUp = setTimeout(() => client.kill("SIGKILL"), GIVE_UP_MS);
    const told = await client.stdout.next().catch(() => undefined);
    clearTimeout(giveUp);
    const late = told === undefined ? Infinity : Number(told);
    console.log(
      `${attack}: ${
        told === undefined
          ? `ten timers of 100 ms did not fire in ${ms(GIVE_UP_MS)}`
          : `a timer of 100 ms was ${ms(late)} late at most`
      }`,
    );
    assert(late <= LATE_MS);
  });
}
