/**
 * The client of the demo: sends messages over WebSocket, prints the answers, closes. See `--help`.
 *
 * @module
 */

import { FOLDER, isThere } from "./certs/generate.ts";
import { readAuthority } from "./cli/certificates.ts";
import { Conversation } from "./cli/conversation.ts";
import { dial } from "./cli/dial.ts";
import {
  BadValue,
  helpText,
  integer,
  list,
  oneOf,
  optional,
  parseFlags,
  toggle,
  UsageError,
} from "./cli/flags.ts";
import { fill, LANGUAGES, type Messages } from "./cli/messages.ts";
import { Failure, type Output, terminal } from "./cli/output.ts";
import { printable } from "./cli/printable.ts";
import { runProgram, VERSION } from "./cli/program.ts";

const DEFAULT_URL = "wss://localhost:8443/ws";
const DEFAULT_MESSAGE = "Olá, servidor WebSocket!";

/** A token of RFC 9110 section 5.6.2: header and subprotocol names. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

const flags = {
  message: list("TEXT", "\n"),
  binary: toggle(),
  protocol: list("NAME", ",", (name) => {
    if (!TOKEN.test(name)) throw new BadValue("protocol");
    return name;
  }),
  header: list("TEXT", "\n", (header) => {
    parseHeader(header);
    return header;
  }),
  cacert: optional("FILE"),
  insecure: toggle(),
  compression: oneOf("on", "off"),
  timeout: integer("MS", 10_000, 1, 86_400_000),
  lang: oneOf(...LANGUAGES),
  json: toggle(),
  help: toggle("h"),
  version: toggle("V"),
};

function parseHeader(header: string): [name: string, value: string] {
  const colon = header.indexOf(":");
  const [name, value] = [header.slice(0, colon), header.slice(colon + 1).trim()];
  // deno-lint-ignore no-control-regex
  if (colon < 1 || !TOKEN.test(name) || /[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/.test(value)) {
    throw new BadValue("header");
  }
  return [name, value];
}

function parseUrl(text: string, messages: Messages): URL {
  const url = URL.parse(text);
  if (url === null || !/^wss?:$/.test(url.protocol) || text.includes("#")) {
    const wanted = messages.wanted.url;
    throw new UsageError(fill(messages.usage.badValue, { source: "URL", value: text, wanted }));
  }
  return url;
}

/** What happened, as a line for a person or an object for a program. */
class Report {
  readonly #json: boolean;
  readonly #output: Output;
  constructor(json: boolean, output: Output) {
    this.#json = json;
    this.#output = output;
  }

  /** The conversation itself, on standard output. */
  out(line: string, event: Record<string, unknown>): void {
    this.#output.out(this.#json ? JSON.stringify(event) : line);
  }

  /** What accompanies it, on standard error; as JSON, in its place among the other events. */
  err(line: string, event: Record<string, unknown>): void {
    if (this.#json) this.#output.out(JSON.stringify(event));
    else this.#output.err(line);
  }
}

/**
 * Runs the client.
 *
 * @param args The command line.
 * @param output Where its lines go.
 * @returns The exit code.
 */
export function main(args: string[], output: Output): Promise<number> {
  return runProgram(args, output, async (messages) => {
    const options = parseFlags(flags, args, messages, 1);
    if (options.help) {
      output.out(helpText(messages.client.usage, flags, messages.client.flags));
      return 0;
    }
    if (options.version) {
      output.out(VERSION);
      return 0;
    }
    const { client } = messages;
    const url = parseUrl(options._[0] ?? DEFAULT_URL, messages);
    const report = new Report(options.json, output);
    report.out(fill(client.connecting, { url: url.href }), { event: "connecting", url: url.href });
    if (options.insecure) report.err(client.insecure, { event: "insecure" });

    /** Which sentence a failure belongs into, by the step that is being taken. */
    let step: "connectFailed" | "sendFailed" | "readFailed" | "closeFailed" = "connectFailed";
    try {
      const caCerts = await authorities(options.cacert, messages);
      using dialled = dial(url, {
        compression: options.compression === "on",
        protocols: options.protocol,
        headers: options.header.map(parseHeader),
        caCerts,
        insecure: options.insecure,
      }, messages);
      const { socket } = dialled;
      const conversation = new Conversation(socket, options.timeout, messages);
      await conversation.opened(url.host, dialled.explain);
      const { protocol, extensions } = socket;
      if (options.json) report.out("", { event: "open", protocol, extensions });

      const texts = options.message.length > 0 ? options.message : [DEFAULT_MESSAGE];
      for (const text of texts) {
        step = "sendFailed";
        const message = options.binary ? new TextEncoder().encode(text) : text;
        socket.send(message);
        report.err(fill(client.sent, { data: printable(message) }), dataEvent("sent", message));
        step = "readFailed";
        const answer = await conversation.nextMessage();
        report.out(
          fill(client.received, { data: printable(answer) }),
          dataEvent("received", answer),
        );
      }
      step = "closeFailed";
      const closing = await conversation.close();
      report.err(client.closed, { event: "closed", ...closing });
      return 0;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      report.err(fill(client[step], { reason: error.message }), {
        event: "error",
        step,
        message: error.message,
      });
      return error.exitCode;
    }
  });
}

/** The authority asked for, or else the development one where there is one. */
async function authorities(cacert: string | undefined, messages: Messages): Promise<string[]> {
  if (cacert !== undefined) return [await readAuthority(cacert, messages)];
  const development = `${FOLDER}/ca.crt`;
  const { state } = await Deno.permissions.query({ name: "read", path: development });
  if (state !== "granted" || !await isThere(development)) return [];
  return [await readAuthority(development, messages)];
}

function dataEvent(event: string, data: string | Uint8Array): Record<string, unknown> {
  return typeof data === "string"
    ? { event, type: "text", data }
    : { event, type: "binary", base64: data.toBase64() };
}

if (import.meta.main) Deno.exit(await main(Deno.args, terminal));
