/**
 * What a server counts: its connections, WebSockets, responses, and what it has refused.
 *
 * All keys are known beforehand, so that no peer can add one.
 *
 * @module
 */

import { heldContexts } from "../protocol/permessage_deflate/codec.ts";
import { memoryBudget } from "../transport/memory_budget.ts";
import type { Session, SessionWatcher } from "../websocket/session.ts";
import type { SocketStats, Traffic } from "../websocket/stats.ts";

/**
 * Why a server refuses a connection, or what it has asked, without its handler:
 *
 * - `tooManyConnections`: beyond `maxConnections` or `maxConnectionsPerAddress`.
 * - `shuttingDown`: it came, asked for an upgrade, or was in the TLS handshake, at shutdown.
 * - `untrustedPeer`: with `proxyProtocol`, it is none of the proxies of `trustProxy`.
 * - `proxyHeader`: it did not begin with the header of the PROXY protocol.
 * - `tlsHandshake`: the TLS handshake failed. A client that just leaves is not counted, as health checks do.
 * - `handshakeTimeout`: PROXY header and TLS handshake took longer than `handshakeTimeout`.
 * - `headTooLarge`: the head of a request was over `maxHeaderBytes`, or had over `maxHeaders` lines.
 * - `headTimeout`: the head took longer than `headerTimeout`.
 * - `badRequest`: a request is malformed, or of a kind that no server here answers.
 */
export type RefusalReason =
  | "tooManyConnections"
  | "shuttingDown"
  | "untrustedPeer"
  | "proxyHeader"
  | "tlsHandshake"
  | "handshakeTimeout"
  | "headTooLarge"
  | "headTimeout"
  | "badRequest";

/** A connection, or a request, that was refused without the handler. */
export interface Refusal {
  /** Why. */
  readonly reason: RefusalReason;
  /** The peer's address, or the client's that a PROXY header names. */
  readonly remoteAddr: Deno.Addr;
  /** What is known besides, such as TLS's own message, or the empty string. */
  readonly cause: string;
}

/** A class of status codes (RFC 9110 section 15). */
export type StatusClass = "1xx" | "2xx" | "3xx" | "4xx" | "5xx";

/**
 * A close code (RFC 6455 section 7.4.1). Those of libraries and programs, 3000 to 3999 and 4000 to 4999, count as
 * one each.
 */
export type CloseCodeClass =
  | "1000"
  | "1001"
  | "1002"
  | "1003"
  | "1005"
  | "1006"
  | "1007"
  | "1008"
  | "1009"
  | "1010"
  | "1011"
  | "1012"
  | "1013"
  | "1014"
  | "3xxx"
  | "4xxx";

/** What a server has counted since its start; a snapshot. */
export interface ServerStats {
  /** Connections, whatever they are used for: those there are, and all that came. */
  readonly connections: { readonly open: number; readonly total: number };
  /** WebSockets: those that are not closed yet, and all that were accepted. */
  readonly sockets: { readonly open: number; readonly total: number };
  /** What has come over WebSockets, those that are closed among them. */
  readonly received: Traffic;
  /** What the network has taken of what was sent over them. */
  readonly sent: Traffic;
  /** Responses to requests; that of an upgrade is `1xx`. */
  readonly responses: Readonly<Record<StatusClass, number>>;
  /** What was refused without the handler. */
  readonly refusals: Readonly<Record<RefusalReason, number>>;
  /**
   * WebSockets that have closed: by the code that this end has failed them with, such as 1002 or 1009, else by
   * the one of the `close` event.
   */
  readonly closes: Readonly<Record<CloseCodeClass, number>>;
  /**
   * Contexts for sending that are kept from message to message, and the bytes they take: of all connections of
   * the process, or of the worker, clients among them.
   */
  readonly contexts: { readonly count: number; readonly bytes: number };
  /** What connections hold of `maxMemory`, in bytes: of all servers of the process, or of the worker. */
  readonly memory: { readonly held: number; readonly limit: number };
}

/** A {@linkcode Traffic} that is added to. */
type Sum = { -readonly [K in keyof Traffic]: Traffic[K] };

