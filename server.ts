/**
 * The demo's server: WebSocket over TLS, one answer to each message. See `--help`.
 *
 * @module
 */

import { lockCertificates, makeMissingCertificates } from "./certs/generate.ts";
import { serverFolder } from "./cli/certificates_folder.ts";
import { type CertificatePair, keyPath, readCertificatePair } from "./cli/certificates.ts";
import {
  BadValue,
  duration,
  type Flag,
  helpText,
  helpToggle,
  integer,
  list,
  notEmpty,
  oneOf,
  optional,
  parseFlags,
  size,
  toggle,
  value,
} from "./cli/flags.ts";
import { compressionFlag } from "./cli/compression.ts";
import { isOrigin } from "./cli/server/access.ts";
import { LOG_LEVELS, type Logger, openLog } from "./cli/server/log.ts";
import { agree, LANGUAGES, type Sentences } from "./cli/sentences.ts";
import { dropPermissions } from "./cli/server/permissions.ts";
import { type Listener, startListener } from "./cli/server/listener.ts";
import { backplaneFlag } from "./cli/server/modes/backplane.ts";
import { metricsFlag, serveMetrics } from "./cli/server/metrics.ts";
import type { Report } from "./cli/server/report.ts";
import { Workers } from "./cli/server/workers.ts";
import { causeOf, Failure } from "./cli/failure.ts";
import { type Output, terminal } from "./cli/output.ts";
import { runProgram, VERSION } from "./cli/program.ts";
import { isProxyName } from "./server/trusted_proxies.ts";
import { watchCertificate } from "./cli/server/certificate_watch.ts";
import { aborted, Stopped, stopRequested } from "./cli/signals.ts";
import type { ShutdownOptions } from "./mod.ts";

export type { Output };

const FOLDER = serverFolder();
const DEFAULT_PAIR = { cert: `${FOLDER}/server.crt`, key: `${FOLDER}/server.key` };

/** A limit that workers share: each needs a part of it. */
function shared(flag: Flag<number>): Flag<number> {
  return { ...flag, atLeast: "workers" };
}

/** A limit that the runtime's own server does not have: not with `--compression=off`. */
function limit(flag: Flag<number>): Flag<number> {
  return { ...flag, unless: ["compression", "off"], mustHold: true };
}

const proxyList = list("ADDRESS", ",", (name) => {
  if (!isProxyName(name)) throw new BadValue("trustedProxy", {}, name);
  return name;
});

/** A flag of the rooms. */
function ofRooms<T>(flag: Flag<T>): Flag<T> {
  return { ...flag, with: "mode=broadcast" };
}

