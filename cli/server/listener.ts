/**
 * Listens on a port and serves it, with this project's WebSocket or the runtime's own, on the main thread
 * or in a worker.
 *
 * @module
 */

import { urlHost } from "../../protocol/ip_address.ts";
import * as compressing from "../../mod.ts";
import { readKeyPair } from "../../transport/key_pair.ts";
import type { CertificatePair } from "../certificates.ts";
import { RequestHandler, type RequestHandlerOptions } from "./request_handler.ts";
import type { Logger } from "./log.ts";
import { EventLoopDelay } from "./event_loop_delay.ts";
import type { Report } from "./report.ts";
import { AnswerMode } from "./modes/answer.ts";
import { makeBackplane } from "./modes/backplane.ts";
import { BroadcastMode } from "./modes/broadcast.ts";
import type { Mode } from "./modes/mode.ts";
import { Page } from "./page.ts";
import { fill, type Sentences } from "../sentences.ts";
import { causeOf, Failure } from "../failure.ts";
import { permissionRemedy } from "../permission_remedy.ts";

/** The options of a listener, under the names of `server.ts`'s flags. They can be sent to a worker. */
export interface ListenerOptions {
  host: string | undefined;
  port: number;
  path: string;
  origin: string[];
  token: string | undefined;
  mode: "reply" | "echo" | "broadcast" | "interactive";
  reply: string;
  "max-rooms": number;
  history: number;
  /** The servers of an engine. */
  backplane: string[] | undefined;
  /** `false` for the runtime's own server, which has none. */
  compression: false | compressing.CompressionOptions;
  page: "on" | "off";
  "max-message-size": number;
  "max-connections": number;
  "max-per-address": number;
  "max-memory": number;
  "trust-proxy": string[];
  "proxy-protocol": boolean;
  "idle-timeout": number;
  grace: number;
  /** There if the delay of the event loop is to be measured. */
  metrics?: unknown;
  /** Where the page reads the figures of all workers, if it can. */
  figuresUrl?: string | undefined;
  /** How many workers listen on the port. @default {1} */
  workers?: number;
}

/** A port that is being served. */
export interface Listener {
  readonly port: number;
  /**
   * Serves new connections with another certificate.
   *
   * @throws {Error} If the certificate cannot be used. The old one is kept.
   */
  renew(pair: CertificatePair): Promise<void>;
  /** Has `/healthz` say that no more clients are to be sent here; all else goes on. */
  unready(): void | Promise<void>;
  /** What has been counted so far, also once it has stopped; the runtime's own server counts nothing. */
  report(): Promise<Report | undefined>;
  /** Leaves in order, and ends within the grace period after that. */
  stop(options: compressing.ShutdownOptions): Promise<void>;
}

/** Serves and upgrades: the runtime's own functions, or this project's, which compress. */
interface Transport {
  serve(
    options: {
      hostname: string;
      port: number;
      reusePort: boolean;
      cert: string;
      key: string;
      onListen(): void;
      maxConnections: number;
      maxConnectionsPerAddress: number;
      maxMemory: number;
      trustProxy: string[];
      proxyProtocol: boolean;
      gracePeriod: number;
      onRefused: RequestHandler["refused"];
    },
    handler: RequestHandler["handle"],
  ): Server;
  upgradeWebSocket: RequestHandlerOptions["upgradeWebSocket"];
}

interface Server {
  addr: Deno.NetAddr;
  /** The runtime's own takes no options. */
  shutdown(options?: compressing.ShutdownOptions): Promise<void>;
  /** Only this project's server has these two. */
  setCertificate?(cert: string, key: string): Promise<void>;
  stats?: compressing.ServerStats;
}

/** All interfaces: both IP versions if the machine has them, else IPv4 alone. */
const ALL_INTERFACES = ["::", "0.0.0.0"];

/**
 * Starts to serve.
 *
 * @param shared Whether other workers listen on the same port; needs `--unstable-net`.
 * @param person What `--mode=interactive` does.
 * @throws {Failure} With the remedy, if the port cannot be listened on, or the backplane cannot be used.
 */
