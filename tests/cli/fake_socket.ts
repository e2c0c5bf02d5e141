/**
 * A `WebSocket` whose peer is the test.
 *
 * @module
 */

/** Records what is done to it; events are given to its handlers by hand. */
export class FakeSocket {
  binaryType = "blob";
  readyState: number = WebSocket.OPEN;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  onclose: ((event: { code: number; reason: string; wasClean: boolean }) => void) | null = null;
  /** What was sent. */
  readonly sent: unknown[] = [];
  /** The codes it was closed with. */
  readonly closes: (number | undefined)[] = [];
  /** Thrown by `send`. */
  failure: Error | undefined;

  /** Itself, for the code under test. */
  get asWebSocket(): WebSocket {
    return this as unknown as WebSocket;
  }

  send(data: unknown): void {
    if (this.failure !== undefined) throw this.failure;
    this.sent.push(data);
  }

  close(code?: number): void {
    this.closes.push(code);
  }

  /** The peer's message. */
  receive(data: string | Uint8Array<ArrayBuffer>): void {
    this.onmessage?.({ data: typeof data === "string" ? data : data.buffer });
  }

  /** The end of the connection. */
  end(code: number, reason = "", wasClean = true): void {
    this.readyState = WebSocket.CLOSED;
    this.onclose?.({ code, reason, wasClean });
  }
}
