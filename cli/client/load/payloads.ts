/**
 * Messages of a given size to load a server with.
 *
 * @module
 */

import type { OwnMessage } from "../messages.ts";

/**
 * How many different messages there are: enough that those of 64 bytes fill the sliding window of 32 KiB twice,
 * so that none is compressed to a reference to the same one before. A prime: whatever the number of connections,
 * each gets all of them in turn.
 */
const COUNT = 1021;

/** Most bytes of all of them: fewer are made of large ones. */
const MOST_BYTES = 4 * 1024 * 1024;

/** What the texts are made of. Compressed at level 1, they take 40 % or so. */
const WORDS = (
  "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et " +
  "dolore magna aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex ea " +
  "commodo consequat duis aute irure in reprehenderit voluptate velit esse cillum eu fugiat nulla pariatur " +
  "excepteur sint occaecat cupidatat non proident sunt culpa qui officia deserunt mollit anim id est laborum"
).split(" ");

/**
 * Makes messages.
 *
 * @param size The size of each, in bytes.
 * @param isBinary Whether they are random bytes, which cannot be compressed, or text.
 */
export function payloads(size: number, isBinary: boolean): OwnMessage[] {
  const count = Math.max(Math.min(COUNT, Math.floor(MOST_BYTES / Math.max(size, 1))), 1);
  return Array.from({ length: count }, () => isBinary ? bytesOf(size) : textOf(size));
}

function textOf(size: number): string {
  const words: string[] = [];
  for (let length = 0; length < size;) {
    const word = WORDS[Math.floor(Math.random() * WORDS.length)]!;
    words.push(word);
    length += word.length + 1;
  }
  return words.join(" ").slice(0, size).padEnd(size, ".");
}

/** Most bytes that `crypto.getRandomValues()` fills at once. */
const RANDOM_BYTES = 65_536;

function bytesOf(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let start = 0; start < size; start += RANDOM_BYTES) {
    crypto.getRandomValues(bytes.subarray(start, start + RANDOM_BYTES));
  }
  return bytes;
}
