/**
 * What `serve` takes and gives: options, their defaults and bounds, the handler, the running server.
 *
 * @module
 */

import type { ShutdownOptions } from "./leaving.ts";
import { MAX_TIMEOUT_MS, numberOption } from "../websocket/options.ts";
import type { Refusal, ServerStats } from "./stats.ts";

/** What a {@linkcode ServeHandler} learns besides the request. */
export interface ServeHandlerInfo<Addr extends Deno.Addr = Deno.Addr> {
  /** The client's address: what a trusted proxy says, else the peer's; on a Unix socket that of the server. */
  remoteAddr: Addr;
  /**
   * Resolves when the response has been sent. Rejects with {@linkcode Deno.errors.Interrupted} when the client
   * has gone before, and with what went wrong when it could not be sent.
   */
  completed: Promise<void>;
}

/** Answers a request. */
export type ServeHandler<Addr extends Deno.Addr = Deno.Addr> = (
  request: Request,
  info: ServeHandlerInfo<Addr>,
) => Response | Promise<Response>;

/** Options of {@linkcode serve} that do not say where it listens: `Deno.serve`'s, and its bounds. */
export interface ServeOptions<Addr extends Deno.Addr = Deno.Addr> {
  /** Shuts the server down when it aborts. */
  signal?: AbortSignal;
  /** Called once the server listens. By default a line is printed. */
  onListen?: (localAddr: Addr) => void;
  /** Answers for a handler that threw. By default the error is printed, and 500 the answer. */
  onError?: (error: unknown) => Response | Promise<Response>;
  /**
   * Called for what is refused without the handler: connections over a limit, TLS handshakes that fail, requests
   * that are malformed. Whoever can connect can cause as many calls as connections: bound what each one does, such
   * as a line in a log. An error that it throws, or by which its promise is rejected, is printed.
   */
  onRefused?: (refusal: Refusal) => void;
  /** Compression of the bodies of responses is a reverse proxy's, or the application's. */
  automaticCompression?: false;
  /** Longest head of a request, in bytes; longer ones get 431. @default {16384} */
  maxHeaderBytes?: number;
  /** Most header lines of a request; more get 431. @default {100} */
  maxHeaders?: number;
  /** Longest time for the PROXY header and the TLS handshake, in milliseconds. @default {10000} */
  handshakeTimeout?: number;
  /** Longest time from then to the complete head, in milliseconds; then 408. @default {10000} */
  headerTimeout?: number;
  /**
   * Longest wait for the client to take a part of an answer, in milliseconds, beyond the time in which a client that
   * reads 8 KiB a second reads what was written before it. @default {30000}
   */
  responseTimeout?: number;
  /** Longest body of a request, in bytes; longer ones get 413. @default {16777216} (16 MiB) */
  maxBodySize?: number;
  /** Longest wait for a part of a body that the handler reads, in milliseconds; then 408. @default {30000} */
  bodyTimeout?: number;
  /** Longest time from an answer to the next request of a connection, in milliseconds. @default {5000} */
  keepAliveTimeout?: number;
  /** Most connections at a time; one more gets 503. @default {16384} */
  maxConnections?: number;
  /**
   * Most connections at a time from one address, or of IPv6 from one network of 64 bits, which a
   * subscriber has to himself; one more gets 503. Lower it where clients come straight from the internet,
   * and not all from the address of one proxy.
   *
   * @default {8192}
   */
  maxConnectionsPerAddress?: number;
  /**
   * Most memory, in bytes, that unfinished messages, unsent output and messages whose handlers are at work
   * may take. It is counted for all servers of the process together, and the latest that sets it counts.
   * Beyond it the connection that holds most is closed with 1013.
   *
   * @default {134217728} (128 MiB)
   */
  maxMemory?: number;
  /**
   * Likewise, of the connections from one address, or of IPv6 from one network of 64 bits.
   *
   * @default {67108864} (64 MiB), or half of `maxMemory` where that is set
   */
  maxMemoryPerAddress?: number;
  /** Longest wait for the clients at shutdown, from the last Close frame on, in milliseconds. @default {5000} */
  gracePeriod?: number;
  /**
   * Addresses (`192.0.2.1`) and networks (`2001:db8::/32`) of proxies, or `unix` for all peers of a Unix socket.
   * What these say of a client by `X-Forwarded-For`, `-Proto` and `-Host`, or by `Forwarded` (RFC 7239), is
   * believed: `remoteAddr`, what is counted for an address, and scheme and host of the request's URL are the
   * client's. From anybody else the headers change nothing.
   *
   * @default {[]}
   */
  trustProxy?: string[];
  /**
   * Whether each connection begins with the header of the PROXY protocol, version 1 or 2, before TLS. Who
   * connects can say any address by it: name the proxies in {@linkcode ServeOptions.trustProxy}, and all others
   * are cut off, or let nobody else reach the port. A connection without the header is cut off too.
   *
   * @default {false}
   */
  proxyProtocol?: boolean;
}