/** In the order of `--help`, where `sentences.server.headings` begins a group. */
const flags = {
  host: optional("ADDRESS"),
  port: integer("PORT", 8443, 0, 65535),
  path: value("PATH", "/ws", (path) => {
    if (!path.startsWith("/") || URL.parse(path, "http://x")?.pathname !== path) {
      throw new BadValue("path");
    }
    return path;
  }),
  cert: value("FILE", DEFAULT_PAIR.cert, notEmpty),
  key: optional("FILE"),
  mode: { ...oneOf("reply", "echo", "broadcast", "interactive"), placeholder: "MODE" },
  reply: {
    ...value("TEXT", "Retorno do servidor!", (text) => text),
    unless: ["mode", "broadcast", "interactive"],
  } satisfies Flag<string>,
  "max-rooms": ofRooms(integer("N", 16_384, 1, 1_000_000)),
  history: ofRooms(integer("N", 0, 0, 1000)),
  backplane: ofRooms(backplaneFlag),
  compression: compressionFlag,
  page: oneOf("on", "off"),
  origin: list("ORIGIN", ",", (origin) => {
    if (!isOrigin(origin)) throw new BadValue("origin", {}, origin);
    return origin.toLowerCase();
  }),
  token: optional("SECRET"),
  "max-message-size": limit(size("BYTES", 16 * 1024 * 1024, 1, 2 ** 30)),
  "max-connections": shared(limit(integer("N", 16_384, 1, 1_000_000))),
  "max-per-address": shared(limit(integer("N", 8192, 1, 1_000_000))),
  "max-memory": shared(limit(size("BYTES", 128 * 1024 * 1024, 1, 2 ** 40))),
  "idle-timeout": duration("s", 30, 0, 86_400),
  "trust-proxy": {
    ...proxyList,
    // Also several in one, as in the variable.
    parse: (texts) => proxyList.parse(texts.flatMap((text) => text.split(","))),
    unless: ["compression", "off"],
    mustHold: true,
  } satisfies Flag<string[]>,
  "proxy-protocol": {
    ...toggle(),
    unless: ["compression", "off"],
    mustHold: true,
  } satisfies Flag<boolean>,
  workers: { ...integer("N", 1, 1, 256), unless: ["mode", "interactive"] } satisfies Flag<number>,
  metrics: { ...metricsFlag, unless: ["compression", "off"] } satisfies typeof metricsFlag,
  drain: duration("ms", 0, 0, 600_000),
  spread: duration("ms", 0, 0, 600_000),
  "close-code": oneOf("1001", "1012"),
  grace: duration("ms", 5000, 0, 600_000),
  lang: oneOf(...LANGUAGES),
  "log-level": { ...oneOf(...LOG_LEVELS), placeholder: "LEVEL" },
  "log-format": oneOf("text", "json"),
  "log-timestamps": toggle(),
  // One screen shows all flags, so `--help=all` shows the same.
  help: helpToggle(),
  version: toggle("V"),
};

/**
 * Runs the server until `stop` aborts.
 *
 * @param args The command line.
 * @param output Where it writes its lines.
 * @param stop Aborts when the server must stop.
 * @param onListening Called once the server listens.
 * @returns The exit code.
 */
export function main(
  args: string[],
  output: Output,
  stop: AbortSignal,
  onListening: (port: number) => void | Promise<void> = () => {},
): Promise<number> {
  return runProgram(args, output, async (sentences) => {
    const options = parseFlags(flags, args, sentences);
    if (options.help) {
      const { usage, flags: descriptions, headings } = sentences.server;
      output.out(helpText(usage, flags, descriptions, headings));
      return 0;
    }
    if (options.version) {
      output.out(VERSION);
      return 0;
    }
    using person = options.mode === "interactive"
      ? new (await import("./cli/server/modes/interactive.ts")).InteractiveMode(sentences)
      : undefined;
    const logOptions = {
      // The person is told of sockets and messages already.
      level: person !== undefined && options["log-level"] === "info"
        ? "warning" as const
        : options["log-level"],
      format: options["log-format"],
      timestamps: options["log-timestamps"],
    };
    const log = openLog(logOptions, person?.output ?? output);

    try {
      const key = options.key ?? await keyPath(options.cert, DEFAULT_PAIR.key);
      const paths = { cert: options.cert, key };
      const pair = await certificatePair(paths, sentences, log);
      let serving: Listener | undefined = undefined;
      // First, so that a port that is taken is told before anybody is served.
      await using metrics = options.metrics === undefined ? undefined : await serveMetrics(
        options.metrics,
        () => serving,
        sentences,
      );
      const served = { ...options, figuresUrl: metrics?.figuresUrl };
      const listener: Listener = options.workers === 1
        ? await startListener(served, pair, false, log, sentences, person)
        : await Workers.start(
          { count: options.workers, listener: served, log: logOptions, language: options.lang },
          pair,
          log,
        );
      serving = listener;
      const { port } = listener;
      log.info(sentences.server.listening, { event: "listening", port });
      const url = urlOf(options, port);
      log.debug(sentences.server.address, { event: "address", url });
      if (metrics !== undefined) {
        log.info(sentences.server.metrics, { event: "metrics", url: metrics.url });
      }

      person?.start(url);
      await onListening(port);
      using _renewal = watchCertificate(paths, pair, () => {
        void renew(listener, paths, sentences, log);
      });
      await aborted(person === undefined ? stop : AbortSignal.any([stop, person.left]));
      await listener.stop(leavingOf(options, stop.reason, log, sentences));
      logTotals(await listener.report(), sentences, log);
      return 0;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      log.error(sentences.server.startFailed, { event: "startFailed", reason: error.message });
      return error.exitCode;
    }
  });
}

