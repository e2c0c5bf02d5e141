/**
 * A peer that nobody here wrote, over TLS, at either end of a connection whose other end is ours.
 *
 * Each peer is a small program around somebody else's WebSocket library. It gets {@linkcode Orders}
 * and does the same whichever its language: every message is sent back as it came, but for texts
 * that are commands: `!ping data` (answered by a text `pong data` once the Pong has come),
 * `!fragments count text` (a text of `count` fragments), `!invalid` (a text that is not UTF-8),
 * `!close code reason` (1005 for no code) and `!drop` (the connection is cut off). What it learns of
 * the connection it says line by line: `port 12345`, `open extensions`, `closed code reason`.
 *
 * Importing this file needs no permission.
 *
 * @module
 */

import { type CompressionOptions, serve, upgradeWebSocket, WebSocket } from "../../mod.ts";
import { certificatesFolder, developmentCertificates, Program } from "../programs.ts";

/** What a peer asks for: the parameters of RFC 7692 section 7.1, `{}` for none of them. */
export type PeerCompression =
  | false
  | Pick<
    CompressionOptions,
    | "serverNoContextTakeover"
    | "clientNoContextTakeover"
    | "serverMaxWindowBits"
    | "clientMaxWindowBits"
  >;

/** The one argument of a peer's program, as JSON. */
export type Orders =
  & { compression: PeerCompression }
  & (
    | { role: "server"; cert: string; key: string }
    | { role: "client"; url: string; ca: string }
  );

/** A peer's program that runs. */
export interface RunningPeer extends AsyncDisposable {
  /** The next line it says. */
  next(): Promise<string>;
}

/** Somebody else's implementation. */
export interface Peer {
  name: string;
  /** Whether it is missing here. */
  ignore: boolean;
  run(orders: Orders): RunningPeer | Promise<RunningPeer>;
}

