/**
 * The mode `--interactive`: what a person types at a prompt is sent, and what comes is printed above it.
 *
 * @module
 */

import { WebSocket as CompressingWebSocket } from "../../mod.ts";
import { painter, wantsColors } from "../colors.ts";
import { Failure } from "../failure.ts";
import { ownTerminal, Prompt } from "../prompt.ts";
import { pongText } from "../number_text.ts";
import { fill, type Sentences } from "../sentences.ts";
import { aborted, Stopped, unlessStopped } from "../signals.ts";
import { BadArguments, bytesOfHex, closeArguments, SlashCommands } from "../slash_commands.ts";
import { ClosedByServer } from "./awaitable_socket.ts";
import { Connector } from "./connector.ts";
import { Conversation } from "./conversation.ts";
import type { Options } from "./flags.ts";
import { messagesOf, type OwnMessage, ownMessage } from "./messages.ts";
import { exitCodeOf, type Run } from "./mode.ts";
import { PromptHistory } from "./prompt_history.ts";
import { PromptReport } from "./prompt_report.ts";
import { reconnecting } from "./reconnect.ts";
import type { Step } from "./report.ts";
import { Statistics } from "./statistics.ts";

/** The commands besides `/help`. */
type Command = Exclude<keyof Sentences["prompt"]["client"], "help">;

/**
 * Runs the mode until the person leaves, the server closes, or `stop` aborts.
 *
 * @returns The exit code.
 * @throws {Failure} If there is no terminal, or a file that a flag names cannot be used.
 */
export async function interactive(
  url: URL,
  options: Options,
  sentences: Sentences,
  stop: AbortSignal,
): Promise<number> {
  const terminal = ownTerminal(sentences.failure.noTerminal);
  const history = PromptHistory.open(options["history-file"], sentences);
  const messages = await messagesOf(options, sentences);
  using prompt = new Prompt(terminal, sentences.prompt.leaveHint);
  const report = new PromptReport(prompt, painter(wantsColors()), options, sentences);
  const statistics = options.stats ? new Statistics() : undefined;
  const connector = new Connector(url, options, report, sentences, statistics);
  const talk = new Talk(prompt, report, history, messages, {
    options,
    sentences,
    report,
    connector,
    statistics,
    paced: undefined,
    stop: AbortSignal.any([stop, prompt.left]),
  });
  const code = await talk.run();
  statistics?.tell(report, sentences);
  return code;
}

/** One run of the mode, over as many connections as the person asks for. */
class Talk {
  readonly #commands: SlashCommands<Command>;
  readonly #prompt: Prompt;
  readonly #report: PromptReport;
  readonly #history: PromptHistory;
  /** What is sent on each connection first. */
  readonly #messages: OwnMessage[];
  readonly #run: Run;
  /** Aborts when the person leaves. */
  readonly #leaving = new AbortController();
  /** Aborts when the person wants another connection. */
  #again = new AbortController();
  /** The open connection, if there is one. */
  #socket: WebSocket | undefined;
  /** Whether the person has closed it. */
  #wasClosed = false;
  #isCompressing = true;
  #hasStarted = false;
  /** How many messages have come on the current connection. */
  #received = 0;
  #step: Step = "connectFailed";

