/**
 * Numbers that a seed gives, and what inputs are made of by them.
 *
 * @module
 */

import { concat } from "../protocol/driver.ts";

const encoder = new TextEncoder();

/** Bytes and lengths at which something changes. */
const EDGES = [0, 1, 2, 9, 10, 13, 32, 34, 44, 59, 61, 125, 126, 127, 128, 253, 254, 255];

/** A generator of pseudo-random numbers (xorshift128, seeded by FNV-1a), the same for the same seed. */
export class Random {
  readonly #state = new Uint32Array(4);

  constructor(seed: string) {
    let hash = 0x811c9dc5;
    for (let i = 0; i < 4; i++) {
      for (let at = 0; at < seed.length; at++) {
        hash = Math.imul(hash ^ seed.charCodeAt(at), 0x01000193);
      }
      hash = Math.imul(hash ^ i, 0x01000193);
      this.#state[i] = hash | 1;
    }
    for (let i = 0; i < 16; i++) this.#next();
  }

  #next(): number {
    const state = this.#state;
    let t = state[3]!;
    const s = state[0]!;
    state[3] = state[2]!;
    state[2] = state[1]!;
    state[1] = s;
    t ^= t << 11;
    t ^= t >>> 8;
    state[0] = t ^ s ^ s >>> 19;
    return state[0]!;
  }

  /** A whole number from 0 on, below `end`. */
  below(end: number): number {
    return this.#next() % end;
  }

  /** True in one of `times`. */
  one(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** A length: mostly small, at times at an edge, seldom large. */
  length(most: number): number {
    const length = this.one(8) ? this.pick([125, 126, 127, 65535, 65536]) : this.below(
      this.one(20) ? 4 * most : most,
    );
    return Math.min(length, most);
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.below(256);
    return bytes;
  }

  /** Text with characters of one to four bytes in UTF-8. */
  text(most: number): string {
    const alphabet = this.pick(["abcdefgh ", "aé", "日本x", "😀a€é"]);
    const characters = [...alphabet];
    let text = "";
    for (let left = this.length(most); left > 0; left--) text += this.pick(characters);
    return text;
  }

  /** Where to cut `length` bytes: in order, and some of them twice. */
  cuts(length: number): number[] {
    const count = this.below(this.one(4) ? 20 : 4);
    return Array.from({ length: count }, () => this.below(length + 1)).sort((a, b) => a - b);
  }

  /** A copy with up to some changes, none at times. */
  mutated(bytes: Uint8Array, pieces: readonly string[] = []): Uint8Array<ArrayBuffer> {
    let changed = bytes.slice() as Uint8Array<ArrayBuffer>;
    for (let count = this.one(4) ? 0 : 1 + this.below(this.one(4) ? 8 : 2); count > 0; count--) {
      const at = this.below(changed.length + 1);
      const to = Math.min(changed.length, at + this.below(this.one(4) ? 64 : 4));
      switch (this.below(pieces.length > 0 ? 8 : 7)) {
        case 0:
          if (at < changed.length) changed[at]! ^= 1 << this.below(8);
          break;
        case 1:
          if (at < changed.length) changed[at] = this.pick(EDGES);
          break;
        case 2:
          changed = concat(changed.subarray(0, at), changed.subarray(to));
          break;
        case 3:
          changed = concat(changed.subarray(0, to), changed.subarray(at));
          break;
        case 4:
          changed = concat(
            changed.subarray(0, at),
            this.bytes(this.below(9)),
            changed.subarray(at),
          );
          break;
        case 5:
          changed = changed.slice(0, at);
          break;
        case 6:
          if (at < changed.length) changed[at] = this.below(256);
          break;
        default:
          changed = concat(
            changed.subarray(0, at),
            encoder.encode(this.pick(pieces)),
            changed.subarray(this.one(2) ? at : to),
          );
      }
    }
    return changed;
  }
}
