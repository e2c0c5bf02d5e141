/**
 * The parts of a picture: panels of rows or lines, on a page that is wide, or narrow for a phone.
 *
 * Drawn by hand: rows with a figure at their end, a spread behind each dot and two colour schemes in one file are less
 * code than telling them to a library for plots, all of which bring some forty packages, or ask for a DOM.
 *
 * @module
 */

import { OURS } from "./rivals.ts";
import { median } from "./statistics.ts";

/** From a figure to its place on an axis: 0 at its start, 1 at its end. */
export interface Axis {
  at(value: number): number;
  /** Figures that are marked, and what is written there. */
  ticks: [value: number, text: string][];
  /** Whether it shows ratios to ours, so that 1 is marked above all. */
  isRatio?: boolean;
}

/** An axis of equal ratios, from one whole power of `base` to another. */
export function logAxis(values: number[], base: number, text: (value: number) => string): Axis {
  const log = (value: number) => Math.log(value) / Math.log(base);
  // A hair, so that a figure on the edge needs no further power.
  const first = Math.floor(log(Math.min(...values)) + 1e-9);
  const last = Math.max(first + 1, Math.ceil(log(Math.max(...values)) - 1e-9));
  const powers = Array.from({ length: last - first + 1 }, (_, i) => base ** (first + i));
  return {
    at: (value) => (log(value) - first) / (last - first),
    ticks: powers.map((power) => [power, text(power)]),
  };
}

/** An axis of equal steps, from zero to a round figure. */
export function linearAxis(values: number[], text: (value: number) => string): Axis {
  const most = Math.max(...values);
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [0.2, 0.5, 1, 2, 5].map((factor) => factor * power)
    .find((step) => most / step <= 5)!;
  const count = Math.ceil(most / step);
  return {
    at: (value) => value / (count * step),
    ticks: Array.from({ length: count + 1 }, (_, i) => [i * step, text(i * step)]),
  };
}

/** One contestant's row: a dot for the median of each set of rounds, and the figure in words. */
export interface Row {
  rival: string;
  name: string;
  /** The second is drawn hollow. */
  marks: number[][];
  text: string;
}

/** One contestant's line: the rounds at each place. */
export interface Line {
  rival: string;
  name: string;
  points: { x: number; rounds: number[]; text: string }[];
}

/** A panel: how high it is, and what is in it. */
export interface Panel {
  height: number;
  draw(width: number): string;
}

/** A page. */
export interface Page {
  title: string;
  /** Short sentences, between which lines are broken. */
  notes: string[];
  panels: Panel[];
  /** How many stand beside each other on a wide page. */
  columns: number;
}

const TITLE_HEIGHT = 24;
const ROW_HEIGHT = 19;
const AXIS_HEIGHT = 18;
const NAME_WIDTH = 116;
const LINES_HEIGHT = 190;
const MARGIN = 18;
const GAP = 26;
const WIDE = 880;
const NARROW = 380;

/** Contestants in rows, the least first, all on one axis, which panels that compare share. */
export function rowsPanel(title: string, rows: Row[], axis: Axis, textWidth: number): Panel {
  const sorted = rows.toSorted((a, b) => median(a.marks[0]!) - median(b.marks[0]!));
  const height = TITLE_HEIGHT + sorted.length * ROW_HEIGHT + AXIS_HEIGHT;
  return {
    height,
    draw(width) {
      const room = width - NAME_WIDTH - textWidth;
      const x = (value: number) => NAME_WIDTH + room * Math.min(1, Math.max(0, axis.at(value)));
      const bottom = height - AXIS_HEIGHT;
      const grid = axis.ticks.map(([value, text]) =>
        `<path class="grid${value === 1 && axis.isRatio ? " one" : ""}" ` +
        `d="M${f(x(value))} ${TITLE_HEIGHT}V${bottom}"/><text class="tick" x="${f(x(value))}" y="${
          height - 5
        }">${escape(text)}</text>`
      );
      const drawn = sorted.map(({ rival, name, marks, text }, i) => {
        const middle = TITLE_HEIGHT + (i + 0.5) * ROW_HEIGHT;
        const at = marks.map((rounds) => x(median(rounds)));
        // From the first dot to the second, or from zero where the axis has it.
        const from = at[1] ?? (axis.at(0) === 0 ? x(0) : at[0]!);
        const link = `<path class="link" d="M${f(from)} ${middle}H${f(at[0]!)}"/>`;
        const dots = marks.map((rounds, i) => dot(at[i]!, middle, x, rounds, i > 0));
        return `<g class="${classOf(rival)}">` +
          `<text x="0" y="${middle + 4}">${escape(name)}</text>${link}${dots.join("")}` +
          `<text class="figure" x="${f(width)}" y="${middle + 4}">${escape(text)}</text></g>`;
      });
      return [heading(title), ...grid, ...drawn].join("\n");
    },
  };
}

