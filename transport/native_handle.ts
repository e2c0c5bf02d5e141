/**
 * Reading and writing by the native handle under a socket of `node:net` or `node:tls`. This is the only
 * file that uses what is nobody's public API. It saves a third of the CPU time of a small message, as no
 * stream, no `Buffer` and no promise is made for it.
 *
 * What is relied on, as seen on Deno 2.9.5 and 2.9.6:
 * - `socket._handle` is a `TCPWrap`, `PipeWrap` or `TLSWrap`. A `TLSWrap` has the handle that reads from the
 *   network as `_nativeTcpHandle`, and takes what that has read by `receive(bytes)`.
 * - `useUserBuffer(buffer)` makes a handle read into `buffer`; `onread` is then called with no argument,
 *   and with the count of bytes, or an error below zero, in `streamBaseState[kReadBytesOrError]`.
 * - A handle keeps the buffer that `useUserBuffer` has given it, and reads no more at once than that holds.
 * - `readStop()` of a `TLSWrap` does not stop the network: that of the handle below it does.
 * - `writeBuffer(request, bytes)` of a `TCPWrap` keeps `bytes` until `request.oncomplete` is called, unless
 *   `streamBaseState[kLastWriteWasAsync]` is 0. A `TLSWrap` copies them, and must not be given the next
 *   before it calls `oncomplete`.
 * - `socket._readableState.ended` is set before the event `end` comes.
 * - `server._listen2` listens before it returns.
 * - `context.addCACert(pem)` of a context of TLS adds an authority to the public ones.
 * - A server that has met a connection for which the process had no file descriptor accepts none after it,
 *   until `listen` of its handle is called once more.
 *
 * {@linkcode proveNativeHandles} checks all of this by a round trip over loopback. Where it fails, the
 * public streams of `stream_connection.ts` take the place of this file.
 *
 * @module
 */

import type { Server, Socket } from "node:net";
import type { SecureContext } from "node:tls";
import { type Connection, fail, type Receiver, tell } from "./connection.ts";
import { buffer, process, util } from "./node.ts";

/** A native stream handle. */
interface Handle {
  onread: (this: Handle, data?: undefined) => void;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  /** Of a `TLSWrap`: the handle that reads from the network, and what takes the bytes it has read. */
  _nativeTcpHandle?: Handle | null;
  receive?(bytes: Uint8Array): void;
  /** The connection that was made of this handle. */
  [OWNER]?: NativeConnection;
}

interface WriteRequest {
  oncomplete(this: WriteRequest, status: number): void;
  [OWNER]?: NativeConnection;
}

interface StreamWrap {
  streamBaseState: Int32Array;
  WriteWrap: new () => WriteRequest;
  kReadBytesOrError: number;
  kLastWriteWasAsync: number;
}

const OWNER = Symbol("owner");

/** `UV_EOF` of libuv: the peer has ended its side. */
const UV_EOF = -4095;

/** What one read takes at most: four TLS records, and all that a loopback socket gives at once. */
const READ_SIZE = 64 * 1024;

/** One buffer for all connections: what is in it is handled before anything else can run. */
const received = new Uint8Array(READ_SIZE);

/** Likewise, for what TLS is yet to decrypt. */
const encrypted = new Uint8Array(READ_SIZE);

let streamWrap: StreamWrap | undefined;

/** The bindings, or nothing where they are missing or have another shape. */
function loadStreamWrap(): StreamWrap | undefined {
  if (streamWrap !== undefined) return streamWrap;
  try {
    const found = process().binding?.("stream_wrap") as Partial<StreamWrap> | undefined;
    const fits = found?.streamBaseState instanceof Int32Array &&
      typeof found.WriteWrap === "function" &&
      Number.isInteger(found.kReadBytesOrError) && Number.isInteger(found.kLastWriteWasAsync);
    if (fits) streamWrap = found as StreamWrap;
  } catch {
    // This runtime has no such bindings.
  }
  return streamWrap;
}

/** The native handle of `socket`, or nothing where it has none that will do. */
function handleOf(socket: Socket): Handle | undefined {
  const handle = (socket as unknown as { _handle?: Handle | null })._handle;
  if (!handle || loadStreamWrap() === undefined) return undefined;
  const source = "receive" in handle ? handle._nativeTcpHandle : handle;
  const fits = source &&
    [handle, source].every((each) =>
      typeof each.useUserBuffer === "function" && typeof each.writeBuffer === "function" &&
      typeof each.readStart === "function" && typeof each.readStop === "function"
    );
  return fits ? handle : undefined;
}

/** A connection over a socket's native handle. */
class NativeConnection implements Connection {
  receiver: Receiver;
  remoteAddr: Deno.Addr;
  readonly #socket: Socket;
  readonly #handle: Handle;
  /** The handle that reads from the network: under TLS the one below. */
  readonly #source: Handle;
  readonly #request: WriteRequest;
  /** What is being written: the native side may read it until the write is done. */
  #writing: Uint8Array | undefined;
  /** Whether the connection is to be ended once the write under way is done. */
  #ending = false;
  /** Whether the handle has been told to read. */
  #started = false;
  /** Whether writing has failed. */
  #broken = false;
  /** What Deno does when the handle below TLS ends or fails. */
  #onSourceEnd: Handle["onread"] | undefined;
  #error: Error | undefined;

