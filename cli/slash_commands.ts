/**
 * The commands of a prompt: what begins with a slash. All else is a message.
 *
 * @module
 */

import { causeOf, Failure } from "./failure.ts";
import { nearest } from "./nearest.ts";
import { printable } from "./printable.ts";
import { fill, type Sentences } from "./sentences.ts";

/** Thrown by a command whose arguments cannot be understood: its form is told. */
export class BadArguments extends Error {
  override name = "BadArguments";
}

/** Longest reason of a Close frame, in bytes (RFC 6455 section 5.5). */
const MAX_REASON = 123;

/**
 * Reads `CODE REASON`, of which either may be left out.
 *
 * @throws {BadArguments} If it is malformed, or the reason too long.
 */
export function closeArguments(argument: string): { code: number; reason: string } {
  const match = /^(?:(\d{4})(?:\s+([^]*))?)?$/.exec(argument);
  if (match === null) throw new BadArguments();
  const [, digits = "1000", reason = ""] = match;
  if (new TextEncoder().encode(reason).length > MAX_REASON) throw new BadArguments();
  return { code: Number(digits), reason };
}

/**
 * Reads bytes in hexadecimal, with spaces where they are wanted.
 *
 * @throws {BadArguments} If it is malformed.
 */
export function bytesOfHex(argument: string): Uint8Array<ArrayBuffer> {
  const hex = argument.replaceAll(/\s+/g, "");
  if (!/^(?:[\da-f]{2})+$/i.test(hex)) throw new BadArguments();
  return Uint8Array.fromHex(hex);
}

/** What a prompt does with a line. */
export interface PromptActions<Name extends string> {
  /** Each command, given what stands behind its name. */
  commands: Record<Name, (argument: string) => void | Promise<void>>;
  /** Sends a message. */
  send(text: string): void;
  /** Tells the person what went wrong. */
  fail(sentence: string): void;
  /** Tells the person anything else. */
  tell(lines: string): void;
}

/** Does what is typed at a prompt. `/help` is among the commands without being given. */
export class SlashCommands<Name extends string> {
  readonly #actions: PromptActions<Name>;
  /** Of each command, how it is written, such as `/close [CODE]`, and behind a colon, what it does. */
  readonly #help: Record<Name | "help", string>;
  readonly #sentences: Sentences["prompt"];

  constructor(
    actions: PromptActions<Name>,
    help: Record<Name | "help", string>,
    { prompt }: Sentences,
  ) {
    this.#actions = actions;
    this.#help = help;
    this.#sentences = prompt;
  }

  /** The commands that begin as a line does. */
  readonly complete = (line: string): string[] =>
    line.startsWith("/") ? this.#names().filter((name) => name.startsWith(line)) : [];

  /** Does what a line says. Never rejects for what is the line's fault. */
  async run(line: string): Promise<void> {
    if (line === "") return;
    if (!line.startsWith("/") || line.startsWith("//")) {
      await this.#try(line, () => this.#actions.send(line.replace(/^\/\//, "/")));
      return;
    }
    const [, typed = "", argument = ""] = /^(\S+)\s*([^]*)$/.exec(line.trimEnd())!;
    if (typed === "/help") return this.#actions.tell(this.#table());
    const name = typed.slice(1) as Name;
    if (!Object.hasOwn(this.#actions.commands, name)) {
      const near = nearest(typed, this.#names());
      const sentence = near === undefined ? this.#sentences.unknown : this.#sentences.unknownNear;
      this.#actions.fail(fill(sentence, { command: printable(typed), near: near ?? "" }));
      return;
    }
    const [form] = splitHelp(this.#help[name]);
    await this.#try(form, () => this.#actions.commands[name](argument));
  }

  #names(): string[] {
    return Object.keys(this.#help).map((name) => `/${name}`);
  }

  #table(): string {
    const rows = Object.values<string>(this.#help).map(splitHelp);
    const width = Math.max(...rows.map(([form]) => form.length));
    const lines = rows.map(([form, text]) => `  ${form.padEnd(width)}  ${text}`);
    return [...lines, this.#sentences.helpEnd].join("\n");
  }

  /** Tells why an action fails. */
  async #try(form: string, action: () => void | Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      const isKnown = error instanceof Failure || error instanceof BadArguments ||
        error instanceof DOMException || error instanceof RangeError;
      if (!isKnown) throw error;
      this.#actions.fail(
        error instanceof BadArguments
          ? fill(this.#sentences.badArguments, { form })
          : printable(causeOf(error)),
      );
    }
  }
}

function splitHelp(help: string): [form: string, text: string] {
  const colon = help.indexOf(": ");
  return [help.slice(0, colon), help.slice(colon + 2)];
}
