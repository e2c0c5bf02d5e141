import {
  assert,
  assertEquals,
  assertGreater,
  assertInstanceOf,
  assertLess,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { Buffer } from "node:buffer";
import { GrowingBuffer } from "../../protocol/buffer.ts";
import { prepare, type PreparedMessage } from "../../protocol/prepared_message.ts";
import { Closing, type Message, type Role } from "../../protocol/protocol.ts";
import { ProtocolError } from "../../protocol/protocol_error.ts";
import { FrameSender } from "../../protocol/sender.ts";
import {
  BINARY,
  bytesOf,
  CLOSE,
  closePayload,
  codec,
  concat,
  Driver,
  frame,
  NO_CONTEXT,
  PING,
  PONG,
  randomBytes,
  readFrames,
  roles,
  RSV1,
  type Seen,
  TEXT,
  withZlib,
  ZlibPeer,
} from "./driver.ts";

const other = (role: Role): Role => role === "server" ? "client" : "server";

/** Text of `size` bytes that repeats itself, but not at once. */
function textOf(size: number): string {
  const words = Array.from({ length: Math.ceil(size / 8) }, (_, i) => `${i * 7919 % 9973} `);
  return words.join("").padEnd(size, "x").slice(0, size);
}

/** What goes out next, with the frames read. */
function take({ protocol }: Driver) {
  const output = protocol.takeOutput();
  if (output === undefined) return undefined;
  const { frames, messageBytes } = output;
  const read = readFrames(frames.bytes.subarray(frames.start, frames.length));
  frames.release();
  return { frames: read, messageBytes };
}

Deno.test("FrameSender.send compresses a message over 64 KiB in steps, into the frame that it would be at once", async () => {
  for (const role of roles) {
    for (const agreed of [{}, NO_CONTEXT]) {
      for (const size of [65_537, 65_536 + 32_768, 300_000]) {
        for (const data of [textOf(size), bytesOf(textOf(size)), randomBytes(size)]) {
          using driver = new Driver(role, { deflate: codec(role, agreed) });
          using peer = new ZlibPeer();
          const { protocol } = driver;
          // Round two uses the context of round one.
          for (const round of [1, 2]) {
            protocol.send(data, true);
            assertEquals([protocol.busy, protocol.messageBytes], [true, size]);
            assertEquals(take(driver), undefined);
            let steps = 0;
            for (; protocol.busy; steps++) assertGreater(protocol.step(), 0);
            assertEquals(steps, Math.ceil(size / 32_768));
            assertEquals(protocol.messageBytes, size);
            const { frames: [sent, more], messageBytes } = take(driver)!;
            assertEquals([more, messageBytes, protocol.messageBytes], [undefined, size, 0]);
            assertEquals([sent!.fin, sent!.rsv, sent!.mask !== undefined], [
              true,
              RSV1,
              role === "client",
            ]);
            assertEquals(sent!.opcode, typeof data === "string" ? TEXT : BINARY);
            const length = sent!.payload.length;
            assertEquals(sent!.lengthBytes, length < 126 ? 0 : length < 65_536 ? 2 : 8);
            const received = await peer.decompress(sent!.payload);
            assertEquals(Buffer.compare(received, bytesOf(data)), 0, `round ${round}`);
          }
        }
      }
    }
  }
});

Deno.test("FrameSender.send writes at once what is not compressed, however long", () => {
  for (const role of roles) {
    using driver = new Driver(role, { deflate: codec(role, {}, { threshold: 1_000_000 }) });
    using without = new Driver(role);
    const { protocol } = driver;
    const text = "€".repeat(700_000);
    protocol.send(text, false);
    protocol.send(new Uint8Array(2_000_000), false);
    without.protocol.send(text, true);
    assertEquals([protocol.busy, without.protocol.busy], [false, false]);
    assertEquals(driver.takeFrames().map(({ payload }) => payload.length), [2_100_000, 2_000_000]);
    assertEquals(without.takeFrames()[0]!.payload.length, 2_100_000);
    // Below the threshold it waits for the step that finds so.
    protocol.send(textOf(100_000), true);
    const [plain] = driver.takeFrames();
    assertEquals([plain!.rsv, plain!.payload], [0, bytesOf(textOf(100_000))]);
  }
});

Deno.test("FrameSender.send takes a text of few characters for as long as its UTF-8 is", () => {
  for (const role of roles) {
    using driver = new Driver(role, { deflate: codec(role) });
    driver.protocol.send("€".repeat(20_000), true);
    assertEquals(driver.protocol.busy, false);
    driver.protocol.send("€".repeat(30_000), true);
    assertEquals([driver.protocol.busy, driver.protocol.messageBytes], [true, 150_000]);
    assertEquals(driver.takeFrames().length, 2);
  }
});

/** Something a program does with a connection. */
const action = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      size: fc.oneof(fc.nat(300), fc.integer({ min: 60_000, max: 200_000 })),
      kind: fc.constantFrom("text", "bytes", "random", "prepared"),
      compress: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ steps: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.constant("ping" as const) },
  { weight: 1, arbitrary: fc.constant("take" as const) },
);

