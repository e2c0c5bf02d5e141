/**
 * Results as Markdown, aligned so that they read well in a terminal too.
 *
 * @module
 */

import elsewhere from "./elsewhere.json" with { type: "json" };
import { isNamed, titleOf } from "./loads.ts";
import { COLUMNS, CURVE_COLUMNS, type MetricName, METRICS } from "./metrics.ts";
import type { Result, Results } from "./results.ts";
import { OURS, RIVALS } from "./rivals.ts";
import { median, ratios, spread } from "./statistics.ts";
import { type Verdict, verdicts } from "./targets.ts";

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });

/** Targets, tables, and what was measured on, of what was measured. */
export function toMarkdown(results: Results): string {
  const measured = verdicts(results.results).filter(({ target }) =>
    results.results.some(({ load }) => isNamed(load.id, target.load))
  );
  return [
    ...measured.length === 0 ? [] : ["## Targets", countOf(measured), targetTable(measured)],
    ...measurements(results),
  ].join("\n\n");
}

/** The text of `bench/README.md`. */
export function toReadme(results: Results): string {
  const all = verdicts(results.results);
  return [
    "# The bench",
    `This project beside its peers, measured in one run on one machine: \`${results.command}\` on ` +
    `${results.date}. The command writes this page. Do not edit it.`,
    "## Targets",
    `${
      countOf(all)
    } A ratio is ours to the other's. Of a target that was loosened later, both limits are listed.`,
    targetTable(all),
    "## Pictures",
    ...PICTURES,
    "## Targets that other commands measure",
    `${
      countOf(ELSEWHERE.map(({ met }) => ({ met: met ?? false, measured: met })))
    } The figures are ` +
    "from `bench/elsewhere.json`: after a run of a command, write its figure there.",
    elsewhereTable(),
    METHOD,
    ...measurements(results),
    "",
  ].join("\n\n");
}

const MISSED = "**missed**";

/** How many targets are met. */
function countOf(verdicts: { met: boolean; measured: unknown }[]): string {
  const measured = verdicts.filter(({ measured }) => measured !== undefined && measured !== null);
  const open = verdicts.length - measured.length;
  return `**${measured.filter(({ met }) => met).length} of ${verdicts.length} targets are met.**` +
    (open === 0 ? "" : ` ${open} ${open === 1 ? "was" : "were"} not measured.`);
}

/** The pictures of `plot.ts`: each for a wide page and a phone. */
const PICTURES = [
  ["cpu", "CPU time for each message, for each contestant, in fifteen loads"],
  ["latency", "Latency of each contestant, p50 and p99, alone and under attack"],
  ["memory", "Memory of each contestant, and how costs grow with connections and bytes"],
].map(([name, text]) =>
  `<picture><source media="(max-width: 600px)" srcset="plots/${name}-narrow.svg">` +
  `<img alt="${text}" src="plots/${name}.svg"></picture>`
);

/** What was measured, and on what. */
function measurements(results: Results): string[] {
  return [
    ...tables(results.results),
    "## Measured on",
    table(["", ""], results.machine),
    ...list("Missing", results.missing.map(([name, why]) => `${name}: ${why}`)),
    ...list("Failed", results.failed),
  ];
}

/** A target that the bench does not measure, and the latest figure. */
interface Elsewhere {
  what: string;
  target: string;
  /** Empty where it was never measured. */
  figure: string;
  /** Null where it was never measured. */
  met: boolean | null;
  date: string;
  /** Empty where it was measured by hand. */
  command: string;
}

const ELSEWHERE: Elsewhere[] = elsewhere;

function elsewhereTable(): string {
  return table(
    ["what", "target", "measured", "on", "command", ""],
    ELSEWHERE.map(({ what, target, figure, met, date, command }) => [
      what,
      target,
      figure,
      date,
      command === "" ? (date === "" ? "" : "by hand") : `\`${command}\``,
      met === null ? "not measured" : met ? "met" : MISSED,
    ]),
  );
}

const METHOD = `## How it is measured

\`deno task bench\` takes about 35 minutes, \`deno task bench --quick\` two. \`deno task bench --save\` \
writes this page, the pictures and \`bench/results.json\`; with \`--from=bench/results.json --save\` it writes them again \
without measuring. \`--help\` lists the rest. It runs on Linux. Node, Go with gorilla (Debian's \`golang-go\` \
and \`golang-github-gorilla-websocket-dev\`), wscat (from npm) and Debian's \`python3-websockets\` take part where they are \
installed; \`--fetch-bun\` gets Bun from npm. A contestant that is not installed is listed under Missing.

- Each server is a process of its own, on TLS, with the same certificate. One load generator drives them in turn, round \
after round: A, B, C, A, B, C. The warm-up is not counted.
- A figure is the median of the rounds. The number after ± is half the distance from the least to the greatest round.
- A ratio compares two contestants in the same round. In the tables it is the contestant's to ours: above 1, it needs more, \
or gives more.
- Every server sends each message back. With compression every message is compressed, at level 1 where it can be set; \
window and memory are each server's default. Messages are cut from generated JSON events, which differ from each other. \
From 64 KiB on they are binary.
- "With context" means that both sides keep their compression context (RFC 7692), where the server agrees.
- A broadcast is done in each one's best way: \`Topics\` here, \`PreparedMessage\` in gorilla, \`publish\` in Bun, a loop in \
ws. Its p50 is the time from the question to the last arrival.
- **TLS alone**, **node:tls alone**, **node:http alone**, **bare write to each** and **bare script** do the same work \
without a WebSocket library: they show what Deno itself costs.

| column | what it is |
| --- | --- |
| CPU µs/msg | user and system time of the server's process for each message, from the kernel. For a client it is the \
client's time; for a broadcast, the time for each message that arrives; for HTTP, for each request |
| wire B/msg | bytes that the server sends for a message, with the frame header, before TLS |
| peak MB | the most memory that the server has had |
| load CPU | the load generator's time for each message, and its share of one CPU. Near 100 %, it limits rate and latency; \
the server's CPU time is right all the same |
| KB/connection | memory of the server with the connections, less that without, after one message of 512 B each way |
| handshakes/CPU s | opening handshakes, TLS and WebSocket, for one second of the server's CPU time |

- **Latency**: the time from a question to the last message of its answer. In the load beside others, ten connections \
ask every 100 ms and are answered by timers, while 40 more echo 4 KiB without a pause.
- **Fairness**: 50 connections ask every 100 ms while others flood the server, or send 16 KB that inflate to 16 MiB again and \
again. A question that is not answered within 2.5 s counts with its age. New clients connect all the while; the longest wait \
is shown. The attackers run on the load generator's CPU.
- **Workers** share both CPUs with the load generator. In their broadcast one socket sends, and sends the next message when \
its own copy is back. The others read at the end.
- **Commands**: the time from the start to the exit with one message (wscat waits for two seconds unless \`-w 0\` says \
otherwise), and the CPU time for each of 10,000 lines of 100 B that go through a pipe to an echo and back.`;

