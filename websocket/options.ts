/**
 * The options of a WebSocket, their defaults and their bounds.
 *
 * @module
 */

import type { FrameInfo } from "../protocol/frame.ts";
import type { HandshakeHead } from "../protocol/handshake.ts";
import type { CompressionOptions } from "../protocol/permessage_deflate/options.ts";
import type { Connect } from "../transport/route.ts";

/** Options of {@linkcode WebSocket} that both ends have. */
export interface SocketOptions {
  /**
   * Whether, and how, messages are compressed when the peer can (RFC 7692).
   *
   * @default {true}
   */
  compression?: boolean | CompressionOptions;
  /**
   * Longest message received, in bytes after decompression. A longer one closes the socket with 1009.
   *
   * @default {16777216} (16 MiB)
   */
  maxMessageSize?: number;
  /**
   * Longest time from the first byte of a message to its last, in milliseconds: a message that takes longer
   * closes the socket with 1008. 16 MiB over a line of 1 Mbit/s take 134 seconds. 0 sets no bound.
   *
   * @default {180000} for a server's socket, 0 for a client's
   */
  messageTimeout?: number;
  /**
   * Longest silence of a peer, in seconds: it is sent a Ping, and given up when that is not answered
   * within a third of this time, after two thirds of it at the least. 0 never asks.
   *
   * The Ping waits behind what the peer has not read. A peer that reads 8 KiB a second has the time for that: it
   * is given up later by as long as it would take to read what it was sent, of which 4 MiB are counted.
   *
   * @default {30} for a server's socket, 0 for a client's
   */
  idleTimeout?: number;
  /**
   * With more than this many bytes unsent, a server's socket reads nothing more from its peer, so that
   * one that does not take its answers cannot ask for more; likewise with as many in messages whose
   * handlers have returned promises that are not settled. At both ends, `drain` is fired when
   * `bufferedAmount` was over it and all is sent.
   *
   * @default {65536} (64 KiB)
   */
  highWaterMark?: number;
  /**
   * With more than this many bytes unsent, the next message cuts the connection off: the peer is too
   * slow for what it is sent.
   *
   * @default {16777216} (16 MiB) for a server's socket, no limit for a client's
   */
  maxBufferedAmount?: number;
  /**
   * Pings of the peer that are answered in a second. Of more, the latest is answered later (RFC 6455
   * section 5.5.3).
   *
   * @default {100}
   */
  maxPingsPerSecond?: number;
  /**
   * Called with each frame that is sent or received, in the order of the network: before the event that a received
   * one causes, and when a sent one is ready to be written. A frame that breaks the protocol is not told, as the
   * socket's error does so.
   *
   * It is called in the middle of the library's work, so it must be quick. If it fails, the error is logged, it is
   * not called again, and the connection goes on.
   *
   * @default None, which costs nothing
   *
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { type FrameInfo, serve, upgradeWebSocket, WebSocket } from "@permessage/deflate";
   *
   * await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
   *   const { socket, response } = upgradeWebSocket(request);
   *   socket.onmessage = ({ data }) => socket.close(1000, data);
   *   return response;
   * });
   *
   * const frames: FrameInfo[] = [];
   * const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`, {
   *   onFrame: (frame) => frames.push(frame),
   * });
   * socket.onopen = () => socket.send("bye");
   * await new Promise((resolve) => socket.onclose = resolve);
   * assertEquals(
   *   frames.map(({ direction, opcode, wireLength }) => [direction, opcode, wireLength]),
   *   [["sent", 1, 9], ["received", 8, 7], ["sent", 8, 8]],
   * );
   * ```
   */
  onFrame?: (frame: FrameInfo) => void;
}

