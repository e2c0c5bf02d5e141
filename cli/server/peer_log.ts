/**
 * Logs what peers do, within a limit: one line for each step of a connection and for each message.
 *
 * @module
 */

import { urlHost } from "../../protocol/ip_address.ts";
import { clientKey } from "../../transport/address.ts";
import { agree, type Sentences } from "../sentences.ts";
import type { Logger } from "./log.ts";
import { LogLimit } from "./log_limit.ts";
import { REPORT_MS } from "./tally.ts";

/** What a peer does, by the name of its sentence. */
type PeerEvent =
  | "notFound"
  | "refused"
  | "handshake"
  | "upgradeFailed"
  | "open"
  | "agreed"
  | "received"
  | "sent"
  | "joined"
  | "published"
  | "left"
  | "frameSent"
  | "frameReceived"
  | "sendFailed"
  | "readFailed"
  | "closed";

type LogLevel = "debug" | "info" | "error";

/** A peer, as the log names it and as the limit counts it. */
export interface LoggedPeer {
  /** `host:port`. An IPv4 address is written as such even on a dual-stack listener. */
  name: string;
  /** The address, or the network of an IPv6 one. */
  address: string;
  /** The number of its opening handshake; absent where there is none. */
  connection?: number;
}

/**
 * A longer text counts as several lines, in characters. A message is shown with fewer, unless much of it has
 * to be escaped.
 */
const LINE_LENGTH = 300;

/** The lines about peers. */
export class PeerLog {
  readonly #logger: Logger;
  readonly #sentences: Sentences["server"];
  readonly #limit: LogLimit;

  /** @param workers How many workers share the limit. */
  constructor(logger: Logger, { server }: Sentences, workers: number) {
    this.#logger = logger;
    this.#sentences = server;
    this.#limit = new LogLimit((count) => {
      const seconds = REPORT_MS / 1000;
      logger.warn(server.linesLeftOut, { event: "linesLeftOut", count, seconds });
    }, workers);
  }

  /** The peer at an address. */
  static peerAt(address: Deno.Addr): LoggedPeer {
    if (!("hostname" in address)) return { name: address.transport, address: address.transport };
    const { hostname, port } = address;
    const host = hostname.replace(/^::ffff:(?=\d+\.)/, "");
    return { name: `${urlHost(host)}:${port}`, address: clientKey(address) };
  }

  /** Whether what happens at `level` is logged. */
  tells(level: LogLevel): boolean {
    return this.#logger.isEnabledFor(level);
  }

  /** Logs an event. */
  write(
    level: LogLevel,
    event: PeerEvent,
    peer: LoggedPeer,
    properties?: () => { data?: string; reason?: string; [name: string]: unknown },
  ): void {
    // A line that the level leaves out does not count.
    if (!this.tells(level) || !this.#limit.take(peer.address)) return;
    const details = properties?.();
    const length = (details?.data ?? details?.reason ?? "").length;
    if (length > LINE_LENGTH) this.#limit.charge(peer.address, Math.floor(length / LINE_LENGTH));
    const { name: client, connection } = peer;
    this.#logger[level](agree(this.#sentences[event], { ...details }), {
      event,
      client,
      ...(connection !== undefined && { connection }),
      ...details,
    });
  }

  /** Reports the lines left out so far. */
  flush(): void {
    this.#limit.flush();
  }
}
