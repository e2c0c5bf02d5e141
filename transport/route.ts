/**
 * The ways to a server besides a connection to its own address: a Unix socket, a proxy, a connection that the
 * program brings.
 *
 * @module
 */

import type { Socket } from "node:net";

/**
 * Connects to a server in a program's own way.
 *
 * @returns A socket of `node:net` that is connected, from which nobody else reads.
 */
export type Connect = (
  target: { hostname: string; port: number; signal: AbortSignal },
) => Promise<Socket>;

/** A proxy that opens tunnels by `CONNECT` (RFC 9110 section 9.3.6). */
export interface HttpProxy {
  /** Whether TLS is spoken with the proxy itself. */
  secure: boolean;
  /** An IPv6 address has no brackets. */
  hostname: string;
  port: number;
  /** The value of `Proxy-Authorization`, a secret. */
  authorization: string | undefined;
}

/** How a server is reached. */
export type Route =
  | { kind: "direct" }
  | { kind: "tcp"; hostname: string; port: number }
  | { kind: "unix"; path: string }
  | { kind: "proxy"; proxy: HttpProxy }
  | { kind: "connect"; connect: Connect };

/** The options that say how a server is reached; at most one is given. */
export interface RouteOptions {
  unix?: string | undefined;
  proxy?: Deno.Proxy | null | undefined;
  connect?: Connect | undefined;
}

/**
 * The route that options ask for.
 *
 * @returns `undefined` if they ask for none: then the environment decides.
 * @throws {TypeError} If they cannot be kept; it says what to use instead.
 */
export function routeOf(options: RouteOptions): Route | undefined {
  const given = (["unix", "proxy", "connect"] as const)
    .filter((name) => options[name] !== undefined);
  if (given.length > 1) refuse(`${given.join(" and ")} are given, must be one of them`);
  const { unix, proxy, connect } = options;
  if (unix !== undefined) return { kind: "unix", path: text("unix", unix) };
  if (connect !== undefined) {
    if (typeof connect !== "function") refuse("connect is not a function, must be one");
    return { kind: "connect", connect };
  }
  if (proxy === undefined) return undefined;
  if (proxy === null) return { kind: "direct" };
  if (typeof proxy !== "object") refuse("proxy is not an object, must be as Deno.Proxy or null");
  return proxyRoute(proxy);
}

function proxyRoute(proxy: Deno.Proxy): Route {
  switch (proxy.transport) {
    case "unix":
      return { kind: "unix", path: text("proxy.path", proxy.path) };
    case "tcp": {
      const { port } = proxy;
      if (!Number.isInteger(port) || port < 1 || port > 65535) {
        refuse(`proxy.port is ${port}, must be from 1 to 65535`);
      }
      return { kind: "tcp", hostname: text("proxy.hostname", proxy.hostname), port };
    }
    case undefined:
    case "http":
    case "https": {
      const parsed = parseProxy(text("proxy.url", proxy.url), proxy.transport, proxy.basicAuth);
      if (typeof parsed === "string") refuse(`proxy.url ${parsed}`);
      return { kind: "proxy", proxy: parsed };
    }
    default:
      return refuse(
        `proxy.transport is "${
          (proxy as { transport: unknown }).transport
        }", must be "http", "https", "tcp" or "unix"; connect can bring any other connection`,
      );
  }
}

/**
 * Parses the URL of a proxy; one without a scheme is `http:`.
 *
 * @param transport The scheme that it must have, if any.
 * @returns The proxy, or what is wrong: without the URL, which may hold a password.
 */
export function parseProxy(
  given: string,
  transport?: "http" | "https",
  basicAuth?: Deno.BasicAuth,
): HttpProxy | string {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(given);
  const url = URL.parse(hasScheme ? given : `${transport ?? "http"}://${given}`);
  if (url === null || url.hostname === "") return "is malformed";
  const { protocol, hostname, port } = url;
  const wanted = transport === undefined ? /^https?:$/ : new RegExp(`^${transport}:$`);
  if (!wanted.test(protocol)) {
    const schemes = transport === undefined ? "http: or https:" : `${transport}:`;
    return `is ${protocol}, must be ${schemes}; connect can bring any other connection`;
  }
  const { username, password } = basicAuth ??
    { username: decoded(url.username), password: decoded(url.password) };
  if (typeof username !== "string" || typeof password !== "string") {
    return "has basicAuth without username and password";
  }
  // RFC 7617 section 2: everything after the first colon would be the password.
  if (username.includes(":")) return "has a user with a colon, must have one without";
  const secure = protocol === "https:";
  return {
    secure,
    hostname: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(port || (secure ? 443 : 80)),
    authorization: basicAuth === undefined && username === "" && password === ""
      ? undefined
      : `Basic ${new TextEncoder().encode(`${username}:${password}`).toBase64()}`,
  };
}

/** The text of a part of a URL. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function text(name: string, value: unknown): string {
  if (typeof value === "string" && value !== "" && !value.includes("\0")) return value;
  return refuse(`${name} is not a text, must be one that is not empty`);
}

function refuse(problem: string): never {
  throw new TypeError(`Cannot set up socket: ${problem}`);
}
