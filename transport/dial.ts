/**
 * Dialling: from a URL to a connection, over TCP, a Unix socket or a proxy, with TLS or without, and what is
 * trusted.
 *
 * @module
 */

import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContext, TLSSocket } from "node:tls";
import type { Connection, Receiver } from "./connection.ts";
import type { KeyPair } from "./key_pair.ts";
import { net, tls } from "./node.ts";
import { certificateError } from "./peer_certificate.ts";
import { proxyVariable } from "./proxy_environment.ts";
import { type Connect, type HttpProxy, parseProxy, type Route } from "./route.ts";
import { ALPN_PROTOCOLS, connectionOf, decideWay, trust, underTls } from "./sockets.ts";
import { belowTls } from "./stream_connection.ts";
import { nameOf, requestTunnel } from "./tunnel.ts";

/** How {@linkcode dial} connects. */
export interface DialOptions {
  /** Certificate authorities to trust besides the public ones, as PEM. */
  caCerts: string[];
  /** Whether any certificate of the server is accepted. */
  insecure: boolean;
  /** The client's own certificate, for a server that asks for one. */
  pair?: KeyPair | undefined;
  /** The way to the server; `undefined` where the environment decides. */
  route?: Route | undefined;
  /** Gives up. */
  signal: AbortSignal;
}

/** A server: an IPv6 address has no brackets. */
interface Target {
  hostname: string;
  port: number;
}

/**
 * Connects to the host of a `ws:` or `wss:` URL.
 *
 * @param receiver Told what comes, once the connection is resumed.
 * @throws The reason of the signal, or what is wrong with the address, the connection or the certificate.
 */
export async function dial(
  url: URL,
  options: DialOptions,
  receiver: Receiver,
): Promise<Connection> {
  const { caCerts, insecure, pair, signal } = options;
  signal.throwIfAborted();
  const secure = url.protocol === "wss:";
  const target = {
    hostname: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(url.port || (secure ? 443 : 80)),
  };
  const route = options.route ?? environmentRoute(url);
  // The network sees another address, so that Deno would not ask for this one.
  if (route.kind !== "direct") await requireNet(url.hostname, target.port);
  const [raw] = await Promise.all([reach(target, route, options), decideWay()]);
  const name = `"${target.hostname}"`;
  // It may have ended while the way was decided, and would not tell so again.
  if (raw.destroyed) throw explain(undefined, name);
  if (!secure) return connectionOf(raw, receiver, sourceOf(raw));
  const socket = startTls(underTls(raw), target.hostname, trust(caCerts, pair));
  return await opened(socket, "secureConnect", name, signal, () => {
    if (!insecure) checkCertificate(socket, name);
    return connectionOf(socket, receiver, sourceOf(raw));
  });
}

/** The socket that reads from the network below one that was reached over TLS. */
const sources = new WeakMap<Socket, Socket>();

function sourceOf(socket: Socket): Socket {
  return sources.get(socket) ?? socket;
}

/** A socket that leads to the server, connected. */
async function reach(target: Target, route: Route, options: DialOptions): Promise<Socket> {
  const { signal } = options;
  switch (route.kind) {
    case "direct":
      return await connected({ host: target.hostname, port: target.port }, signal);
    case "tcp":
      return await connected({ host: route.hostname, port: route.port }, signal);
    case "unix":
      return await connected({ path: route.path }, signal);
    case "proxy":
      return await throughProxy(target, route.proxy, options);
    case "connect":
      return await brought(target, route.connect, signal);
  }
}

async function connected(
  address: { host: string; port: number } | { path: string },
  signal: AbortSignal,
  name = `"${"path" in address ? address.path : address.host}"`,
): Promise<Socket> {
  const socket = net().connect({ ...address, allowHalfOpen: true });
  await opened(socket, "connect", name, signal, () => {});
  return socket;
}

/** A socket that leads to the server through a tunnel. */
async function throughProxy(
  target: Target,
  proxy: HttpProxy,
  { caCerts, signal }: DialOptions,
): Promise<Socket> {
  const name = nameOf(proxy);
  const raw = await connected({ host: proxy.hostname, port: proxy.port }, signal, name);
  let socket = raw;
  if (proxy.secure) {
    // Over the stream: a tunnel is read by it, and TLS may follow inside of it.
    const secured = startTls(belowTls(raw), proxy.hostname, trust(caCerts));
    await opened(secured, "secureConnect", name, signal, () => checkCertificate(secured, name));
    sources.set(secured, raw);
    socket = secured;
  }
  await settled(socket, name, signal, (resolve, reject) => {
    requestTunnel(socket, proxy, target, (error) => error ? reject(error) : resolve(undefined));
  });
  return socket;
}

