/**
 * A tunnel through an HTTP proxy: the `CONNECT` request and its answer (RFC 9110 section 9.3.6).
 *
 * @module
 */

import { urlHost } from "../protocol/ip_address.ts";
import type { Socket } from "node:net";
import { formatHead, type HeaderLines, HeadReader, parseResponse } from "../protocol/http.ts";
import type { HttpProxy } from "./route.ts";

/** An answer's head has the bounds of a response's. */
const LIMITS = { maxHeaderBytes: 16 * 1024, maxHeaders: 100 };

/** More interim responses than this are no hints any more. */
const MAX_INTERIM = 10;

/** A proxy did not open a tunnel to the server, which has heard of nothing. */
export class ProxyError extends Error {
  /** Tells it from other errors. */
  override name = "ProxyError";
  /** The status of the proxy's answer: 407 asks for other credentials. */
  readonly status: number;
  /** The headers of its answer. */
  readonly headers: Headers;
  /** Made by the library. */
  constructor(message: string, status: number, headers: Headers) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** The name of a proxy in messages: its credentials are no part of it. */
export function nameOf({ hostname, port }: HttpProxy): string {
  return `proxy "${authority(hostname, port)}"`;
}

function authority(hostname: string, port: number): string {
  return `${urlHost(hostname)}:${port}`;
}

/**
 * Asks a proxy for a tunnel, over a socket that is connected to it. What comes behind its answer is left in
 * the socket.
 *
 * @param target The server; a hostname as URLs have it, without brackets.
 * @param done Called once the tunnel is there, or has failed.
 */
export function requestTunnel(
  socket: Socket,
  proxy: HttpProxy,
  target: { hostname: string; port: number },
  done: (error?: Error) => void,
): void {
  let reader = new HeadReader(LIMITS);
  let interim = 0;
  const finish = (error?: Error) => {
    reader.release();
    socket.off("data", onData);
    done(error);
  };
  const onData = (data: Uint8Array) => {
    try {
      for (let at = 0;;) {
        const taken = reader.push(data.subarray(at));
        if (taken === undefined) return;
        at += taken;
        const { status, headers } = parseResponse(reader.lines(), LIMITS);
        if (status < 200 && status !== 101 && ++interim <= MAX_INTERIM) {
          reader = new HeadReader(LIMITS);
          continue;
        }
        socket.pause();
        if (status < 200 || status > 299) {
          const problem = `proxy answered with status ${status}, must be 200`;
          throw new ProxyError(failure(proxy, problem), status, new Headers(headers));
        }
        if (at < data.length) socket.unshift(data.subarray(at));
        return finish();
      }
    } catch (error) {
      finish(
        error instanceof ProxyError ? error : new Error(failure(proxy, (error as Error).message)),
      );
    }
  };
  socket.on("data", onData);
  const to = authority(target.hostname, target.port);
  const lines: HeaderLines = [["Host", to], ["User-Agent", navigator.userAgent]];
  if (proxy.authorization !== undefined) lines.push(["Proxy-Authorization", proxy.authorization]);
  socket.write(formatHead(`CONNECT ${to} HTTP/1.1`, lines));
}

function failure(proxy: HttpProxy, problem: string): string {
  return `Cannot connect through ${nameOf(proxy)}: ${problem}`;
}
