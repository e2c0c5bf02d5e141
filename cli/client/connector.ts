/**
 * Makes connections as the client's flags say: with what is trusted, the credentials, and redirects.
 *
 * @module
 */

import { isThere } from "../../certs/generate.ts";
import { isBearer, withoutToken } from "../bearer_subprotocol.ts";
import { Failure } from "../failure.ts";
import { isOwnFolder, LOCAL_FOLDER, userFolder } from "../certificates_folder.ts";
import { readAuthority, readCertificatePair } from "../certificates.ts";
import { fill, type Sentences } from "../sentences.ts";
import { unlessStopped } from "../signals.ts";
import { AwaitableSocket } from "./awaitable_socket.ts";
import { dial, type Dialled, type DialOptions } from "./dial.ts";
import { UsageError } from "../flags.ts";
import { addressOf } from "./address.ts";
import { headersOf } from "./credentials.ts";
import { showFrame } from "./frames.ts";
import { showHead } from "./headers.ts";
import type { Options } from "./flags.ts";
import { startPings } from "./pings.ts";
import { Refusal } from "./refusal.ts";
import type { Report } from "./report.ts";
import type { Statistics } from "./statistics.ts";
import { isRedirect, redirectTarget, withoutSecrets } from "./url.ts";

/** A connection that is open. Disposing of it ends it. */
export interface Opened extends Disposable {
  socket: WebSocket;
  /** The socket's steps, to be awaited. */
  connection: AwaitableSocket;
}

/** Connects to the server of the command line, as often as it is asked. */
export class Connector {
  constructor(
    readonly url: URL,
    readonly options: Options,
    readonly report: Report,
    readonly sentences: Sentences,
    /** Counts what the connections carry, if that is asked for. */
    readonly statistics?: Statistics,
  ) {}

  /**
   * Connects, and waits until the connection is open. Reports both.
   *
   * @throws {Failure} If there is no connection.
   * @throws {Stopped} If `stop` aborts first.
   */
  async open(stop: AbortSignal): Promise<Opened> {
    const { options, report, sentences } = this;
    for (let target = this.url, redirects = 0;;) {
      const dialled = await this.#connect(target);
      const { socket } = dialled;
      try {
        const connection = new AwaitableSocket(socket, options.timeout, sentences);
        await unlessStopped(connection.opened(target.host, dialled.explain), stop);
        const { protocol, extensions } = socket;
        this.#checkProtocol(protocol);
        report.json({ event: "open", protocol: withoutToken(protocol), extensions });
        const stopPings = startPings(socket, options.ping, report, sentences);
        return {
          socket,
          connection,
          [Symbol.dispose]: () => {
            stopPings();
            this.statistics?.add(socket);
            dialled[Symbol.dispose]();
          },
        };
      } catch (error) {
        dialled[Symbol.dispose]();
        if (!options.location || !(error instanceof Refusal) || !isRedirect(error)) throw error;
        target = redirectTarget(target, error, ++redirects, sentences);
      }
    }
  }

  /** Refuses a server that chose none of the subprotocols offered; of Deno's own WebSocket, it would not be told. */
  #checkProtocol(chosen: string): void {
    const offered = this.options.protocol;
    if (offered.length === 0 || chosen !== "") return;
    const protocols = withoutToken(offered.map((protocol) => `"${protocol}"`).join(", "));
    throw new Failure(fill(this.sentences.failure.noProtocol, { protocols }));
  }

  /** Starts to connect, and reports it. */
  async #connect(target: URL): Promise<Dialled> {
    this.announce(target);
    return dial(target, await this.dialOptions(target), this.sentences);
  }

  /** Reports where the client is about to connect to. */
  announce(target: URL): void {
    const { options, report, sentences } = this;
    const shown = withoutSecrets(target.href);
    report.out(fill(sentences.client.connecting, { url: shown }), {
      event: "connecting",
      url: shown,
    });
    if (options.insecure) report.err(sentences.client.insecure, { event: "insecure" });
  }

  /** How to connect to `target`: the URL of the command line, or one that it redirects to. */
  async dialOptions(target: URL): Promise<DialOptions> {
    const { options, report, sentences } = this;
    const { cert, key, unix, proxy, compression, insecure, sni } = options;
    if (sni !== undefined && target.protocol === "ws:") {
      throw new UsageError(fill(sentences.usage.incomplete, { flag: "--sni", other: "wss://" }));
    }
    const caCerts = await authorities(target, options.cacert, sentences);
    // Another server must not be shown what was meant for the first.
    const isOwn = target.origin === this.url.origin;
    return {
      compression,
      protocols: options.protocol.filter((protocol) => isOwn || !isBearer(protocol)),
      headers: isOwn ? await headersOf(options, sentences) : [],
      caCerts,
      insecure,
      pair: isOwn && cert !== undefined && key !== undefined
        ? await readCertificatePair({ cert, key }, sentences, "client")
        : undefined,
      serverName: isOwn ? sni : undefined,
      address: await addressOf(target, options, sentences),
      maxMessageSize: options["max-message-size"],
      idleTimeout: options["idle-timeout"],
      onHandshake: options["show-headers"] ? (head) => showHead(head, report) : undefined,
      onFrame: options.frames ? (frame) => showFrame(frame, report, sentences) : undefined,
      unix,
      proxy,
    };
  }
}

/**
 * The authority that the user named, or else the development ones: in the current folder, and among the user's
 * own data. They are trusted for this machine's own names alone, as an installed program may run in anybody's
 * folder; only where the current folder is the program's own, its authority is trusted for all names.
 */
async function authorities(
  target: URL,
  cacert: string | undefined,
  sentences: Sentences,
): Promise<string[]> {
  if (cacert !== undefined) return [await readAuthority(cacert, sentences)];
  const isOwn = isOwnName(target.hostname);
  const folders = [
    isOwn || isOwnFolder() ? LOCAL_FOLDER : undefined,
    isOwn ? userFolder() : undefined,
  ];
  const found: string[] = [];
  for (const folder of folders) {
    if (folder === undefined) continue;
    const path = `${folder}/ca.crt`;
    const { state } = await Deno.permissions.query({ name: "read", path });
    if (state === "granted" && await isThere(path)) {
      found.push(await readAuthority(path, sentences));
    }
  }
  return found;
}

/** Whether a host's name or address leads to this machine, whatever the network says (RFC 6761 section 6.3). */
function isOwnName(hostname: string): boolean {
  return /^(?:(?:.+\.)?localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname);
}
