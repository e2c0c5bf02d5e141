/**
 * The demo's client: sends messages over WebSocket, prints the answers, closes. See `--help`.
 *
 * @module
 */

import { Connector } from "./cli/client/connector.ts";
import { exchange } from "./cli/client/exchange.ts";
import { flags, type Options } from "./cli/client/flags.ts";
import { shortHelp, wholeHelp } from "./cli/client/help.ts";
import type { Mode } from "./cli/client/mode.ts";
import type { PacedOutput } from "./cli/client/paced_output.ts";
import { Report } from "./cli/client/report.ts";
import { parseUrl } from "./cli/client/url.ts";
import { parseFlags } from "./cli/flags.ts";
import { type Output, terminal } from "./cli/output.ts";
import { runProgram, VERSION } from "./cli/program.ts";
import type { Sentences } from "./cli/sentences.ts";
import { stopRequested } from "./cli/signals.ts";

export type { Output };

const DEFAULT_URL = "wss://localhost:8443/ws";

/**
 * Runs the client.
 *
 * @param args The command line.
 * @param output Where it writes its lines.
 * @param stop Aborts with {@linkcode Stopped} when the client must stop.
 * @returns The exit code.
 */
export function main(
  args: string[],
  output: Output,
  stop: AbortSignal = new AbortController().signal,
): Promise<number> {
  return runProgram(args, output, async (sentences) => {
    const options = parseFlags(flags, args, sentences, 1);
    if (options.help) {
      output.out(options.help === "all" ? wholeHelp(sentences) : shortHelp(sentences));
      return 0;
    }
    if (options.version) {
      output.out(VERSION);
      return 0;
    }
    if (options.completion !== undefined) {
      const { completion } = await import("./cli/completion.ts");
      output.out(completion(options.completion, "client", flags, sentences.client.flags));
      return 0;
    }
    const url = parseUrl(options._[0] ?? DEFAULT_URL, sentences);
    if (options.interactive) {
      const { interactive } = await import("./cli/client/interactive.ts");
      return await interactive(url, options, sentences, stop);
    }
    return await runMode(url, options, output, sentences, stop);
  });
}

/** Runs the mode that the flags ask for, and reports in the form that they ask for. */
async function runMode(
  url: URL,
  options: Options,
  output: Output,
  sentences: Sentences,
  stop: AbortSignal,
): Promise<number> {
  const isStream = options.stdin || options.follow;
  const isPiped = isStream && !Deno.stdout.isTerminal();
  const isRaw = options.raw || options.output !== undefined || isPiped;
  const form = options.json ? "json" : isRaw ? "raw" : "told";
  const paced = isStream || form === "raw"
    ? await pacedOutput(options.output, output, sentences)
    : undefined;
  const report = new Report(
    {
      form,
      quiet: options.quiet,
      timestamps: options.timestamps,
      binaryFormat: options["output-format"],
      terminator: options.null ? "\0" : "\n",
    },
    paced ?? output,
    sentences,
  );
  const statistics = options.stats
    ? new (await import("./cli/client/statistics.ts")).Statistics()
    : undefined;
  const connector = new Connector(url, options, report, sentences, statistics);
  const signals = paced === undefined ? stop : AbortSignal.any([stop, paced.ended]);
  // What is called without a message by a person who pipes one in is told what to do.
  if (output === terminal && isDemo(options) && await hasUnreadInput()) {
    report.remark(sentences.client.unreadInput);
  }
  const mode = await modeOf(options);
  const run = { options, sentences, report, connector, statistics, paced, stop: signals };
  const code = await mode(run);
  statistics?.tell(report, sentences);
  await paced?.flush();
  return code;
}

/** Whether the flags ask for the demo's exchange. */
function isDemo(options: Options): boolean {
  const { message, hex, stdin, follow, load } = options;
  const isMode = stdin || follow || load || options["connect-only"];
  return message.length + hex.length === 0 && !isMode;
}

/**
 * Whether standard input is a pipe or a file, and standard error is read by a person. Input is not read to find
 * out: it may be meant for another program, as in a loop of a shell over the lines of a file.
 */
async function hasUnreadInput(): Promise<boolean> {
  if (Deno.stdin.isTerminal() || !Deno.stderr.isTerminal()) return false;
  const { fstatSync } = await import("node:fs");
  const input = fstatSync(0);
  return input.isFIFO() || input.isFile() && input.size > 0;
}

async function modeOf(options: Options): Promise<Mode> {
  if (options.stdin) return (await import("./cli/client/pipe.ts")).pipe;
  if (options.load) return (await import("./cli/client/load.ts")).load;
  if (options.follow) return (await import("./cli/client/follow.ts")).follow;
  return exchange;
}

/** Standard output, or the file of `--output`, written without blocking. */
async function pacedOutput(
  path: string | undefined,
  { err }: Output,
  sentences: Sentences,
): Promise<PacedOutput> {
  const { PacedOutput, openFile } = await import("./cli/client/paced_output.ts");
  const writer = path === undefined ? Deno.stdout : await openFile(path, sentences);
  return new PacedOutput(writer, path ?? "-", err, sentences);
}

if (import.meta.main) Deno.exit(await main(Deno.args, terminal, stopRequested()));
