/**
 * A stand-in for `WebSocket`, driven by the test.
 *
 * @module
 */

/** Records the calls it gets; the test calls its event handlers. */
export class FakeSocket {
  binaryType = "blob";
  bufferedAmount = 0;
  readyState: number = WebSocket.OPEN;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  onclose: ((event: { code: number; reason: string; wasClean: boolean }) => void) | null = null;
  /** What was sent. */
  readonly sent: unknown[] = [];
  /** The codes it was closed with. */
  readonly closes: (number | undefined)[] = [];
  /** If set, `send` throws it. */
  failure: Error | undefined;

  /** This object under the type that the code under test wants. */
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

  /** A message from the peer arrives. */
  receive(data: string | Uint8Array<ArrayBuffer>): void {
    this.onmessage?.({ data: typeof data === "string" ? data : data.buffer });
  }

  /** The connection ends. */
  end(code: number, reason = "", wasClean = true): void {
    this.readyState = WebSocket.CLOSED;
    this.onclose?.({ code, reason, wasClean });
  }
}
