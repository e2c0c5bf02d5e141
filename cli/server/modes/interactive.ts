/**
 * Mode `interactive`: a person answers at a prompt. Each message is printed with the number of its socket.
 *
 * @module
 */

import { WebSocket as CompressingWebSocket } from "../../../mod.ts";
import { painter, wantsColors } from "../../colors.ts";
import { Failure } from "../../failure.ts";
import type { Output } from "../../output.ts";
import { printable, printableLines } from "../../printable.ts";
import { ownTerminal, Prompt } from "../../prompt.ts";
import { pongText } from "../../number_text.ts";
import { fill, type Sentences } from "../../sentences.ts";
import { Stopped } from "../../signals.ts";
import { BadArguments, bytesOfHex, closeArguments, SlashCommands } from "../../slash_commands.ts";
import { PeerLog } from "../peer_log.ts";
import type { Endpoint, Mode, SocketLog } from "./mode.ts";

/** The commands besides `/help`. */
type Command = Exclude<keyof Sentences["prompt"]["server"], "help">;

/** Most sockets that `/list` shows. */
const MOST_LISTED = 100;

/** Has a person answer. One for the whole server. */
export class InteractiveMode implements Mode, Endpoint, Disposable {
  readonly #sentences: Sentences["prompt"];
  /** Every sentence of the language. */
  readonly #all: Sentences;
  readonly #prompt: Prompt;
  readonly #commands: SlashCommands<Command>;
  readonly #paint = painter(wantsColors());
  /** The open sockets by their numbers, which are those of the log. */
  readonly #sockets = new Map<number, WebSocket>();
  readonly #numbers = new Map<WebSocket, number>();
  /** The number of the one socket that messages go to; undefined for all. */
  #chosen: number | undefined;
  readonly #leaving = new AbortController();

  /** @throws {Failure} If there is no terminal. */
  constructor(sentences: Sentences) {
    this.#sentences = sentences.prompt;
    this.#all = sentences;
    const terminal = ownTerminal(sentences.failure.noTerminalToServe);
    this.#prompt = new Prompt(terminal, sentences.prompt.stopHint);
    this.#commands = new SlashCommands<Command>(
      {
        send: (text) => this.#send(text),
        tell: (lines) => this.#prompt.print(lines),
        fail: (sentence) => this.#prompt.print(this.#paint(sentence, "red")),
        commands: {
          to: (argument) => this.#choose(argument),
          list: () => this.#list(),
          binary: (argument) => this.#send(bytesOfHex(argument)),
          ping: (argument) => this.#ping(argument),
          close: (argument) => this.#close(argument),
          quit: () => this.#leave(),
        },
      },
      sentences.prompt.server,
      sentences,
    );
  }

  /** Aborts when the person leaves. */
  get left(): AbortSignal {
    return AbortSignal.any([this.#leaving.signal, this.#prompt.left]);
  }

  /** Prints above the line that is being edited. */
  get output(): Output {
    const print = (line: string) => this.#prompt.print(this.#paint(line, "dim"));
    return { out: print, err: print };
  }

  /** Shows the prompt, and the URL that clients connect to. */
  start(url: string): void {
    this.#prompt.print(this.#paint(fill(this.#sentences.waiting, { url }), "dim"));
    this.#prompt.start({ complete: this.#commands.complete });
    this.#readLines().catch((error) => this.#leaving.abort(error));
  }

  endpoint(below: string): Endpoint | undefined {
    return below === "" ? this : undefined;
  }

  opened(socket: WebSocket, _log: SocketLog, number: number): void {
    this.#sockets.set(number, socket);
    this.#numbers.set(socket, number);
    this.#tell("joined", { number, extensions: socket.extensions || "-" });
    socket.addEventListener("close", ({ code, reason }) => {
      this.#sockets.delete(number);
      this.#numbers.delete(socket);
      const { closeCodes } = this.#sentences;
      const meaning = (closeCodes as Record<number, string>)[code] ?? closeCodes.other;
      this.#tell("left", { number, code, meaning, reason: reason && `, "${printable(reason)}"` });
    });
  }

  received(socket: WebSocket, data: string | ArrayBuffer): void {
    const lines = printableLines(typeof data === "string" ? data : new Uint8Array(data));
    const mark = this.#paint(`#${this.#numbers.get(socket)} <`, "cyan");
    this.#prompt.print(`${mark} ${lines.join("\n  ")}`);
  }

  async close(): Promise<void> {}

  /** Gives the terminal back. */
  [Symbol.dispose](): void {
    this.#prompt[Symbol.dispose]();
  }

  async #readLines(): Promise<void> {
    for (let line; (line = await this.#prompt.next()) !== undefined;) {
      await this.#commands.run(line);
    }
    this.#leave();
  }

  #leave(): void {
    this.#leaving.abort(new Stopped("quit", 0));
  }

  #tell(sentence: "joined" | "left", details: Record<string, string | number>): void {
    this.#prompt.print(this.#paint(fill(this.#sentences[sentence], details), "dim"));
  }

  #send(message: string | Uint8Array<ArrayBuffer>): void {
    const sockets = this.#chosen === undefined
      ? [...this.#sockets.values()]
      : [this.#socketOf(this.#chosen)];
    if (sockets.length === 0) throw new Failure(this.#sentences.nobody);
    for (const socket of sockets) socket.send(message);
  }

  /** The open socket of a number. */
  #socketOf(number: number): WebSocket {
    const socket = this.#sockets.get(number);
    if (socket === undefined) throw new Failure(fill(this.#sentences.noNumber, { number }));
    return socket;
  }

  #choose(argument: string): void {
    if (argument === "all") {
      this.#chosen = undefined;
      this.#prompt.print(this.#sentences.toAll);
    } else {
      const number = numberOf(argument);
      this.#socketOf(number);
      this.#chosen = number;
      this.#prompt.print(fill(this.#sentences.toOne, { number }));
    }
  }

  #list(): void {
    const { size } = this.#sockets;
    if (size === 0) throw new Failure(this.#sentences.nobody);
    const rows = this.#sockets.entries().take(MOST_LISTED).map(([number, socket]) => {
      const known: unknown = socket;
      const address = known instanceof CompressingWebSocket && known.remoteAddr !== undefined
        ? `  ${PeerLog.peerAt(known.remoteAddr).name}`
        : "";
      return `${number === this.#chosen ? "*" : " "} #${number}${address}`;
    });
    const more = size > MOST_LISTED
      ? [fill(this.#sentences.more, { count: size - MOST_LISTED })]
      : [];
    this.#prompt.print([...rows, ...more].join("\n"));
  }

  #ping(argument: string): void {
    const number = numberOf(argument);
    const socket: unknown = this.#socketOf(number);
    if (!(socket instanceof CompressingWebSocket)) throw new Failure(this.#sentences.notOfDeno);
    socket.ping().then(
      (ms) => {
        this.#prompt.print(`#${number} ${pongText(ms, this.#all)}`);
      },
      // The connection has ended, which is told.
      () => {},
    );
  }

  #close(argument: string): void {
    const [, digits = "", rest = ""] = /^(\S+)\s*([^]*)$/.exec(argument) ?? [];
    const socket = this.#socketOf(numberOf(digits));
    const { code, reason } = closeArguments(rest);
    socket.close(code, reason);
  }
}

/** Reads the number of a socket, as it is shown or without the `#`. */
function numberOf(argument: string): number {
  const [, digits] = /^#?(\d{1,9})$/.exec(argument) ?? [];
  if (digits === undefined) throw new BadArguments();
  return Number(digits);
}
