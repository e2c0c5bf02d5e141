/**
 * Cuts the bytes of standard input into texts: lines, or what ends with NUL.
 *
 * @module
 */

/** An input that holds no texts. */
export class BadInput extends Error {
  override name = "BadInput";
  constructor(readonly problem: "notText" | "tooLong") {
    super(problem);
  }
}

/**
 * Cuts as the bytes come.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Lines } from "./lines.ts";
 *
 * const lines = new Lines("\n", 100);
 * const bytes = new TextEncoder().encode("one\ntwo\nth");
 * assertEquals(lines.push(bytes), ["one", "two"]);
 * assertEquals(lines.end(), ["th"]);
 * ```
 */
export class Lines {
  readonly #terminator: "\n" | "\0";
  readonly #max: number;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  /** What has come of a text whose end has not. */
  #rest = "";

  /**
   * @param terminator What ends a text. Before a line end, a carriage return belongs to it.
   * @param max Longest text, in UTF-16 code units.
   */
  constructor(terminator: "\n" | "\0", max: number) {
    this.#terminator = terminator;
    this.#max = max;
  }

  /**
   * Takes bytes, and returns the texts that they complete.
   *
   * @throws {BadInput} If they are not UTF-8, or a text is too long.
   */
  push(bytes: Uint8Array): string[] {
    return this.#cut(this.#decode(bytes));
  }

  /** Takes the end, and returns the text that was not ended, if there is one. */
  end(): string[] {
    const texts = this.#cut(this.#decode());
    const rest = this.#rest;
    this.#rest = "";
    return rest === "" ? texts : [...texts, rest];
  }

  #cut(text: string): string[] {
    const texts = text.split(this.#terminator);
    const hasReturn = text.includes("\r") || this.#rest.endsWith("\r");
    texts[0] = this.#rest + texts[0];
    this.#rest = texts.pop()!;
    const longest = Math.max(this.#rest.length, texts[0]?.length ?? 0);
    if (longest > this.#max) throw new BadInput("tooLong");
    if (this.#terminator === "\0" || !hasReturn) return texts;
    return texts.map((line) => line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  #decode(bytes?: Uint8Array): string {
    try {
      return bytes === undefined
        ? this.#decoder.decode()
        : this.#decoder.decode(bytes, { stream: true });
    } catch {
      throw new BadInput("notText");
    }
  }
}
