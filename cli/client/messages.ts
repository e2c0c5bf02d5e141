/**
 * The messages that the flags give: texts, files, standard input, and bytes in hexadecimal.
 *
 * @module
 */

import { Failure, fileCauseOf } from "../failure.ts";
import { permissionRemedy } from "../permission_remedy.ts";
import { fill, type Sentences } from "../sentences.ts";
import type { Options } from "./flags.ts";

/** What {@linkcode messagesOf} reads of the flags. */
type MessageOptions = Pick<Options, "message" | "hex" | "binary" | "max-message-size">;

/** What is sent where the flags give no message: the demo's. */
export const DEFAULT_MESSAGE = "Olá, servidor WebSocket!";

/** A message to send. */
export type OwnMessage = string | Uint8Array<ArrayBuffer>;

/**
 * The messages of `--message`, then those of `--hex`.
 *
 * @throws {Failure} If a file cannot be read, or is no text.
 */
export async function messagesOf(
  options: MessageOptions,
  sentences: Sentences,
): Promise<OwnMessage[]> {
  const messages: OwnMessage[] = [];
  for (const given of options.message) messages.push(await messageOf(given, options, sentences));
  return [...messages, ...options.hex.map((hex) => Uint8Array.fromHex(hex))];
}

/** The message that a text is sent as. */
export function ownMessage(text: string, { binary }: Pick<Options, "binary">): OwnMessage {
  return binary ? new TextEncoder().encode(text) : text;
}

/** The message that a value of `--message` stands for. */
async function messageOf(
  given: string,
  options: MessageOptions,
  sentences: Sentences,
): Promise<OwnMessage> {
  const path = given === "-" ? "-" : /^@([^@].*)/s.exec(given)?.[1];
  if (path === undefined) return ownMessage(given.replace(/^@@/, "@"), options);
  const bytes = await readMessage(path, options["max-message-size"], sentences);
  if (options.binary) return bytes;
  try {
    // The line end that editors and echo put behind a text is not part of it.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
      .replace(/\r?\n$/, "");
  } catch {
    throw new Failure(fill(sentences.failure.notText, { path }));
  }
}

/** All bytes of a file, or of standard input. */
async function readMessage(
  path: string,
  max: number,
  sentences: Sentences,
): Promise<Uint8Array<ArrayBuffer>> {
  const { failure } = sentences;
  try {
    using file = path === "-" ? undefined : await Deno.open(path);
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    for (;;) {
      const chunk = new Uint8Array(64 * 1024);
      const read = await (file ?? Deno.stdin).read(chunk);
      if (read === null) return new Uint8Array(await new Blob(chunks).arrayBuffer());
      chunks.push(chunk.subarray(0, read));
      if ((size += read) > max) throw new Failure(fill(failure.longMessage, { path, max }));
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    const sentence = error instanceof Deno.errors.NotCapable
      ? failure.fileNotAllowed
      : failure.messageUnreadable;
    const remedy = permissionRemedy("client", `--allow-read=${path}`, sentences);
    throw new Failure(fill(sentence, { path, remedy, cause: fileCauseOf(error, sentences) }));
  }
}