Deno.test("FrameSender keeps the order of messages, whenever steps are made and output is taken", () => {
  let long = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...roles),
      fc.constantFrom({}, NO_CONTEXT, { serverMaxWindowBits: 9, clientMaxWindowBits: 10 }),
      fc.array(action, { minLength: 1, maxLength: 12 }),
      fc.boolean(),
      (role, agreed, actions, closes) => {
        using sender = new Driver(role, { deflate: codec(role, agreed) });
        using receiver = new Driver(other(role), { deflate: codec(other(role), agreed) });
        const { protocol } = sender;
        const messages: Message[] = [];
        let pings = 0;
        let given = 0;
        let taken = 0;
        const takeAll = () => {
          for (let next = protocol.takeOutput(); next; next = protocol.takeOutput()) {
            receiver.feed(next.frames.bytes.subarray(next.frames.start, next.frames.length));
            next.frames.release();
            taken += next.messageBytes;
            assertEquals(protocol.messageBytes, given - taken);
          }
        };
        for (const action of actions) {
          if (action === "take") takeAll();
          else if (action === "ping") {
            protocol.ping(bytesOf(`${pings++}`));
          } else if ("steps" in action) {
            for (let i = 0; i < action.steps && protocol.busy; i++, long++) protocol.step();
          } else {
            const { size, kind, compress } = action;
            const data = kind === "random"
              ? randomBytes(size)
              : kind === "bytes"
              ? bytesOf(textOf(size))
              : textOf(size);
            if (kind === "prepared") protocol.sendPrepared(prepare(data), compress);
            else protocol.send(data, compress);
            messages.push(data);
            given += size;
            assertEquals(protocol.messageBytes, given - taken);
          }
        }
        if (closes) protocol.close(1000, "end");
        while (protocol.busy) protocol.step();
        takeAll();
        assertEquals([protocol.messageBytes, protocol.held], [0, 0]);
        const { events } = receiver;
        const received = events.filter(([type]) => type === "message").map(([, data]) => data);
        assertEquals(received.length, messages.length);
        // Long ones are compared one by one: their difference would take minutes to be written down.
        received.forEach((data, i) => {
          const sent = messages[i]!;
          assertEquals(typeof data, typeof sent);
          assert(String(data) === String(sent), `message ${i}`);
        });
        assertEquals(
          events.filter(([type]) => type === "ping"),
          Array.from({ length: pings }, (_, i): Seen => ["ping", bytesOf(`${i}`)]),
        );
        assertEquals(events.length, messages.length + pings + (closes ? 1 : 0));
        if (closes) assertEquals(events.at(-1), ["close", 1000, "end"]);
      },
    ),
    { numRuns: 150 },
  );
  // Else the property says nothing of steps.
  assertGreater(long, 50);
});

Deno.test("FrameSender.sendControl goes before messages that are not yet compressed, and pings are answered meanwhile", () => {
  for (const role of roles) {
    using driver = new Driver(role, { deflate: codec(role) });
    const { protocol } = driver;
    protocol.send("first", false);
    protocol.send(textOf(1_000_000), true);
    protocol.send("last", false);
    protocol.step();
    driver.feed(frame(role, PING, "?"));
    protocol.ping(bytesOf("!"));
    assertEquals(take(driver)!.frames.map(({ opcode }) => opcode), [TEXT, PONG, PING]);
    protocol.step();
    protocol.ping(bytesOf("again"));
    const frames = driver.takeFrames();
    assertEquals(frames.map(({ opcode, rsv }) => [opcode, rsv]), [
      [PING, 0],
      [TEXT, RSV1],
      [TEXT, 0],
    ]);
    assertEquals(frames[2]!.payload, bytesOf("last"));
  }
});

