/**
 * What a WebSocket is made of: a client's, which begins to connect, or a server's.
 *
 * @module
 */

import { requireDeno } from "../transport/deno_version.ts";
import { requireNetPermission } from "../transport/net_permission.ts";
import { proxyVariable } from "../transport/proxy_environment.ts";
import { checkedHook } from "./hook.ts";
import { openConnection } from "./opening.ts";
import { type Opening, parseOpening, type ProtocolsOrOptions } from "./opening_options.ts";
import { socketLimits } from "./options.ts";
import { Session } from "./session.ts";

/** The constructor of `WebSocket` takes it in the place of a URL; no program can make one. */
export class SocketParts {
  readonly session: Session;
  readonly url: string;
  /** Of a client: gives up what is being done to connect. */
  readonly abort: ((reason: unknown) => void) | undefined;
  /** Of a server: what its program keeps with the socket. */
  readonly data: unknown;

  constructor(
    session: Session,
    url: string,
    abort: ((reason: unknown) => void) | undefined,
    data?: unknown,
  ) {
    this.session = session;
    this.url = url;
    this.abort = abort;
    this.data = data;
  }

  /**
   * Begins to connect. Nothing is told before the caller's task is done.
   *
   * @throws What the constructor of `WebSocket` throws.
   */
  static connect(url: string | URL, rest: ProtocolsOrOptions): SocketParts {
    requireDeno("open WebSocket");
    const opening = parseOpening(url, rest);
    const limits = socketLimits(opening.given, "client");
    const onFrame = checkedHook("onFrame", opening.given.onFrame);
    if (goesDirectly(opening)) requireNetPermission(opening.url);
    const session = new Session("client", limits, onFrame);
    const dialling = new AbortController();
    void openConnection(session, opening.url, opening.options, dialling);
    return new SocketParts(session, opening.url.href, (reason) => dialling.abort(reason));
  }
}

/** Whether the server's own address is connected to; of any other way, the permission is asked for on it. */
function goesDirectly({ url, options: { route } }: Opening): boolean {
  return route === undefined ? proxyVariable(url) === undefined : route.kind === "direct";
}
