/**
 * A server, or a proxy, that answered and did not open a WebSocket.
 *
 * @module
 */

import { Failure } from "../failure.ts";

/** The headers of a refusal that tell a person or a program what to do next. */
const TELLING = ["Location", "WWW-Authenticate", "Proxy-Authenticate", "Retry-After"];

/** Statuses of 4xx that ask to try again: the request was too slow, too early, or one of too many. */
const TEMPORARY = [408, 425, 429];

/** An answer that refuses the handshake. */
export class Refusal extends Failure {
  override name = "Refusal";
  constructor(
    message: string,
    readonly status: number,
    readonly headers: Headers,
    /** The start of the response's body. */
    readonly body: string,
  ) {
    super(message);
  }

  /** The headers that tell what to do next, by their names in lower case. */
  get told(): Record<string, string> {
    return Object.fromEntries(TELLING.flatMap((name) => {
      const value = this.headers.get(name);
      return value === null ? [] : [[name.toLowerCase(), value]];
    }));
  }

  /** Whether the same request will be refused again: 3xx, and 4xx but those that ask to wait. */
  get isFinal(): boolean {
    return this.status >= 300 && this.status < 500 && !TEMPORARY.includes(this.status);
  }
}