/** Counts. */
export class ServerCounters implements SessionWatcher {
  /** WebSockets that have not ended. */
  readonly #open = new Set<Session>();
  #connections = 0;
  #sockets = 0;
  readonly #onSessionEnded: () => void;
  /** Of the WebSockets that have ended. */
  readonly #ended = { received: noTraffic(), sent: noTraffic() };
  readonly #responses: Record<StatusClass, number> = {
    "1xx": 0,
    "2xx": 0,
    "3xx": 0,
    "4xx": 0,
    "5xx": 0,
  };
  readonly #refusals: Record<RefusalReason, number> = {
    tooManyConnections: 0,
    shuttingDown: 0,
    untrustedPeer: 0,
    proxyHeader: 0,
    tlsHandshake: 0,
    handshakeTimeout: 0,
    headTooLarge: 0,
    headTimeout: 0,
    badRequest: 0,
  };
  readonly #closes: Record<CloseCodeClass, number> = {
    "1000": 0,
    "1001": 0,
    "1002": 0,
    "1003": 0,
    "1005": 0,
    "1006": 0,
    "1007": 0,
    "1008": 0,
    "1009": 0,
    "1010": 0,
    "1011": 0,
    "1012": 0,
    "1013": 0,
    "1014": 0,
    "3xxx": 0,
    "4xxx": 0,
  };

  /** @param onSessionEnded Called when a WebSocket has been told of its end. */
  constructor(onSessionEnded: () => void) {
    this.#onSessionEnded = onSessionEnded;
  }

  /** How many WebSockets have not been told of their end. */
  get openSockets(): number {
    return this.#open.size;
  }

  /** Whether there has been a WebSocket. */
  get hadSockets(): boolean {
    return this.#sockets > 0;
  }

  /** A connection has come. */
  connected(): void {
    this.#connections++;
  }

  /** A response is sent. */
  answered(status: number): void {
    this.#responses[`${Math.floor(status / 100)}xx` as StatusClass]++;
  }

  /** Something is refused. */
  refused(reason: RefusalReason): void {
    this.#refusals[reason]++;
  }

  /** A WebSocket is accepted: it is counted until it ends. */
  accepted(session: Session): void {
    this.#sockets++;
    this.#open.add(session);
    session.watcher = this;
  }

  sessionEnded(session: Session, code: number): void {
    this.#open.delete(session);
    add(this.#ended, session.stats);
    this.#closes[classOf(code)]++;
    this.#onSessionEnded();
  }

  /** @param openConnections How many connections there are. */
  snapshot(openConnections: number): ServerStats {
    const traffic = { received: { ...this.#ended.received }, sent: { ...this.#ended.sent } };
    for (const { stats } of this.#open) add(traffic, stats);
    const { used, limits } = memoryBudget;
    return frozen({
      connections: { open: openConnections, total: this.#connections },
      sockets: { open: this.#open.size, total: this.#sockets },
      ...traffic,
      responses: { ...this.#responses },
      refusals: { ...this.#refusals },
      closes: { ...this.#closes },
      contexts: heldContexts(),
      memory: { held: used, limit: limits.total },
    });
  }
}

function noTraffic(): Sum {
  return { messages: 0, messageBytes: 0, wireBytes: 0 };
}

function add(sums: { received: Sum; sent: Sum }, stats: SocketStats): void {
  for (const way of ["received", "sent"] as const) {
    sums[way].messages += stats[way].messages;
    sums[way].messageBytes += stats[way].messageBytes;
    sums[way].wireBytes += stats[way].wireBytes;
  }
}

/** The class of a code that may be sent, or stands for the absence of one. */
function classOf(code: number): CloseCodeClass {
  if (code < 3000) return `${code}` as CloseCodeClass;
  return code < 4000 ? "3xxx" : "4xxx";
}

/** Freezes a snapshot, and the objects in it. */
function frozen<T extends object>(snapshot: T): T {
  for (const value of Object.values(snapshot)) Object.freeze(value);
  return Object.freeze(snapshot);
}
