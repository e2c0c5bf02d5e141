/**
 * The demo's client: sends messages over WebSocket, prints the answers, closes. See `--help`.
 *
 * @module
 */

import { Connector } from "./cli/client/connector.ts";
import { exchange } from "./cli/client/exchange.ts";
import { flags } from "./cli/client/flags.ts";
import { Report } from "./cli/client/report.ts";
import { parseUrl } from "./cli/client/url.ts";
import { helpText, parseFlags } from "./cli/flags.ts";
import { type Output, terminal } from "./cli/output.ts";
import { runProgram, VERSION } from "./cli/program.ts";
import { stopRequested } from "./cli/signals.ts";

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
      output.out(helpText(sentences.client.usage, flags, sentences.client.flags));
      return 0;
    }
    if (options.version) {
      output.out(VERSION);
      return 0;
    }
    const report = new Report(options.json, output);
    const url = parseUrl(options._[0] ?? DEFAULT_URL, sentences);
    const connector = new Connector(url, options, report, sentences);
    return await exchange({ options, sentences, report, connector, stop });
  });
}

if (import.meta.main) Deno.exit(await main(Deno.args, terminal, stopRequested()));