/** Options of {@linkcode serve} on a TCP port. */
export interface ServeTcpOptions extends ServeOptions<Deno.NetAddr> {
  /** The transport. */
  transport?: "tcp";
  /** Port to listen on; 0 picks a free one. @default {8000} */
  port?: number;
  /** Address to listen on. @default {"0.0.0.0"} */
  hostname?: string;
  /** Whether several processes or threads may listen on the port. @default {false} */
  reusePort?: boolean;
  /** Most connections that the system holds until they are accepted. @default {511} */
  tcpBacklog?: number;
  /** Certificate chain, PEM; with {@linkcode ServeTcpOptions.key}, the server speaks TLS. */
  cert?: string;
  /** Private key of the certificate, PEM. */
  key?: string;
  /** The format of both. */
  keyFormat?: "pem";
  /**
   * Other pairs, by the name of the server that a client asks for (SNI): a host name, or `*.` and the rest of
   * it, which stands for one label more. Clients that ask for none of them get {@linkcode ServeTcpOptions.cert}.
   *
   * @default {{}}
   */
  certificates?: Record<string, { cert: string; key: string }>;
}

/** Options of {@linkcode serve} on a Unix socket. */
export interface ServeUnixOptions extends ServeOptions<Deno.UnixAddr> {
  /** The transport. */
  transport?: "unix";
  /** The path of the socket. It must not exist, and is removed when the server stops. */
  path: string;
}

/** A running server, as `Deno.serve` returns it. */
export interface HttpServer<Addr extends Deno.Addr = Deno.Addr> extends AsyncDisposable {
  /** Resolves when the server has stopped. */
  readonly finished: Promise<void>;
  /** Where it listens. */
  readonly addr: Addr;
  /** Whether it serves and does not leave: what a readiness probe asks. False from `shutdown` on. */
  readonly ready: boolean;
  /**
   * What it has counted so far: messages and bytes of its WebSockets, which show what compression saves,
   * connections, responses, refusals. Each read adds up all open WebSockets.
   *
   * @example
   * ```ts
   * import { assert } from "@std/assert";
   * import { serve, upgradeWebSocket, WebSocket } from "@permessage/deflate";
   *
   * await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
   *   const { socket, response } = upgradeWebSocket(request);
   *   socket.onmessage = () => socket.close(1000);
   *   return response;
   * });
   *
   * const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`);
   * socket.onopen = () => socket.send("hello ".repeat(1000));
   * await new Promise((resolve) => socket.onclose = resolve);
   * const { received } = server.stats;
   * assert(received.messageBytes / received.wireBytes > 50);
   * ```
   */
  readonly stats: ServerStats;
  /** Lets the process live on for this server's sake. */
  ref(): void;
  /** Lets the process end while this server listens. */
  unref(): void;
  /**
   * Leaves in order, and resolves when all is done. {@linkcode HttpServer.ready} is false at once. The server
   * drains, then nothing more is accepted, requests and messages that have come are answered, and sockets
   * are closed. A connection that does not end within the grace period after the last Close frame is cut off.
   *
   * A later call hurries: it ends the drain and the spread where that is earlier than was asked for. So do
   * `signal` and `Symbol.asyncDispose`, which neither drain nor spread.
   *
   * Rejects with a `RangeError` if an option is out of its range; then nothing changes.
   *
   * @example A readiness probe says no from the beginning of the drain on
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { serve } from "@permessage/deflate";
   *
   * const server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (): Response => {
   *   return server.ready ? new Response("yes") : new Response("no", { status: 503 });
   * });
   * const probe = async () => await (await fetch(`http://127.0.0.1:${server.addr.port}/`)).text();
   *
   * assertEquals(await probe(), "yes");
   * const stopped = server.shutdown({ drain: 100, spread: 100, code: 1012 });
   * assertEquals(await probe(), "no");
   * await stopped;
   * ```
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
  /**
   * Serves new connections with another certificate; those there are keep theirs.
   *
   * Rejects if the pair will not do, or the server does not speak TLS; then the old one is kept.
   *
   * @param options With `servername`, the pair takes the place of that of the name in
   * {@linkcode ServeTcpOptions.certificates}, or is added to them.
   */
  setCertificate(cert: string, key: string, options?: { servername?: string }): Promise<void>;
}

/** The numbers of {@linkcode ServeOptions}, every one with its value. */
export type ServeLimits = ReturnType<typeof serveLimits>;

/**
 * Checks the numbers and fills in the defaults.
 *
 * @throws {RangeError} If one is out of its range.
 */
export function serveLimits(options: ServeTcpOptions | ServeUnixOptions) {
  const limit = (name: keyof ServeOptions, fallback: number) =>
    numberOption("serve", name, options[name], fallback);
  const timeout = (name: keyof ServeOptions, fallback: number) =>
    numberOption("serve", name, options[name], fallback, MAX_TIMEOUT_MS, "ms");
  const bytes = (name: keyof ServeOptions) =>
    options[name] === undefined ? undefined : Math.floor(limit(name, 0));
  return {
    maxHeaderBytes: limit("maxHeaderBytes", 16 * 1024),
    maxHeaders: limit("maxHeaders", 100),
    handshakeTimeout: timeout("handshakeTimeout", 10_000),
    headerTimeout: timeout("headerTimeout", 10_000),
    responseTimeout: timeout("responseTimeout", 30_000),
    maxBodySize: limit("maxBodySize", 16 * 1024 * 1024),
    bodyTimeout: timeout("bodyTimeout", 30_000),
    keepAliveTimeout: timeout("keepAliveTimeout", 5000),
    maxConnections: limit("maxConnections", 16_384),
    maxConnectionsPerAddress: limit("maxConnectionsPerAddress", 8192),
    maxMemory: bytes("maxMemory"),
    maxMemoryPerAddress: bytes("maxMemoryPerAddress"),
    gracePeriod: timeout("gracePeriod", 5000),
  };
}
