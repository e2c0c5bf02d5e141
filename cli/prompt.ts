/**
 * A prompt on a terminal: a person edits a line, and what comes meanwhile is printed above it.
 *
 * @module
 */

import process from "node:process";
import * as readline from "node:readline";
import { type Readable, Writable } from "node:stream";
import { Failure } from "./failure.ts";
import { Stopped } from "./signals.ts";

/** Lines that can be called back with the arrow keys. */
export const HISTORY_LINES = 1000;

const TEXT = "> ";

/** Where a prompt reads keys and draws. */
export interface PromptTerminal {
  input: Readable;
  output: {
    write(text: string): unknown;
    columns?: number;
    on(event: "resize", listener: () => void): unknown;
    off(event: "resize", listener: () => void): unknown;
  };
}

/** What a {@linkcode Prompt} knows besides what is typed. */
export interface StartOptions {
  /** Lines to begin the history with, the oldest first. @default {[]} */
  history?: string[];
  /** What the tab key may complete a line to. @default none */
  complete?: (line: string) => string[];
}

/**
 * The process's own terminal.
 *
 * @param refusal What the person is told if standard input or standard output is none.
 * @throws {Failure} In that case.
 */
export function ownTerminal(refusal: string): PromptTerminal {
  if (!Deno.stdin.isTerminal() || !Deno.stdout.isTerminal()) throw new Failure(refusal, 2);
  return { input: process.stdin, output: process.stdout };
}

/** The prompt. Until {@linkcode Prompt.start} there is no line to edit, only what is printed. */
export class Prompt implements Disposable {
  readonly #terminal: PromptTerminal;
  readonly #leaveHint: string;
  readonly #screen: Screen;
  /** Present from the start to the end. */
  #editor: readline.Interface | undefined;
  /** Lines that were typed and not asked for yet. */
  readonly #lines: string[] = [];
  /** Resolves when a line comes or the input ends; undefined until `next()` waits. */
  #typed: PromiseWithResolvers<void> | undefined;
  #hasEnded = false;
  /** Whether the last key was Ctrl-C. */
  #isInterrupted = false;
  readonly #left = new AbortController();

  /** @param leaveHint What is told when Ctrl-C was pressed once. */
  constructor(terminal: PromptTerminal, leaveHint: string) {
    this.#terminal = terminal;
    this.#leaveHint = leaveHint;
    this.#screen = new Screen(terminal.output);
  }

  /** Aborts with {@linkcode Stopped} when Ctrl-C is pressed twice. */
  get left(): AbortSignal {
    return this.#left.signal;
  }

  /** Shows the line to edit, and reads keys. Once, before {@linkcode Prompt.next}. */
  start({ history = [], complete }: StartOptions = {}): void {
    const { input, output } = this.#terminal;
    this.#editor = readline.createInterface({
      input,
      output: this.#screen,
      terminal: true,
      prompt: TEXT,
      // The latest first.
      history: history.slice(-HISTORY_LINES).reverse(),
      historySize: HISTORY_LINES,
      removeHistoryDuplicates: true,
      completer: (line: string) => [complete?.(line) ?? [], line],
    });
    this.#editor.on("line", (line) => {
      this.#lines.push(line);
      this.#typed?.resolve();
      this.#editor?.prompt();
    });
    this.#editor.on("close", () => this.#end());
    this.#editor.on("SIGINT", () => this.#interrupt());
    // Without a listener, Ctrl-Z would need the permission to run programs.
    this.#editor.on("SIGTSTP", () => {});
    input.on("keypress", this.#onKey);
    output.on("resize", this.#onResize);
    this.#editor.prompt();
  }

  /**
   * The next line that was typed.
   *
   * @returns Undefined at the end of the input: Ctrl-D on an empty line.
   */
  async next(): Promise<string | undefined> {
    if (this.#lines.length === 0 && !this.#hasEnded) {
      this.#typed = Promise.withResolvers();
      await this.#typed.promise;
    }
    return this.#lines.shift();
  }

  /** Prints lines above the one that is being edited. They must hold nothing that moves the cursor. */
  print(lines: string): void {
    const editor = this.#editor;
    if (editor === undefined) {
      this.#screen.write(`${lines}\n`);
      return;
    }
    const { rows } = editor.getCursorPos();
    // Before it draws, the editor goes up by the rows that the cursor was below the line's beginning.
    this.#screen.write(`${erase(rows)}${lines}\n${"\n".repeat(rows)}`);
    editor.prompt(true);
  }

  /** Ends the editing, and gives the terminal back as it was. */
  [Symbol.dispose](): void {
    this.#end();
  }

  readonly #onKey = (_text: unknown, key?: { ctrl?: boolean; name?: string }) => {
    if (key?.ctrl !== true || key.name !== "c") this.#isInterrupted = false;
  };

  /** Clears the line; at the second time in a row, leaves. */
  #interrupt(): void {
    if (this.#isInterrupted) {
      this.#left.abort(new Stopped("SIGINT", 130));
      return;
    }
    this.#isInterrupted = true;
    // The keys that delete all of the line.
    this.#editor?.write(null, { ctrl: true, name: "e" });
    this.#editor?.write(null, { ctrl: true, name: "u" });
    this.print(this.#leaveHint);
  }

  /** Has the editor draw at the new width. Terminals break long lines anew by then, which it does not know. */
  readonly #onResize = () => {
    const editor = this.#editor!;
    const before = editor.getCursorPos().rows;
    this.#screen.measure();
    const added = editor.getCursorPos().rows - before;
    this.#screen.write(added > 0 ? up(added) : "\n".repeat(-added));
    this.#screen.emit("resize");
  };

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const editor = this.#editor;
    this.#editor = undefined;
    if (editor !== undefined) {
      const { input, output } = this.#terminal;
      input.off("keypress", this.#onKey);
      output.off("resize", this.#onResize);
      // A line that was not sent stays to be seen.
      if (editor.line === "") this.#screen.write(erase(editor.getCursorPos().rows));
      else {
        editor.write(null, { ctrl: true, name: "e" });
        this.#screen.write("\n");
      }
      editor.close();
      input.pause();
    }
    this.#typed?.resolve();
  }
}

/** What the editor draws on. Its width changes when the prompt says so. */
class Screen extends Writable {
  readonly #output: PromptTerminal["output"];
  columns = 80;

  constructor(output: PromptTerminal["output"]) {
    super({ decodeStrings: false });
    this.#output = output;
    this.measure();
  }

  /** Takes the terminal's width; of one that does not tell, the usual one. */
  measure(): void {
    this.columns = this.#output.columns || 80;
  }

  override _write(chunk: string, _encoding: string, done: () => void): void {
    this.#output.write(chunk);
    done();
  }
}

/** Moves the cursor up. */
function up(rows: number): string {
  return rows > 0 ? `\x1b[${rows}A` : "";
}

/** Erases what is being edited, from its first row on. */
function erase(rows: number): string {
  return `${up(rows)}\r\x1b[J`;
}
