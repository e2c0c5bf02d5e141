/**
 * The byte stream under a WebSocket, whichever way it was made.
 *
 * @module
 */

/** What a connection is used as: `Deno.TlsConn` and `Deno.TcpConn` are. */
export interface Connection {
  /** The peer's address. */
  readonly remoteAddr: Deno.Addr;
  /** Reads up to `into.length` bytes; `null` at the end. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes at least one byte of `from`, and tells how many. */
  write(from: Uint8Array): Promise<number>;
  /** Tells the peer that nothing more is written. */
  closeWrite(): Promise<void>;
  close(): void;
}

/** Writes all of `bytes`. */
export async function writeAll(connection: Connection, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += await connection.write(at === 0 ? bytes : bytes.subarray(at));
  }
}

/** Closes; that it is closed already, or broken, is no matter. */
export function closeQuietly(resource: { close(): void }): void {
  try {
    resource.close();
  } catch {
    // Closed already.
  }
}

/** Longest wait for a peer's end after ours, in milliseconds. */
const LINGER_MS = 1000;

/** Most bytes thrown away meanwhile. */
const LINGER_BYTES = 1024 * 1024;

/**
 * Ends a connection so that what was written last arrives: closed at once with unread input, TCP would
 * reset it and the peer lose our words. What the peer still sends is thrown away, within bounds.
 *
 * @param first Whether to end it before the peer does.
 */
export async function lingerAndClose(connection: Connection, first: boolean): Promise<void> {
  const timer = setTimeout(() => closeQuietly(connection), LINGER_MS);
  try {
    if (first) await connection.closeWrite();
    const sink = new Uint8Array(4096);
    for (let count = 0; count < LINGER_BYTES;) {
      const read = await connection.read(sink);
      if (read === null) break;
      count += read;
    }
  } catch {
    // Broken already, or the time is up.
  } finally {
    clearTimeout(timer);
    closeQuietly(connection);
  }
}
