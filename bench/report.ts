/**
 * Results as Markdown, aligned so that they read well in a terminal too.
 *
 * @module
 */

import { titleOf } from "./loads.ts";
import { COLUMNS, CURVE_COLUMNS, type MetricName, METRICS } from "./metrics.ts";
import type { Result, Results } from "./results.ts";
import { OURS, RIVALS } from "./rivals.ts";
import { median, ratios, spread } from "./statistics.ts";
import { verdicts } from "./targets.ts";

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });

/** Everything: targets, tables, and what was measured on. */
export function toMarkdown(results: Results): string {
  return [
    ...targets(results.results),
    ...tables(results.results),
    "## Measured on",
    table(["", ""], results.machine),
    ...list("Missing", results.missing.map(([name, why]) => `${name}: ${why}`)),
    ...list("Failed", results.failed),
  ].join("\n\n");
}

/** The text of `bench/README.md`. */
export function toReadme(results: Results): string {
  return [
    "# The bench",
    `Written by \`${results.command}\` on ${results.date}: do not edit.`,
    METHOD,
    "![CPU time of the server for each message](results.svg)",
    toMarkdown(results),
    "",
  ].join("\n\n");
}

const METHOD =
  `\`deno task bench\` takes three quarters of an hour, with \`--quick\` a minute; \`--save\` writes this page \
anew, and \`--help\` tells the rest. It runs on Linux. Contestants take part where they are: Node, Go with \
gorilla (Debian's \`golang-go\` and \`golang-github-gorilla-websocket-dev\`), and Bun, which \
\`--fetch-bun\` gets from npm. Who is missing is named.

Each server runs as a process of its own, on TLS, with the same certificate. The same \
load generator drives one after the other, in rounds: A, B, C, A, B, C. What comes before it is warm is \
not counted. Figures are the medians of the rounds; behind ± is half of the way from the least to the \
greatest. Ratios are those of each contestant to ours in the same round: above 1 it needs more than \
ours, or gives more.

All do the same: each message is sent back. Where it is compressed, every message is, at level 1 where \
that can be set, and once more at level 3 where whole events are sent; window and memory are what each has \
by default. Messages are cut from generated JSON events, all different and alike; those of 64 KiB and \
more are binary, others text. With context, both sides keep theirs (RFC 7692's context takeover) where the server agrees. \
A broadcast is done the best way each has: \`Topics\` here, \`PreparedMessage\` in gorilla, \`publish\` in \
Bun, one send after another in ws. **Bare write to each** writes the sender's frame to every TLS socket as it is: \
what a broadcast on Deno costs at least. The p50 of a broadcast is the time from the question to the last arrival.

- **CPU µs/msg**: user and system time of the server's process, from the kernel; of the client's, where \
clients are measured. In a broadcast, for each message that arrives.
- **wire B/msg**: what the server sends for a message, frame header included, before TLS.
- **peak MB**: the most memory that the server ever had.
- **load CPU**: the load generator's own time, and its share of one CPU. Close to 100 %, the rate and \
the latency are the load generator's, but the server's CPU time is still its own.
- **KB/connection**: resident memory of the server with the connections less that without, once each \
has sent and received one message of 512 B.
- **handshakes/CPU s**: opening handshakes, TLS and WebSocket, for each second of the server's CPU time.
- **Latency** is told in milliseconds from a question to the last message of its answer. Beside others, \
ten connections ask each 100 ms, and get messages from the server's timers, while 40 more echo 4 KiB \
without a pause.
- **Fairness** is what 50 connections see that ask each 100 ms, while others flood the server or send it \
16 KB that inflate to 16 MiB, again and again. An answer that has not come 5 s after the last question \
counts with its age. Meanwhile one client after another connects anew: the longest wait is told. The \
attackers are a process of their own on the load generator's CPU.
- **Workers** are measured on both CPUs, which they share with the load generator. In their broadcast one socket \
sends, and sends the next when its own copy is back; the others do not read before the end.
- **TLS alone** sends the bytes back without looking at them: what a WebSocket on Deno costs at least.`;

function targets(results: Result[]): string[] {
  const rows = verdicts(results).map(({ target, measured, spread, met }) => {
    const isFigure = target.rival === undefined || target.difference;
    const factor = isFigure ? METRICS[target.metric].scale : 1;
    const against = RIVALS.find(({ id }) => id === target.rival)?.name ?? "";
    return [
      target.title,
      target.text,
      target.rival === OURS ? "" : against,
      measured === undefined
        ? ""
        : `${number.format(measured * factor)} ±${percent.format(spread)}`,
      measured === undefined ? "not measured" : met ? "met" : "missed",
    ];
  });
  if (rows.length === 0) return [];
  return ["## Targets", table(["load", "target", "of", "measured", ""], rows)];
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
