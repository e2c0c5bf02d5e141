/**
 * The demo's client: sends messages over WebSocket, prints the answers, closes. See `--help`.
 *
 * @module
 */

import { FOLDER, isThere } from "./certs/generate.ts";
import { withoutToken } from "./cli/bearer_subprotocol.ts";
import { isToken } from "./protocol/grammar.ts";
import { readAuthority } from "./cli/certificates.ts";
import { AwaitableSocket } from "./cli/client/awaitable_socket.ts";
import { compressionFlag } from "./cli/compression.ts";
import { backoff, delay } from "./cli/backoff.ts";
import { dial } from "./cli/client/dial.ts";
import { Exchange } from "./cli/client/exchange.ts";
import { Report } from "./cli/client/report.ts";
import {
  BadValue,
  helpText,
  integer,
  list,
  oneOf,
  optional,
  parseFlags,
  toggle,
  UsageError,
} from "./cli/flags.ts";
import { fill, LANGUAGES, type Sentences } from "./cli/sentences.ts";
import { Failure } from "./cli/failure.ts";
import { type Output, terminal } from "./cli/output.ts";
import { runProgram, VERSION } from "./cli/program.ts";
import { Stopped, stopRequested, unlessStopped } from "./cli/signals.ts";

const DEFAULT_URL = "wss://localhost:8443/ws";
const DEFAULT_MESSAGE = "Olá, servidor WebSocket!";

const flags = {
  message: list("TEXT", "\n"),
  binary: toggle(),
  protocol: {
    ...list("NAME", ",", (name, index, names) => {
      const isSame = (other: string) => other.toLowerCase() === name.toLowerCase();
      if (!isToken(name) || names.findIndex(isSame) !== index) throw new BadValue("protocol");
      return name;
    }),
    show: withoutToken,
  },
  header: {
    ...list("TEXT", "\n", (header) => {
      parseHeader(header);
      return header;
    }),
    show: withoutValue,
  },
  cacert: optional("FILE"),
  insecure: toggle(),
  compression: compressionFlag,
  reconnect: integer("N", 0, 0, 1_000_000),
  timeout: integer("MS", 10_000, 1, 86_400_000),
  lang: oneOf(...LANGUAGES),
  json: toggle(),
  help: toggle("h"),
  version: toggle("V"),
};

function parseHeader(header: string): [name: string, value: string] {
  const colon = header.indexOf(":");
  const [name, value] = [header.slice(0, colon), header.slice(colon + 1).trim()];
  // deno-lint-ignore no-control-regex
  if (colon < 1 || !isToken(name) || /[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/.test(value)) {
    throw new BadValue("header");
  }
  return [name, value];
}

function parseUrl(text: string, sentences: Sentences): URL {
  const url = URL.parse(text);
  if (url === null || !/^wss?:$/.test(url.protocol) || text.includes("#")) {
    const details = { source: "URL", value: withoutSecrets(text), wanted: sentences.wanted.url };
    throw new UsageError(fill(sentences.usage.badValue, details));
  }
  return url;
}

/** Hides the secrets of a URL, even of a malformed one. A token that contains `#` ends in the fragment. */
function withoutSecrets(url: string): string {
  return url
    .replace(/^(\w+:\/\/)?[^/?#]*@/, "$1")
    .replaceAll(/(?<=[?&]token=)[^&#]*/g, "***")
    .replace(/(?<=#).+/s, "***");
}

/** Hides the value of a header, and all of a header without a name. */
function withoutValue(header: string): string {
  const name = /^([^\s:]+)[\s:]/.exec(header)?.[1];
  return name === undefined ? "***" : `${name}: ***`;
}

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
    const url = parseUrl(options._[0] ?? DEFAULT_URL, sentences);
    const shown = withoutSecrets(url.href);
    const report = new Report(options.json, output);
    const texts = options.message.length > 0 ? options.message : [DEFAULT_MESSAGE];
    const exchange = new Exchange(texts, options.binary, report, sentences);
    const connect = async () => {
      report.out(fill(sentences.client.connecting, { url: shown }), {
        event: "connecting",
        url: shown,
      });
      if (options.insecure) report.err(sentences.client.insecure, { event: "insecure" });
      const caCerts = await authorities(options.cacert, sentences);
      const dialled = dial(url, {
        compression: options.compression,
        protocols: options.protocol,
        headers: options.header.map(parseHeader),
        caCerts,
        insecure: options.insecure,
      }, sentences);
      return {
        dialled,
        connection: new AwaitableSocket(dialled.socket, options.timeout, sentences),
      };
    };

    try {
      for (let attempt = 1;; attempt++) {
        const answered = exchange.answered;
        try {
          const { dialled, connection } = await connect();
          using _ = dialled;
          await unlessStopped(exchange.run(url.host, dialled, connection), stop);
          return 0;
        } catch (error) {
          if (!(error instanceof Failure)) throw error;
          exchange.fail(error);
          // An answer shows that the server works: count the attempts anew.
          if (exchange.answered > answered) attempt = 1;
          if (attempt > options.reconnect) {
            if (options.reconnect > 0) exchange.summarize();
            return error.exitCode;
          }
          const ms = backoff(attempt, error.retryAfter);
          const details = { ms, attempt, limit: options.reconnect };
          const line = fill(sentences.client.reconnecting, details);
          report.err(line, { event: "reconnecting", ...details });
          await delay(ms, stop);
        }
      }
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
      exchange.summarize();
      return error.exitCode;
    }
  });
}

/** The authority that the user named, or else the development one if it exists. */
async function authorities(cacert: string | undefined, sentences: Sentences): Promise<string[]> {
  if (cacert !== undefined) return [await readAuthority(cacert, sentences)];
  const development = `${FOLDER}/ca.crt`;
  const { state } = await Deno.permissions.query({ name: "read", path: development });
  if (state !== "granted" || !await isThere(development)) return [];
  return [await readAuthority(development, sentences)];
}

if (import.meta.main) Deno.exit(await main(Deno.args, terminal, stopRequested()));
