/**
 * The programs run as their users run them: as processes, with the permissions of the tasks, spoken to
 * over the network, read line by line.
 *
 * Importing this file needs no permission.
 *
 * @module
 */

import {
  type DevelopmentCertificates,
  generateCertificates,
  type GenerateOptions,
  writeCertificates,
} from "../certs/generate.ts";
import type { Output } from "../cli/output.ts";
import config from "../deno.json" with { type: "json" };

/** An implementation of WebSocket that both programs can run on. */
export interface Transport {
  name: string;
  /** The flags that choose it. */
  flags: string[];
  /** The task whose client accepts any certificate by `--insecure`. */
  insecure: Task;
}

/** Every transport. */
export const TRANSPORTS: Transport[] = [
  { name: "compressing", flags: ["--compression=on"], insecure: "client" },
  { name: "runtime", flags: ["--compression=off"], insecure: "client:insecure" },
];

/** A test of a program on every transport, or on those that `filter` admits. */
export function onEachTransport(
  name: string,
  body: (transport: Transport) => Promise<void>,
  filter: (transport: Transport) => boolean = () => true,
): void {
  for (const transport of TRANSPORTS) {
    Deno.test({
      name: `${name} [${transport.name}]`,
      ignore: !RUNNABLE || !filter(transport),
      fn: () => body(transport),
    });
  }
}

/** A test of a program that the transport has no part in. */
export function once(name: string, body: () => Promise<void>): void {
  Deno.test({ name, ignore: !RUNNABLE, fn: body });
}

/** Whether all of these permissions are granted in full. */
export async function granted(...names: Deno.PermissionName[]): Promise<boolean> {
  const states = await Promise.all(names.map((name) => Deno.permissions.query({ name })));
  return states.every(({ state }) => state === "granted");
}

/** Whether programs can be run here: their tests are to be ignored where not. */
export const RUNNABLE: boolean = await granted("run", "read", "write", "env");

/** A program that takes longer is stuck, and killed so that its test fails instead of hanging. */
const LIMIT_MS = 30_000;

/** A task of `deno.json`. */
export type Task = keyof typeof config.tasks;

/** The path of a file of the project. */
export function projectPath(file: string): string {
  return decodeURIComponent(new URL(`../${file}`, import.meta.url).pathname);
}

/** Files of the project that programs read: the server's own code, for its workers, and an example's page. */
const OWN_FILES = [
  "cli",
  "examples/app/static",
  "examples/chat",
  "mod.ts",
  "nats.ts",
  "page",
  "protocol",
  "redis.ts",
  "server",
  "topics",
  "topics.ts",
  "transport",
  "websocket",
];

/** The arguments to Deno of a task's command, such that they work from any folder. */
export function commandOf(task: Task): string[] {
  const command = config.tasks[task].command.replace(/^.*\bdeno /, "");
  const [subcommand, ...words] = command.split(" ");
  const located = words.map((word) => {
    const [flag, paths] = word.split("=");
    if (flag === "--config") return `${flag}=${projectPath(paths!)}`;
    if (flag !== "--allow-read" || paths === undefined) {
      return word.endsWith(".ts") ? projectPath(word) : word;
    }
    return `${flag}=${
      paths.split(",").map((path) => OWN_FILES.includes(path) ? projectPath(path) : path)
    }`;
  });
  if (command.includes("--config=")) return [subcommand!, ...located];
  const file = task.startsWith("example:") ? "examples/deno.json" : "deno.json";
  return [subcommand!, `--config=${projectPath(file)}`, ...located];
}

/** The flags of V8 that a task's command sets. */
export function v8FlagsOf(task: Task): string {
  return config.tasks[task].command.split(" ").find((word) => word.startsWith("--v8-flags="))!;
}

/** The environment that a task's command sets. */
export function variablesOf(task: Task): Record<string, string> {
  const words = config.tasks[task].command.split(" ");
  return Object.fromEntries(words.slice(0, words.indexOf("deno")).map((word) => word.split("=")));
}

