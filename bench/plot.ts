/**
 * The results as three pictures: CPU time, latency, and memory with the growth of costs.
 *
 * @module
 */

import { isNamed } from "./loads.ts";
import type { MetricName } from "./metrics.ts";
import {
  type Axis,
  type Line,
  linearAxis,
  linesPanel,
  logAxis,
  type Page,
  pageSvg,
  type Panel,
  type Row,
  rowsPanel,
} from "./panels.ts";
import type { Result, Results } from "./results.ts";
import { OURS } from "./rivals.ts";
import { median, ratios } from "./statistics.ts";

/** The panels of a page that are about one load each: the load's id, or what it begins with, and a title. */
type Choice = [load: string, title: string][];

const CPU: Choice = [
  ["plain-64-50x1", "64 B, one at a time"],
  ["plain-64-50x16", "64 B, 16 in flight"],
  ["plain-4096-50x1", "4 KiB"],
  ["plain-65536-50x1", "64 KiB"],
  ["plain-262144-50x1", "256 KiB"],
  ["plain-512-1000x1", "512 B, 1,000 connections"],
  ["no-context-512-50x1", "512 B, compressed"],
  ["no-context-4096-50x1", "4 KiB, compressed"],
  ["context-events-50x1", "JSON events, kept context"],
  ["broadcast-plain-200", "200 B to 1,000 sockets"],
  ["broadcast-no-context-4096", "4 KiB to 1,000, compressed"],
  ["handshakes", "A handshake"],
  ["client-plain-64", "Client, 64 B"],
  ["http-get-tls", "HTTP: GET of 1 KiB, TLS"],
  ["http-upload-tls", "HTTP: POST of 64 KiB, TLS"],
];

const LATENCY: Choice = [
  ["plain-64-50x1", "64 B, 50 connections without a pause"],
  ["latency-65536", "64 KiB, one connection"],
  ["latency-parts", "Answer in three messages 2 ms apart"],
  ["latency-busy", "The same, beside 40 busy connections"],
  ["fairness-tiny-echo", "64 B, while one floods text of 1 B"],
  ["fairness-bombs-text-echo", "64 B, while 100 send bombs of 16 MiB"],
  ["broadcast-plain-200", "200 B to the last of 1,000 sockets"],
  ["http-get-tls", "HTTP: GET of 1 KiB, TLS"],
];

const IDLE: Choice = [["idle-no-context", "Idle connection, compressed, KB"]];

const PEAK: Choice = [
  ["plain-64-50x1", "Most memory, under 64 B, MB"],
  ["plain-262144-50x1", "Most memory, under 256 KiB, MB"],
];

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });

const SPREAD = "Bars: the least to the greatest round.";

/** The pictures by the names of their files. */
export function toSvgs({ results }: Results): Record<string, string> {
  const pages = {
    cpu: cpuPage(results),
    latency: latencyPage(results),
    memory: memoryPage(results),
  };
  const files: Record<string, string> = {};
  for (const [name, page] of Object.entries(pages)) {
    files[`${name}.svg`] = pageSvg(page, false);
    files[`${name}-narrow.svg`] = pageSvg(page, true);
  }
  return files;
}

/** What was measured of a load, each with at least one round of the metric. */
function group(results: Result[], load: string, metric: MetricName): Result[] {
  const has = ({ samples }: Result) => (samples[metric]?.length ?? 0) > 0;
  const first = results.find((result) => isNamed(result.load.id, load) && has(result));
  return results.filter((result) => result.load.id === first?.load.id && has(result));
}

/** The panels of those loads of which several contestants were measured. */
function panels(
  results: Result[],
  choice: Choice,
  metric: MetricName,
  toRow: (result: Result, ours: Result) => Omit<Row, "rival" | "name">,
  toAxis: (rows: Row[]) => Axis,
  textWidth: number,
): Panel[] {
  const found = choice.flatMap(([load, title]) => {
    const all = group(results, load, metric);
    const ours = all.find(({ rival }) => rival === OURS);
    if (ours === undefined || all.length < 2) return [];
    const rows = all.map((result): Row => ({
      rival: result.rival,
      name: result.name,
      ...toRow(result, ours),
    }));
    return [{ title, rows }];
  });
  if (found.length === 0) return [];
  const axis = toAxis(found.flatMap(({ rows }) => rows));
  return found.map(({ title, rows }) => rowsPanel(title, rows, axis, textWidth));
}

const FRACTIONS: Record<number, string> = { 0.5: "½", 0.25: "¼", 0.125: "⅛" };

function cpuPage(results: Result[]): Page {
  return {
    title: "CPU time for each message",
    notes: [
      "Beside ours, which is 1: left needs less, right more.",
      "Figures: µs of the server, or of the client.",
      SPREAD,
    ],
    columns: 3,
    panels: panels(
      results,
      CPU,
      "cpu",
      ({ samples }, ours) => ({
        marks: [ratios(samples.cpu!, ours.samples.cpu!)],
        text: number.format(median(samples.cpu!)),
      }),
      (rows) => ({
        ...logAxis(
          rows.map(({ marks }) => median(marks[0]!)),
          2,
          (ratio) => FRACTIONS[ratio] ?? number.format(ratio),
        ),
        isRatio: true,
      }),
      44,
    ),
  };
}