/** Reads the certificate to serve with. If the default one is missing, makes it first. */
async function certificatePair(
  paths: { cert: string; key: string },
  sentences: Sentences,
  log: Logger,
): Promise<CertificatePair> {
  const isDefault = paths.cert === DEFAULT_PAIR.cert && paths.key === DEFAULT_PAIR.key;
  if (isDefault && await makeMissingCertificates(FOLDER, sentences)) {
    // A warning, which goes to standard error: standard output holds only the demo's lines.
    log.warn(sentences.certs.made, { event: "certificateMade", folder: FOLDER });
  }
  const read = () => readCertificatePair(paths, sentences);
  // A failure may come from a pair that is just being replaced: read again when that is done.
  const pair = await (isDefault ? read().catch(() => lockCertificates(FOLDER, read)) : read());
  if (pair.warning !== undefined) {
    log.warn("{warning}", { event: pair.event, warning: pair.warning });
  }
  return pair;
}

/** Serves with the pair that is on disk now. A pair that cannot be used changes nothing. Never rejects. */
async function renew(
  listener: Listener,
  paths: { cert: string; key: string },
  sentences: Sentences,
  log: Logger,
): Promise<void> {
  try {
    await listener.renew(await readCertificatePair(paths, sentences));
    log.warn(sentences.server.certificateRenewed, {
      event: "certificateRenewed",
      path: paths.cert,
    });
  } catch (error) {
    const reason = causeOf(error);
    log.error(sentences.server.certificateKept, { event: "certificateKept", reason });
  }
}

/**
 * How the server leaves. It drains and spreads when it is asked to by what starts and ends servers; a person
 * who presses Ctrl-C does not wait for a load balancer.
 */
function leavingOf(
  options: { drain: number; spread: number; "close-code": "1001" | "1012" },
  reason: unknown,
  log: Logger,
  sentences: Sentences,
): ShutdownOptions {
  const code = options["close-code"] === "1012" ? 1012 : 1001;
  if (!(reason instanceof Stopped && reason.signal === "SIGTERM")) return { code };
  const { drain, spread } = options;
  if (drain > 0) log.info(sentences.server.draining, { event: "draining", ms: drain });
  return { drain, spread, code };
}

/** Where a client on this machine, or one that knows `--host`, connects to. */
function urlOf({ host, path }: { host: string | undefined; path: string }, port: number): string {
  const isAny = host === undefined || host === "0.0.0.0" || host === "::";
  const name = isAny ? "localhost" : host.includes(":") ? `[${host}]` : host;
  return `wss://${name}:${port}${path}`;
}

/** Logs what has been counted from start to end. */
function logTotals(report: Report | undefined, sentences: Sentences, log: Logger): void {
  if (report === undefined) return;
  const { connections, sockets, received, sent, refusals } = report.server;
  const totals = {
    connections: connections.total,
    sockets: sockets.total,
    received: received.messages,
    receivedBytes: received.messageBytes,
    receivedWire: received.wireBytes,
    sent: sent.messages,
    sentBytes: sent.messageBytes,
    sentWire: sent.wireBytes,
    refusals: Object.values(refusals).reduce((sum, count) => sum + count),
  };
  log.debug(agree(sentences.server.totals, totals), { event: "totals", ...totals });
}

if (import.meta.main) Deno.exit(await main(Deno.args, terminal, stopRequested(), dropPermissions));
