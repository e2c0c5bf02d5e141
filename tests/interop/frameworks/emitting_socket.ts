/**
 * A socket of ours for servers that are written for npm's ws: the members that they use of its class.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import type { SendData, WebSocket } from "../../../mod.ts";

/** To be made once the socket is open, as ws gives its sockets. */
export class EmittingSocket extends EventEmitter {
  constructor(readonly socket: WebSocket) {
    super();
    socket.onmessage = ({ data }) =>
      this.emit("message", Buffer.from(data), typeof data !== "string");
    socket.onerror = (event) => this.emit("error", event);
    socket.onclose = ({ code, reason }) => this.emit("close", code, Buffer.from(reason));
  }

  get readyState(): number {
    return this.socket.readyState;
  }

  send(data: SendData, sent?: () => void): void {
    this.socket.send(data);
    if (sent) queueMicrotask(sent);
  }

  close(code?: number, reason?: string): void {
    this.socket.close(code, reason);
  }

  terminate(): void {
    this.socket.terminate();
  }
}
