/**
 * A TLS connection that accepts any certificate. `Deno.connectTls` can do that for a whole process
 * alone, by a flag; `node:tls` can for one connection.
 *
 * @module
 */

import { connect } from "node:tls";
import type { Connection } from "./connection.ts";

/** Connects without a look at the certificate. */
export async function connectUnverified(
  hostname: string,
  port: number,
  signal: AbortSignal,
): Promise<Connection> {
  const socket = connect({
    host: hostname,
    port,
    rejectUnauthorized: false,
    ALPNProtocols: ["http/1.1"],
    // A server name is a name, never an address (RFC 6066 section 3).
    ...(/^[\d.]+$|:/.test(hostname) ? {} : { servername: hostname }),
  });
  const connected = Promise.withResolvers<void>();
  const abort = () => connected.reject(signal.reason);
  signal.addEventListener("abort", abort);
  socket.once("secureConnect", () => connected.resolve());
  socket.once("error", (error: Error) => connected.reject(error));
  try {
    await connected.promise;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
  // What happens to the stream later is told by the iterator and the write's callback.
  socket.on("error", () => {});
  socket.setNoDelay();

  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  let chunk: Uint8Array = new Uint8Array(0);
  return {
    remoteAddr: {
      transport: "tcp",
      hostname: socket.remoteAddress ?? hostname,
      port: socket.remotePort ?? port,
    },
    async read(into) {
      while (chunk.length === 0) {
        const { value, done } = await chunks.next();
        if (done) return null;
        chunk = value;
      }
      const count = Math.min(into.length, chunk.length);
      into.set(chunk.subarray(0, count));
      chunk = chunk.subarray(count);
      return count;
    },
    write(from) {
      // Copied, as the stream may keep it beyond the callback.
      return new Promise((resolve, reject) => {
        socket.write(from.slice(), (error?: Error | null) => {
          if (error) reject(error);
          else resolve(from.length);
        });
      });
    },
    closeWrite() {
      return new Promise((resolve) => socket.end(() => resolve()));
    },
    close() {
      socket.destroy();
    },
  };
}