/** The rounds from the least to the greatest, and their median. */
function dot(
  at: number,
  middle: number,
  x: (value: number) => number,
  rounds: number[],
  hollow: boolean,
): string {
  const from = x(Math.min(...rounds));
  const width = x(Math.max(...rounds)) - from;
  return `<rect class="spread" x="${f(from)}" y="${middle - 4}" width="${f(width)}" height="8"/>` +
    `<circle class="${hollow ? "hollow" : "dot"}" cx="${f(at)}" cy="${middle}" r="4"/>`;
}

/** Lines over an axis of equal ratios, each with its name at its end. */
export function linesPanel(
  title: string,
  lines: Line[],
  xText: (value: number) => string,
  y: Axis,
): Panel {
  return {
    height: LINES_HEIGHT,
    draw(width) {
      const left = 34;
      // Names stand at the ends of the lines, where there are several.
      const right = lines.length > 1 ? NAME_WIDTH : 14;
      const bottom = LINES_HEIGHT - AXIS_HEIGHT - 4;
      const places = [...new Set(lines.flatMap(({ points }) => points.map(({ x }) => x)))];
      const [first, last] = [Math.min(...places), Math.max(...places)];
      const x = (value: number) =>
        left + (width - left - right) * Math.log(value / first) / Math.log(last / first);
      const top = TITLE_HEIGHT + 8;
      // What noise took below zero is drawn at zero.
      const up = (value: number) => bottom - (bottom - top) * Math.max(0, y.at(value));
      const grid = y.ticks.map(([value, text]) =>
        `<path class="grid" d="M${left} ${f(up(value))}H${f(width - right)}"/>` +
        `<text class="level" x="${left - 6}" y="${f(up(value) + 4)}">${escape(text)}</text>`
      );
      const ticks = places.map((place) =>
        `<text class="tick" x="${f(x(place))}" y="${LINES_HEIGHT - 5}">${xText(place)}</text>`
      );
      const ends = apart(
        lines.map(({ points }) => up(median(points.at(-1)!.rounds))),
        top,
        LINES_HEIGHT,
      );
      const drawn = lines.map(({ rival, name, points }, i) => {
        const path = points.map(({ x: place, rounds }) =>
          `${f(x(place))} ${f(up(median(rounds)))}`
        );
        const marks = points.map(({ x: place, rounds, text }, i) => {
          const [low, high] = [up(Math.min(...rounds)), up(Math.max(...rounds))];
          const middle = up(median(rounds));
          const label = lines.length > 1
            ? ""
            : `<text class="value${i === 0 ? " first" : ""}" x="${
              f(x(place) - (i === 0 ? 4 : 0))
            }" y="${f(high - 7)}">${escape(text)}</text>`;
          return `<rect class="spread" x="${f(x(place) - 4)}" y="${f(high)}" width="8" ` +
            `height="${f(low - high)}"/>` +
            `<circle class="dot" cx="${f(x(place))}" cy="${f(middle)}" r="4"/>${label}`;
        });
        const end = lines.length > 1
          ? `<text x="${f(width - right + 10)}" y="${f(ends[i]! + 4)}">${escape(name)} ` +
            `${escape(points.at(-1)!.text)}</text>`
          : "";
        return `<g class="${classOf(rival)}"><path class="line" d="M${path.join("L")}"/>` +
          `${marks.join("")}${end}</g>`;
      });
      return [heading(title), ...grid, ...ticks, ...drawn].join("\n");
    },
  };
}

/** Heights of labels, moved so far that none lies on another, and all are between `top` and `bottom`. */
export function apart(heights: number[], top: number, bottom: number, step = 15): number[] {
  const order = heights.map((_, i) => i).sort((a, b) => heights[a]! - heights[b]!);
  const moved = [...heights];
  let least = top;
  for (const i of order) {
    moved[i] = Math.max(moved[i]!, least);
    least = moved[i]! + step;
  }
  let most = bottom;
  for (const i of order.reverse()) {
    moved[i] = Math.min(moved[i]!, most);
    most = moved[i]! - step;
  }
  return moved;
}

