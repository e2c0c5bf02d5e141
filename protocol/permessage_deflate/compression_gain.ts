/**
 * Whether compression pays for a sender: one whose messages do not get smaller (pictures, encrypted
 * data) needs no context, and no time spent on trying.
 *
 * @module
 */

/** A judgement is made of so many messages at least: the first ones of a context gain little. */
const MESSAGES = 16;

/** A judgement is made of so many bytes at least: small messages gain little alone. */
const BYTES = 4096;

/** Compression that leaves more than this part of the bytes does not pay. */
const WORST_RATIO = 0.9;

/** The first pause, in messages. One message in five is still compressed in vain. */
const FIRST_PAUSE = 64;

/** The longest pause, in messages: a sender whose messages change is noticed within so many. */
const LONGEST_PAUSE = 4096;

/**
 * Decides for one sender. It tells {@linkcode add} of each message it compressed, and
 * {@linkcode skip} of each that it did not compress because {@linkcode pays} is false.
 */
export class CompressionGain {
  #messages = 0;
  #plain = 0;
  #compressed = 0;
  /** The length of the latest pause; 0 if compression paid since. */
  #pause = 0;
  /** How many messages of the pause are left. */
  #left = 0;

  /** Whether the next message is worth compressing, and a context worth keeping. */
  get pays(): boolean {
    return this.#left === 0;
  }

  /** Takes note of a message that was compressed: its bytes before and after. */
  add(plain: number, compressed: number): void {
    this.#messages++;
    this.#plain += plain;
    this.#compressed += compressed;
    if (this.#messages < MESSAGES || this.#plain < BYTES) return;
    const pays = this.#compressed <= this.#plain * WORST_RATIO;
    this.#messages = 0;
    this.#plain = 0;
    this.#compressed = 0;
    this.#pause = pays ? 0 : Math.min(Math.max(FIRST_PAUSE, this.#pause * 2), LONGEST_PAUSE);
    this.#left = this.#pause;
  }

  /** Takes note of a message that was not compressed. At the end of the pause it is tried again. */
  skip(): void {
    if (this.#left > 0) this.#left--;
  }
}
