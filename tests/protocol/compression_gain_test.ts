/** When compression is given up, and when it is tried again. */

import { assert, assertEquals } from "@std/assert";
import { CompressionGain } from "../../protocol/permessage_deflate/compression_gain.ts";

/** Sends messages, compressed as long as it pays; says how many were. */
function send(gain: CompressionGain, count: number, plain: number, compressed: number): number {
  let tried = 0;
  for (let message = 0; message < count; message++) {
    if (gain.pays) {
      gain.add(plain, compressed);
      tried++;
    } else gain.skip();
  }
  return tried;
}

/** Sends until a pause begins and ends; says how long it was. */
function pause(gain: CompressionGain, plain: number, compressed: number): number {
  while (gain.pays) gain.add(plain, compressed);
  let skipped = 0;
  for (; !gain.pays; skipped++) gain.skip();
  return skipped;
}

Deno.test("CompressionGain goes on while messages get smaller by a tenth", () => {
  const gain = new CompressionGain();
  assertEquals(send(gain, 10_000, 1000, 900), 10_000);
});

Deno.test("CompressionGain gives up after 16 messages that do not get smaller", () => {
  const gain = new CompressionGain();
  assertEquals(send(gain, 15, 1000, 901), 15);
  assert(gain.pays);
  gain.add(1000, 901);
  assert(!gain.pays);
});

Deno.test("CompressionGain does not judge by less than 4 KiB", () => {
  const gain = new CompressionGain();
  assertEquals(send(gain, 63, 64, 70), 63);
  assert(gain.pays);
  gain.add(64, 70);
  assert(!gain.pays);
});

Deno.test("CompressionGain judges by all bytes: one large message that gains is enough", () => {
  const gain = new CompressionGain();
  for (let message = 0; message < 15; message++) gain.add(100, 110);
  gain.add(100_000, 20_000);
  assert(gain.pays);
});

Deno.test("CompressionGain doubles its pauses up to 4,096 messages", () => {
  const gain = new CompressionGain();
  const pauses = Array.from({ length: 9 }, () => pause(gain, 1000, 1000));
  assertEquals(pauses, [64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096]);
});

Deno.test("CompressionGain begins with a short pause again after compression paid", () => {
  const gain = new CompressionGain();
  assertEquals([pause(gain, 1000, 1000), pause(gain, 1000, 1000)], [64, 128]);
  assertEquals(send(gain, 16, 1000, 300), 16);
  assertEquals(pause(gain, 1000, 1000), 64);
});
