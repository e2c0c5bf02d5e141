/**
 * Reading and writing by the public stream of a socket of `node:net` or `node:tls`: what stands in for
 * `native_handle.ts` where that is not to be had. Over TLS both ends of an echo together take twice the CPU
 * time for messages of 64 bytes and 4 KiB, and three times for 64 KiB; a third of that is {@linkcode belowTls}.
 * A write that fails destroys a stream, with what has come and was not read because of a pause: `onBroken` is
 * never called, and a Close frame that came then is lost.
 *
 * @module
 */

import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type Connection, type Receiver, tell } from "./connection.ts";
import { stream } from "./node.ts";

class StreamConnection implements Connection {
  receiver: Receiver;
  remoteAddr: Deno.Addr;
  readonly #socket: Socket;
  /** The socket that reads from the network: under TLS the one below. */
  readonly #source: Socket;
  #writing = false;
  #ending = false;
  #error: Error | undefined;

  constructor(socket: Socket, source: Socket, remoteAddr: Deno.Addr, receiver: Receiver) {
    this.#socket = socket;
    this.#source = source;
    this.remoteAddr = remoteAddr;
    this.receiver = receiver;
    this.pause();
    // A plain view: the methods of a Buffer are not those of a Uint8Array.
    socket.on(
      "data",
      ({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>) =>
        tell(
          this,
          (receiver) => receiver.onBytes(new Uint8Array(buffer, byteOffset, byteLength)),
        ),
    );
    socket.once("end", () => tell(this, (receiver) => receiver.onEnd()));
    socket.on("error", (error: Error) => this.#error ??= error);
    let open = source === socket ? 1 : 2;
    const closed = () => {
      if (--open === 0) tell(this, (receiver) => receiver.onClose(this.#error));
    };
    socket.once("close", closed);
    if (source !== socket) source.once("close", closed);
  }

  resume(): void {
    this.#socket.resume();
    this.#source.resume();
  }

  pause(): void {
    this.#socket.pause();
    this.#source.pause();
  }

  write(bytes: Uint8Array): boolean {
    this.#writing = true;
    this.#socket.write(bytes, (error?: Error | null) => {
      if (error) return;
      // TLS is done when it has encrypted: the socket below may hold it all yet.
      if (this.#source.writableNeedDrain) this.#source.once("drain", () => this.#written());
      else this.#written();
    });
    return false;
  }

  #written(): void {
    if (this.#socket.destroyed) return;
    this.#writing = false;
    if (this.#ending) this.#socket.end();
    tell(this, (receiver) => receiver.onWritten());
  }

  end(): void {
    if (this.#writing) this.#ending = true;
    else this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
    this.#source.destroy();
  }
}

/**
 * Makes a connection of a socket's public stream.
 *
 * @param socket Connected, and under TLS after its handshake; nobody else reads from it.
 * @param source The socket that reads from the network: `socket` itself, or what {@linkcode belowTls} had.
 */
export function streamConnection(
  socket: Socket,
  source: Socket,
  remoteAddr: Deno.Addr,
  receiver: Receiver,
): Connection {
  return new StreamConnection(socket, source, remoteAddr, receiver);
}

/**
 * What TLS reads from and writes to, in place of the socket itself. Deno's TLS takes a socket's native handle
 * over, reads from it as fast as the peer sends, and holds without bound what nobody takes: `pause()` of either
 * socket only stops delivery. Of a stream that is no socket it takes what it is given, so that
 * `source.pause()` stops the network. The price: where a handshake fails, Deno writes no alert to such a
 * stream, and the peer sees the end of the connection only.
 */
export function belowTls(source: Socket): Duplex {
  const { Duplex } = stream();
  const below = new Duplex({
    allowHalfOpen: true,
    read() {},
    // Without waiting: TLS would not wait either, and its bytes be held once more.
    write(bytes, _encoding, done) {
      source.write(bytes);
      done();
    },
    final: (done) => void source.end(done),
    destroy(error, done) {
      source.destroy();
      done(error);
    },
  });
  source.on("data", (bytes: Uint8Array) => below.push(bytes));
  source.once("end", () => below.push(null));
  source.once("error", (error: Error) => below.destroy(error));
  source.once("close", () => below.destroy());
  source.resume();
  return below;
}