/** Reads a stream line by line. */
export class Lines {
  /** Every line read, and behind the last line end, what is left. */
  readonly #lines: string[] = [];
  readonly #reader: ReadableStreamDefaultReader<string>;
  #taken = 0;
  #rest = "";

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.#reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Every line, from the first, once the stream has ended. */
  async all(): Promise<string[]> {
    while (await this.#read());
    return this.#rest === "" ? this.#lines : [...this.#lines, `${this.#rest}<no line end>`];
  }

  /** The next line. */
  async next(): Promise<string> {
    while (this.#taken === this.#lines.length) {
      if (!await this.#read()) throw new Error(`No further line after: ${this.#lines.join("\n")}`);
    }
    return this.#lines[this.#taken++]!;
  }

  /** The next line that matches. */
  async match(pattern: RegExp): Promise<string> {
    for (;;) {
      const line = await this.next();
      if (pattern.test(line)) return line;
    }
  }

  /** Leaves, as a pipe's reader does that has seen enough. */
  async close(): Promise<void> {
    await this.#reader.cancel();
  }

  async #read(): Promise<boolean> {
    const { done, value } = await this.#reader.read();
    if (done) return false;
    const parts = (this.#rest + value).split("\n");
    this.#rest = parts.pop()!;
    this.#lines.push(...parts);
    return true;
  }
}

/** How a program ended, and everything it wrote. */
export interface Ending {
  code: number;
  stdout: string[];
  stderr: string[];
}

/** Where and with what variables a program runs. */
export interface RunOptions {
  /** The current folder. */
  cwd: string;
  /** Variables besides those of the tests, of which `WSS_*` and those of proxies are left out. */
  env?: Record<string, string>;
  /** What it gets as standard input, which then ends; by default there is none. */
  input?: string | Uint8Array<ArrayBuffer>;
  /** How long it may take, in milliseconds, where that is longer than usual. */
  limitMs?: number;
  /** Whether it is a shell, whose own programs are killed with it. */
  isShell?: boolean;
}

/** The variables of the tests that programs get: those but `WSS_*` and the proxies'. */
export function inheritedVariables(): Record<string, string> {
  const all = Object.entries(Deno.env.toObject());
  return Object.fromEntries(
    all.filter(([name]) => !name.startsWith("WSS_") && !/_proxy$/i.test(name)),
  );
}

/** A program that runs. */
export class Program implements AsyncDisposable {
  readonly stdout: Lines;
  readonly stderr: Lines;
  readonly #child: Deno.ChildProcess;
  readonly #watchdog: ReturnType<typeof setTimeout>;
  readonly #isShell: boolean;
  #ended = false;

  constructor(file: string, args: string[], options: RunOptions) {
    const { cwd, env = {}, input, limitMs = LIMIT_MS, isShell = false } = options;
    this.#isShell = isShell;
    this.#child = new Deno.Command(file, {
      args,
      cwd,
      clearEnv: true,
      env: { ...inheritedVariables(), NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...env },
      stdin: input === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
      detached: isShell,
    }).spawn();
    if (input !== undefined) void feed(this.#child.stdin, input);
    this.stdout = new Lines(this.#child.stdout);
    this.stderr = new Lines(this.#child.stderr);
    this.#watchdog = setTimeout(() => this.#killAll(), limitMs);
    this.#child.status.then(() => {
      this.#ended = true;
      clearTimeout(this.#watchdog);
    });
  }

  /** Runs Deno by a task's command, with further arguments. */
  static task(task: Task, args: string[], options: RunOptions): Program {
    const env = { ...variablesOf(task), ...options.env };
    return new Program(Deno.execPath(), [...commandOf(task), ...args], { ...options, env });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Sends a signal. */
  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Waits for the end. */
  async end(): Promise<Ending> {
    const [{ code, signal }, stdout, stderr] = await Promise.all([
      this.#child.status,
      this.stdout.all(),
      this.stderr.all(),
    ]);
    if (signal === "SIGKILL") {
      throw new Error(`Stuck, and killed, after: ${[...stdout, ...stderr].join("\n")}`);
    }
    return { code, stdout, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#killAll();
    await this.#child.status;
    await Promise.all([this.stdout.close(), this.stderr.close()]);
  }

  #killAll(): void {
    try {
      if (this.#isShell) Deno.kill(-this.pid, "SIGKILL");
      else if (!this.#ended) this.#child.kill("SIGKILL");
    } catch (error) {
      // It ended in this very moment, and has not told yet; or no program of the shell is left.
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** Writes all of a program's standard input, unless the program ends first. */
async function feed(
  stdin: WritableStream<Uint8Array<ArrayBuffer>>,
  input: string | Uint8Array<ArrayBuffer>,
): Promise<void> {
  const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
  await ReadableStream.from([bytes]).pipeTo(stdin).catch(() => {});
}

/**
 * Runs a command of a shell on a terminal of its own, 80 columns wide, by `script` of util-linux.
 *
 * @returns The exit code, and what the terminal got.
 */
export async function onTerminal(
  command: string,
  { cwd, env = {} }: RunOptions,
): Promise<{ code: number; lines: string[] }> {
  const { code, stdout } = await new Deno.Command("timeout", {
    args: ["30", "script", "-qec", command, "/dev/null"],
    cwd,
    clearEnv: true,
    env: { ...inheritedVariables(), NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...env },
    stdin: "null",
  }).output();
  return { code, lines: new TextDecoder().decode(stdout).trimEnd().split("\r\n") };
}

/** A task's command as words of a shell, with further arguments. */
export function shellCommandOf(task: Task, args: string[]): string {
  return [Deno.execPath(), ...commandOf(task), ...args]
    .map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}

/** Runs a task's program to its end. */
export async function run(task: Task, args: string[], options: RunOptions): Promise<Ending> {
  await using program = Program.task(task, args, options);
  return await program.end();
}

/** Runs a program's `main` in this process: the same lines and code, without a process to wait for. */
export async function runHere(main: (output: Output) => Promise<number>): Promise<Ending> {
  const stdout: string[] = [];
  const stderr: string[] = [];
  const code = await main({
    out: (line) => void stdout.push(line),
    err: (line) => void stderr.push(line),
  });
  return { code, stdout, stderr };
}

/** A server that listens on a port of its own. */
export interface RunningServer {
  program: Program;
  port: number;
}

/** Starts `server.ts` on a free port of 127.0.0.1 and waits until it listens. */
export async function startServer(
  args: string[],
  options: RunOptions,
  task: Task = "serve",
): Promise<RunningServer & AsyncDisposable> {
  const program = Program.task(task, ["--host=127.0.0.1", "--port=0", ...args], options);
  try {
    const port = await listeningPort(program);
    return { program, port, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}

/** The port in a server's first line, in either language and format, or in an example's URL. */
export async function listeningPort({ stdout, stderr }: Program): Promise<number> {
  const line = await stdout.next().catch(async () => {
    throw new Error(`The server did not start: ${(await stderr.all()).join("\n")}`);
  });
  const [, named, inUrl] = /(?:porta|port) (\d+)|:(\d+)\/$/.exec(line)!;
  return Number(named ?? inUrl);
}

/** Asks a server to stop, and returns all it has written. */
export async function stop({ program }: RunningServer): Promise<Ending> {
  program.kill("SIGTERM");
  return await program.end();
}

/** A folder that is removed after the test. */
export class Folder implements AsyncDisposable {
  readonly path: string;
  constructor() {
    // The real path: permissions are checked against what links point to.
    this.path = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "wss-test-" }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** Whether a file's mode keeps the current user from reading it: not so for root, nor on Windows. */
export function modesBind(): boolean {
  const file = Deno.makeTempFileSync({ prefix: "wss-test-" });
  try {
    Deno.chmodSync(file, 0o000);
    Deno.readFileSync(file);
    return false;
  } catch {
    return true;
  } finally {
    Deno.removeSync(file);
  }
}

/**
 * The project as a fresh clone has it, in a folder of another name.
 *
 * @param without Folders that are left out, as no program needs them.
 */
export async function freshClone(without = ["tests", "bench"]): Promise<Folder> {
  const folder = new Folder();
  const copy = async (path: string) => {
    for await (const { name, isDirectory } of Deno.readDir(projectPath(path))) {
      const below = path + name;
      if (without.includes(below)) continue;
      if (/^(\.git|dist|node_modules|certs\/(?!generate\.ts).*)$/.test(below)) continue;
      if (isDirectory) {
        await Deno.mkdir(`${folder.path}/${below}`);
        await copy(`${below}/`);
      } else {
        await Deno.copyFile(projectPath(below), `${folder.path}/${below}`);
      }
    }
  };
  await copy("");
  return folder;
}

/** Where Deno keeps what it has downloaded, so that a new home does not download it again. */
export async function denoDir(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).denoDir;
}

let development: Promise<DevelopmentCertificates> | undefined;

/** Development certificates as the project makes them; always the same. */
export function developmentCertificates(): Promise<DevelopmentCertificates> {
  return development ??= generateCertificates();
}

/** A folder for the programs to run in, with certificates in its `certs/`. */
export async function certificatesFolder(made?: DevelopmentCertificates): Promise<Folder> {
  const folder = new Folder();
  await writeCertificates(`${folder.path}/certs`, made ?? await developmentCertificates());
  return folder;
}

/** For {@linkcode brought}. */
interface BroughtOptions {
  /** What the certificate is valid for. */
  names?: NonNullable<GenerateOptions["hosts"]>;
  /** Valid from, in days from now. */
  from?: number;
  /** Valid to, in days from now. */
  to?: number;
  /** Whether the authority itself is the server's certificate, as `openssl req -x509` has it. */
  selfSigned?: boolean;
  /** Whether another key than the authority's has signed it. */
  forged?: boolean;
  /** What it is for, as an object identifier; by default it does not say. */
  usage?: string;
}

/** A certificate as a user may bring it, made by some other tool: its authority, itself, its key. */
export async function brought(options: BroughtOptions = {}): Promise<DevelopmentCertificates> {
  const {
    names = ["localhost", "127.0.0.1"],
    from = -2,
    to = 90,
    selfSigned = false,
    forged = false,
    usage,
  } = options;
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const signingAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const day = 24 * 60 * 60 * 1000;
  const [authority, server] = await Promise.all(
    [0, 1].map(() => crypto.subtle.generateKey(signingAlgorithm, true, ["sign", "verify"])),
  );
  const subjectNames = new x509.SubjectAlternativeNameExtension(names.map((value) => ({
    type: /^[\d.]+$/.test(value) ? "ip" as const : "dns" as const,
    value,
  })));
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=Somebody else",
    notBefore: new Date(Date.now() - 10 * day),
    notAfter: new Date(Date.now() + 90 * day),
    signingAlgorithm,
    keys: authority!,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true), subjectNames],
  });
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: "02",
    subject: "CN=a server",
    issuer: ca.subject,
    notBefore: new Date(Date.now() + from * day),
    notAfter: new Date(Date.now() + to * day),
    signingAlgorithm,
    publicKey: server!.publicKey,
    signingKey: (forged ? server! : authority!).privateKey,
    extensions: [
      subjectNames,
      ...(usage === undefined ? [] : [new x509.ExtendedKeyUsageExtension([usage])]),
    ],
  });
  const key = await crypto.subtle.exportKey(
    "pkcs8",
    (selfSigned ? authority! : server!).privateKey,
  );
  return {
    ca: ca.toString("pem"),
    cert: (selfSigned ? ca : cert).toString("pem"),
    key: x509.PemConverter.encode(key, "PRIVATE KEY"),
  };
}

/** A frame as it came over the wire, if its payload has fewer than 126 bytes. */
export interface WireFrame {
  fin: boolean;
  rsv1: boolean;
  opcode: number;
  payload: Uint8Array<ArrayBuffer>;
}

/** The head and body of an HTTP response. */
export interface WireResponse {
  status: number;
  headers: Headers;
  body: string;
}

/** The other side ended the connection before it sent what was awaited. */
class ConnectionEnded extends Error {
  override name = "ConnectionEnded";
}

/** A TLS connection spoken to in bytes: a peer that does only what its test says. */
export class RawPeer implements Disposable {
  readonly #connection: Deno.TlsConn;
  #buffer = new Uint8Array();
  #closed = false;

  /** Speaks over `connection`, and closes it in the end. */
  constructor(connection: Deno.TlsConn) {
    this.#connection = connection;
  }

  /** Connects to a server on this machine that has the development certificate. */
  static async connect(port: number, hostname = "127.0.0.1"): Promise<RawPeer> {
    const { ca } = await developmentCertificates();
    const connection = await Deno.connectTls({ hostname, port, caCerts: [ca] });
    try {
      // What is connected to may yet be a listener about to close.
      await connection.handshake();
      return new RawPeer(connection);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Connects and completes the opening handshake. */
  static async upgraded(port: number, path = "/ws"): Promise<RawPeer> {
    const peer = await RawPeer.connect(port);
    const { status } = await peer.request(handshake(path));
    if (status === 101) return peer;
    peer.close();
    throw new Error(`Not upgraded: ${status}`);
  }

  /** Sends a request and reads the response, with a body as long as it says. */
  async request(text: string): Promise<WireResponse> {
    await this.write(text);
    const [first, headers] = await this.#readHead();
    const body = text.startsWith("HEAD ") ? "" : await this.#readBody(headers);
    return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(first!)![1]), headers, body };
  }

  /** As a server, reads the head of a request. */
  async readRequest(): Promise<Headers> {
    return (await this.#readHead())[1];
  }

  /** As a server, completes the opening handshake of a client (RFC 6455 section 4.2.2). */
  async accept(): Promise<Headers> {
    const headers = await this.readRequest();
    const key = headers.get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const hash = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(key));
    await this.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${new Uint8Array(hash).toBase64()}\r\n\r\n`,
    );
    return headers;
  }

  /** Reads one frame, unmasked if it is masked. */
  async readFrame(): Promise<WireFrame> {
    const [first, second] = await this.#take(2);
    const length = second! & 0x7f;
    if (length >= 126) throw new Error("Unexpected frame of 126 bytes or more");
    const mask = (second! & 0x80) === 0 ? new Uint8Array(4) : await this.#take(4);
    return {
      fin: (first! & 0x80) !== 0,
      rsv1: (first! & 0x40) !== 0,
      opcode: first! & 0x0f,
      payload: (await this.#take(length)).map((byte, index) => byte ^ mask[index % 4]!),
    };
  }

  /** Reads until the server ends the connection. */
  async readToEnd(): Promise<void> {
    while (await this.#read());
  }

  /** Writes all of `data`. */
  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    for (let written = 0; written < bytes.length;) {
      written += await this.#connection.write(bytes.subarray(written));
    }
  }

  /** Ends the connection, if it has not ended. */
  close(): void {
    if (!this.#closed) this.#connection.close();
    this.#closed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Reads to the end of `mark`. */
  async #readUntil(mark: string): Promise<string> {
    let text = "";
    while (!text.endsWith(mark)) text += new TextDecoder().decode(await this.#take(1));
    return text;
  }

  async #readBody(headers: Headers): Promise<string> {
    const decoder = new TextDecoder();
    if (headers.get("Transfer-Encoding") !== "chunked") {
      return decoder.decode(await this.#take(Number(headers.get("Content-Length") ?? 0)));
    }
    let body = "";
    for (;;) {
      const length = Number.parseInt(await this.#readUntil("\r\n"), 16);
      body += decoder.decode(await this.#take(length));
      await this.#take(2);
      if (length === 0) return body;
    }
  }

  async #readHead(): Promise<[first: string, headers: Headers]> {
    const head = await this.#readUntil("\r\n\r\n");
    const [first, ...fields] = head.trimEnd().split("\r\n");
    const headers = new Headers(fields.map((field) => {
      const colon = field.indexOf(":");
      return [field.slice(0, colon), field.slice(colon + 1).trim()];
    }));
    return [first!, headers];
  }

  async #take(length: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#buffer.length < length) {
      if (!await this.#read()) throw new ConnectionEnded();
    }
    const taken = this.#buffer.slice(0, length);
    this.#buffer = this.#buffer.slice(length);
    return taken;
  }

  async #read(): Promise<boolean> {
    const chunk = new Uint8Array(4096);
    try {
      const read = await this.#connection.read(chunk);
      if (read === null) return false;
      this.#buffer = new Uint8Array([...this.#buffer, ...chunk.subarray(0, read)]);
      return true;
    } catch (error) {
      // A process that has gone does not say goodbye in TLS.
      const cut = error instanceof Deno.errors.UnexpectedEof ||
        error instanceof Deno.errors.ConnectionReset;
      if (cut) return false;
      throw error;
    }
  }
}

/** The opening handshake of RFC 6455 section 1.2, with the given headers changed; `null` leaves one out. */
export function handshake(path: string, changes: Record<string, string | null> = {}): string {
  const headers: Record<string, string | null> = {
    Host: "127.0.0.1",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    ...changes,
  };
  const fields = Object.entries(headers).filter(([, value]) => value !== null);
  return `GET ${path} HTTP/1.1\r\n${
    fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")
  }\r\n`;
}

/** A client's frame of fewer than 126 bytes, masked with zeros, which leave the payload as it is. */
export function clientFrame(opcode: number, payload: Uint8Array): Uint8Array {
  return new Uint8Array([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0, ...payload]);
}

/** Opcodes of RFC 6455 section 5.2. */
export const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** A built-in `WebSocket` that trusts the development authority, opened. */
export class Peer implements AsyncDisposable {
  readonly socket: WebSocket;
  /** How the connection ended. */
  readonly closed: Promise<CloseEvent>;
  readonly #client: Deno.HttpClient;
  readonly #arrived: (string | Uint8Array)[] = [];
  #awaited = Promise.withResolvers<void>();

  private constructor(socket: WebSocket, client: Deno.HttpClient) {
    this.socket = socket;
    this.#client = client;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      this.#arrived.push(typeof data === "string" ? data : new Uint8Array(data));
      this.#awaited.resolve();
    };
    this.closed = new Promise((resolve) => socket.onclose = resolve);
  }

  /** Connects, and waits until the connection is open. */
  static async open(url: string, headers: Record<string, string> = {}): Promise<Peer> {
    const client = Deno.createHttpClient({ caCerts: [(await developmentCertificates()).ca] });
    const peer = new Peer(new WebSocket(url, { headers, client }), client);
    const opened = Promise.withResolvers<void>();
    peer.socket.onopen = () => opened.resolve();
    peer.socket.onerror = (event) => opened.reject(new Error((event as ErrorEvent).message));
    try {
      await opened.promise;
    } catch (error) {
      client.close();
      throw error;
    }
    return peer;
  }

  /** The next message. */
  async next(): Promise<string | Uint8Array> {
    while (this.#arrived.length === 0) {
      await this.#awaited.promise;
      this.#awaited = Promise.withResolvers();
    }
    return this.#arrived.shift()!;
  }

  /** Sends a message and returns its answer. */
  async ask(message: string | Uint8Array<ArrayBuffer>): Promise<string | Uint8Array> {
    this.socket.send(message);
    return await this.next();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.close();
    await this.closed;
    this.#client.close();
  }
}

/** Says something until a peer hears it, and returns that: its server may not have taken that peer in yet. */
export async function heard(say: () => void, peer: Peer): Promise<string | Uint8Array> {
  say();
  const timer = setInterval(say, 50);
  try {
    return await peer.next();
  } finally {
    clearInterval(timer);
  }
}

/** A server that a test's client connects to. */
export interface LocalServer extends AsyncDisposable {
  port: number;
}

/** An HTTP server on 127.0.0.1, over TLS with the development certificate or the one given. */
export async function serveHttp(
  handler: (request: Request) => Response | Promise<Response>,
  pair?: { cert: string; key: string },
): Promise<LocalServer> {
  const { cert, key } = pair ?? await developmentCertificates();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, cert, key, onListen() {} },
    handler,
  );
  const { port } = server.addr;
  return { port, [Symbol.asyncDispose]: () => server.shutdown() };
}

/** A WebSocket server that does to each connection what its test says. */
export function serveWebSocket(
  serve: (socket: WebSocket, request: Request) => void,
  options: Deno.UpgradeWebSocketOptions = {},
): Promise<LocalServer> {
  return serveHttp((request) => {
    if (request.headers.get("Upgrade") !== "websocket") {
      return new Response("a WebSocket server", { status: 426 });
    }
    const { socket, response } = Deno.upgradeWebSocket(request, options);
    serve(socket, request);
    return response;
  });
}

/** A TLS server on 127.0.0.1 that does to each connection, byte by byte, what its test says. */
export async function serveRaw(serve: (peer: RawPeer) => Promise<void>): Promise<LocalServer> {
  const { cert, key } = await developmentCertificates();
  const listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key });
  const served: Promise<unknown>[] = [];
  const accepting = (async () => {
    for await (const connection of listener) {
      const peer = new RawPeer(connection);
      served.push(
        serve(peer)
          // A client may dial twice, and leave the second connection unused.
          .catch((error) => error instanceof ConnectionEnded ? undefined : error)
          .finally(() => peer[Symbol.dispose]()),
      );
    }
  })();
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      for (const error of await Promise.all(served)) if (error !== undefined) throw error;
    },
  };
}

/** A port that nobody listens on, of 127.0.0.1 nor of ::1: `localhost` is both. */
export function freePort(): number {
  for (;;) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    if (isFree("::1", port)) return port;
  }
}

function isFree(hostname: string, port: number): boolean {
  try {
    using _ = Deno.listen({ hostname, port });
    return true;
  } catch (error) {
    // Any other error is that of a machine without IPv6.
    return !(error instanceof Deno.errors.AddrInUse);
  }
}
