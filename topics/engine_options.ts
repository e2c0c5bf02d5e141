/**
 * What the backplanes over an engine are told, and its checks.
 *
 * @module
 */

import { urlHost } from "../protocol/ip_address.ts";
import { numberOption } from "../websocket/options.ts";
import { isTopic } from "./topic.ts";

/** Options of the backplanes over an engine. */
export interface EngineOptions {
  /**
   * Where the engine is, as a URL, which may name the user and password. Of several, such as the nodes of a cluster,
   * one is used, and the next when it is away.
   */
  servers?: string | string[];
  /** The user, where the URL names none. */
  user?: string;
  /** The password of the user, where the URL names none. */
  password?: string;
  /** Certificate authorities to trust besides the public ones, as PEM. */
  caCerts?: string[];
  /** The own certificate, as PEM, for an engine that asks for one; with {@linkcode key}. */
  cert?: string;
  /** The private key of {@linkcode cert}, as PEM. */
  key?: string;
  /**
   * What comes before each topic in the engine: tokens and a dot. Applications that share an engine need different
   * ones.
   *
   * @default {"topics."}
   */
  prefix?: string;
  /**
   * Most bytes of messages that the engine has not confirmed yet. What is published beyond it is not taken. Each
   * message counts as some bytes more than it has.
   *
   * @default {8388608} (8 MiB)
   */
  maxUnsent?: number;
  /**
   * How often the engine is asked whether it is still there, in milliseconds. One that does not answer for twice as
   * long is given up.
   *
   * @default {5000}
   */
  pingInterval?: number;
  /** Longest time that a connection may take to be made, in milliseconds. @default {5000} */
  connectTimeout?: number;
}

/** One server of an engine. */
export interface EngineServer {
  readonly hostname: string;
  readonly port: number;
  readonly secure: boolean;
  readonly user: string | undefined;
  readonly password: string | undefined;
}

/** How the servers of a kind of engine are named. */
export interface EngineScheme {
  /** The scheme of a server without TLS, and of one with it. */
  readonly schemes: readonly [plain: string, secure: string];
  readonly port: number;
}

/** Checked options. */
export interface EngineSettings {
  readonly servers: readonly EngineServer[];
  readonly prefix: string;
  readonly maxUnsent: number;
  readonly pingInterval: number;
  readonly connectTimeout: number;
}

const MAX_TIMEOUT_MS = 2 ** 31 - 1;

const MIB = 1024 * 1024;

/** Longest prefix, in characters: an engine repeats it in every message. */
const MAX_PREFIX = 64;

/**
 * Checks the options and fills in the defaults.
 *
 * @throws {SyntaxError} If a server is no URL of this engine, or the prefix is malformed. The error names no URL, as
 * one may have a password in it.
 * @throws {RangeError} If a number is out of its range.
 * @throws {TypeError} If options are missing that others need.
 */
export function engineSettings(options: EngineOptions, scheme: EngineScheme): EngineSettings {
  const action = "make backplane";
  const { prefix = "topics.", cert, key, caCerts, user, password } = options;
  const [plain, secure] = scheme.schemes;
  const urls = [options.servers ?? `${plain}://127.0.0.1`].flat();
  if (urls.length === 0) {
    throw new RangeError(`Cannot ${action}: servers has none, must have one at least`);
  }
  const servers = urls.map((url, at) => {
    const server = readServer(url, scheme);
    if (server === undefined) {
      throw new SyntaxError(
        `Cannot ${action}: number ${at + 1} of servers is malformed, must be a URL such as ` +
          `"${plain}://127.0.0.1:${scheme.port}" or "${secure}://user:password@host"`,
      );
    }
    return server.user === undefined && server.password === undefined
      ? { ...server, user, password }
      : server;
  });
  if (prefix.length > MAX_PREFIX || !prefix.endsWith(".") || !isTopic(prefix.slice(0, -1))) {
    throw new SyntaxError(
      `Cannot ${action}: prefix is ${
        JSON.stringify(prefix.slice(0, MAX_PREFIX))
      }, must be tokens ` +
        `that each end in a dot, of ${MAX_PREFIX} characters at most`,
    );
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError(`Cannot ${action}: cert and key must be given together`);
  }
  if ((cert !== undefined || caCerts !== undefined) && !servers.every(({ secure }) => secure)) {
    throw new TypeError(
      `Cannot ${action}: certificates are given and a server is without TLS, must be "${secure}://"`,
    );
  }
  const time = (name: "pingInterval" | "connectTimeout") => {
    const value = numberOption(action, name, options[name], 5000, MAX_TIMEOUT_MS, "ms");
    if (value < 1) {
      throw new RangeError(`Cannot ${action}: ${name} is ${value}, must be 1 ms or more`);
    }
    return value;
  };
  return {
    servers,
    prefix,
    maxUnsent: numberOption(action, "maxUnsent", options.maxUnsent, 8 * MIB),
    pingInterval: time("pingInterval"),
    connectTimeout: time("connectTimeout"),
  };
}

/** Reads the URL of a server. Returns `undefined` if it is malformed. */
function readServer(text: string, { schemes, port }: EngineScheme): EngineServer | undefined {
  const url = URL.parse(text);
  const secure = url?.protocol === `${schemes[1]}:`;
  if (url === null || (!secure && url.protocol !== `${schemes[0]}:`) || url.hostname === "") {
    return undefined;
  }
  // Redis has the number of a database here, which makes no difference to what is published.
  if (!/^\/?\d*$/.test(url.pathname) || url.search !== "" || url.hash !== "") return undefined;
  try {
    return {
      hostname: url.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: url.port === "" ? port : Number(url.port),
      secure,
      user: decodeURIComponent(url.username) || undefined,
      password: decodeURIComponent(url.password) || undefined,
    };
  } catch {
    return undefined;
  }
}

/** What an error calls a server: no more than its name and port. */
export function shownServer({ hostname, port }: EngineServer): string {
  return `${urlHost(hostname)}:${port}`;
}