/** A program that takes the orders as its last argument. */
export function runProgram(file: string, args: string[], orders: Orders): RunningPeer {
  const program = new Program(file, [...args, JSON.stringify(orders)], { cwd: "/" });
  return {
    async next() {
      try {
        return await program.stdout.next();
      } catch {
        throw new Error(`The peer ended: ${(await program.stderr.all()).join("\n")}`);
      }
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

/** Whether a command exists and succeeds here. To be called with the permission to run. */
export async function succeeds(command: string, args: string[]): Promise<boolean> {
  try {
    const child = new Deno.Command(command, { args, stdout: "null", stderr: "null" });
    return (await child.output()).success;
  } catch {
    return false;
  }
}

/** Whether a browser is here, and what has it trust an authority. */
export async function hasBrowser(file: string): Promise<boolean> {
  return await succeeds(file, ["--version"]) && await succeeds("/usr/bin/which", ["certutil"]);
}

/** How {@linkcode connectTo} connects. */
export interface PairOptions {
  /** The end that is the peer's. */
  role: "server" | "client";
  /** What our end asks for. @default {true} */
  ours?: boolean | CompressionOptions;
  /** What the peer asks for. @default {{}} */
  theirs?: PeerCompression;
  /** Our limit. */
  maxMessageSize?: number;
}

/** A connection between the two. */
export interface Pair extends AsyncDisposable {
  ours: OurEnd;
  /** The value of the response's `Sec-WebSocket-Extensions` as the peer has it. */
  extensions: string;
  wire: Wire;
  /** The next line the peer says. */
  peerSays(): Promise<string>;
}

/** Connects our end with a peer's. */
export async function connectTo(peer: Peer, options: PairOptions): Promise<Pair> {
  const { role, ours: compression = true, theirs = {}, maxMessageSize } = options;
  const ourOptions = { compression, ...(maxMessageSize !== undefined && { maxMessageSize }) };
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await certificatesFolder());
  const { ca, cert, key } = await developmentCertificates();

  let running: RunningPeer;
  let wire: Wire;
  let ours: OurEnd;
  let said: string;
  if (role === "server") {
    const paths = {
      cert: `${folder.path}/certs/server.crt`,
      key: `${folder.path}/certs/server.key`,
    };
    running = stack.use(await peer.run({ role, compression: theirs, ...paths }));
    wire = stack.use(new Wire(Number(/^port (\d+)$/.exec(await running.next())![1])));
    ours = new OurEnd(new WebSocket(wire.url, { caCerts: [ca], ...ourOptions }));
    await ours.opened;
    said = await running.next();
  } else {
    const accepted = Promise.withResolvers<OurEnd>();
    const server = stack.use(
      serve({ hostname: "127.0.0.1", port: 0, cert, key, onListen() {} }, (request) => {
        const { socket, response } = upgradeWebSocket(request, ourOptions);
        accepted.resolve(new OurEnd(socket));
        return response;
      }),
    );
    wire = stack.use(new Wire(server.addr.port));
    const paths = { ca: `${folder.path}/certs/ca.crt` };
    running = stack.use(await peer.run({ role, compression: theirs, url: wire.url, ...paths }));
    said = await running.next();
    ours = await accepted.promise;
  }
  const extensions = /^open ?(.*)$/.exec(said)![1]!;
  stack.defer(async () => void await ours.end());
  const owned = stack.move();
  return {
    ours,
    extensions,
    wire,
    peerSays: () => running.next(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** What a test receives: a message, bytes as a `Uint8Array`. */
export type Received = string | Uint8Array<ArrayBuffer>;

/** Our socket, whose messages are awaited one by one. */
export class OurEnd {
  readonly socket: WebSocket;
  /** Resolves at the `open` event. */
  readonly opened: Promise<void>;
  /** The `error` events so far. */
  readonly errors: string[] = [];
  /** Resolves at the `close` event. */
  readonly closed: Promise<CloseEvent>;
  readonly #arrived: Received[] = [];
  #awaited: PromiseWithResolvers<void> | undefined;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      this.#arrived.push(typeof data === "string" ? data : new Uint8Array(data));
      this.#awaited?.resolve();
    };
    socket.onerror = (event) => this.errors.push((event as ErrorEvent).message);
    this.closed = new Promise((resolve) => socket.onclose = resolve);
    this.opened = new Promise((resolve, reject) => {
      socket.onopen = () => resolve();
      this.closed.then(() => reject(this.#ended()));
    });
    this.opened.catch(() => {});
    this.closed.then(() => this.#awaited?.reject(this.#ended()));
  }

  /** The next message. */
  async next(): Promise<Received> {
    if (this.#arrived.length === 0) {
      if (this.socket.readyState === WebSocket.CLOSED) throw this.#ended();
      this.#awaited = Promise.withResolvers();
      await this.#awaited.promise;
      this.#awaited = undefined;
    }
    return this.#arrived.shift()!;
  }

  /** Sends a message and returns the next. */
  async ask(message: Received): Promise<Received> {
    this.socket.send(message);
    return await this.next();
  }

  /** Closes, and waits for the end. */
  async end(code = 1000, reason = ""): Promise<CloseEvent> {
    this.socket.close(code, reason);
    return await this.closed;
  }

  #ended(): Error {
    return new Error(`The connection ended: ${this.errors.join(", ") || "no error"}`);
  }
}

/** The network between the two ends of one connection: passes everything on, and counts it. */
export class Wire implements AsyncDisposable {
  /** Bytes from the client to the server so far, those of TLS included. */
  up = 0;
  /** Bytes from the server to the client so far. */
  down = 0;
  readonly url: string;
  readonly #listener: Deno.Listener;
  readonly #connections: Deno.Conn[] = [];
  readonly #relaying: Promise<void>;

  constructor(serverPort: number) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.url = `wss://127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}/`;
    this.#relaying = this.#relay(serverPort);
  }

  async #relay(port: number): Promise<void> {
    try {
      const client = await this.#listener.accept();
      this.#connections.push(client);
      const server = await Deno.connect({ hostname: "127.0.0.1", port });
      this.#connections.push(server);
      await Promise.all([
        pass(client, server, (count) => this.up += count),
        pass(server, client, (count) => this.down += count),
      ]);
    } catch {
      // Nobody has connected to the end of the test.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#connections) connection.close();
    await this.#relaying;
  }
}

/** Passes on what comes one way, to its end. */
async function pass(
  from: Deno.Conn,
  to: Deno.Conn,
  count: (bytes: number) => void,
): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  let taken = true;
  for (;;) {
    const read = await from.read(buffer).catch(() => null);
    if (read === null) break;
    count(read);
    // What an end that is gone does not take is read all the same, so that the other end goes on.
    if (taken) taken = await writeAll(to, buffer.subarray(0, read)).then(() => true, () => false);
  }
  await to.closeWrite().catch(() => {});
}

async function writeAll(to: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
}