  constructor(socket: Socket, handle: Handle, remoteAddr: Deno.Addr, receiver: Receiver) {
    this.#socket = socket;
    this.#handle = handle;
    this.remoteAddr = remoteAddr;
    this.receiver = receiver;
    this.#request = new streamWrap!.WriteWrap();
    this.#request[OWNER] = this;
    this.#request.oncomplete = onWritten;
    handle[OWNER] = this;

    // The stream of a socket that was resumed in this task starts the handle in the next.
    socket._read = ignore;
    handle.readStop();
    handle.useUserBuffer(received);
    handle.onread = onRead;
    this.#source = handle;
    if (handle._nativeTcpHandle) {
      const source = this.#source = handle._nativeTcpHandle;
      this.#onSourceEnd = source.onread;
      source[OWNER] = this;
      source.readStop();
      source.useUserBuffer(encrypted);
      source.onread = onEncrypted;
    }
    socket.on("error", (error: Error) => this.#error ??= error);
    socket.on("close", () => tell(this, (receiver) => receiver.onClose(this.#error)));
  }

  resume(): void {
    if (this.#socket.destroyed) return;
    this.#source.readStart();
    if (this.#started) return;
    this.#started = true;
    // Under TLS, bytes that were decrypted during the handshake come at once.
    if (this.#source !== this.#handle) this.#handle.readStart();
  }

  pause(): void {
    if (!this.#socket.destroyed) this.#source.readStop();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#socket.destroyed || this.#broken) return false;
    this.#writing = bytes;
    const status = this.#handle.writeBuffer(this.#request, bytes);
    if (status !== 0) {
      // Not at once: the owner is in the middle of its work.
      queueMicrotask(() => tell(this, () => this.#break(status)));
      return false;
    }
    if (streamWrap!.streamBaseState[streamWrap!.kLastWriteWasAsync] !== 0) return false;
    this.#writing = undefined;
    return true;
  }

  end(): void {
    if (this.#writing !== undefined) this.#ending = true;
    else this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** The native side has put `count` bytes into the shared buffer, or reports an error below zero. */
  read(count: number): void {
    if (this.#socket.destroyed) return;
    if (count > 0) this.receiver.onBytes(received.subarray(0, count));
    else if (count === UV_EOF) this.receiver.onEnd();
    else if (count < 0) this.#fail(count);
  }

  /** Likewise, of what TLS is yet to decrypt. */
  readEncrypted(count: number): void {
    if (count > 0) this.#handle.receive!(encrypted.subarray(0, count));
    else if (count < 0) this.#onSourceEnd!.call(this.#source, undefined);
  }

  /** A write that was pending has ended. */
  written(status: number): void {
    if (this.#writing === undefined || this.#socket.destroyed) return;
    this.#writing = undefined;
    if (status < 0) return this.#break(status);
    if (this.#ending) this.#socket.end();
    this.receiver.onWritten();
  }

  #fail(status: number): void {
    this.#error ??= lost(status);
    this.#socket.destroy();
  }

  /** Writing has failed; what the peer sent before can still be read. */
  #break(status: number): void {
    if (this.#broken || this.#socket.destroyed) return;
    this.#broken = true;
    this.#error ??= lost(status);
    if (this.#ending) this.#socket.destroy();
    else this.receiver.onBroken();
  }
}

/** A closure in its place would keep what it closes over as long as the socket. */
function ignore(): void {}

/** Says which error of the system a status stands for, such as `ECONNRESET`. */
function lost(status: number): Error {
  const name = util().getSystemErrorName(status) ?? `error ${status}`;
  return new Error(`Connection lost: the network reported ${name}`);
}

function onRead(this: Handle): void {
  const owner = this[OWNER]!;
  try {
    owner.read(streamWrap!.streamBaseState[streamWrap!.kReadBytesOrError]!);
  } catch (error) {
    fail(owner, error);
  }
}

function onEncrypted(this: Handle): void {
  this[OWNER]!.readEncrypted(streamWrap!.streamBaseState[streamWrap!.kReadBytesOrError]!);
}

function onWritten(this: WriteRequest, status: number): void {
  const owner = this[OWNER]!;
  try {
    owner.written(status);
  } catch (error) {
    fail(owner, error);
  }
}

/**
 * Makes a connection of a socket's native handle.
 *
 * @param socket Connected, and under TLS after its handshake; nobody else reads from it.
 * @returns The connection, or `undefined` where the handle is not as expected.
 */
export function nativeConnection(
  socket: Socket,
  remoteAddr: Deno.Addr,
  receiver: Receiver,
): Connection | undefined {
  const handle = handleOf(socket);
  return handle && new NativeConnection(socket, handle, remoteAddr, receiver);
}

/** Whether the stream of a socket has read the end of what the peer sends, also if it has not told yet. */
export function hasReadEnd(socket: Socket): boolean {
  return (socket as unknown as { _readableState?: { ended?: boolean } })._readableState?.ended ===
    true;
}

/** Stops the handle that reads from the network for a socket of TLS, or lets it go on. */
export function holdBelowTls(socket: Socket, isHeld: boolean): void {
  const source = (socket as unknown as { _handle?: Handle | null })._handle?._nativeTcpHandle;
  if (isHeld) source?.readStop();
  else source?.readStart();
}

/**
 * Reads the first bytes of an accepted socket, and not one more than are wanted: what follows stays with the
 * system, for TLS to read.
 *
 * @param wanted How many bytes more are wanted.
 * @param push Takes bytes; returns a number once no more are wanted.
 * @param end Called where no more come.
 * @returns Whether the socket's handle is as expected.
 */
export function readExactly(
  socket: Socket,
  wanted: () => number,
  push: (bytes: Uint8Array) => number | undefined,
  end: () => void,
): boolean {
  const handle = handleOf(socket);
  if (handle === undefined) return false;
  let bytes: Uint8Array;
  const next = () => handle.useUserBuffer(bytes = new Uint8Array(wanted()));
  handle.readStop();
  next();
  handle.onread = () => {
    const count = streamWrap!.streamBaseState[streamWrap!.kReadBytesOrError]!;
    if (count === 0) return;
    if (count > 0 && push(bytes.subarray(0, count)) === undefined) return next();
    handle.readStop();
    if (count < 0) return end();
    readIntoStream(socket, handle);
  };
  handle.readStart();
  return true;
}

/** Has a handle that reads into a buffer of ours give the stream of its socket what comes. */
function readIntoStream(socket: Socket, handle: Handle): void {
  handle.useUserBuffer(encrypted);
  handle.onread = () => {
    const count = streamWrap!.streamBaseState[streamWrap!.kReadBytesOrError]!;
    if (count > 0) {
      // A copy: the buffer is everybody's.
      if (!socket.push(buffer().Buffer.from(encrypted.subarray(0, count)))) handle.readStop();
    } else if (count === UV_EOF) {
      socket.push(null);
      socket.read(0);
    } else if (count < 0) {
      socket.destroy(lost(count));
    }
  };
}

/**
 * Has TLS read from the network into the buffer that all share: Deno takes 64 KiB of new memory for each read. Where
 * {@linkcode readExactly} has read before, the handle goes on with a buffer of ours anyway, which Deno's TLS does
 * not look at.
 */
export function readOn(secured: Socket): void {
  const handle = handleOf(secured);
  const source = handle?._nativeTcpHandle;
  if (!handle || !source) return;
  const { onread } = source;
  source.useUserBuffer(encrypted);
  source.onread = () => {
    const count = streamWrap!.streamBaseState[streamWrap!.kReadBytesOrError]!;
    if (count > 0) handle.receive!(encrypted.subarray(0, count));
    else if (count < 0) onread.call(source, undefined);
  };
}

/** `UV_TCP_REUSEPORT` of libuv. */
const UV_TCP_REUSEPORT = 4;

/**
 * Makes `server` listen before this returns, as `Deno.listen` does and `server.listen` does not.
 *
 * @param address An IP address.
 * @param backlog Most connections that the system holds until they are accepted.
 * @returns Whether it listens now, or has failed; `undefined` where it cannot be done at once.
 */
export function listenAtOnce(
  server: Server,
  address: string,
  port: number,
  reusePort: boolean,
  backlog: number,
): boolean | undefined {
  const { _listen2 } = server as unknown as {
    _listen2?: (
      address: string,
      port: number,
      family: 4 | 6,
      backlog: number,
      fd: undefined,
      flags: number,
    ) => void;
  };
  if (typeof _listen2 !== "function") return undefined;
  const family = address.includes(":") ? 6 : 4;
  const flags = reusePort ? UV_TCP_REUSEPORT : 0;
  _listen2.call(server, address, port, family, backlog, undefined, flags);
  return server.address() !== null;
}

/** Has `server` look for connections that it may have passed over, for want of a file descriptor. */
export function acceptAgain(server: Server, backlog: number): void {
  const { _handle: handle } = server as unknown as {
    _handle?: { listen?: (backlog: number) => number } | null;
  };
  handle?.listen?.(backlog);
}

/**
 * Has a context of TLS trust authorities besides the public ones, which are not read anew for that.
 *
 * @param caCerts The authorities, as PEM.
 * @returns Whether it could be done.
 */
export function addAuthorities(secureContext: SecureContext, caCerts: string[]): boolean {
  const { context } = secureContext as { context?: { addCACert?(pem: string): void } };
  if (typeof context?.addCACert !== "function") return false;
  for (const pem of caCerts) context.addCACert(pem);
  return true;
}
