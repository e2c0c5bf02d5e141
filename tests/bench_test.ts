import { constants, createInflateRaw } from "node:zlib";
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { AnswerCounter, concat, inflateFirst, readMessage } from "../bench/answers.ts";
import { capacity, capacityOf, COSTS, main as capacityMain } from "../bench/capacity.ts";
import { FrameStream, toMessage } from "../bench/frames.ts";
import { bombOf, floodOf, FLOODS } from "../bench/attacker.ts";
import { answerLength, requestOf } from "../bench/http_connection.ts";
import { DEFAULT, isNamed } from "../bench/loads.ts";
import { main } from "../bench/main.ts";
import { messagesOf } from "../bench/messages.ts";
import { COLUMNS, CURVE_COLUMNS } from "../bench/metrics.ts";
import { apart, inLines, linearAxis, logAxis, rowsPanel } from "../bench/panels.ts";
import { toSvgs } from "../bench/plot.ts";
import { toReadme } from "../bench/report.ts";
import type { Results } from "../bench/results.ts";
import { RIVALS, takesPart } from "../bench/rivals.ts";
import { isTargeted, TARGETS, verdicts } from "../bench/targets.ts";
import elsewhere from "../bench/elsewhere.json" with { type: "json" };
import config from "../deno.json" with { type: "json" };
import { differences, spread } from "../bench/statistics.ts";
import { TEXT, wireFrame } from "../bench/wire.ts";
import { projectPath, run, runHere, RUNNABLE } from "./programs.ts";

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

