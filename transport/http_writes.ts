/**
 * How the runtime's HTTP server writes to a socket: what Deno does wrong or slowly there is done by other means.
 *
 * @module
 */

import type { Socket } from "node:net";
import { buffer, net } from "./node.ts";

/** What one write joins at most: with more, a copy would cost more than several pieces. */
const MAX_JOINED = 16 * 1024;

/** What a stream gives its `_writev`. */
interface Piece {
  chunk: string | Uint8Array;
  encoding: BufferEncoding;
}

type Callback = (error?: Error | null) => void;

/** The methods of a socket that are meant for its stream. */
interface Writer {
  write(data: unknown, ...rest: unknown[]): boolean;
  _write(chunk: string | Uint8Array, encoding: string, callback: Callback): void;
  _writev(pieces: Piece[], callback: Callback): void;
}

/**
 * Has a socket write for HTTP, until it changes hands.
 *
 * @returns What gives the socket its own methods back.
 */
export function writeForHttp(socket: Socket): () => void {
  const { write, _write, _writev } = socket;
  Object.assign(socket, { write: writeEncoded, _write: writeUnlessEmpty, _writev: writeJoined });
  return () => void Object.assign(socket, { write, _write, _writev });
}

function ownWriter(): Writer {
  return net().Socket.prototype as unknown as Writer;
}

/** As `write`: Deno would write the Latin-1 of a head as UTF-8. */
function writeEncoded(this: Socket, data: unknown, ...rest: unknown[]): boolean {
  const isChanged = typeof data === "string" && rest[0] === "latin1" && /[^\0-\x7f]/.test(data);
  const bytes = isChanged ? buffer().Buffer.from(data, "latin1") : data;
  return ownWriter().write.call(this, bytes, ...rest);
}

/**
 * As `_write`. The server ends an answer that is not chunked by an empty write when the last part is not written
 * yet. Over TLS, Deno never calls back for one: neither the answer nor its connection would end.
 */
function writeUnlessEmpty(
  this: Socket,
  chunk: string | Uint8Array,
  encoding: string,
  callback: Callback,
): void {
  if (chunk.length === 0) callback();
  else ownWriter()._write.call(this, chunk, encoding, callback);
}

/** As `_writev`: a head and a short body in one piece take a third less than in several. */
function writeJoined(this: Socket, pieces: Piece[], callback: Callback): void {
  const full = pieces.filter(({ chunk }) => chunk.length > 0);
  const length = full.reduce((sum, { chunk }) => sum + chunk.length, 0);
  if (full.length > 1 && length > MAX_JOINED) {
    return ownWriter()._writev.call(this, pieces, callback);
  }
  const { Buffer } = buffer();
  const bytes = full.map(({ chunk, encoding }) =>
    typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk
  );
  const joined = bytes.length === 1 ? bytes[0]! : Buffer.concat(bytes);
  writeUnlessEmpty.call(this, joined, "buffer", callback);
}