/** Options of the constructor of {@linkcode WebSocket}. */
export interface WebSocketOptions extends SocketOptions {
  /**
   * Subprotocols to offer, in order of preference. A server that chooses none of them fails the connection,
   * as the WebSockets standard says.
   */
  protocols?: string | Iterable<string>;
  /** Headers of the opening handshake besides its own. A `Host` is sent in place of the URL's. */
  headers?: HeadersInit;
  /** Certificate authorities to trust besides the public ones, as PEM. */
  caCerts?: string[];
  /** The client's own certificate, as PEM, for a server that asks for one; with {@linkcode key}. */
  cert?: string;
  /** The private key of {@linkcode cert}, as PEM. */
  key?: string;
  /**
   * A proxy, as {@linkcode Deno.createHttpClient} takes it: `{ url: "http://proxy:3128", basicAuth }` opens a
   * tunnel by `CONNECT`, for `ws:` too. The user and password may also be in the URL. `caCerts` are trusted for
   * an `https:` proxy too; `insecure`, `cert` and `key` are for the server alone. `null` is for no proxy.
   *
   * Deno's `socks5` and `vsock` are refused: {@linkcode connect} can bring such a connection.
   *
   * @default The proxy that the variables `ALL_PROXY`, `HTTPS_PROXY` (for `wss:`), `HTTP_PROXY` (for `ws:`) and
   * `NO_PROXY` name, if the program may read them.
   */
  proxy?: Deno.Proxy | null;
  /** The path of a Unix socket to connect to. The URL still gives `Host`, the path and the name in TLS. */
  unix?: string;
  /** Brings a connection of the program's own. TLS of a `wss:` URL is put on top. */
  connect?: Connect;
  /** Deno's HTTP clients are refused: `caCerts`, `cert`, `key` and `proxy` are what they hold. */
  client?: Deno.HttpClient;
  /**
   * Accepts any certificate: the connection is encrypted, and the peer may be anybody.
   *
   * @default {false}
   */
  insecure?: boolean;
  /**
   * Longest time until the connection is open, in milliseconds.
   *
   * @default {45000}
   */
  handshakeTimeout?: number;
  /**
   * Called with the heads of the opening handshake as they go over the network: the request's, and each of the
   * response's, also where it refuses. Secrets in them are not hidden. If it fails, the error is logged, it is not
   * called again, and the connection goes on.
   */
  onHandshake?: (head: HandshakeHead) => void;
  /** Gives the connection up while it is being made, and cuts it off later. */
  signal?: AbortSignal;
}

/** Options of {@linkcode WebSocket.send}. */
export interface SendOptions {
  /**
   * Whether the message may be compressed: `false` for what is compressed already.
   *
   * @default {true}
   */
  compress?: boolean;
}

/** {@linkcode SocketOptions} that are numbers, with their values. */
export type SocketLimits = Required<Omit<SocketOptions, "compression" | "onFrame">>;

const MIB = 1024 * 1024;

/** The longest that a timer can wait. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/**
 * The value of an option that is a number.
 *
 * @param action What cannot be done, for the error.
 * @param value What was given; `undefined` for the default.
 * @throws {RangeError} If it is no number, or out of its range.
 */
export function numberOption(
  action: string,
  name: string,
  value: unknown,
  fallback: number,
  most: number = Infinity,
  unit: string = "",
): number {
  if (value === undefined) return fallback;
  if (typeof value === "number" && value >= 0 && value <= most) return value;
  const wanted = most === Infinity ? "0 or more" : `from 0 to ${most}${unit && ` ${unit}`}`;
  throw new RangeError(`Cannot ${action}: ${name} is ${shown(value)}, must be ${wanted}`);
}

/** A value as an error shows it. */
export function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/**
 * Checks the options and fills in the defaults.
 *
 * @throws {RangeError} If a number is out of its range.
 */
export function socketLimits(options: SocketOptions, role: "client" | "server"): SocketLimits {
  const server = role === "server";
  const limit = (name: keyof SocketLimits, fallback: number, most?: number, unit?: string) =>
    numberOption("set up socket", name, options[name], fallback, most, unit);
  return {
    idleTimeout: limit("idleTimeout", server ? 30 : 0, MAX_TIMEOUT_MS / 1000 | 0, "seconds"),
    maxMessageSize: limit("maxMessageSize", 16 * MIB),
    messageTimeout: limit("messageTimeout", server ? 180_000 : 0, MAX_TIMEOUT_MS, "ms"),
    highWaterMark: limit("highWaterMark", MIB / 16),
    maxBufferedAmount: limit("maxBufferedAmount", server ? 16 * MIB : Infinity),
    maxPingsPerSecond: limit("maxPingsPerSecond", 100),
  };
}
