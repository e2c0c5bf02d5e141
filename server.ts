/**
 * The server of the demo: WebSocket over TLS, one answer for each message. See `--help`.
 *
 * @module
 */

import { FOLDER, isThere, makeCertificates, wasCutShort } from "./certs/generate.ts";
import { type CertificatePair, readCertificatePair } from "./cli/certificates.ts";
import { Endpoint, type EndpointOptions } from "./cli/endpoint.ts";
import {
  BadValue,
  type Flag,
  helpText,
  integer,
  list,
  notEmpty,
  oneOf,
  optional,
  parseFlags,
  toggle,
  value,
} from "./cli/flags.ts";
import { LOG_LEVELS, type Logger, openLog } from "./cli/log.ts";
import { fill, LANGUAGES, type Messages } from "./cli/messages.ts";
import { causeOf, Failure, type Output, terminal } from "./cli/output.ts";
import { runProgram, VERSION } from "./cli/program.ts";
import { watchRenewal } from "./cli/renewal.ts";
import { stopRequested } from "./cli/signals.ts";
import * as compressing from "./mod.ts";

/** What serves and upgrades: the runtime's own pair, or the one that compresses. */
interface Transport {
  serve(
    options: {
      hostname: string;
      port: number;
      cert: string;
      key: string;
      onListen(): void;
      maxConnections: number;
      maxConnectionsPerAddress: number;
      gracePeriod: number;
    },
    handler: Endpoint["handler"],
  ): Server;
  upgradeWebSocket: EndpointOptions["upgradeWebSocket"];
}

interface Server {
  addr: Deno.NetAddr;
  shutdown(): Promise<void>;
  /** What only the one that compresses can. */
  setCertificate?(cert: string, key: string): Promise<void>;
}

/** All interfaces: both IP versions where the machine has them, else IPv4 alone. */
const ALL_INTERFACES = ["::", "0.0.0.0"];

const DEFAULT_PAIR = { cert: `${FOLDER}/server.crt`, key: `${FOLDER}/server.key` };

/** A limit that the runtime's own server does not have. */
function limit(placeholder: string, fallback: number, max: number): Flag<number> {
  return { ...integer(placeholder, fallback, 1, max), only: ["compression", "on"] };
}

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
  key: value("FILE", DEFAULT_PAIR.key, notEmpty),
  origin: list("ORIGIN", ",", (origin) => {
    const wanted = origin.toLowerCase();
    const example = wanted.replace("://*.", "://any.");
    if (wanted !== "null" && URL.parse(example)?.origin !== example) throw new BadValue("origin");
    return wanted;
  }),
  token: optional("SECRET"),
  mode: oneOf("reply", "echo"),
  reply: value("TEXT", "Retorno do servidor!", (text) => text),
  compression: oneOf("on", "off"),
  "max-message-size": limit("BYTES", 16 * 1024 * 1024, 2 ** 30),
  "max-connections": limit("N", 16_384, 1_000_000),
  "max-per-address": limit("N", 8192, 1_000_000),
  "idle-timeout": integer("SECONDS", 30, 0, 86_400),
  grace: integer("MS", 5000, 0, 600_000),
  lang: oneOf(...LANGUAGES),
  "log-level": { ...oneOf(...LOG_LEVELS), placeholder: "LEVEL" },
  "log-format": oneOf("text", "json"),
  "log-timestamps": toggle(),
  help: toggle("h"),
  version: toggle("V"),
};

/**
 * Runs the server until `stop` aborts.
 *
 * @param args The command line.
 * @param output Where its lines go.
 * @param stop Aborts when the server is to stop.
 * @param onListening Called once the server listens.
 * @returns The exit code.
 */
export function main(
  args: string[],
  output: Output,
  stop: AbortSignal,
  onListening: (port: number) => void | Promise<void> = () => {},
): Promise<number> {
  return runProgram(args, output, async (messages) => {
    const options = parseFlags(flags, args, messages);
    if (options.help) {
      output.out(helpText(messages.server.usage, flags, messages.server.flags));
      return 0;
    }
    if (options.version) {
      output.out(VERSION);
      return 0;
    }
    const log = openLog({
      level: options["log-level"],
      format: options["log-format"],
      timestamps: options["log-timestamps"],
    }, output);

    try {
      const pair = await certificatePair(options, messages, log);
      const transport: Transport = options.compression === "on" ? compressing : Deno;
      const endpoint = new Endpoint({
        path: options.path,
        origins: options.origin,
        token: options.token,
        mode: options.mode,
        reply: options.reply,
        idleTimeout: options["idle-timeout"],
        maxMessageSize: options["max-message-size"],
        upgradeWebSocket: transport.upgradeWebSocket,
        log,
        messages,
      });
      const server = listen(transport, options, pair, endpoint, messages);
      const { port } = server.addr;
      log.info(messages.server.listening, { event: "listening", port });

      await onListening(port);
      using _renewal = watchRenewal(options, pair, () => {
        void renew(server, options, messages, log);
      });
      await aborted(stop);
      // The runtime's own server would not wait for the closes it sends.
      if (transport === Deno) await endpoint.close(options.grace);
      const stopped = server.shutdown();
      if (transport === compressing) await stopped;
      return 0;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      log.error(messages.server.startFailed, { event: "startFailed", reason: error.message });
      return error.exitCode;
    }
  });
}