export async function startListener(
  options: ListenerOptions,
  pair: CertificatePair,
  shared: boolean,
  log: Logger,
  sentences: Sentences,
  person?: Mode,
): Promise<Listener> {
  const transport: Transport = options.compression === false ? Deno : compressing;
  const mode = person ?? await modeOf(options, log, sentences);
  const requests = new RequestHandler({
    path: options.path,
    origins: options.origin,
    token: options.token,
    mode,
    page: pageOf(options, sentences),
    idleTimeout: options["idle-timeout"],
    maxMessageSize: options["max-message-size"],
    ...(options.compression !== false && { compression: options.compression }),
    upgradeWebSocket: transport.upgradeWebSocket,
    log,
    sentences,
    ...(options.workers !== undefined && { workers: options.workers }),
  });
  // Deno's own server takes blocks alone, and the server's certificate first.
  const ordered = readKeyPair(pair.cert, pair.key);
  let server: Server;
  try {
    server = listen(transport, options, ordered, shared, requests, sentences);
  } catch (error) {
    void mode.close();
    throw error;
  }
  const delay = new EventLoopDelay();
  if (options.metrics !== undefined) delay.start();
  return {
    port: server.addr.port,
    // deno-lint-ignore require-await
    async report() {
      const { stats } = server;
      return stats && { server: stats, eventLoopDelay: delay.histogram };
    },
    async renew({ cert, key }) {
      if (server.setCertificate === undefined) throw new Failure(sentences.server.restartToRenew);
      await server.setCertificate(cert, key);
    },
    unready: () => requests.unready(),
    async stop(leaving) {
      requests.unready();
      // The runtime's own server does not drain, nor wait for the peers to answer its Close frames.
      if (transport === Deno) await requests.close(leaving, options.grace);
      const stopped = server.shutdown(leaving);
      if (transport === compressing) await stopped;
      await mode.close();
      requests.flushLog();
      delay[Symbol.dispose]();
    },
  };
}

function listen(
  transport: Transport,
  options: ListenerOptions,
  { cert, key }: CertificatePair,
  reusePort: boolean,
  requests: RequestHandler,
  sentences: Sentences,
): Server {
  const hosts = options.host === undefined ? ALL_INTERFACES : [options.host];
  const { port } = options;
  let failure: unknown;
  for (const hostname of hosts) {
    try {
      return transport.serve({
        hostname,
        port,
        reusePort,
        cert,
        key,
        onListen() {},
        maxConnections: options["max-connections"],
        maxConnectionsPerAddress: options["max-per-address"],
        maxMemory: options["max-memory"],
        trustProxy: options["trust-proxy"],
        proxyProtocol: options["proxy-protocol"],
        gracePeriod: options.grace,
        onRefused: requests.refused,
      }, requests.handle);
    } catch (error) {
      failure = error;
      if (error instanceof Deno.errors.AddrInUse) break;
    }
  }
  const wanted = { hostname: hosts[0]!, port, flag: "--port" };
  throw new Failure(listenFailure(failure, wanted, sentences));
}

/**
 * Explains why an address cannot be listened on, and what to do about it.
 *
 * @param wanted The address, and the flag that sets its port.
 */
export function listenFailure(
  error: unknown,
  { hostname: host, port, flag }: { hostname: string; port: number; flag: string },
  sentences: Sentences,
): string {
  const { failure } = sentences;
  if (error instanceof Deno.errors.AddrInUse) return fill(failure.portInUse, { port, flag });
  if (error instanceof Deno.errors.NotCapable) {
    const remedy = permissionRemedy("server", `--allow-net=${urlHost(host)}`, sentences);
    return fill(failure.netNotAllowed, { host, remedy });
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return fill(failure.portDenied, { port, flag });
  }
  if (
    error instanceof Deno.errors.AddrNotAvailable || causeOf(error).includes("lookup address")
  ) {
    return fill(
      flag === "--port" ? failure.hostUnavailable : failure.metricsUnavailable,
      { host },
    );
  }
  return causeOf(error);
}

/** What `--mode` chooses. */
async function modeOf(
  options: ListenerOptions,
  log: Logger,
  sentences: Sentences,
): Promise<Mode> {
  const { mode, reply, workers, backplane } = options;
  if (mode !== "broadcast") return new AnswerMode(mode === "echo" ? undefined : reply);
  return new BroadcastMode({
    maxRooms: options["max-rooms"],
    history: options.history,
    maxMessageSize: options["max-message-size"],
    backplane: await makeBackplane(backplane, workers !== undefined, sentences),
    log,
    sentences,
    workers,
  });
}

/** The page at `/`, unless `--page=off`. */
function pageOf(options: ListenerOptions, sentences: Sentences): Page | undefined {
  if (options.page === "off") return undefined;
  return new Page({
    path: options.path,
    hasRooms: options.mode === "broadcast",
    asksToken: options.token !== undefined,
    maxMessageSize: options["max-message-size"],
    isCounting: options.compression !== false,
    figuresUrl: options.figuresUrl,
    sentences,
  });
}
