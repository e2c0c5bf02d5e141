/**
 * What is measured: the columns of the tables.
 *
 * @module
 */

import type { Curve, Kind } from "./loads.ts";

/** One figure of an outcome. */
export interface Metric {
  /** The head of its column. */
  title: string;
  /** The head of the column of its ratios. */
  ratio?: string;
  /** What a figure is multiplied by before it is shown. */
  scale: number;
  /** The unit that stands behind a figure outside of a table. */
  unit?: string;
}

const FIGURES = {
  cpu: { title: "CPU µs/msg", ratio: "× CPU", scale: 1, unit: " µs" },
  rate: { title: "per s", ratio: "× per s", scale: 1 },
  p50: { title: "p50 ms", scale: 1, unit: " ms" },
  p99: { title: "p99 ms", scale: 1, unit: " ms" },
  bytes: { title: "wire B/msg", ratio: "× wire", scale: 1 },
  peak: { title: "peak MB", scale: 1e-6 },
  loadCpu: { title: "load CPU µs/msg", scale: 1 },
  loadBusy: { title: "load CPU %", scale: 100 },
  perKiB: { title: "CPU µs/KiB", scale: 1 },
  memory: { title: "KB/connection", ratio: "× memory", scale: 1e-3, unit: " KB" },
  perCpuSecond: { title: "handshakes/CPU s", ratio: "× per CPU s", scale: 1 },
  start: { title: "ms", ratio: "× time", scale: 1 },
  answered: { title: "answered %", scale: 100, unit: " %" },
  worst: { title: "max ms", scale: 1, unit: " ms" },
  newcomer: { title: "new client, max ms", scale: 1, unit: " ms" },
  resident: { title: "MB", scale: 1e-6 },
};

/** The name of a figure. */
export type MetricName = keyof typeof FIGURES;

/** All figures. */
export const METRICS: Record<MetricName, Metric> = FIGURES;

/** The figures that the table of a load shows, and those of them that are compared with ours. */
export const COLUMNS: Record<Kind, { shown: MetricName[]; compared: MetricName[] }> = {
  workers: {
    shown: ["rate", "cpu", "p50", "p99", "peak", "loadCpu", "loadBusy"],
    compared: ["rate", "cpu"],
  },
  echo: {
    shown: ["cpu", "rate", "p50", "p99", "bytes", "peak", "loadCpu", "loadBusy"],
    compared: ["cpu", "rate", "bytes"],
  },
  broadcast: {
    shown: ["cpu", "rate", "p50", "p99", "bytes", "peak", "loadCpu", "loadBusy"],
    compared: ["cpu", "rate", "bytes"],
  },
  deliveries: { shown: ["rate", "cpu", "peak"], compared: ["rate", "cpu"] },
  idle: { shown: ["memory", "peak"], compared: ["memory"] },
  handshakes: {
    shown: ["perCpuSecond", "rate", "p50", "p99", "peak", "loadBusy"],
    compared: ["perCpuSecond", "rate"],
  },
  start: { shown: ["start", "resident"], compared: ["start"] },
  client: { shown: ["cpu", "rate", "p50", "p99"], compared: ["cpu", "rate"] },
  latency: { shown: ["p50", "p99", "worst"], compared: [] },
  fairness: { shown: ["answered", "p50", "p99", "worst", "newcomer"], compared: [] },
  http: { shown: ["cpu", "rate", "p50", "p99", "peak", "loadBusy"], compared: ["cpu", "rate"] },
  once: { shown: ["start"], compared: ["start"] },
  engine: { shown: ["p50", "p99", "cpu", "rate"], compared: ["cpu"] },
  pipe: { shown: ["cpu", "rate", "resident"], compared: ["cpu", "rate"] },
};

/** The figures that the table of a curve shows. */
export const CURVE_COLUMNS: Record<Curve, MetricName[]> = {
  "connections": ["cpu", "rate", "p50", "p99", "peak"],
  "idle connections": ["memory", "peak"],
  "size": ["perKiB", "cpu", "rate", "peak"],
};
