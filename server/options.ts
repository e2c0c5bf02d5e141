/**
 * What `serve` takes and gives: options, their defaults and bounds, the handler, the running server.
 *
 * @module
 */

import { MAX_TIMEOUT_MS, numberOption } from "../websocket/options.ts";

/** What a {@linkcode ServeHandler} learns besides the request. */
export interface ServeHandlerInfo {
  /** The client's address. */
  remoteAddr: Deno.NetAddr;
  /** Resolves when the response has been sent; rejects when it could not be. */
  completed: Promise<void>;
}

/** Answers a request. */
export type ServeHandler = (
  request: Request,
  info: ServeHandlerInfo,
) => Response | Promise<Response>;

/** Options of {@linkcode serve}: `Deno.serve`'s, and the bounds of a request's head. */
export interface ServeOptions {
  /** Port to listen on; 0 picks a free one. @default {8000} */
  port?: number;
  /** Address to listen on. @default {"0.0.0.0"} */
  hostname?: string;
  /** Whether several processes or threads may listen on the port. @default {false} */
  reusePort?: boolean;
  /** Certificate chain, PEM; with {@linkcode ServeOptions.key}, the server speaks TLS. */
  cert?: string;
  /** Private key of the certificate, PEM. */
  key?: string;
  /** Shuts the server down when it aborts. */
  signal?: AbortSignal;
  /** Called once the server listens. By default a line is printed. */
  onListen?: (address: Deno.NetAddr) => void;
  /** Answers for a handler that threw. By default the error is printed, and 500 the answer. */
  onError?: (error: unknown) => Response | Promise<Response>;
  /** Longest head of a request, in bytes; longer ones get 431. @default {16384} */
  maxHeaderBytes?: number;
  /** Most header lines of a request; more get 431. @default {100} */
  maxHeaders?: number;
  /** Longest time for the TLS handshake alone, in milliseconds. @default {10000} */
  handshakeTimeout?: number;
  /** Longest time from then to the complete head, in milliseconds; then 408. @default {10000} */
  headerTimeout?: number;
  /**
   * Longest wait for the client to take a part of an answer, in milliseconds, beyond the time in which a client that
   * reads 8 KiB a second reads what was written before it. @default {30000}
   */
  responseTimeout?: number;
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
  /** Longest wait for the clients at shutdown, in milliseconds. @default {5000} */
  gracePeriod?: number;
}

/** A running server, as `Deno.serve` returns it. */
export interface HttpServer extends AsyncDisposable {
  /** Resolves when the server has stopped. */
  readonly finished: Promise<void>;
  /** Where it listens. */
  readonly addr: Deno.NetAddr;
  /** Lets the process live on for this server's sake. */
  ref(): void;
  /** Lets the process end while this server listens. */
  unref(): void;
  /**
   * Stops: nothing more is accepted, requests and messages that have come are answered, sockets are
   * closed with 1001. A connection that does not end within the grace period is cut off. Resolves when
   * all is done.
   */
  shutdown(): Promise<void>;
  /**
   * Serves new connections with another certificate; those there are keep theirs.
   *
   * Rejects if the pair will not do, or the server does not speak TLS; then the old one is kept.
   */
  setCertificate(cert: string, key: string): Promise<void>;
}

/** The numbers of {@linkcode ServeOptions}, every one with its value. */
export type ServeLimits = ReturnType<typeof serveLimits>;

/**
 * Checks the numbers and fills in the defaults.
 *
 * @throws {RangeError} If one is out of its range.
 */
export function serveLimits(options: ServeOptions) {
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
    maxConnections: limit("maxConnections", 16_384),
    maxConnectionsPerAddress: limit("maxConnectionsPerAddress", 8192),
    maxMemory: bytes("maxMemory"),
    maxMemoryPerAddress: bytes("maxMemoryPerAddress"),
    gracePeriod: timeout("gracePeriod", 5000),
  };
}