  constructor(
    prompt: Prompt,
    report: PromptReport,
    history: PromptHistory,
    messages: OwnMessage[],
    run: Run,
  ) {
    this.#prompt = prompt;
    this.#report = report;
    this.#history = history;
    this.#messages = messages;
    this.#run = run;
    const { options, sentences } = run;
    this.#commands = new SlashCommands<Command>(
      {
        send: (text) => this.#send(ownMessage(text, options)),
        tell: (lines) => report.tell(lines),
        fail: (sentence) => report.fail(sentence),
        commands: {
          ping: (data) => this.#ping(data),
          pong: (data) => this.#extended().pong(data),
          close: (argument) => this.#close(argument),
          binary: (argument) => this.#sendBinary(argument),
          text: (argument) => this.#sendText(argument),
          stats: () => this.#tellStatistics(),
          compress: (argument) => this.#setCompression(argument),
          reconnect: () => this.#again.abort(new Stopped("reconnect", 0)),
          quit: () => this.#leave(),
        },
      },
      sentences.prompt.client,
      sentences,
    );
  }

  /**
   * Connects, and again whenever the person asks for it.
   *
   * @returns The exit code.
   */
  async run(): Promise<number> {
    const { options, sentences } = this.#run;
    for (let isFirst = true;; isFirst = false) {
      this.#again = new AbortController();
      const stop = AbortSignal.any([
        this.#run.stop,
        this.#leaving.signal,
        this.#again.signal,
      ]);
      let end: unknown;
      try {
        await reconnecting({ ...this.#run, stop }, {
          attempt: () => this.#converse(stop),
          failed: (failure) => this.#fail(failure),
        });
      } catch (error) {
        end = error;
      }
      const isRefused = end instanceof Failure && this.#step === "connectFailed";
      if (end === undefined || (isRefused && !isFirst)) {
        // The person closed the connection, or asked for one that there is not: the prompt stays.
        this.#report.tell(sentences.prompt.stays);
        await aborted(stop);
        end = stop.reason;
      }
      if (end !== this.#again.signal.reason || end === undefined) return exitCodeOf(end, options);
    }
  }

  /** Connects, and prints what comes until the connection has ended. */
  async #converse(stop: AbortSignal): Promise<void> {
    const { connector, sentences } = this.#run;
    this.#step = "connectFailed";
    this.#received = 0;
    using opened = await connector.open(stop);
    this.#step = "readFailed";
    this.#socket = opened.socket;
    this.#wasClosed = false;
    const extensions = opened.socket.extensions || "-";
    this.#report.err(fill(sentences.prompt.connected, { extensions }), { event: "open" });
    for (const message of this.#messages) {
      this.#send(message);
      this.#report.sent(message);
    }
    this.#start();
    const conversation = new Conversation(opened, this.#run);
    try {
      const received = conversation.receive(Infinity, () => this.#received++);
      // It ends with the connection alone.
      const closing = (await unlessStopped(received, stop))!;
      this.#report.closed(closing);
      if (!this.#wasClosed) opened.connection.checkEnding(closing, false);
    } catch (error) {
      if (error instanceof Stopped) {
        const closing = await conversation.leave();
        if (closing !== undefined) this.#report.closed(closing);
      }
      throw error;
    } finally {
      this.#socket = undefined;
    }
  }

  /**
   * Reports a failure; that the server has closed was told already.
   *
   * @returns Whether something was received before it: so the server works.
   */
  #fail(failure: Failure): boolean {
    if (!(failure instanceof ClosedByServer)) this.#report.failed(this.#step, failure);
    return this.#received > 0;
  }

  /** Shows the prompt, if it is not shown yet. */
  #start(): void {
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    const { complete } = this.#commands;
    this.#prompt.start({ history: this.#history.lines, complete });
    this.#readLines().catch((error) => this.#leaving.abort(error));
  }

  async #readLines(): Promise<void> {
    for (let line; (line = await this.#prompt.next()) !== undefined;) {
      try {
        this.#history.add(line);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        this.#report.fail(error.message);
      }
      await this.#commands.run(line);
    }
    this.#leave();
  }

  #leave(): void {
    this.#leaving.abort(new Stopped("quit", 0));
  }

  /**
   * The open connection.
   *
   * @throws {Failure} If there is none.
   */
  #open(): WebSocket {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) {
      throw new Failure(this.#run.sentences.prompt.notConnected);
    }
    return socket;
  }

  /**
   * The open connection, for what Deno's own WebSocket cannot do.
   *
   * @throws {Failure} If there is none, or it is Deno's own.
   */
  #extended(): CompressingWebSocket {
    const socket: unknown = this.#open();
    if (socket instanceof CompressingWebSocket) return socket;
    throw new Failure(this.#run.sentences.prompt.notOfDeno);
  }

  #send(message: OwnMessage): void {
    const socket: unknown = this.#open();
    if (socket instanceof CompressingWebSocket) {
      socket.send(message, { compress: this.#isCompressing });
    } else {
      this.#open().send(message);
    }
    this.#run.statistics?.sent();
  }

  #ping(data: string): void {
    const { sentences } = this.#run;
    const socket = this.#extended();
    const pong = data === "" ? socket.ping() : socket.ping(data);
    pong.then(
      (ms) => this.#report.tell(pongText(ms, sentences)),
      // The connection has ended, which is told.
      () => {},
    );
  }

  #close(argument: string): void {
    const { code, reason } = closeArguments(argument);
    // Others are not a client's to send.
    if (code !== 1000 && !(code >= 3000 && code <= 4999)) throw new BadArguments();
    const socket = this.#open();
    this.#wasClosed = true;
    socket.close(code, reason);
  }

  async #sendBinary(argument: string): Promise<void> {
    this.#send(argument.startsWith("@") ? await this.#read(argument, true) : bytesOfHex(argument));
  }

  async #sendText(argument: string): Promise<void> {
    this.#send(argument.startsWith("@") ? await this.#read(argument, false) : argument);
  }

  /** Reads a message as `--message` does. */
  async #read(argument: string, binary: boolean): Promise<OwnMessage> {
    const { options, sentences } = this.#run;
    const given = { ...options, message: [argument], hex: [], binary };
    return (await messagesOf(given, sentences))[0]!;
  }

  #tellStatistics(): void {
    const statistics = new Statistics();
    statistics.add(this.#extended() as unknown as WebSocket);
    const remark = (line: string) => this.#report.tell(line);
    statistics.tell({ json() {}, remark }, this.#run.sentences);
  }

  #setCompression(argument: string): void {
    if (argument !== "on" && argument !== "off") throw new BadArguments();
    const { prompt } = this.#run.sentences;
    if (!this.#extended().extensions.includes("permessage-deflate")) {
      throw new Failure(prompt.notAgreed);
    }
    this.#isCompressing = argument === "on";
    this.#report.tell(this.#isCompressing ? prompt.compressing : prompt.notCompressing);
  }
}
