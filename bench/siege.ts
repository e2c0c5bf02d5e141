/**
 * A server that is attacked while others use it: what becomes of the others.
 *
 * @module
 */

import type { AttackerJob } from "./attacker.ts";
import type { HonestFigures, HonestJob } from "./honest.ts";
import { Helper } from "./process.ts";

/** How the processes are started. */
export interface SiegeOptions {
  /** The file of the authority that the server's certificate is of. */
  ca: string;
  /** Binds a command to a CPU. */
  pin?: (command: string[]) => string[];
}

/** The command of one of the bench's programs. */
function command(program: string, job: object, { ca, pin = (it) => it }: SiegeOptions): string[] {
  const path = decodeURIComponent(new URL(program, import.meta.url).pathname);
  const flags = ["--no-prompt", `--cert=${ca}`, "--allow-net=127.0.0.1"];
  return pin([Deno.execPath(), "run", ...flags, path, JSON.stringify(job)]);
}

/** How long the attack goes on before honest peers are measured, in milliseconds. */
const LEAD_MS = 500;

/** What measuring may take besides what is measured, in milliseconds. */
const LIMIT_MS = 60_000;

/**
 * Connects honest peers, attacks, and measures the peers.
 *
 * @param honest The peers.
 * @param start Starts the attack, which goes on until it is disposed of.
 * @param options How the processes are started.
 * @param meanwhile Done at the end, while the attack is still going on.
 */
export async function besiege(
  honest: HonestJob,
  start: () => Promise<AsyncDisposable | undefined>,
  options: SiegeOptions,
  meanwhile: () => Promise<void> = () => Promise.resolve(),
): Promise<HonestFigures> {
  const limit = LIMIT_MS + honest.duration + honest.patience;
  await using peers = new Helper(command("honest.ts", honest, options), limit);
  await peers.line("ready");
  await using _attack = await start();
  await peers.tell();
  const figures: HonestFigures = JSON.parse(await peers.line());
  await meanwhile();
  return figures;
}

/** Starts attackers, and waits until the attack is going on. */
export async function attack(job: AttackerJob, options: SiegeOptions): Promise<AsyncDisposable> {
  const attackers = new Helper(command("attacker.ts", job, options), 2 * LIMIT_MS);
  try {
    await attackers.line("attacking");
    await new Promise((resolve) => setTimeout(resolve, LEAD_MS));
    return attackers;
  } catch (error) {
    await attackers[Symbol.asyncDispose]();
    throw error;
  }
}
