/**
 * The demo's client: sends messages over WebSocket, prints the answers, closes. See `--help`.
 *
 * @module
 */

import { FOLDER, isThere } from "./certs/generate.ts";
import { isBearer, withoutToken } from "./cli/bearer_subprotocol.ts";
import { isToken } from "./protocol/grammar.ts";
import { readAuthority, readCertificatePair } from "./cli/certificates.ts";
import { AwaitableSocket } from "./cli/client/awaitable_socket.ts";
import { compressionFlag } from "./cli/compression.ts";
import { backoff, delay } from "./cli/backoff.ts";
import { dial } from "./cli/client/dial.ts";
import { Exchange } from "./cli/client/exchange.ts";
import { checkProxy, withoutCredentials } from "./cli/client/proxy.ts";
import { Refusal } from "./cli/client/refusal.ts";
import { Report } from "./cli/client/report.ts";
import { isRedirect, parseUrl, redirectTarget, withoutSecrets } from "./cli/client/url.ts";
import {
  BadValue,
  helpText,
  integer,
  list,
  oneOf,
  optional,
  parseFlags,
  toggle,
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
  cert: { ...optional("FILE"), with: "key" },
  key: { ...optional("FILE"), with: "cert" },
  proxy: {
    ...optional("URL"),
    parse(texts: string[]) {
      const text = texts.at(-1);
      if (text !== undefined) checkProxy(text);
      return text;
    },
    show: withoutCredentials,
  },
  unix: { ...optional("PATH"), without: "proxy" },
  compression: compressionFlag,
  location: toggle(),
  reconnect: integer("N", 0, 0, 1_000_000),
  "reconnect-on": {
    ...list("STATUS", ",", (status) => {
      if (!/^[1-5]\d\d$/.test(status)) throw new BadValue("integer", { min: 100, max: 599 });
      return status;
    }),
    with: "reconnect",
  },
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
    const report = new Report(options.json, output);
    const texts = options.message.length > 0 ? options.message : [DEFAULT_MESSAGE];
    const exchange = new Exchange(texts, options.binary, report, sentences);
    const connect = async (target: URL) => {
      const shown = withoutSecrets(target.href);
      report.out(fill(sentences.client.connecting, { url: shown }), {
        event: "connecting",
        url: shown,
      });
      if (options.insecure) report.err(sentences.client.insecure, { event: "insecure" });
      const caCerts = await authorities(options.cacert, sentences);
      // Who is redirected to another server must not show it what was meant for the first.
      const isOwn = target.origin === url.origin;
      const { cert, key, unix, timeout } = options;
      const pair = isOwn && cert !== undefined && key !== undefined
        ? await readCertificatePair({ cert, key }, sentences)
        : undefined;
      const dialled = dial(target, {
        compression: options.compression,
        protocols: options.protocol.filter((protocol) => isOwn || !isBearer(protocol)),
        headers: isOwn ? options.header.map(parseHeader) : [],
        caCerts,
        insecure: options.insecure,
        pair,
        unix,
        proxy: options.proxy,
      }, sentences);
      return { dialled, connection: new AwaitableSocket(dialled.socket, timeout, sentences) };
    };
    const attemptOnce = async () => {
      for (let target = url, redirects = 0;;) {
        const { dialled, connection } = await connect(target);
        using _ = dialled;
        try {
          return await unlessStopped(exchange.run(target.host, dialled, connection), stop);
        } catch (error) {
          if (!options.location || !(error instanceof Refusal) || !isRedirect(error)) throw error;
          target = redirectTarget(target, error, ++redirects, sentences);
        }
      }
    };
    /** Whether an attempt more may fare better. */
    const isWorthwhile = (failure: Failure) =>
      !(failure instanceof Refusal) || !failure.isFinal ||
      options["reconnect-on"].includes(String(failure.status));

    try {
      for (let attempt = 1;; attempt++) {
        const answered = exchange.answered;
        try {
          await attemptOnce();
          return 0;
        } catch (error) {
          if (!(error instanceof Failure)) throw error;
          exchange.fail(error);
          // An answer shows that the server works: count the attempts anew.
          if (exchange.answered > answered) attempt = 1;
          if (attempt > options.reconnect || !isWorthwhile(error)) {
            if (options.reconnect > 0) exchange.summarize();
            return error.exitCode;
          }
          const retryAfter = error instanceof Refusal ? error.headers.get("Retry-After") : null;
          const ms = backoff(attempt, retryAfter ?? undefined);
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
