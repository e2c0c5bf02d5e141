/**
 * What the client prints at its prompt: each message whole, as far as a screen can show it.
 *
 * @module
 */

import type { Color, Paint } from "../colors.ts";
import { prettyJson } from "../pretty_json.ts";
import { printableLines } from "../printable.ts";
import type { Prompt } from "../prompt.ts";
import type { Sentences } from "../sentences.ts";
import type { Closing } from "./awaitable_socket.ts";
import type { Options } from "./flags.ts";
import { closingText, Report } from "./report.ts";

/** Reports above the line that is being edited. */
export class PromptReport extends Report {
  readonly #prompt: Prompt;
  readonly #paint: Paint;
  readonly #options: Pick<Options, "pretty" | "quiet" | "timestamps">;
  readonly #sentences: Sentences;

  constructor(
    prompt: Prompt,
    paint: Paint,
    options: Pick<Options, "pretty" | "quiet" | "timestamps">,
    sentences: Sentences,
  ) {
    const print = (line: string) => this.#print(line);
    super(
      {
        form: "told",
        quiet: options.quiet,
        // They go before all lines of a message, in a colour.
        timestamps: false,
        binaryFormat: "hex",
        terminator: "\n",
      },
      { out: print, err: print },
      sentences,
    );
    this.#prompt = prompt;
    this.#paint = paint;
    this.#options = options;
    this.#sentences = sentences;
  }

  override out(line: string, event: Record<string, unknown>): void {
    this.err(line, event);
  }

  override err(line: string, event: Record<string, unknown>): void {
    super.err(this.#paint(line, event.event === "error" ? "red" : "dim"), event);
  }

  override received(message: string | Uint8Array): void {
    const text = typeof message === "string" && this.#options.pretty
      ? prettyJson(message)
      : message;
    this.#message("<", "cyan", text);
  }

  override sent(message: string | Uint8Array): void {
    if (!this.#options.quiet) this.#message(">", "green", message);
  }

  /** Reports how a connection ended, with what the code means. */
  override closed(closing: Closing): void {
    const line = closingText(closing, this.#sentences);
    this.err(line, { event: "closed", code: closing.code });
  }

  /** Tells the person what was asked for: also with `--quiet`. */
  override tell(lines: string): void {
    this.#print(lines);
  }

  /** Tells the person what cannot be done: also with `--quiet`. */
  fail(sentence: string): void {
    this.#print(this.#paint(sentence, "red"));
  }

  /** The lines behind the first are indented, so that a message cannot pass for two. */
  #message(mark: string, color: Color, message: string | Uint8Array): void {
    this.#print(`${this.#paint(mark, color)} ${printableLines(message).join("\n  ")}`);
  }

  #print(lines: string): void {
    const time = this.#options.timestamps && this.#paint(new Date().toISOString(), "dim");
    this.#prompt.print(time ? `${time} ${lines}` : lines);
  }
}