/** The whole page as SVG. */
export function pageSvg({ title, notes, panels, columns }: Page, narrow: boolean): string {
  const width = narrow ? NARROW : WIDE;
  const count = narrow ? 1 : columns;
  const lines = inLines(notes, width - 2 * MARGIN);
  const panelWidth = (width - 2 * MARGIN - (count - 1) * GAP) / count;
  let y = 54 + 17 * lines.length;
  const drawn: string[] = [];
  for (let i = 0; i < panels.length; i += count) {
    const row = panels.slice(i, i + count);
    row.forEach((panel, column) => {
      const x = MARGIN + column * (panelWidth + GAP);
      drawn.push(`<g transform="translate(${f(x)} ${y})">\n${panel.draw(panelWidth)}\n</g>`);
    });
    y += Math.max(...row.map(({ height }) => height)) + GAP / 2;
  }
  const height = y + 4;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" \
height="${height}" role="img" aria-label="${escape(title)}">
<style>${STYLE}</style>
<rect class="page" width="${width}" height="${height}" rx="6"/>
<text class="title" x="${MARGIN}" y="34">${escape(title)}</text>
${lines.map((line, i) => text("note", 34 + 19 + 17 * i, line)).join("\n")}
${drawn.join("\n")}
</svg>
`;
}

/** Width of a letter of the notes, at most on an average of systems. */
const LETTER = 7.2;

/** Sentences in as few lines as have room for them. */
export function inLines(sentences: string[], width: number): string[] {
  const lines: string[] = [];
  for (const sentence of sentences) {
    const longer = `${lines.at(-1) ?? ""} ${sentence}`.trim();
    if (lines.length > 0 && longer.length * LETTER <= width) lines[lines.length - 1] = longer;
    else lines.push(sentence);
  }
  return lines;
}

function text(className: string, y: number, content: string): string {
  return `<text class="${className}" x="${MARGIN}" y="${y}">${escape(content)}</text>`;
}

function heading(title: string): string {
  return `<text class="heading" x="0" y="14">${escape(title)}</text>`;
}

/** A length, as short as it can be told. */
function f(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

/** Each contestant's colour, on light and on dark; what is no server of somebody's own is grey. */
const COLOURS: Record<string, [light: string, dark: string]> = {
  [OURS]: ["#0969da", "#4493f8"],
  "deno": ["#8250df", "#ab7df8"],
  "ws-deno": ["#bf3989", "#db61a2"],
  "ws-node": ["#cf222e", "#f85149"],
  "gorilla": ["#1a7f37", "#3fb950"],
  "bun": ["#9a6700", "#d29922"],
  "wscat": ["#cf222e", "#f85149"],
  "python": ["#1b7c83", "#39c5cf"],
};

const GREY = ["#6e7781", "#8b949e"] as const;

function classOf(rival: string): string {
  return rival in COLOURS ? rival : "other";
}

function colours(scheme: 0 | 1): string {
  return Object.entries({ ...COLOURS, other: GREY })
    .map(([rival, pair]) => `.${rival}{--own:${pair[scheme]}}`).join("");
}

const STYLE = `
svg{--page:#fff;--ink:#1f2328;--quiet:#59636e;--grid:#d8dee4;font:12.5px system-ui,sans-serif}
${colours(0)}
@media(prefers-color-scheme:dark){
svg{--page:#0d1117;--ink:#e6edf3;--quiet:#9198a1;--grid:#30363d}
${colours(1)}
}
text{fill:var(--ink)}
.page{fill:var(--page)}
.title{font-size:18px;font-weight:600}
.heading{font-size:13px;font-weight:600}
.note,.tick,.level{fill:var(--quiet)}
.tick,.level{font-size:11px}
.tick,.value{text-anchor:middle}
.level,.figure{text-anchor:end}
.value{font-size:11.5px}
.first{text-anchor:start}
.grid{stroke:var(--grid);stroke-width:1}
.one{stroke:var(--quiet)}
.${OURS} text{font-weight:600;fill:var(--own)}
.spread{fill:var(--own);opacity:.3}
.dot{fill:var(--own)}
.hollow{fill:var(--page);stroke:var(--own);stroke-width:1.6}
.link,.line{stroke:var(--own);stroke-width:1.6;fill:none}
`;