/** The socket that a program brings. */
async function brought(target: Target, connect: Connect, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  const promise = (async () => await connect({ ...target, signal }))();
  try {
    const socket = await Promise.race([promise, aborted.promise]);
    if (!(socket instanceof net().Socket) || socket.connecting || socket.destroyed) {
      throw new TypeError(
        `Cannot connect to "${target.hostname}": connect gave what is no connected socket of node:net`,
      );
    }
    socket.allowHalfOpen = true;
    return socket.on("error", () => {});
  } catch (error) {
    // One that comes too late belongs to nobody.
    promise.then((socket) => socket?.destroy?.(), () => {});
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** The route that the environment asks for. */
function environmentRoute(url: URL): Route {
  const variable = proxyVariable(url);
  if (variable === undefined) return { kind: "direct" };
  const proxy = parseProxy(variable.value);
  if (typeof proxy !== "string") return { kind: "proxy", proxy };
  throw new Error(`Cannot connect to "${url.hostname}": proxy of ${variable.name} ${proxy}`);
}

/** Asks for the permission to connect to a server that another address leads to. */
async function requireNet(hostname: string, port: number): Promise<void> {
  const host = `${hostname}:${port}`;
  const { state } = await Deno.permissions.request({ name: "net", host });
  if (state === "granted") return;
  throw new Deno.errors.NotCapable(
    `Requires net access to "${host}", run again with the --allow-net flag`,
  );
}

/** Starts TLS; `secureConnect` or `error` follows. */
function startTls(below: Socket | Duplex, hostname: string, context: SecureContext): TLSSocket {
  const own = { allowHalfOpen: true };
  return tls().connect({
    ...own,
    socket: below,
    ALPNProtocols: ALPN_PROTOCOLS,
    // Checked afterwards: Deno reports an expired certificate as one of an unknown authority.
    rejectUnauthorized: false,
    secureContext: context,
    // A server name is a name, never an address (RFC 6066 section 3).
    ...(net().isIP(hostname) === 0 ? { servername: hostname } : { host: hostname }),
  });
}

function checkCertificate(socket: TLSSocket, name: string): void {
  if (socket.authorized !== true) throw explain(certificateError(socket), name);
}

/** Resolves with what `take` makes of a socket at the event that tells that it is open. */
function opened<T>(
  socket: Socket,
  event: string,
  name: string,
  signal: AbortSignal,
  take: () => T,
): Promise<T> {
  return settled<T>(socket, name, signal, (resolve, reject) => {
    socket.once(event, () => {
      try {
        resolve(take());
      } catch (error) {
        reject(error);
      }
    });
  });
}

/**
 * Does something with a socket, which is destroyed when that fails, or when the socket does.
 *
 * @param start Calls one of both, once it is done.
 */
async function settled<T>(
  socket: Socket,
  name: string,
  signal: AbortSignal,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort);
  socket.on("error", (error: Error) => reject(explain(error, name)));
  const ended = () => reject(explain(undefined, name));
  socket.once("close", ended);
  socket.once("end", ended);
  try {
    signal.throwIfAborted();
    start(resolve, reject);
    return await promise;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
    socket.off("close", ended);
    socket.off("end", ended);
  }
}

/** What the codes of Node's errors mean. */
const MEANINGS: Record<string, string> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EHOSTUNREACH: "host is unreachable",
  ENETUNREACH: "network is unreachable",
  ENOENT: "there is no such socket",
  ENOTFOUND: "name was not found",
  ETIMEDOUT: "connection timed out",
  ERR_TLS_CERT_ALTNAME_INVALID: "certificate is not valid for name",
  CERT_HAS_EXPIRED: "invalid peer certificate: it has expired",
  CERT_SIGNATURE_FAILURE: "invalid peer certificate: BadSignature",
  INVALID_PURPOSE: "invalid peer certificate: InvalidPurpose, it is not for servers",
  CERT_NOT_YET_VALID: "invalid peer certificate: it is not yet valid",
  DEPTH_ZERO_SELF_SIGNED_CERT: "invalid peer certificate: UnknownIssuer, it is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN:
    "invalid peer certificate: UnknownIssuer, its authority is not trusted",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "invalid peer certificate: UnknownIssuer",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "invalid peer certificate: UnknownIssuer",
};

/**
 * An error that says what could not be done; Deno's own, as of a permission, say it already.
 *
 * @param name The server or proxy.
 */
function explain(error: (Error & { code?: string }) | undefined, name: string): Error {
  if (error instanceof Deno.errors.NotCapable) return error;
  const problem = error === undefined
    ? "server closed the connection"
    : MEANINGS[error.code ?? ""] ?? error.message;
  return new Error(`Cannot connect to ${name}: ${problem}`, { cause: error });
}
