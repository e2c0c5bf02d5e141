/**
 * Programs on a real pseudo-terminal, typed at and looked at as a person does: by tmux.
 *
 * @module
 */

import { commandOf, Folder, granted, type Task, variablesOf } from "./programs.ts";

/** A program that takes longer is stuck: its test fails with what is on the screen. */
const LIMIT_MS = 30_000;

const CONFIGURATION = [
  "set -g status off",
  "set -g escape-time 0",
  "set -g default-terminal tmux-256color",
].join("\n");

/**
 * Writes the program's number to a file, runs it, tells how it has ended and whether the terminal takes lines again,
 * and keeps the screen.
 */
const SHELL = `sh -c 'echo $$ >"$0"; exec "$@"' "$0" "$@"
echo "exit code $?$(stty -a | grep -o '[ -]icanon')"
read -r _`;

/** Whether there is a tmux: tests on a terminal are to be ignored where not. */
export const HAS_TERMINAL: boolean = await granted("run", "read", "write", "env") && hasTmux();

function hasTmux(): boolean {
  try {
    return new Deno.Command("tmux", { args: ["-V"] }).outputSync().success;
  } catch {
    return false;
  }
}

/** Where and how large a program's terminal is. */
export interface TerminalOptions {
  /** The current folder. */
  cwd: string;
  /** Variables besides those of the tests, of which `WSS_*` and those of proxies are left out. */
  env?: Record<string, string>;
  /** @default {72} */
  columns?: number;
  /** @default {24} */
  rows?: number;
}

