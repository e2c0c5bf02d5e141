import { assert, assertEquals } from "@std/assert";
import { Report } from "../../../cli/client/report.ts";
import { sizeText, Statistics } from "../../../cli/client/statistics.ts";
import { sentencesIn } from "../../../cli/sentences.ts";
import { FakeSocket } from "../fake_socket.ts";

/** What the statistics tell as JSON. */
function told(statistics: Statistics) {
  const lines: string[] = [];
  const output = { out: (line: string) => void lines.push(line), err() {} };
  const options = {
    form: "json",
    quiet: false,
    timestamps: false,
    binaryFormat: "raw",
    terminator: "\n",
  } as const;
  statistics.tell(new Report(options, output, sentencesIn("en")), sentencesIn("en"));
  return JSON.parse(lines[0]!);
}

Deno.test("Statistics measures the nth answer from the nth message", () => {
  let now = 0;
  const statistics = new Statistics(() => now);
  assertEquals(told(statistics).answers, undefined);
  statistics.received();
  for (let i = 1; i <= 100; i++) {
    now = 1000 * i;
    statistics.sent();
  }
  for (let i = 1; i <= 100; i++) {
    now = 1000 * i + i;
    statistics.received();
  }
  statistics.received();
  assertEquals(told(statistics).answers, { p50: 50, p99: 99 });
});

Deno.test("Statistics keeps a bounded sample of many answers", () => {
  let now = 0;
  const statistics = new Statistics(() => now);
  for (let i = 0; i < 200_000; i++) {
    statistics.sent();
    now += i % 100;
    statistics.received();
  }
  const { p50, p99 } = told(statistics).answers;
  assert(p50 > 45 && p50 < 55, `${p50}`);
  assert(p99 >= 97, `${p99}`);
  for (let i = 0; i < 200_000; i++) statistics.sent();
  for (let i = 0; i < 200_000; i++) statistics.received();
});

Deno.test("Statistics tells no share of bytes where there was no message", () => {
  const remarks: string[] = [];
  const report = { json() {}, remark: (line: string) => void remarks.push(line) };
  new Statistics().tell(report, sentencesIn("en"));
  assertEquals(remarks, ["Sent: no messages", "Received: no messages"]);
});

Deno.test("Statistics tells nothing of what Deno's own WebSocket does not count", () => {
  const events: unknown[] = [];
  const remarks: string[] = [];
  const report = {
    json: (event: unknown) => void events.push(event),
    remark: (line: string) => void remarks.push(line),
  };
  const statistics = new Statistics();
  statistics.add(new FakeSocket().asWebSocket);
  statistics.tell(report, sentencesIn("en"));
  assertEquals(events, [{ event: "stats" }]);
  assertEquals(remarks, ["Messages and bytes: Deno's own WebSocket does not count them"]);
});

Deno.test("sizeText() has decimal units", () => {
  const cases = { 0: "0 B", 999: "999 B", 1000: "1.0 kB", 4_100_000: "4.1 MB", 2e15: "2000.0 TB" };
  for (const [bytes, text] of Object.entries(cases)) {
    assertEquals(sizeText(Number(bytes), sentencesIn("en")), text);
  }
  assertEquals(sizeText(6700, sentencesIn("pt-BR")), "6,7 kB");
});
