import { assertEquals, assertInstanceOf } from "@std/assert";
import { GrowingBuffer } from "../../protocol/buffer.ts";
import { FrameSender } from "../../protocol/sender.ts";
import { bytesOf, codec, NO_CONTEXT, randomBytes, readFrames, roles, ZlibPeer } from "./driver.ts";

/** A buffer that takes no more than it must, and is out of memory at the `left`th request. */
class ScarceBuffer extends GrowingBuffer {
  left = Infinity;
  override reserve(count: number): void {
    if (--this.left === 0) throw new RangeError("Array buffer allocation failed");
    if (this.length + count > this.bytes.length) this.grow(this.length + count);
  }
}

Deno.test("FrameSender.send leaves nothing of a message that there is no memory for", async () => {
  for (const role of roles) {
    for (const agreed of [undefined, {}, NO_CONTEXT]) {
      const large = randomBytes(60_000);
      const failures: number[] = [];
      for (let left = 1; left <= 4; left++) {
        const deflate = agreed &&
          codec(role, { ...agreed, [`${role}MaxWindowBits`]: 9 }, { level: 1, memLevel: 1 });
        const sender = new FrameSender(role === "client", deflate);
        using peer = new ZlibPeer();
        const output = sender.output = new ScarceBuffer();
        sender.send("Hello", true);
        output.left = left;
        try {
          sender.send(large, true);
        } catch (error) {
          assertInstanceOf(error, RangeError);
          failures.push(left);
        }
        output.left = Infinity;
        sender.send("Hello", true);
        const frames = readFrames(output.bytes.subarray(0, output.length));
        deflate?.close();
        assertEquals(frames.length, failures.includes(left) ? 2 : 3);
        for (const { rsv, payload } of frames) {
          const bytes = rsv ? await peer.decompress(payload) : payload;
          assertEquals(bytes, bytes.length === 5 ? bytesOf("Hello") : large);
        }
      }
      // Before the payload, and with compression in the middle of it too.
      assertEquals(failures, agreed ? [1, 2, 3, 4] : [1, 2]);
    }
  }
});