/** A terminal with a program on it. */
export class Terminal implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #folder: Folder;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #reading: Promise<void>;
  readonly #watchdog: ReturnType<typeof setTimeout>;
  /** The answers to tmux's commands that are awaited, the first first. */
  readonly #answers: PromiseWithResolvers<string[]>[] = [];
  /** Resolves when the program writes. */
  #output = Promise.withResolvers<void>();
  #screen: string[] = [];
  #isStuck = false;

  get #socket(): string {
    return `${this.#folder.path}/socket`;
  }

  get #pidFile(): string {
    return `${this.#folder.path}/pid`;
  }

  private constructor(command: string[], options: TerminalOptions) {
    const { cwd, env = {}, columns = 72, rows = 24 } = options;
    this.#folder = new Folder();
    const configuration = `${this.#folder.path}/tmux.conf`;
    Deno.writeTextFileSync(configuration, CONFIGURATION);
    const inherited = Object.entries(Deno.env.toObject()).filter(([name]) =>
      !/^(WSS_|TMUX)|_proxy$/i.test(name) && name !== "NO_COLOR"
    );
    this.#child = new Deno.Command("tmux", {
      args: [
        ...["-u", "-f", configuration, "-S", this.#socket, "-C", "new-session"],
        ...["-x", String(columns), "-y", String(rows), "-c", cwd, "--"],
        ...["sh", "-c", SHELL, this.#pidFile, ...command],
      ],
      cwd,
      clearEnv: true,
      env: { ...Object.fromEntries(inherited), DENO_NO_UPDATE_CHECK: "1", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#watchdog = setTimeout(() => {
      this.#isStuck = true;
      // The terminal is that of tmux's server, which outlives this client of it.
      new Deno.Command("tmux", { args: ["-S", this.#socket, "kill-server"] }).outputSync();
    }, LIMIT_MS);
    // The first answer is that to the command line.
    this.#answers.push(Promise.withResolvers());
    this.#answers[0]!.promise.catch(() => {});
    this.#reading = this.#read();
  }

  /** Runs Deno by a task's command, with further arguments. */
  static task(task: Task, args: string[], options: TerminalOptions): Terminal {
    const env = { ...variablesOf(task), ...options.env };
    return new Terminal([Deno.execPath(), ...commandOf(task), ...args], { ...options, env });
  }

  /** Types a text without `'`, letter by letter. */
  async type(text: string): Promise<void> {
    for (const { segment } of new Intl.Segmenter().segment(text)) {
      await this.#tmux(`send-keys -l '${segment}'`);
    }
  }

  /** Pastes a text at once. */
  async paste(text: string): Promise<void> {
    await this.#tmux(`set-buffer ${JSON.stringify(text).replaceAll("$", "\\$")}`);
    await this.#tmux("paste-buffer -p");
  }

  /** Presses keys, by tmux's names. */
  async press(...keys: string[]): Promise<void> {
    for (const key of keys) await this.#tmux(`send-keys ${key}`);
  }

  /** Types a text, and Enter. */
  async enter(text: string): Promise<void> {
    await this.type(text);
    await this.press("Enter");
  }

  /** Makes the terminal larger or smaller, and waits until the program has drawn anew. */
  async resize(columns: number, rows: number): Promise<void> {
    const output = this.#output.promise;
    await this.#tmux(`resize-window -x ${columns} -y ${rows}`);
    await output;
  }

  /** Sends the program a signal. */
  signal(signal: Deno.Signal): void {
    Deno.kill(Number(Deno.readTextFileSync(this.#pidFile)), signal);
  }

  /** The rows of the screen down to the last one that is not empty; with colours, if asked for. */
  async screen(colored = false): Promise<string[]> {
    const rows = await this.#tmux(`capture-pane -p${colored ? "e" : ""}`);
    return rows.slice(0, rows.findLastIndex((row) => row !== "") + 1);
  }

  /** Where the cursor is, from 0. */
  async cursor(): Promise<{ column: number; row: number }> {
    const [answer] = await this.#tmux("display-message -p '#{cursor_x} #{cursor_y}'");
    const [column, row] = answer!.split(" ").map(Number);
    return { column: column!, row: row! };
  }

  /** Waits until the screen is as it is to be, and returns its rows. */
  async until(isReady: (rows: string[]) => boolean): Promise<string[]> {
    for (;;) {
      const output = this.#output.promise;
      this.#screen = await this.screen();
      if (isReady(this.#screen)) return this.#screen;
      await output;
    }
  }

  /** Waits until a row of the screen matches, and returns all rows. */
  async shows(pattern: RegExp): Promise<string[]> {
    return await this.until((rows) => rows.some((row) => pattern.test(row)));
  }

  /** Waits for the program's end, and returns its exit code and all rows above. */
  async end(): Promise<{ code: number; rows: string[] }> {
    const rows = await this.shows(/^exit code \d+[ -]/);
    const last = rows.at(-1)!;
    if (!last.endsWith(" icanon")) throw new Error("The terminal was not given back as it was");
    return { code: parseInt(last.slice("exit code ".length)), rows: rows.slice(0, -1) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isStuck) await this.#tmux("kill-server").catch(() => {});
    clearTimeout(this.#watchdog);
    await this.#reading;
    await this.#writer.close().catch(() => {});
    await this.#child.status;
    await this.#folder[Symbol.asyncDispose]();
  }

  async #tmux(command: string): Promise<string[]> {
    const answer = Promise.withResolvers<string[]>();
    this.#answers.push(answer);
    const { promise } = answer;
    promise.catch(() => {});
    await this.#writer.write(new TextEncoder().encode(`${command}\n`)).catch(() => {});
    return await promise;
  }

  /** Reads what tmux says in its control mode: answers, and that the program has written. */
  async #read(): Promise<void> {
    let answer: string[] | undefined;
    for await (const line of lines(this.#child.stdout)) {
      if (answer === undefined && line.startsWith("%begin ")) {
        answer = [];
      } else if (answer !== undefined && /^%(end|error) /.test(line)) {
        const waiting = this.#answers.shift();
        if (line.startsWith("%end ")) waiting?.resolve(answer);
        else waiting?.reject(new Error(`tmux: ${answer.join(" ")}`));
        answer = undefined;
      } else if (answer !== undefined) {
        answer.push(line);
      } else if (line.startsWith("%output ")) {
        this.#output.resolve();
        this.#output = Promise.withResolvers();
      }
    }
    const error = new Error(`The terminal has ended after:\n${this.#screen.join("\n")}`);
    this.#output.promise.catch(() => {});
    this.#output.reject(error);
    for (const waiting of this.#answers.splice(0)) waiting.reject(error);
  }
}

async function* lines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}