/** A time in words. */
function timeText(milliseconds: number): string {
  return milliseconds < 1000
    ? `${number.format(milliseconds)} ms`
    : `${number.format(milliseconds / 1000)} s`;
}

function latencyPage(results: Result[]): Page {
  return {
    title: "Latency",
    notes: [
      "Dot: p50. Ring: p99.",
      "Logarithmic, in ms: left is better.",
      SPREAD,
    ],
    columns: 2,
    panels: panels(
      results,
      LATENCY,
      "p99",
      ({ samples: { p50, p99, answered = [1] } }) => {
        // Times alone would hide questions that were never answered.
        const share = median(answered);
        if (share < 0.995) {
          return { marks: [p50!, p99!], text: `${percent.format(share)} answered` };
        }
        const [middle, most] = [timeText(median(p50!)), timeText(median(p99!))];
        // One unit is enough where both have the same.
        const [figure, unit] = middle.split(" ");
        return {
          marks: [p50!, p99!],
          text: `${most.endsWith(` ${unit}`) ? figure : middle} / ${most}`,
        };
      },
      (rows) =>
        logAxis(
          rows.flatMap(({ marks }) => marks.map(median)),
          10,
          (time) => time < 1000 ? number.format(time) : `${time / 1000} s`,
        ),
      112,
    ),
  };
}

function memoryPage(results: Result[]): Page {
  const rowsOf = (choice: Choice, metric: MetricName, scale: number) =>
    panels(
      results,
      choice,
      metric,
      ({ samples }) => {
        const rounds = samples[metric]!.map((bytes) => bytes * scale);
        return { marks: [rounds], text: number.format(median(rounds)) };
      },
      (rows) => linearAxis(rows.map(({ marks }) => median(marks[0]!)), number.format),
      44,
    );
  return {
    title: "Memory, and growth",
    notes: [
      "Left and low are better.",
      "Lines: the cost with more connections or bytes.",
      SPREAD,
    ],
    columns: 2,
    panels: [
      ...rowsOf(IDLE, "memory", 1e-3),
      ...rowsOf(PEAK, "peak", 1e-6),
      ...growth(results, "CPU for 512 B, µs, by connections", "plain-512-"),
      ...growth(results, "CPU for 512 B compressed, µs, by connections", "no-context-512-"),
      ...curve(
        results,
        "connections",
        "cpu",
        "Ours: µs, 512 B compressed, by connections",
        1,
      ),
      ...curve(
        results,
        "idle connections",
        "memory",
        "Ours: KB of an idle connection, by number",
        1e-3,
      ),
      ...curve(results, "size", "perKiB", "Ours: CPU for each KiB, µs, by message size", 1),
    ],
  };
}

/** Lines of all contestants that were measured with 50 and with 1,000 connections. */
function growth(results: Result[], title: string, load: string): Panel[] {
  const few = results.filter(({ load: { id } }) => id === `${load}50x1`);
  const many = results.filter(({ load: { id } }) => id === `${load}1000x1`);
  return lines(
    title,
    "cpu",
    1,
    few.flatMap((first) => {
      const last = many.find(({ rival }) => rival === first.rival);
      return last === undefined ? [] : [[first, last]];
    }),
    ({ load }) => load.connections,
  );
}

/** The line of ours that is measured at many places. */
function curve(
  results: Result[],
  name: string,
  metric: MetricName,
  title: string,
  scale: number,
): Panel[] {
  const points = results.filter(({ load }) => load.curve === name);
  const place = ({ load }: Result) => name === "size" ? Number(load.size) : load.connections;
  return lines(title, metric, scale, points.length < 2 ? [] : [points], place);
}

function lines(
  title: string,
  metric: MetricName,
  scale: number,
  series: Result[][],
  place: (result: Result) => number,
): Panel[] {
  const drawn = series.flatMap((results): Line[] => {
    const points = results.flatMap((result) => {
      const rounds = (result.samples[metric] ?? []).map((figure) => figure * scale);
      if (rounds.length === 0) return [];
      return [{ x: place(result), rounds, text: number.format(median(rounds)) }];
    });
    const { rival, name } = results[0]!;
    return points.length < 2 ? [] : [{ rival, name, points }];
  });
  if (drawn.length === 0) return [];
  const most = drawn.flatMap(({ points }) => points.flatMap(({ rounds }) => rounds));
  return [linesPanel(title, drawn, placeText, linearAxis(most, number.format))];
}

/** A number of connections, or a size in bytes, which is a power of two. */
function placeText(place: number): string {
  if (place % 1024 !== 0) return number.format(place);
  return place < 1024 ** 2 ? `${place / 1024}K` : `${place / 1024 ** 2}M`;
}
