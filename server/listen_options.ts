/**
 * Where a server listens, by the options of `Deno.serve`. What cannot be kept is refused, never ignored.
 *
 * @module
 */

import type { ListenOptions } from "../transport/listener.ts";
import type { KeyPair } from "../transport/key_pair.ts";
import { numberOption, shown } from "../websocket/options.ts";
import type { ServeTcpOptions, ServeUnixOptions } from "./options.ts";

/** Options of `Deno.serve`, or of other versions of it, that are not kept, with what to write instead. */
const REFUSED: Record<string, string> = {
  cid: "a server listens on TCP or on a Unix socket: use port or path",
  certFile: "use cert",
  keyFile: "use key",
  alpnProtocols: 'the protocol is always "http/1.1": leave it out',
};

/**
 * Reads where a server is to listen.
 *
 * @throws {TypeError} If an option is missing, or cannot be kept.
 * @throws {RangeError} If a number is out of its range.
 */
export function listenOptions(options: ServeTcpOptions | ServeUnixOptions): ListenOptions {
  const given = options as Record<string, unknown>;
  const refuse = (name: string, instead: string): never => {
    throw new TypeError(`Cannot serve: ${name} cannot be kept, ${instead}`);
  };
  for (const [name, instead] of Object.entries(REFUSED)) {
    if (given[name] !== undefined) refuse(name, instead);
  }
  if (given.automaticCompression) {
    refuse("automaticCompression", "have a reverse proxy or the application compress bodies");
  }
  const { path, transport, keyFormat = "pem", cert, key } = given;
  const wanted = path === undefined ? "tcp" : "unix";
  if (transport !== undefined && transport !== wanted) {
    throw new TypeError(
      transport === "unix"
        ? 'Cannot serve: transport is "unix", which needs a path'
        : `Cannot serve: transport is "${transport}", must be "${wanted}"`,
    );
  }
  if (keyFormat !== "pem") {
    throw new TypeError(`Cannot serve: keyFormat is "${keyFormat}", must be "pem"`);
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError("Cannot serve: cert and key must be given together");
  }
  for (const [name, value] of Object.entries({ path, cert, key, hostname: given.hostname })) {
    if (value !== undefined && typeof value !== "string") {
      throw new TypeError(`Cannot serve: ${name} is ${value}, must be a string`);
    }
  }
  const proxyProtocol = given.proxyProtocol ?? false;
  if (typeof proxyProtocol !== "boolean") {
    throw new TypeError(`Cannot serve: proxyProtocol is "${proxyProtocol}", must be true or false`);
  }
  if (path !== undefined) {
    for (
      const name of ["port", "hostname", "reusePort", "tcpBacklog", "cert", "key", "certificates"]
    ) {
      if (given[name]) refuse(name, "leave it out beside path: a Unix socket has none");
    }
  }
  const { hostname = "0.0.0.0", port, reusePort = false, tcpBacklog } = options as ServeTcpOptions;
  return {
    hostname,
    port: portOf(port),
    reusePort: Boolean(reusePort),
    backlog: numberOption("serve", "tcpBacklog", tcpBacklog, 511, 65_535),
    path: path as string | undefined,
    proxyProtocol,
    pair: cert === undefined ? undefined : { cert: cert as string, key: key as string },
    namedPairs: namedPairs(given.certificates, cert !== undefined),
  };
}

/** A port as Deno's own takes it: also as a string of its digits. */
function portOf(value: unknown = 8000): number {
  const port = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
  if (!Number.isInteger(port)) {
    throw new TypeError(`Cannot serve: port is ${shown(value)}, must be a whole number`);
  }
  return numberOption("serve", "port", port, 8000, 65_535);
}

/** Checks the shape of pairs by name. */
function namedPairs(given: unknown, isSecure: boolean): Record<string, KeyPair> | undefined {
  if (given === undefined) return undefined;
  if (!isSecure) {
    throw new TypeError(
      "Cannot serve: certificates need cert and key, for clients that ask for no name",
    );
  }
  const isPair = (pair?: Partial<KeyPair>) =>
    typeof pair?.cert === "string" && typeof pair.key === "string";
  if (typeof given !== "object" || given === null || !Object.values(given).every(isPair)) {
    throw new TypeError("Cannot serve: certificates must have a cert and a key for each name");
  }
  return given as Record<string, KeyPair>;
}
