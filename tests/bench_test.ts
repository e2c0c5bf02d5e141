import { constants, createInflateRaw } from "node:zlib";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { AnswerCounter, concat, inflateFirst, readMessage } from "../bench/answers.ts";
import { FrameStream, toMessage } from "../bench/frames.ts";
import { bombOf, floodOf, FLOODS } from "../bench/attacker.ts";
import { messagesOf } from "../bench/messages.ts";
import { differences, spread } from "../bench/statistics.ts";
import { TEXT, wireFrame } from "../bench/wire.ts";
import { projectPath, run, RUNNABLE } from "./programs.ts";

Deno.test("FrameStream repeats frames that refer to those before them", async () => {
  const texts = messagesOf("events");
  const messages = texts.map((text) => toMessage(text, false));
  const stream = await FrameStream.of(messages, { mode: "context", windowBits: 15, depth: 16 });
  const inflater = createInflateRaw({ finishFlush: constants.Z_SYNC_FLUSH });
  const chunks: Uint8Array[] = [];
  inflater.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  let next = 0;
  for (let i = 0; i < 3 * texts.length; i++) {
    const { payload } = readMessage(stream.slice(next, 1));
    inflater.write(payload);
    inflater.write(new Uint8Array([0, 0, 0xff, 0xff]));
    next = stream.after(next, 1);
  }
  await new Promise((resolve) => inflater.end(resolve));
  const text = new TextDecoder().decode(concat(chunks));
  assertEquals(text === texts.join("").repeat(3), true);
});

Deno.test("AnswerCounter counts messages however they are cut", async () => {
  const sizes = [1, 125, 126, 65_535, 65_536];
  const messages = sizes.map((size) => toMessage("x".repeat(size), true));
  const stream = await FrameStream.of(messages, { mode: "plain", windowBits: 15, depth: 1 });
  const frames = sizes.map((_, i) => stream.slice(i, 1));
  for (const step of [1, 3, 1000, 1_000_000]) {
    const counter = new AnswerCounter();
    const bytes = concat(frames);
    let count = 0;
    for (let at = 0; at < bytes.length; at += step) {
      const piece = bytes.subarray(at, at + step);
      count += counter.push(piece, piece.length);
    }
    assertEquals(count, sizes.length, `in steps of ${step}`);
  }
});

Deno.test("wireFrame() writes frames that are read as they were meant", () => {
  for (const length of [0, 1, 125, 126, 65_535, 65_536]) {
    const payload = new Uint8Array(length).fill(7);
    for (const masked of [true, false]) {
      const message = readMessage(wireFrame(TEXT, payload, { masked }));
      assertEquals(message.payload.length, length);
      assertEquals(message.payload.every((byte) => byte === 7), true);
      assertEquals(message.compressed, false);
    }
  }
});

Deno.test("floodOf() makes whole messages, or pings that are none", () => {
  for (const flood of FLOODS) {
    for (const masked of [true, false]) {
      const frames = floodOf(flood, { masked });
      const counter = new AnswerCounter();
      const once = counter.push(frames, frames.length);
      // Written again, the frames begin anew.
      assertEquals(counter.push(frames, frames.length), once);
      assertEquals(once > 0, flood !== "pings", flood);
    }
  }
});

Deno.test("bombOf() makes 16 MiB out of some 16 KB", () => {
  const bomb = bombOf(TEXT);
  const { payload, compressed } = readMessage(bomb);
  assertEquals(compressed, true);
  assertEquals(inflateFirst(payload).length, 16 * 1024 * 1024);
  assertEquals(bomb.length < 17_000, true);
});

Deno.test("spread() and differences() take figures that are zero", () => {
  assertEquals(spread([0, 0, 0]), 0);
  assertEquals(spread([1, 2, 3]), 0.5);
  assertEquals(differences([3, 2, 9], [1, 2]), [2, 0]);
});

Deno.test({
  name: "bench measures ours beside a rival",
  ignore: !RUNNABLE || Deno.build.os !== "linux",
  async fn() {
    const args = ["--quick", "--only=plain-64-50x1", "--rivals=deno", "--rounds=1"];
    const { code, stdout, stderr } = await run("bench", args, { cwd: projectPath("") });
    assertEquals({ code, stderr }, {
      code: 0,
      stderr: ["1/1 64 B, plain, 50 connections, ping-pong"],
    });
    const rowOf = (name: string) => stdout.find((line) => line.startsWith(`| ${name} `));
    assertMatch(rowOf("ours")!, /^\| ours +\|.* 1\.00 +\|$/);
    assertMatch(rowOf("Deno's own")!, /\d/);
    assertStringIncludes(rowOf("64 B ping-pong, plain")!, "≤ 1.05 × CPU");
  },
});

Deno.test({
  name: "bench names who is missing",
  ignore: !RUNNABLE || Deno.build.os !== "linux",
  async fn() {
    const args = ["--quick", "--only=start", "--rivals=ws-node", "--rounds=1"];
    const nowhere = { cwd: projectPath(""), env: { PATH: "/nonexistent" } };
    const { stdout } = await run("bench", args, nowhere);
    assertMatch(stdout.find((line) => line.startsWith("- ws on Node"))!, /node/);
  },
});
