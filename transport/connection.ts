/**
 * The byte stream under a WebSocket, whichever way it was made: bytes are pushed to a
 * {@linkcode Receiver}, and one write at a time goes out.
 *
 * @module
 */

/** What a connection tells its owner. */
export interface Receiver {
  /** Bytes have come. Their memory is used again once this returns: what is kept must be copied. */
  onBytes(bytes: Uint8Array<ArrayBuffer>): void;
  /** The peer has ended its side; no bytes follow. */
  onEnd(): void;
  /** The write that `write` left pending has been taken by the network. */
  onWritten(): void;
  /**
   * Nothing can be written any more, as when the peer has reset the connection. What it sent before still
   * comes, as its last word may be among it; then `onEnd` or `onClose`.
   */
  onBroken(): void;
  /**
   * The connection has ended and its file descriptor is given back. Called once, and last.
   *
   * @param error Why, if it broke.
   */
  onClose(error: Error | undefined): void;
}

/** An established connection, over TCP, TLS or a Unix socket. Bytes come once it is resumed. */
export interface Connection {
  /** The peer's address, or that of the client for whom a trusted proxy speaks. */
  remoteAddr: Deno.Addr;
  /** The owner, which is told what happens; may be replaced while no bytes are expected, as after an opening handshake. */
  receiver: Receiver;
  /** Lets bytes come. */
  resume(): void;
  /** Stops reading from the network. What was read already may still come. */
  pause(): void;
  /**
   * Writes all of `bytes`, which must not change until they are written. Only one write at a time.
   *
   * @returns Whether the network has taken them; otherwise `onWritten` follows.
   */
  write(bytes: Uint8Array): boolean;
  /** Tells the peer that nothing more is written, once what is being written has gone out. */
  end(): void;
  /** Ends the connection at once; what is not written is lost. */
  destroy(): void;
}

/** Calls a receiver of `connection`: its fault must not end the process with all other connections. */
export function tell(connection: Connection, call: (receiver: Receiver) => void): void {
  try {
    call(connection.receiver);
  } catch (error) {
    fail(connection, error);
  }
}

/** Ends a connection whose receiver has a fault, and says so. */
export function fail(connection: Connection, error: unknown): void {
  connection.destroy();
  // Not by reportError(), after which Deno ends the process.
  console.error(error);
}