Deno.test("Protocol.close writes its Close frame behind the messages before it, and takes none after (RFC 6455 section 5.5.1)", () => {
  for (const role of roles) {
    using driver = new Driver(role, { deflate: codec(role) });
    const { protocol } = driver;
    protocol.send(textOf(200_000), true);
    protocol.send("last", true);
    protocol.close(4000, "bye");
    assertEquals([protocol.closing, protocol.sendingEnded], [Closing.NONE, true]);
    protocol.send("after", true);
    protocol.sendPrepared(prepare("after"), true);
    protocol.close(1000, "again");
    assertEquals(protocol.messageBytes, 200_004);
    // A ping of the peer's is answered before it.
    driver.feed(frame(role, PING, "?"));
    const frames = driver.takeFrames();
    assertEquals(frames.map(({ opcode }) => opcode), [PONG, TEXT, TEXT, CLOSE]);
    assertEquals(frames[3]!.payload, closePayload(4000, "bye"));
    assertEquals(protocol.closing, Closing.SENT);
    driver.feed(frame(role, CLOSE, closePayload(4000)));
    assertEquals([protocol.closing, protocol.closedCleanly], [Closing.DONE, true]);
  }
});

Deno.test("Protocol answers a Close frame behind the messages before its answer (RFC 6455 section 5.5.1)", () => {
  for (const role of roles) {
    for (const ours of [false, true]) {
      using driver = new Driver(role, { deflate: codec(role) });
      const { protocol } = driver;
      protocol.send(textOf(200_000), true);
      // Where we closed first, but have not come to write it, the two cross.
      if (ours) protocol.close(4000, "mine");
      protocol.step();
      driver.feed(concat(frame(role, CLOSE, closePayload(1001, "going")), frame(role, PING, "?")));
      assertEquals(driver.events, [["close", 1001, "going"]]);
      assertEquals([protocol.closing, protocol.closedCleanly], [Closing.RECEIVED, false]);
      assertEquals([protocol.receivingEnded, protocol.sendingEnded], [true, true]);
      protocol.send("after", true);
      const frames = driver.takeFrames();
      assertEquals(frames.map(({ opcode }) => opcode), [TEXT, CLOSE]);
      assertEquals(frames[1]!.payload, ours ? closePayload(4000, "mine") : closePayload(1001));
      assertEquals([protocol.closing, protocol.closedCleanly], [Closing.DONE, true]);
    }
  }
});

Deno.test("Protocol.fail in the middle of a long message writes what is whole, and a Close frame", () => {
  for (const role of roles) {
    for (const agreed of [{}, NO_CONTEXT]) {
      for (const waits of ["nothing", "our Close frame", "the answer to the peer's"]) {
        using driver = new Driver(role, { deflate: codec(role, agreed) });
        const { protocol } = driver;
        protocol.send("whole", true);
        protocol.send(textOf(200_000), true);
        protocol.send("lost", true);
        if (waits === "our Close frame") protocol.close(1000, "");
        if (waits === "the answer to the peer's") driver.feed(frame(role, CLOSE));
        protocol.step();
        protocol.fail(new ProtocolError(1009, "OUT_OF_MEMORY", "Cannot go on"));
        assertEquals([protocol.closing, protocol.busy, protocol.messageBytes], [
          Closing.FAILED,
          false,
          5,
        ]);
        assertEquals(protocol.step(), 0);
        const frames = driver.takeFrames();
        assertEquals(frames.map(({ opcode }) => opcode), [TEXT, CLOSE], waits);
        assertEquals(frames[1]!.payload, closePayload(1009, "Cannot go on"));
        assertEquals(protocol.held, 0);
      }
    }
  }
});

Deno.test("FrameSender gives nothing of a message that was given up to the next", async () => {
  for (const agreed of [{}, NO_CONTEXT]) {
    const deflate = codec("server", agreed);
    const sender = new FrameSender(false, deflate);
    sender.send(randomBytes(300_000), true);
    sender.step();
    sender.abandon();
    const text = textOf(100_000);
    sender.send(text, true);
    while (sender.busy) sender.step();
    const { frames } = sender.takeOutput()!;
    const [sent] = readFrames(frames.bytes.subarray(frames.start, frames.length));
    using peer = new ZlibPeer();
    assertEquals(new TextDecoder().decode(await peer.decompress(sent!.payload)), text);
    deflate.close();
  }
});

Deno.test("Protocol.step throws where there is no memory, and leaves nothing of the message", () => {
  for (const agreed of [{}, NO_CONTEXT]) {
    let left = Infinity;
    withZlib((stream, kind) => {
      const { writeSync } = stream._handle;
      stream._handle.writeSync = (...args) => {
        if (kind === "deflate" && --left < 0) {
          throw new RangeError("Array buffer allocation failed");
        }
        writeSync.apply(stream._handle, args);
      };
      return stream;
    }, () => {
      // Levels that no other test uses: its compressors are new.
      using driver = new Driver("server", { deflate: codec("server", agreed, { level: 7 }) });
      const { protocol } = driver;
      protocol.send(textOf(300_000), true);
      protocol.send("waits", true);
      left = 3;
      protocol.step();
      assertThrows(() => {
        while (protocol.busy) protocol.step();
      }, RangeError);
      left = Infinity;
      assertEquals([protocol.busy, protocol.held, protocol.messageBytes], [false, 0, 0]);
      assertEquals(driver.takeFrames(), []);
    });
  }
});