Deno.test("requestOf() and answerLength() speak HTTP, and refuse an answer that is another", () => {
  const text = (upload?: number) => new TextDecoder().decode(requestOf(upload));
  assertEquals(text(), "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  assertMatch(text(3), /^POST .*\r\nContent-Length: 3\r\n\r\nuuu$/s);
  const head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
  assertEquals(answerLength(head.slice(0, -1), 5), undefined);
  assertEquals(answerLength(head, 5), head.length + 5);
  assertThrows(() => answerLength(head, 4), Error, "Cannot measure");
  assertThrows(() => answerLength(head.replace("200", "500"), 5), Error, "Cannot measure");
});

Deno.test("logAxis() and linearAxis() hold all figures between round ticks", () => {
  const ratios = logAxis([0.3, 1, 7], 2, String);
  assertEquals(ratios.ticks.map(([value]) => value), [0.25, 0.5, 1, 2, 4, 8]);
  assertEquals([0.25, 1, 8].map(ratios.at), [0, 0.4, 1]);
  const times = logAxis([1, 1000], 10, String);
  assertEquals(times.ticks.map(([, text]) => text), ["1", "10", "100", "1000"]);
  const bytes = linearAxis([12, 302], String);
  assertEquals(bytes.ticks.map(([value]) => value), [0, 100, 200, 300, 400]);
  assertEquals([0, 100, 400].map(bytes.at), [0, 0.25, 1]);
});

Deno.test("apart() keeps labels from lying on each other", () => {
  assertEquals(apart([50, 52, 100], 0, 200, 15), [50, 65, 100]);
  assertEquals(apart([98, 52, 99], 0, 100, 15), [85, 52, 100]);
});

Deno.test("inLines() breaks between sentences alone", () => {
  assertEquals(inLines(["One.", "Two.", "Three."], 1000), ["One. Two. Three."]);
  assertEquals(inLines(["One.", "Two.", "Three."], 10), ["One.", "Two.", "Three."]);
});

Deno.test("rowsPanel() sorts, and shows the median and the spread of the rounds", () => {
  const row = (rival: string, rounds: number[]) => ({
    rival,
    name: rival,
    marks: [rounds],
    text: "",
  });
  const axis = { at: (value: number) => value / 4, ticks: [] };
  const rows = [row("ours", [3, 2, 4]), row("deno", [1, 1, 2])];
  // 116 of 616 are for names, and 100 for figures: 400 for four.
  const svg = rowsPanel("Panel", rows, axis, 100).draw(616);
  assert(svg.indexOf(">deno<") < svg.indexOf(">ours<"));
  assertMatch(svg, /class="ours">.*<rect class="spread" x="316" [^>]*width="200".*cx="416"/);
  assertMatch(svg, /class="deno">.*<rect class="spread" x="216" [^>]*width="100".*cx="216"/);
});

/** A run in which everybody measured the same. */
function evenResults(): Results {
  const results = DEFAULT.loads.flatMap((load) =>
    RIVALS.filter((rival) => takesPart(rival, load)).map(({ id, name }) => {
      const { shown } = COLUMNS[load.kind];
      const metrics = [...shown, ...load.curve ? CURVE_COLUMNS[load.curve] : [], "cpu" as const];
      const samples = Object.fromEntries(metrics.map((metric) => [metric, [1, 2, 3]]));
      return { load, rival: id, name, extensions: "", samples };
    })
  );
  const machine: [string, string][] = [["CPU", "one"]];
  return {
    command: "deno task bench",
    date: "today",
    rounds: 3,
    machine,
    missing: [],
    failed: [],
    results,
  };
}

Deno.test("toSvgs() draws all panels, whose titles fit beside each other", () => {
  const files = toSvgs(evenResults());
  const panels = { cpu: 15, latency: 8, memory: 7 };
  for (const [name, count] of Object.entries(panels)) {
    for (const narrow of ["", "-narrow"]) {
      const svg = files[`${name}${narrow}.svg`]!;
      const titles = [...svg.matchAll(/class="heading"[^>]*>([^<]*)</g)].map(([, title]) => title!);
      assertEquals(titles.length, count, name);
      // A letter takes 7.7 of the 264 pixels of a third of the page, or of 344 on a phone.
      const room = name === "cpu" && narrow === "" ? 34 : 44;
      for (const title of titles) assert(title.length <= room, title);
      assertStringIncludes(svg, "prefers-color-scheme:dark");
    }
  }
});

Deno.test("toSvgs() says how many questions were answered where not all were", () => {
  const results = evenResults();
  const flooded = results.results.filter(({ load }) => load.id === "fairness-tiny-echo");
  for (const { rival, samples } of flooded) {
    samples.answered = rival === "deno" ? [0.2, 0.3, 1] : [1];
  }
  assertEquals(toSvgs(results)["latency.svg"]!.match(/\d+% answered/g), ["30% answered"]);
});

Deno.test("verdicts() compares ours with the other, of the same round", () => {
  const results = evenResults();
  const ours = results.results.find(({ load, rival }) =>
    load.id === "plain-64-50x1" && rival === "ours"
  );
  ours!.samples.cpu = [1.1, 2.2, 3.3];
  const [first, , third] = verdicts(results.results);
  assertEquals([first!.target.rival, first!.target.limit], ["deno", 1.0]);
  assertEquals([about(first!.measured!), first!.met], [1.1, false]);
  assertEquals([third!.target.rival, third!.met], ["ws-deno", false]);
  const unmeasured = verdicts([]);
  assertEquals(unmeasured.length, TARGETS.length);
  assert(unmeasured.every(({ measured, met }) => measured === undefined && !met));
});

Deno.test("bench measures in its ordinary run what every target is about", () => {
  for (const target of TARGETS) {
    const measures = (load: string, rival: string) =>
      DEFAULT.loads.some((candidate) => {
        const contestant = RIVALS.find(({ id }) => id === rival)!;
        return isNamed(candidate.id, load) && takesPart(contestant, candidate) &&
          (!candidate.targetsOnly || isTargeted(contestant, candidate));
      });
    const { load, otherLoad = load, rival = "ours" } = target;
    assert(measures(load, "ours"), target.title);
    assert(measures(otherLoad, rival), `${target.title}: ${rival}`);
  }
});

Deno.test("toReadme() counts the targets, and shows those that are measured elsewhere", () => {
  const text = toReadme(evenResults());
  const met = verdicts(evenResults().results).filter(({ met }) => met).length;
  assertStringIncludes(text, `**${met} of ${TARGETS.length} targets are met.**`);
  const metElsewhere = elsewhere.filter(({ met }) => met).length;
  assertStringIncludes(text, `**${metElsewhere} of ${elsewhere.length} targets are met.**`);
  for (const { what } of elsewhere) assertStringIncludes(text, `| ${what} `);
});

Deno.test({
  name: "bench/elsewhere.json names tests and tasks that there are",
  ignore: !RUNNABLE,
  async fn() {
    const folder = projectPath("tests/extended");
    let tests = "";
    for await (const { name } of Deno.readDir(folder)) {
      tests += await Deno.readTextFile(`${folder}/${name}`);
    }
    for (const { what, figure, met, date, command } of elsewhere) {
      assertEquals(date === "", figure === "", what);
      assertEquals(met !== null && figure === "", false, what);
      const filter = /--filter "\/(.*)\/"$/.exec(command)?.[1];
      if (filter !== undefined) assertMatch(tests, new RegExp(filter), what);
      const task = /^deno task (\S+)/.exec(command)?.[1];
      if (task !== undefined) assert(task in config.tasks, command);
      const file = /\S+\.ts/.exec(command)?.[0];
      if (file !== undefined) assert((await Deno.stat(projectPath(file))).isFile, command);
    }
  },
});

Deno.test({
  name: "bench/README.md shows pictures that there are",
  ignore: !RUNNABLE,
  async fn() {
    const text = await Deno.readTextFile(projectPath("bench/README.md"));
    const files = [...text.matchAll(/(?:src|srcset)="([^"]+)"/g)].map(([, file]) => file!);
    assertEquals(files.length, 6);
    for (const file of files) assert((await Deno.stat(projectPath(`bench/${file}`))).isFile);
  },
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
    assertStringIncludes(rowOf("64 B ping-pong, plain")!, "≤ 1 × CPU");
  },
});

Deno.test({
  name: "bench measures the server in workers, with what they may read",
  ignore: !RUNNABLE || Deno.build.os !== "linux",
  async fn() {
    const args = ["--quick", "--only=workers,deliveries", "--rivals=one-worker", "--rounds=1"];
    const { code, stdout } = await runHere((output) => main(args, output));
    const text = stdout.join("\n");
    assertEquals(code, 0, text);
    assertEquals(
      text.split("\n").filter((line) => /^\| ours, one worker +\| \d/.test(line)).length,
      2,
    );
  },
});

Deno.test({
  name: "bench measures HTTP, and the client as a command",
  ignore: !RUNNABLE || Deno.build.os !== "linux",
  async fn() {
    const only = "--only=http-get-tcp,http-upload-tls,once,pipe-plain";
    const args = [only, "--rivals=deno,connect-tls", "--rounds=1"];
    const { code, stdout: [text], stderr } = await runHere((output) => main(args, output));
    assertEquals({ code, lines: stderr.length }, { code: 0, lines: 4 }, stderr.join("\n"));
    const stdout = text!.split("\n");
    assertEquals(stdout.filter((line) => /^\| ours +\| [\d,.]+ /.test(line)).length, 4);
    for (const title of ["HTTP: GET of 1 KiB, TCP", "Command: one message, start to exit"]) {
      assertMatch(
        stdout.find((line) => line.startsWith(`| ${title} `))!,
        / (met|\*\*missed\*\*) +\|$/,
      );
    }
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
