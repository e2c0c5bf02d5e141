/**
 * What the Linux kernel knows of a process: its time on a CPU, and its memory.
 *
 * Deno reads nothing below `/proc` unless everything is allowed, so a shell reads it, with commands of
 * its own alone: none is started while something is measured.
 *
 * @module
 */

import { lines } from "./lines.ts";

/** One reading. */
export interface ProcessFigures {
  /** User and system time of all threads, in microseconds. */
  cpu: number;
  /** Resident memory, in bytes. */
  resident: number;
  /** The most there ever was, in bytes. */
  peak: number;
}

const SCRIPT = `
while read -r pid; do
  read -r stat < "/proc/$pid/stat" && echo "$stat"
  while read -r line; do
    case $line in VmRSS:*|VmHWM:*) echo "$line" ;; esac
  done < "/proc/$pid/status"
  echo
done`;

/** Microseconds in a tick of the kernel's clock as it shows it (USER_HZ): 100 a second everywhere. */
const TICK = 10_000;

/** Reads the figures of processes. */
export class Probe implements AsyncDisposable {
  readonly #shell = new Deno.Command("sh", {
    args: ["-c", SCRIPT],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  readonly #questions = this.#shell.stdin.getWriter();
  readonly #answers = lines(this.#shell.stdout);

  /** Reads the figures of one process. */
  async read(pid: number): Promise<ProcessFigures> {
    await this.#questions.write(new TextEncoder().encode(`${pid}\n`));
    const answer: string[] = [];
    for (;;) {
      const { value, done } = await this.#answers.next();
      if (done || value === "") break;
      answer.push(value);
    }
    const [stat = "", ...memory] = answer;
    // proc(5): the name in brackets may hold spaces; utime and stime are the 12th and 13th after it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
    const bytes = (name: string) =>
      Number(/\d+/.exec(memory.find((line) => line.startsWith(name)) ?? "")?.[0]) * 1024;
    const figures = {
      cpu: (fields[11]! + fields[12]!) * TICK,
      resident: bytes("VmRSS"),
      peak: bytes("VmHWM"),
    };
    if (Number.isNaN(figures.cpu)) throw new Error(`Cannot measure: process ${pid} has ended`);
    return figures;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#questions.close();
    await this.#answers.return(undefined);
    await this.#shell.status;
  }
}
