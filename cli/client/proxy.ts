/**
 * The proxy of the client: that of `--proxy`, or of the environment; SOCKS5 (RFC 1928) by a library from npm.
 *
 * @module
 */

import type { Socket } from "node:net";
import { net } from "../../transport/node.ts";
import type { Connect } from "../../mod.ts";
import { parseProxy } from "../../transport/route.ts";
import { proxyVariable } from "../../transport/proxy_environment.ts";
import { causeOf } from "../failure.ts";
import { BadValue, UsageError } from "../flags.ts";
import { fill, type Sentences } from "../sentences.ts";

/** What {@linkcode WebSocket} of the library is to use. */
export interface ProxyOptions {
  unix?: string;
  proxy?: Deno.Proxy;
  connect?: Connect;
}

/** The default port of SOCKS (RFC 1928 section 3). */
const SOCKS_PORT = 1080;

/** Longest wait for a proxy, in milliseconds: as an opening handshake of the library. */
const SOCKS_TIMEOUT_MS = 45_000;

/**
 * Checks the URL of a proxy.
 *
 * @throws {BadValue} If it is of no proxy that can be used.
 */
export function checkProxy(text: string): void {
  if (socksUrl(text) === undefined && typeof parseProxy(text) === "string") {
    throw new BadValue("proxy");
  }
}

/** Hides the user and password of a proxy's URL, even of a malformed one. */
export function withoutCredentials(proxy: string): string {
  return proxy.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, "$1***@");
}

/**
 * The proxy for a URL, for the library's WebSocket.
 *
 * @param given That of `--proxy`, which has been checked.
 * @throws {UsageError} If that of the environment cannot be used.
 */
export function proxyOptions(
  url: URL,
  given: string | undefined,
  sentences: Sentences,
): ProxyOptions {
  const variable = given === undefined ? proxyVariable(url) : undefined;
  const text = given ?? variable?.value;
  if (text === undefined) return {};
  try {
    checkProxy(text);
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    throw new UsageError(fill(sentences.usage.badValue, {
      source: variable!.name,
      value: withoutCredentials(text),
      wanted: sentences.wanted.proxy,
    }));
  }
  const socks = socksUrl(text);
  return socks === undefined ? { proxy: { url: text } } : { connect: throughSocks(socks) };
}

/** The URL of a SOCKS5 proxy. The proxy resolves the server's name with either scheme, as with Deno's own. */
function socksUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  return url !== null && /^socks5h?:$/.test(url.protocol) && url.hostname !== "" ? url : undefined;
}

/** Connects through a SOCKS5 proxy. */
function throughSocks(url: URL): Connect {
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = Number(url.port || SOCKS_PORT);
  const name = `proxy "${url.hostname}:${port}"`;
  const userId = decodeURIComponent(url.username);
  const password = decodeURIComponent(url.password);
  return async ({ hostname, port: targetPort, signal }) => {
    const socket = await connected(host, port, name, signal);
    const abort = () => socket.destroy();
    signal.addEventListener("abort", abort);
    try {
      const { SocksClient } = await import("socks");
      await SocksClient.createConnection({
        proxy: { host, port, type: 5, ...userId && { userId, password } },
        command: "connect",
        destination: { host: hostname, port: targetPort },
        existing_socket: socket,
        timeout: SOCKS_TIMEOUT_MS,
      });
      return socket;
    } catch (error) {
      socket.destroy();
      signal.throwIfAborted();
      // The error of the library holds its options, and so the password.
      throw new Error(`Cannot connect through ${name}: ${causeOf(error)}`);
    } finally {
      signal.removeEventListener("abort", abort);
    }
  };
}

async function connected(
  host: string,
  port: number,
  name: string,
  signal: AbortSignal,
): Promise<Socket> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = net().connect({ host, port, allowHalfOpen: true });
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort);
  socket.on("error", (error) => reject(new Error(`Cannot connect to ${name}: ${causeOf(error)}`)));
  socket.once("connect", resolve);
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
