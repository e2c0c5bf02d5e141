/**
 * A client that is a command: how long it takes for one message, and what lines through a pipe cost it.
 *
 * @module
 */

import { sleep } from "./meter.ts";
import { Probe } from "./probe.ts";
import { Piped } from "./process.ts";

/** The first character of the one message, or of a line that is counted. */
const COUNTED = "~";

/** What the one message is. */
export const MESSAGE = `${COUNTED} one message of the bench`;

/** How long a command may take, in milliseconds. */
const LIMIT = 60_000;

/** Variables of the commands: they reach 127.0.0.1 without a proxy, and trust the bench's authority. */
function variables(ca: string): Record<string, string> {
  return { NO_PROXY: "127.0.0.1", no_proxy: "127.0.0.1", SSL_CERT_FILE: ca };
}

/** Milliseconds from the start of a command to its exit, once it has printed the answer. */
export async function measureOnce(command: string[], ca: string) {
  const startedAt = performance.now();
  // Its input stays open, as a terminal's does: wscat leaves at the end of its input.
  await using client = new Piped(command, variables(ca), LIMIT);
  await Promise.all([client.count(COUNTED, 1), client.ended]);
  const start = performance.now() - startedAt;
  return { start };
}

/** How many lines go through the pipe. */
const LINES = 10_000;

/** Lines that are written at once. */
const BATCH = 200;

/** The first character of a line that only asks whether the client is connected. */
const ASKING = "^";

/** Pause between two lines that ask whether the client is connected, in milliseconds. */
const PAUSE = 50;

/** A line of so many bytes, its end included. */
function lineOf(mark: string, size: number): string {
  return `${mark.padEnd(size - 1, "x")}\n`;
}

/** Writes lines of `size` bytes into a command that sends each to an echo and prints each answer. */
export async function measurePipe(command: string[], size: number, ca: string) {
  await using client = new Piped(command, variables(ca), LIMIT);
  await using probe = new Probe();
  // wscat drops the lines that come before it is connected.
  const isConnected = client.count(ASKING, 1);
  let waiting = true;
  void isConnected.finally(() => waiting = false).catch(() => {});
  while (waiting) {
    await client.write(lineOf(ASKING, size));
    await Promise.race([isConnected, sleep(PAUSE)]);
  }
  await isConnected;

  const before = await probe.read(client.pid);
  const startedAt = performance.now();
  const answered = client.count(COUNTED, LINES);
  const batch = lineOf(COUNTED, size).repeat(BATCH);
  const write = async () => {
    for (let i = 0; i < LINES; i += BATCH) await client.write(batch);
  };
  await Promise.all([write(), answered]);
  const milliseconds = performance.now() - startedAt;
  const after = await probe.read(client.pid);
  return {
    cpu: (after.cpu - before.cpu) / LINES,
    rate: LINES / milliseconds * 1000,
    resident: after.peak,
  };
}
