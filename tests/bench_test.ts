import { constants, createInflateRaw } from "node:zlib";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { AnswerCounter, concat, inflateFirst, readMessage } from "../bench/answers.ts";
import { capacity, capacityOf, COSTS, main as capacityMain } from "../bench/capacity.ts";
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

/** Rounded, so that the last digits of a sum do not count. */
const about = (figure: number) => Number(figure.toPrecision(9));

const ROOMS = { sockets: 1_000_000, rooms: 10_000, messagesPerSecond: 2000, size: 300 };

Deno.test("capacityOf() adds up what one process takes, without an engine", () => {
  const demand = { sockets: 1000, rooms: 10, messagesPerSecond: 50, size: 1024 };
  const found = capacityOf(demand, 1);
  assertEquals(found.deliveries, 5000);
  const { delivery, deliveryPerKiB, receipt, lifeSign } = COSTS;
  const microseconds = 5000 * (delivery + deliveryPerKiB) + 50 * receipt + 100 * lifeSign;
  assertEquals(about(found.cpus), about(microseconds / 1e6));
  assertEquals(found.memory, COSTS.process + 1000 * COSTS.socket + 10 * COSTS.topic);
  assertEquals(found.network, 5000 * (1024 + 4 + 88));
  assertEquals([found.engineIn, found.engineOut, found.engineBytes], [0, 0, 0]);
});

Deno.test("capacityOf() has an engine send a message once to each process with a socket of its room", () => {
  // With two processes and rooms of two, half of the rooms are on both.
  const pairs = { sockets: 200, rooms: 100, messagesPerSecond: 10, size: 100 };
  assertEquals(about(capacityOf(pairs, 2).engineOut), 10 * 1.5);
  // Large rooms are everywhere, small ones on one process each.
  assertEquals(about(capacityOf({ ...ROOMS, rooms: 10 }, 20).engineOut), 2000 * 20);
  assertEquals(about(capacityOf({ ...ROOMS, rooms: ROOMS.sockets }, 20).engineOut), 2000);
  assertEquals(capacityOf(ROOMS, 20).engineIn, 2000);
});

Deno.test("capacity() finds the fewest processes that are not too busy", () => {
  for (const messagesPerSecond of [0, 2000, 20_000, 1_000_000]) {
    const demand = { ...ROOMS, messagesPerSecond };
    const { processes, cpus } = capacity(demand);
    assert(cpus <= 0.6 * processes, `${processes}`);
    // Each has 50,000 sockets at most.
    const fewer = capacityOf(demand, processes - 1);
    assert(processes === 20 || fewer.cpus > 0.6 * (processes - 1), `${processes}`);
  }
  assertEquals(capacity({ ...ROOMS, sockets: 10_000_000, messagesPerSecond: 0 }).processes, 200);
});

Deno.test({
  name: "bench/capacity.ts prints what docs/scale.md shows",
  ignore: !RUNNABLE,
  async fn() {
    const lines: string[] = [];
    const output = {
      out: (text: string) => lines.push(text),
      err: (text: string) => lines.push(text),
    };
    const args = ["--sockets=1000000", "--rooms=10000", "--messages-per-second=2000", "--size=300"];
    assertEquals(await capacityMain(args, output), 0);
    const document = await Deno.readTextFile(projectPath("docs/scale.md"));
    assertStringIncludes(document, lines.join("\n"));
    assertEquals(await capacityMain(["--sockets=0"], output), 2);
  },
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
