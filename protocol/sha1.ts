/**
 * SHA-1 (RFC 3174), for `Sec-WebSocket-Accept` alone: nothing here rests on its being secure.
 *
 * Of what Deno has, WebCrypto's digest takes 43 µs of CPU time for these 60 bytes, most of it on the way to
 * another thread, and `node:crypto` 30 ms to be loaded. This takes 2 µs.
 *
 * @module
 */

const BLOCK = 64;

const words = new Int32Array(80);

/** The digest of `message`, 20 bytes. */
export function sha1(message: Uint8Array): Uint8Array<ArrayBuffer> {
  // The message, a bit, zeros, and its length in bits (RFC 3174 section 4).
  const padded = new Uint8Array(Math.ceil((message.length + 9) / BLOCK) * BLOCK);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, 8 * message.length);

  const digest = new Uint8Array(20);
  const state = new DataView(digest.buffer);
  const initial = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  initial.forEach((word, i) => state.setUint32(4 * i, word));
  for (let at = 0; at < padded.length; at += BLOCK) addBlock(view, at, state);
  return digest;
}

/** RFC 3174 section 6.1. */
function addBlock(block: DataView, at: number, state: DataView): void {
  for (let t = 0; t < 16; t++) words[t] = block.getInt32(at + 4 * t);
  for (let t = 16; t < 80; t++) {
    words[t] = rotated(words[t - 3]! ^ words[t - 8]! ^ words[t - 14]! ^ words[t - 16]!, 1);
  }
  let a = state.getInt32(0);
  let b = state.getInt32(4);
  let c = state.getInt32(8);
  let d = state.getInt32(12);
  let e = state.getInt32(16);
  for (let t = 0; t < 80; t++) {
    const next = (rotated(a, 5) + mixed(t, b, c, d) | 0) + (e + words[t]! | 0) | 0;
    e = d;
    d = c;
    c = rotated(b, 30);
    b = a;
    a = next;
  }
  add(state, 0, a);
  add(state, 4, b);
  add(state, 8, c);
  add(state, 12, d);
  add(state, 16, e);
}

function add(state: DataView, at: number, word: number): void {
  state.setInt32(at, state.getInt32(at) + word | 0);
}

/** The function and the constant of each step (RFC 3174 section 5). */
function mixed(t: number, b: number, c: number, d: number): number {
  if (t < 20) return (b & c | ~b & d) + 0x5a827999 | 0;
  if (t < 40) return (b ^ c ^ d) + 0x6ed9eba1 | 0;
  if (t < 60) return (b & c | b & d | c & d) + 0x8f1bbcdc | 0;
  return (b ^ c ^ d) + 0xca62c1d6 | 0;
}

function rotated(word: number, by: number): number {
  return word << by | word >>> 32 - by;
}
