/**
 * Modes `reply` and `echo`: each message is answered by one, to the socket that it came from.
 *
 * @module
 */

import { printable } from "../../printable.ts";
import type { Endpoint, Mode, SocketLog } from "./mode.ts";

/** Answers every message. */
export class AnswerMode implements Mode, Endpoint {
  readonly #answer: (data: string | ArrayBuffer) => string | ArrayBuffer;

  /** @param reply The answer, in the type of the message; `undefined` for the message itself. */
  constructor(reply: string | undefined) {
    const bytes = new TextEncoder().encode(reply).buffer;
    this.#answer = reply === undefined
      ? (data) => data
      : (data) => typeof data === "string" ? reply : bytes;
  }

  endpoint(below: string): Endpoint | undefined {
    return below === "" ? this : undefined;
  }

  received(socket: WebSocket, data: string | ArrayBuffer, log: SocketLog): void {
    const answer = this.#answer(data);
    socket.send(answer);
    log("info", "sent", () => ({
      data: printable(typeof answer === "string" ? answer : new Uint8Array(answer)),
    }));
  }

  async close(): Promise<void> {}
}
