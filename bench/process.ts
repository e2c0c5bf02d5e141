/**
 * Processes: started, bound to a CPU, and stopped.
 *
 * @module
 */

import { lines } from "./lines.ts";

/** The path of a file of the project. */
export function projectPath(file: string): string {
  return decodeURIComponent(new URL(`../${file}`, import.meta.url).pathname);
}

/** Processes that run, to be stopped when the bench is. */
const running = new Set<Deno.ChildProcess>();

/** Stops all processes that still run. */
export function stopAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

function spawn(command: string[], options: Deno.CommandOptions): Deno.ChildProcess {
  const [file, ...args] = command;
  const child = new Deno.Command(file!, { args, stdin: "null", ...options }).spawn();
  running.add(child);
  void child.status.then(() => running.delete(child));
  return child;
}

/**
 * Runs a command to its end and returns what it wrote.
 *
 * @throws {Error} With the last line of what it complained of, if it fails or takes too long.
 */
export async function capture(
  command: string[],
  env: Record<string, string> = {},
  limit = 120_000,
): Promise<string> {
  const child = spawn(command, { env, stdout: "piped", stderr: "piped" });
  const watchdog = setTimeout(() => child.kill("SIGKILL"), limit);
  const { success, signal, stdout, stderr } = await child.output();
  clearTimeout(watchdog);
  if (success) return new TextDecoder().decode(stdout).trim();
  // deno-lint-ignore no-control-regex -- Colours, which `FORCE_COLOR` asks for.
  const complaint = new TextDecoder().decode(stderr).replaceAll(/\x1b\[[\d;]*m/g, "").trim();
  const error = /^error: .*/m.exec(complaint)?.[0] ?? complaint.split("\n").at(-1);
  throw new Error(signal === "SIGKILL" ? `${command[0]} took over ${limit} ms` : error);
}

/** Longest wait for a server to listen, in milliseconds. */
const START_LIMIT = 30_000;

/** A server that listens. */
export class ServerProcess implements AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  readonly #child: Deno.ChildProcess;
  readonly #output: AsyncGenerator<string>;

  private constructor(child: Deno.ChildProcess, output: AsyncGenerator<string>, port: number) {
    this.#child = child;
    this.#output = output;
    this.pid = child.pid;
    this.port = port;
  }

  /** Starts a server and waits for the line that names its port. */
  static async start(command: string[]): Promise<ServerProcess> {
    const child = spawn(command, { stdout: "piped", stderr: "inherit" });
    const watchdog = setTimeout(() => child.kill("SIGKILL"), START_LIMIT);
    const output = lines(child.stdout);
    const { value } = await output.next();
    clearTimeout(watchdog);
    const port = Number(/^port (\d+)$/.exec(value ?? "")?.[1]);
    const server = new ServerProcess(child, output, port);
    if (port > 0) return server;
    await server[Symbol.asyncDispose]();
    throw new Error(`Cannot start ${command.join(" ")}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (running.has(this.#child)) this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#output.return(undefined);
  }
}

/** A process of the bench that is spoken to in lines. */
export class Helper implements AsyncDisposable {
  readonly pid: number;
  readonly #name: string;
  readonly #child: Deno.ChildProcess;
  readonly #output: AsyncGenerator<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #watchdog: ReturnType<typeof setTimeout>;

  /**
   * @param command What is run.
   * @param limit Longest time that it may take, in milliseconds.
   */
  constructor(command: string[], limit: number) {
    this.#name = command.find((word) => /\.ts$/.test(word)) ?? command[0]!;
    this.#child = spawn(command, { stdin: "piped", stdout: "piped", stderr: "inherit" });
    this.pid = this.#child.pid;
    this.#output = lines(this.#child.stdout);
    this.#input = this.#child.stdin.getWriter();
    this.#watchdog = setTimeout(() => this.#child.kill("SIGKILL"), limit);
    void this.#child.status.then(() => clearTimeout(this.#watchdog));
  }

  /** The next line, which may have to be a certain one. */
  async line(wanted?: string): Promise<string> {
    const { value } = await this.#output.next();
    if (value !== undefined && (wanted === undefined || value === wanted)) return value;
    throw new Error(`Cannot measure: ${this.#name} ended, or wrote "${value}"`);
  }

  /** Sends a line. */
  async tell(text = ""): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${text}\n`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (running.has(this.#child)) this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#input.close().catch(() => {});
    await this.#output.return(undefined);
  }
}

/** A process that nobody listens to. */
export class Background implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  constructor(command: string[]) {
    this.#child = spawn(command, { stdout: "null", stderr: "null" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (running.has(this.#child)) this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

/** A command that is fed through its standard input, and whose output is searched for characters. */
export class Piped implements AsyncDisposable {
  readonly pid: number;
  /** Resolves when it has ended by itself. */
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #watchdog: ReturnType<typeof setTimeout>;
  readonly #read: Promise<void>;
  /** How often each character that is counted has come, how often it must, and what is told then. */
  readonly #counts = new Map<number, { left: number; done: PromiseWithResolvers<void> }>();

  /**
   * @param command What is run.
   * @param env Variables of its environment.
   * @param limit Longest time that it may take, in milliseconds.
   */
  constructor(command: string[], env: Record<string, string>, limit: number) {
    this.#child = spawn(command, { env, stdin: "piped", stdout: "piped", stderr: "null" });
    this.pid = this.#child.pid;
    this.ended = this.#child.status;
    this.#input = this.#child.stdin.getWriter();
    this.#watchdog = setTimeout(() => this.#child.kill("SIGKILL"), limit);
    this.#read = this.#readAll();
  }

  /** Resolves when a character of ASCII has come so many times; rejects when the command ends before. */
  count(character: string, times: number): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#counts.set(character.charCodeAt(0), { left: times, done });
    return done.promise;
  }

  /** Writes, and waits where the command does not read. */
  async write(text: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(text));
  }

  async #readAll(): Promise<void> {
    for await (const bytes of this.#child.stdout) {
      for (const byte of bytes) {
        const counted = this.#counts.get(byte);
        if (counted !== undefined && --counted.left === 0) counted.done.resolve();
      }
    }
    const ended = new Error("Cannot measure: the command ended, or took too long");
    for (const { done } of this.#counts.values()) done.reject(ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#watchdog);
    if (running.has(this.#child)) this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#input.close().catch(() => {});
    await this.#read;
  }
}

/** Puts processes on CPUs of their own, so that they do not take each other's time. */
export class Pinning {
  readonly #possible: boolean;

  private constructor(possible: boolean) {
    this.#possible = possible;
  }

  /** Looks whether there is `taskset`, and more than one CPU. */
  static async find(): Promise<Pinning> {
    const found = await capture(["taskset", "--cpu-list", "0,1", "true"]).then(
      () => true,
      () => false,
    );
    return new Pinning(found);
  }

  /** What is said of it in the report. */
  get description(): string {
    return this.#possible
      ? "server on CPU 0, load generator or client on CPU 1"
      : "none: servers and load generator share the CPUs";
  }

  /** A command, bound to a CPU. */
  on(cpu: 0 | 1, command: string[]): string[] {
    return this.#possible ? ["taskset", "--cpu-list", String(cpu), ...command] : command;
  }
}