/** The certificate to serve with: made on the spot where the default one is missing. */
async function certificatePair(
  paths: { cert: string; key: string },
  messages: Messages,
  log: Logger,
): Promise<CertificatePair> {
  if (paths.cert === DEFAULT_PAIR.cert && paths.key === DEFAULT_PAIR.key) {
    const [cert, key] = [await isThere(paths.cert), await isThere(paths.key)];
    if ((!cert && !key) || await wasCutShort(FOLDER)) {
      await makeCertificates(FOLDER, {}, messages);
      // On standard error: standard output holds the demo's lines alone.
      log.warn(messages.certs.made, { event: "certificateMade", folder: FOLDER });
    } else if (cert !== key) {
      const [present, missing] = cert ? [paths.cert, paths.key] : [paths.key, paths.cert];
      throw new Failure(fill(messages.failure.halfPair, { present, missing }));
    }
  }
  const pair = await readCertificatePair(paths, messages);
  if (pair.warning !== undefined) {
    log.warn("{warning}", { event: "certificateExpiring", warning: pair.warning });
  }
  return pair;
}

function listen(
  transport: Transport,
  options: {
    host: string | undefined;
    port: number;
    grace: number;
    "max-connections": number;
    "max-per-address": number;
  },
  { cert, key }: CertificatePair,
  endpoint: Endpoint,
  messages: Messages,
): Server {
  const hosts = options.host === undefined ? ALL_INTERFACES : [options.host];
  const { port } = options;
  let failure: unknown;
  for (const hostname of hosts) {
    try {
      return transport.serve({
        hostname,
        port,
        cert,
        key,
        onListen() {},
        maxConnections: options["max-connections"],
        maxConnectionsPerAddress: options["max-per-address"],
        gracePeriod: options.grace,
      }, endpoint.handler);
    } catch (error) {
      failure = error;
      if (error instanceof Deno.errors.AddrInUse) break;
    }
  }
  throw new Failure(listenFailure(failure, hosts[0]!, port, messages));
}

/** Serves with the pair that is on disk now; one that will not do changes nothing. Never rejects. */
async function renew(
  server: Server,
  paths: { cert: string; key: string },
  messages: Messages,
  log: Logger,
): Promise<void> {
  try {
    const { cert, key } = await readCertificatePair(paths, messages);
    if (server.setCertificate === undefined) throw new Failure(messages.server.restartToRenew);
    await server.setCertificate(cert, key);
    log.warn(messages.server.certificateRenewed, { event: "certificateRenewed", path: paths.cert });
  } catch (error) {
    const reason = causeOf(error);
    log.error(messages.server.certificateKept, { event: "certificateKept", reason });
  }
}

/** What the start may need, and serving does not: writing, the environment, other programs. */
async function dropPermissions(): Promise<void> {
  for (const name of ["write", "env", "run", "ffi", "sys"] as const) {
    await Deno.permissions.revoke({ name });
  }
}

/** Why the port could not be listened on, and what to do about it. */
function listenFailure(error: unknown, host: string, port: number, { failure }: Messages): string {
  if (error instanceof Deno.errors.AddrInUse) return fill(failure.portInUse, { port });
  if (error instanceof Deno.errors.NotCapable) return fill(failure.netNotAllowed, { host });
  if (error instanceof Deno.errors.PermissionDenied) return fill(failure.portDenied, { port });
  if (
    error instanceof Deno.errors.AddrNotAvailable || causeOf(error).includes("lookup address")
  ) {
    return fill(failure.hostUnavailable, { host });
  }
  return causeOf(error);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true })
  );
}

if (import.meta.main) Deno.exit(await main(Deno.args, terminal, stopRequested(), dropPermissions));