// Memory

Deno.test("Protocol.held is what is held: of messages half received, of those to be sent, of output", () => {
  for (const role of roles) {
    using driver = new Driver(role, { deflate: codec(role) });
    const { protocol } = driver;
    assertEquals([protocol.held, protocol.unsent, protocol.messageBytes], [0, 0, 0]);

    // A long message that waits to be compressed, then one that takes next to nothing.
    protocol.send("a".repeat(1_000_000), true);
    assertEquals([protocol.held, protocol.unsent], [1_000_000, 1_000_000]);
    protocol.step();
    assertEquals(protocol.held, 1_000_000 + 16 * 1024);
    while (protocol.busy) protocol.step();
    assertEquals([protocol.held, protocol.messageBytes], [16 * 1024, 1_000_000]);
    driver.takeFrames();
    assertEquals(protocol.held, 0);

    // What cannot be compressed is there twice, until it is done.
    protocol.send(randomBytes(1_000_000), true);
    protocol.step();
    while (protocol.busy) {
      assertGreater(protocol.held, 1_000_000 + 16 * 1024 - 1);
      assertLess(protocol.held, 3_200_000);
      protocol.step();
    }
    assertLess(protocol.held, 2_200_000);
    driver.takeFrames();
    assertEquals(protocol.held, 0);

    // Small messages share the output.
    for (let i = 0; i < 100; i++) protocol.send("small", false);
    assertEquals([protocol.held, protocol.messageBytes], [16 * 1024, 500]);
    driver.takeFrames();
    assertEquals(protocol.held, 0);

    // A message half received.
    driver.feed(frame(role, BINARY, new Uint8Array(500_000), { fin: false }));
    assertGreater(protocol.held, 500_000 - 1);
    assertLess(protocol.held, 700_000);
    protocol.release();
    assertEquals(protocol.held, 0);
  }
});

Deno.test("FrameSender.held does not count a prepared message, which is shared", () => {
  const message = prepare(randomBytes(500_000));
  for (const agreed of [undefined, {}]) {
    const deflate = agreed && codec("server", agreed);
    const sender = new FrameSender(false, deflate);
    sender.sendPrepared(message, true);
    while (sender.busy) {
      assertEquals([sender.held, sender.messageBytes, sender.unsent], [0, 500_000, 500_000]);
      sender.step();
    }
    assertEquals([sender.held, sender.messageBytes], [0, 500_000]);
    assertGreater(sender.outputBytes, 499_999);
    assertEquals(sender.unsent, sender.outputBytes);
    sender.release();
    assertEquals([sender.held, sender.messageBytes, sender.unsent], [0, 0, 0]);
    deflate?.close();
  }
});

Deno.test("PreparedMessage is compressed in steps, once for all that send it", () => {
  const text = textOf(400_000);
  const counted = { deflate: 0, inflate: 0 };
  withZlib((stream, kind) => {
    const { writeSync } = stream._handle;
    stream._handle.writeSync = (...args) => {
      counted[kind] += args[3];
      writeSync.apply(stream._handle, args);
    };
    return stream;
  }, () => {
    const message: PreparedMessage = prepare(text);
    const drivers = Array.from({ length: 3 }, () =>
      // A level that no other test uses: its compressors are new.
      new Driver("server", { deflate: codec("server", {}, { level: 8, memLevel: 7 }) }));
    for (const { protocol } of drivers) {
      protocol.sendPrepared(message, true);
      protocol.send("after", false);
      assertEquals([protocol.busy, protocol.messageBytes], [true, 400_005]);
    }
    const outputs = drivers.map(() => [] as Uint8Array[]);
    while (drivers.some(({ protocol }) => protocol.busy)) {
      for (const [i, { protocol }] of drivers.entries()) {
        const before = counted.deflate;
        protocol.step();
        assertLess(counted.deflate - before, 32_769);
        for (let next = protocol.takeOutput(); next; next = protocol.takeOutput()) {
          outputs[i]!.push(next.frames.bytes.slice(next.frames.start, next.frames.length));
        }
      }
    }
    // Each byte went in once.
    assertEquals(counted.deflate, 400_000);
    for (const output of outputs) {
      using receiver = new Driver("client", { deflate: codec("client") });
      receiver.feed(concat(...output));
      assertEquals(receiver.events.length, 2);
      assert(receiver.events[0]![1] === text);
      assertEquals(receiver.events[1], ["message", "after"]);
    }
    for (const driver of drivers) driver[Symbol.dispose]();
  });
});

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
