/**
 * The lines typed at the client's prompt, kept in a file from one run to the next. Those that may hold a secret
 * are not kept.
 *
 * @module
 */

import { readEnvironment } from "../flags.ts";
import { Failure, fileCauseOf } from "../failure.ts";
import { HISTORY_LINES } from "../prompt.ts";
import { permissionRemedy } from "../permission_remedy.ts";
import { fill, type Sentences } from "../sentences.ts";

/** A longer line is not kept, in UTF-16 code units. */
const MAX_LINE = 4096;

/** The end of a file that is read, in bytes: as much as {@linkcode HISTORY_LINES} lines of 1 KiB. */
const MAX_FILE = 1024 * 1024;

/** Words that stand beside secrets, and the beginning of a JSON Web Token. */
const SECRET =
  /authori[sz]ation|bearer|token|passw|passphrase|secret|senha|api[-_]?key|access[-_]?key|private[-_]?key|credential|cookie|session[-_]?id|\beyJ[\w-]+\./i;

/**
 * Whether a line may be kept. As in shells, a line that begins with a space is not.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { mayBeKept } from "./prompt_history.ts";
 *
 * assertEquals(mayBeKept("hello"), true);
 * assertEquals(mayBeKept('{"token":"abc"}'), false);
 * ```
 */
export function mayBeKept(line: string): boolean {
  return line.length <= MAX_LINE && !/^\s|^$/.test(line) && !SECRET.test(line);
}

/** A history, with its file or without one. */
export class PromptHistory {
  /** The lines of earlier runs, the oldest first. */
  readonly lines: string[];
  /** Undefined if there is no file, or it could not be written. */
  #path: string | undefined;
  readonly #sentences: Sentences;

  private constructor(path: string | undefined, lines: string[], sentences: Sentences) {
    this.#path = path;
    this.lines = lines;
    this.#sentences = sentences;
  }

  /**
   * Reads the history.
   *
   * @param path The value of `--history-file`: a file, or `off`. By default one in the folder for a user's state,
   * if that may be read and written.
   * @throws {Failure} If the file that was named cannot be used.
   */
  static open(path: string | undefined, sentences: Sentences): PromptHistory {
    const none = new PromptHistory(undefined, [], sentences);
    const used = path ?? defaultPath();
    if (used === undefined || used === "off") return none;
    try {
      if (path === undefined) Deno.mkdirSync(folderOf(used), { recursive: true, mode: 0o700 });
      const lines = readLines(used);
      // Each run adds its lines, so that several can use the file at a time. Now and then it is cut.
      if (lines.length > 2 * HISTORY_LINES) {
        lines.splice(0, lines.length - HISTORY_LINES);
        replace(used, lines);
      }
      return new PromptHistory(used, lines, sentences);
    } catch (error) {
      if (path === undefined) return none;
      throw failureOf(path, error, sentences);
    }
  }

  /**
   * Keeps a line.
   *
   * @throws {Failure} If the file cannot be written. From then on no line is kept.
   */
  add(line: string): void {
    const path = this.#path;
    if (path === undefined || !mayBeKept(line)) return;
    try {
      Deno.writeTextFileSync(path, `${line}\n`, { append: true, mode: 0o600 });
    } catch (error) {
      this.#path = undefined;
      throw failureOf(path, error, this.#sentences);
    }
  }
}

/** The default file, if the program may use it; `undefined` on Windows, which has no folder of this kind. */
function defaultPath(): string | undefined {
  const home = readEnvironment("HOME");
  const state = readEnvironment("XDG_STATE_HOME") || (home && `${home}/.local/state`);
  // A relative path is to be ignored, says the XDG Base Directory Specification.
  if (!state?.startsWith("/")) return undefined;
  const path = `${state}/permessage-deflate/client_history`;
  const isAllowed = (["read", "write"] as const).every((name) =>
    Deno.permissions.querySync({ name, path: state }).state === "granted"
  );
  return isAllowed ? path : undefined;
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

/** The lines of a file, made if there is none, from now on for its owner alone. */
function readLines(path: string): string[] {
  using file = Deno.openSync(path, { read: true, append: true, create: true, mode: 0o600 });
  const { size, mode, isFile } = file.statSync();
  if (!isFile) throw new Error("not a file");
  if (mode !== null && (mode & 0o077) !== 0) Deno.chmodSync(path, 0o600);
  file.seekSync(-Math.min(size, MAX_FILE), Deno.SeekMode.End);
  const bytes = new Uint8Array(Math.min(size, MAX_FILE));
  let read = 0;
  for (let count; (count = file.readSync(bytes.subarray(read)) ?? 0) > 0;) read += count;
  const lines = new TextDecoder().decode(bytes.subarray(0, read)).split("\n");
  // What is cut off at its beginning is no whole line.
  if (size > MAX_FILE) lines.shift();
  return lines.filter(mayBeKept);
}

/** Writes the file anew: whole, or not at all. */
function replace(path: string, lines: string[]): void {
  const next = `${path}.${crypto.randomUUID()}`;
  Deno.writeTextFileSync(next, `${lines.join("\n")}\n`, { mode: 0o600, createNew: true });
  Deno.renameSync(next, path);
}

function failureOf(path: string, error: unknown, sentences: Sentences): Failure {
  const { failure } = sentences;
  const isForbidden = error instanceof Deno.errors.NotCapable;
  const sentence = isForbidden ? failure.fileNotAllowed : failure.historyUnusable;
  const permissions = `--allow-read=${path} --allow-write=${path}`;
  const remedy = permissionRemedy("client", permissions, sentences);
  return new Failure(fill(sentence, { path, remedy, cause: fileCauseOf(error, sentences) }));
}
