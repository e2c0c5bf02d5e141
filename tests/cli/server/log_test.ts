import { assert, assertEquals, assertMatch } from "@std/assert";
import { LOG_LEVELS, type Logger, type LogOptions, openLog } from "../../../cli/server/log.ts";

/** The lines that `write` logs. */
function logged(
  options: Partial<LogOptions>,
  write: (log: Logger) => void,
): { out: string[]; err: string[] } {
  const out: string[] = [];
  const err: string[] = [];
  const defaults: LogOptions = { level: "info", format: "text", timestamps: false };
  const output = { out: (line: string) => out.push(line), err: (line: string) => err.push(line) };
  write(openLog({ ...defaults, ...options }, output));
  return { out, err };
}

/** One record of each level. */
function everyLevel(log: Logger): void {
  log.debug("d");
  log.info("i");
  log.warn("w");
  log.error("e");
}

Deno.test("openLog() writes the bare message, filled, to the output of its level", () => {
  const { out, err } = logged({}, (log) => {
    log.info("port {port}", { port: 8443 });
    log.warn("{warning}", { warning: 'a "b" {c}' });
    log.error("failed: {reason}", { reason: "é" });
    log.info("{data}", () => ({ data: "lazy" }));
  });
  assertEquals(out, ["port 8443", "lazy"]);
  assertEquals(err, ['a "b" {c}', "failed: é"]);
});

Deno.test("openLog() leaves lower levels out", () => {
  const expected = {
    debug: { out: ["d", "i"], err: ["w", "e"] },
    info: { out: ["i"], err: ["w", "e"] },
    warning: { out: [], err: ["w", "e"] },
    error: { out: [], err: ["e"] },
  };
  for (const level of LOG_LEVELS) {
    assertEquals(logged({ level }, everyLevel), expected[level]);
  }
});

Deno.test("openLog() puts the time before each line if it is asked to", () => {
  const before = Date.now();
  const { out, err } = logged({ timestamps: true }, everyLevel);
  for (const line of [...out, ...err]) {
    assertMatch(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [iwe]$/);
    const time = Date.parse(line.split(" ")[0]!);
    assert(time >= before && time <= Date.now(), line);
  }
});

Deno.test("openLog() names connection and client before a line of text, at debug alone", () => {
  const about = (log: Logger) => {
    log.info("opened", { connection: 7, client: "192.0.2.1:50000" });
    log.with({ worker: 2 }).info("closed", { connection: 8, client: "192.0.2.1:50001" });
    log.info("refused", { client: "192.0.2.1:50002" });
    log.info("listening");
  };
  assertEquals(logged({ level: "debug" }, about).out, [
    "#7 192.0.2.1:50000 opened",
    "#2.8 192.0.2.1:50001 closed",
    "192.0.2.1:50002 refused",
    "listening",
  ]);
  assertEquals(logged({}, about).out, ["opened", "closed", "refused", "listening"]);
});

Deno.test("openLog() writes one JSON object a line", () => {
  const { out, err } = logged({ format: "json" }, (log) => {
    log.info("a {data}", { event: "received", data: "x\ny" });
    log.error("b");
  });
  const records = [...out, ...err].map((line) => {
    assertEquals(line.includes("\n"), false);
    return JSON.parse(line);
  });
  assertEquals(records.map(({ level }) => level), ["INFO", "ERROR"]);
  assertEquals(records[0].properties, { event: "received", data: "x\ny" });
  assertMatch(records[0]["@timestamp"], /^\d{4}-.*Z$/);
});

Deno.test("openLog() replaces the log opened before", () => {
  const first = logged({}, (log) => {
    assertEquals(logged({}, (second) => second.info("2")).out, ["2"]);
    log.info("1");
  });
  assertEquals(first.out, []);
});
