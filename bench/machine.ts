/**
 * What the figures depend on besides the code.
 *
 * @module
 */

import { capture, type Pinning } from "./process.ts";

/** Names the machine, before it is put to work. What cannot be found out is left out. */
export async function describeMachine(pinning: Pinning): Promise<[string, string][]> {
  const ask = (...command: string[]) => capture(command).catch(() => "");
  const [model, kernel, loadAverage] = await Promise.all([
    ask("grep", "--max-count=1", "model name", "/proc/cpuinfo"),
    ask("uname", "--kernel-name", "--kernel-release", "--machine"),
    ask("cut", "--delimiter= ", "--fields=1", "/proc/loadavg"),
  ]);
  const facts: [string, string][] = [
    ["CPU", model.replace(/^.*: */, "")],
    ["cores", String(navigator.hardwareConcurrency)],
    ["kernel", kernel],
    ["load average before", loadAverage],
    ["pinning", pinning.description],
  ];
  return facts.filter(([, value]) => value !== "");
}
