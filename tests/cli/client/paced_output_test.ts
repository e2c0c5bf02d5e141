import { assert, assertEquals } from "@std/assert";
import { PacedOutput } from "../../../cli/client/paced_output.ts";
import { Failure } from "../../../cli/failure.ts";
import { sentencesIn } from "../../../cli/sentences.ts";
import { Stopped } from "../../../cli/signals.ts";

/** A writer that takes a few bytes at a time, when the test lets it. */
class SlowWriter {
  /** How many bytes have been written. */
  size = 0;
  readonly #chunks: Uint8Array<ArrayBuffer>[] = [];
  #gate = Promise.withResolvers<void>();
  #error: Error | undefined;

  async write(bytes: Uint8Array): Promise<number> {
    await this.#gate.promise;
    if (this.#error !== undefined) throw this.#error;
    const some = bytes.slice(0, Math.max(1, bytes.length >> 1));
    this.#chunks.push(some);
    this.size += some.length;
    return some.length;
  }

  /** Lets all writes go on. */
  open(error?: Error): void {
    this.#error = error;
    this.#gate.resolve();
  }

  async text(): Promise<string> {
    return await new Blob(this.#chunks).text();
  }
}

function pacedOutput(writer: SlowWriter): PacedOutput {
  return new PacedOutput(writer, "file", () => {}, sentencesIn("en"));
}

Deno.test("PacedOutput writes lines and bytes in order, however few are taken", async () => {
  const writer = new SlowWriter();
  const output = pacedOutput(writer);
  const long = "á😀".repeat(100_000);
  output.out("one");
  output.bytes(Uint8Array.of(0x32));
  output.out(long);
  writer.open();
  await output.flush();
  assert(await writer.text() === `one\n2${long}\n`);
  output.out("late");
  await output.flush();
  assertEquals((await writer.text()).slice(-5), "late\n");
});

Deno.test("PacedOutput.room() waits while too much is unwritten", async () => {
  const writer = new SlowWriter();
  const output = pacedOutput(writer);
  await output.room();
  assert(!output.isFull);
  // The first write takes the buffer, so that what follows is what waits.
  output.out("x");
  await Promise.resolve();
  await Promise.resolve();
  output.bytes(new Uint8Array(300_000));
  assert(output.isFull);
  let hasRoom = false;
  const room = output.room().then(() => hasRoom = true);
  await new Promise((resolve) => setTimeout(resolve));
  assert(!hasRoom);
  writer.open();
  await room;
  await output.flush();
  assertEquals(writer.size, 300_002);
});

Deno.test("PacedOutput.ended tells a reader that has left from a failure", async () => {
  for (const error of [new Deno.errors.BrokenPipe("x"), new Error("no space")]) {
    const writer = new SlowWriter();
    const output = pacedOutput(writer);
    output.bytes(new Uint8Array(300_000));
    writer.open(error);
    await output.flush();
    const { reason } = output.ended;
    if (error instanceof Deno.errors.BrokenPipe) {
      assert(reason instanceof Stopped);
      assertEquals(reason.exitCode, 0);
    } else {
      assert(reason instanceof Failure);
      assert(reason.message.startsWith('cannot write to "file" (no space)'), reason.message);
    }
    output.bytes(new Uint8Array(300_000));
    assert(!output.isFull);
    await output.room();
    await output.flush();
  }
});
