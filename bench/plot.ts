/**
 * The results as a picture: the server's CPU time for each message, a panel for each load.
 *
 * @module
 */

import { titleOf } from "./loads.ts";
import type { Result, Results } from "./results.ts";
import { OURS } from "./rivals.ts";
import { median } from "./statistics.ts";

const COLUMNS = 2;
const PANEL_WIDTH = 500;
const MARGIN = 24;
const HEAD = 56;
const TITLE = 26;
const BAR = 16;
const STEP = 22;
const PANEL_GAP = 22;
const LABEL_WIDTH = 134;
const FIGURE_WIDTH = 56;

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** Draws the loads of which the CPU time was measured for several contestants, as SVG. */
export function toSvg({ results, date }: Results): string {
  const measured = results.filter(({ load, samples }) =>
    load.kind !== "handshakes" && !load.curve && (samples.cpu?.length ?? 0) > 0
  );
  const groups = [...Map.groupBy(measured, ({ load }) => load.id).values()]
    .filter((group) => group.length > 1);

  // Each panel goes into the column that is the shorter so far.
  const heights = Array.from({ length: COLUMNS }, () => HEAD);
  const panels = groups.map((group) => {
    const column = heights.indexOf(Math.min(...heights));
    const x = MARGIN + column * (PANEL_WIDTH + MARGIN);
    const y = heights[column]!;
    heights[column]! += TITLE + group.length * STEP + PANEL_GAP;
    return panel(group, x, y);
  });
  const width = MARGIN + COLUMNS * (PANEL_WIDTH + MARGIN);
  const height = Math.max(...heights);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" \
width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="${MARGIN}" y="34" font-size="17" font-weight="600" fill="#1f2328">\
CPU time for each message, in µs: less is better</text>
<text x="${width - MARGIN}" y="34" text-anchor="end" fill="#656d76">${escape(date)}</text>
${panels.join("\n")}
</svg>
`;
}

function panel(group: Result[], x: number, y: number): string {
  const values = group.map(({ samples }) => median(samples.cpu!));
  const room = PANEL_WIDTH - LABEL_WIDTH - FIGURE_WIDTH;
  const scale = room / Math.max(...values);
  const bars = group.map(({ rival, name }, i) => {
    const top = y + TITLE + i * STEP;
    const middle = top + BAR / 2 + 4;
    const width = Math.max(1, values[i]! * scale);
    const own = rival === OURS;
    const weight = own ? ' font-weight="600"' : "";
    const start = x + LABEL_WIDTH;
    return `<text x="${start - 8}" y="${middle}" text-anchor="end" fill="#1f2328"${weight}>\
${escape(name)}</text>
<rect x="${start}" y="${top}" width="${width.toFixed(1)}" height="${BAR}" rx="2" \
fill="${own ? "#0969da" : "#afb8c1"}"/>
<text x="${(start + width + 6).toFixed(1)}" y="${middle}" fill="#1f2328"${weight}>\
${number.format(values[i]!)}</text>`;
  });
  return `<text x="${x}" y="${y + 14}" font-weight="600" fill="#1f2328">\
${escape(titleOf(group[0]!.load))}</text>
${bars.join("\n")}`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