/** The targets. Those that say several things of one figure of ours are one row. */
function targetTable(verdicts: Verdict[]): string {
  const rows = Map.groupBy(verdicts, ({ target }, i) => {
    const { title, rival, load } = target;
    return load.startsWith("fairness") && rival === undefined ? title : i;
  });
  return table(
    ["load", "target", "beside", "measured", ""],
    [...rows.values()].map((row) => {
      const { title, rival } = row[0]!.target;
      const missed = row.filter(({ met, measured }) => !met && measured !== undefined);
      const isMeasured = row.every(({ measured }) => measured !== undefined);
      return [
        title,
        row.map(({ target: { text } }) => text).join(", "),
        rival === OURS ? "" : RIVALS.find(({ id }) => id === rival)?.name ?? "",
        isMeasured ? row.map(measuredText).join(", ") : "",
        !isMeasured
          ? "not measured"
          : missed.length === 0
          ? "met"
          : row.length === 1
          ? MISSED
          : `${row.length - missed.length} of ${row.length} met`,
      ];
    }),
  );
}

/** The figure with its unit, or the ratio, and its spread. */
function measuredText({ target, measured = 0, spread }: Verdict): string {
  const isFigure = target.rival === undefined || target.difference;
  const { scale, unit = "" } = METRICS[target.metric];
  const figure = isFigure ? `${number.format(measured * scale)}${unit}` : number.format(measured);
  // A share of a difference, which may be next to nothing, would say nothing.
  return target.difference
    ? `${figure} ±${number.format(Math.abs(spread * measured * scale))}`
    : `${figure} ±${percent.format(spread)}`;
}

function tables(results: Result[]): string[] {
  const byLoad = Map.groupBy(
    results.filter(({ load }) => !load.curve),
    (result) => result.load.id,
  );
  const curves = Map.groupBy(results, (result) => result.load.curve);
  return [
    ...[...byLoad].flatMap(([id, group]) => [
      `## ${titleOf(group[0]!.load)}\n\n\`${id}\``,
      loadTable(group),
    ]),
    ...[...curves].flatMap(([curve, group]) =>
      curve === undefined ? [] : [
        `## Ours by ${curve}\n\n\`curve\``,
        table(
          ["", ...CURVE_COLUMNS[curve].map((metric) => METRICS[metric].title)],
          group.map((result) => [
            titleOf(result.load),
            ...CURVE_COLUMNS[curve].map((metric) => figure(result, metric)),
          ]),
        ),
      ]
    ),
  ];
}

function loadTable(group: Result[]): string {
  const { shown, compared } = COLUMNS[group[0]!.load.kind];
  const ours = group.find(({ rival }) => rival === OURS);
  const head = [
    "",
    ...shown.map((metric) => METRICS[metric].title),
    ...compared.map((metric) => METRICS[metric].ratio ?? ""),
  ];
  return table(
    head,
    group.map((result) => [
      nameIn(result),
      ...shown.map((metric) => figure(result, metric)),
      ...compared.map((metric) => comparison(result, ours, metric)),
    ]),
  );
}

/** A contestant that agreed to less than it was offered is said to. */
function nameIn({ name, load, extensions }: Result): string {
  const forgets = load.mode === "context" && /server_no_context_takeover/i.test(extensions);
  return forgets ? `${name} (no context)` : name;
}

function figure({ samples }: Result, metric: MetricName): string {
  const values = samples[metric] ?? [];
  if (values.length === 0) return "";
  const { scale } = METRICS[metric];
  return `${number.format(median(values) * scale)} ±${percent.format(spread(values))}`;
}

function comparison(result: Result, ours: Result | undefined, metric: MetricName): string {
  const values = ratios(result.samples[metric] ?? [], ours?.samples[metric] ?? []);
  return values.length === 0 ? "" : median(values).toFixed(2);
}

function list(title: string, items: string[]): string[] {
  return items.length === 0 ? [] : [`## ${title}`, items.map((item) => `- ${item}`).join("\n")];
}

/** A Markdown table; the first column is text, others are figures or short. */
function table(head: string[], rows: string[][]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(3, ...all.map((row) => row[column]!.length)));
  const line = (cells: string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}
