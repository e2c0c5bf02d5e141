/**
 * Standard output, or a file, written without blocking: whoever writes more than the reader takes can wait
 * until there is room. A reader of the pipe that leaves is an end, not an error.
 *
 * @module
 */

import { Failure, fileCauseOf } from "../failure.ts";
import type { Output } from "../output.ts";
import { permissionRemedy } from "../permission_remedy.ts";
import { fill, type Sentences } from "../sentences.ts";
import { Stopped } from "../signals.ts";

/** With more bytes than this unwritten, {@linkcode PacedOutput.room} waits. */
const HIGH_WATER_MARK = 256 * 1024;

/** The size of a buffer at first: what a pipe of Linux holds. */
const BUFFER_SIZE = 64 * 1024;

const encoder = new TextEncoder();

/** What bytes are written to. */
export interface Writer {
  write(bytes: Uint8Array): Promise<number>;
}

/**
 * Opens a file to write to. What it held is lost.
 *
 * @throws {Failure} If it cannot be written.
 */
export async function openFile(path: string, sentences: Sentences): Promise<Writer> {
  const { failure } = sentences;
  try {
    return await Deno.open(path, { write: true, create: true, truncate: true });
  } catch (error) {
    const sentence = error instanceof Deno.errors.NotCapable
      ? failure.fileNotAllowed
      : failure.cannotWrite;
    const remedy = permissionRemedy("client", `--allow-write=${path}`, sentences);
    throw new Failure(fill(sentence, { path, remedy, cause: fileCauseOf(error, sentences) }));
  }
}

/** Lines and bytes, written in order. */
export class PacedOutput implements Output {
  readonly err: Output["err"];
  readonly #writer: Writer;
  readonly #name: string;
  readonly #sentences: Sentences;
  readonly #ended = new AbortController();
  #buffer = new Uint8Array(BUFFER_SIZE);
  /** How many bytes of the buffer are to be written. */
  #length = 0;
  /** Settles when all has been written; undefined while nothing is being written. */
  #writing: Promise<void> | undefined;
  /** Resolves when less than the high-water mark is left; undefined until somebody waits. */
  #room: PromiseWithResolvers<void> | undefined;

  /**
   * @param writer Takes what goes to standard output.
   * @param name The writer's, for an error.
   */
  constructor(writer: Writer, name: string, err: Output["err"], sentences: Sentences) {
    this.#writer = writer;
    this.#name = name;
    this.err = err;
    this.#sentences = sentences;
  }

  /**
   * Aborts when nothing more can be written: with {@linkcode Stopped} and exit code 0 when the reader has left,
   * with a {@linkcode Failure} when writing fails.
   */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  out(line: string): void {
    // A UTF-16 code unit takes 3 bytes of UTF-8 at most.
    this.#reserve(line.length * 3 + 1);
    const { written } = encoder.encodeInto(line, this.#buffer.subarray(this.#length));
    this.#length += written;
    this.#buffer[this.#length++] = 10;
    this.#start();
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
    this.#start();
  }

  /** Whether so much is unwritten that no more should be given. */
  get isFull(): boolean {
    return this.#length > HIGH_WATER_MARK && !this.ended.aborted;
  }

  /** Waits until {@linkcode isFull} is false. */
  async room(): Promise<void> {
    while (this.isFull) await (this.#room ??= Promise.withResolvers()).promise;
  }

  /** Waits until all is written, or nothing more can be. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  #reserve(bytes: number): void {
    if (this.ended.aborted) this.#length = 0;
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }

  #start(): void {
    this.#writing ??= this.#write().finally(() => this.#writing = undefined);
  }

  async #write(): Promise<void> {
    // What is written in the same turn goes out together.
    await undefined;
    try {
      while (this.#length > 0 && !this.ended.aborted) {
        const bytes = this.#buffer.subarray(0, this.#length);
        this.#buffer = new Uint8Array(BUFFER_SIZE);
        this.#length = 0;
        this.#room?.resolve();
        this.#room = undefined;
        for (let written = 0; written < bytes.length;) {
          written += await this.#writer.write(bytes.subarray(written));
        }
      }
    } catch (error) {
      this.#ended.abort(this.#reasonOf(error));
      this.#room?.resolve();
    }
  }

  #reasonOf(error: unknown): Error {
    if (error instanceof Deno.errors.BrokenPipe) return new Stopped("SIGPIPE", 0);
    const details = { path: this.#name, cause: fileCauseOf(error, this.#sentences) };
    return new Failure(fill(this.#sentences.failure.cannotWrite, details));
  }
}
