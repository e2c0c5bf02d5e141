/**
 * What is to be reached, and whether it is.
 *
 * @module
 */

import { isNamed, type Load } from "./loads.ts";
import type { MetricName } from "./metrics.ts";
import type { Result } from "./results.ts";
import { OURS, type Rival } from "./rivals.ts";
import { differences, median, ratios, spread } from "./statistics.ts";

/** One target: a figure of ours, alone, beside that of a rival, or of ours under another load. */
export interface Target {
  /** The load in words. */
  title: string;
  /** The load's id, or what it begins with: the first that was measured counts. */
  load: string;
  metric: MetricName;
  /** Whom ours is divided by; nobody where the limit is a figure. */
  rival?: string;
  /** The load of that figure, where it is another. */
  otherLoad?: string;
  /** Whether the other figure is taken off ours, which is divided by it otherwise. */
  difference?: boolean;
  /** What the ratio, difference or figure is to be. */
  at: "most" | "least";
  limit: number;
  /** The target in words. */
  text: string;
}

function row(title: string, load: string, limits: [rival: string, limit: number][]): Target[] {
  return limits.map(([rival, limit]) => ({
    title,
    load,
    metric: "cpu",
    rival,
    at: "most",
    limit,
    text: `≤ ${limit} × CPU`,
  }));
}

/** A figure of ours alone. */
function own(title: string, load: string, metric: MetricName, limit: number, text: string): Target {
  return { title, load, metric, at: "most", limit, text };
}

/** What honest peers are to see while a server is attacked. */
function fair(title: string, load: string): Target[] {
  return [
    { ...own(title, load, "answered", 1, "all answered"), at: "least" },
    own(title, load, "p99", 50, "p99 ≤ 50 ms"),
    own(title, load, "worst", 250, "max ≤ 250 ms"),
    own(title, load, "newcomer", 250, "a new client in ≤ 250 ms"),
  ];
}

/**
 * All that the bench measures, the rest is in `elsewhere.json`. A limit that was loosened later stands beside the later
 * one; one that was tightened is met where the later one is.
 */
export const TARGETS: Target[] = [
  ...row("64 B ping-pong, plain", "plain-64-50x1", [
    ["deno", 1.0],
    ["deno", 1.05],
    ["ws-deno", 0.7],
  ]),
  ...row("64 B, 16 in flight, batched", "batched-64-50x16", [["deno", 0.5]]),
  ...row("64 B, 16 in flight, plain", "plain-64-50x16", [
    ["deno", 0.8],
    ["deno", 0.85],
    ["ws-deno", 0.9],
  ]),
  ...row("4 KiB, plain", "plain-4096-50x1", [["deno", 1.0], ["deno", 1.1], ["ws-deno", 0.55]]),
  ...row("64 KiB, plain", "plain-65536-50x1", [["deno", 1.0]]),
  {
    title: "64 KiB, plain",
    load: "plain-65536-50x1",
    metric: "rate",
    rival: "deno",
    at: "least",
    limit: 5,
    text: "≥ 5 × messages a second",
  },
  ...row("256 KiB, plain", "plain-262144-50x1", [
    ["deno", 1.0],
    ["deno", 1.15],
    ["ws-deno", 0.6],
  ]),
  ...row("512 B, plain, 1,000 connections", "plain-512-1000x1", [["deno", 1.1]]),
  {
    title: "512 B, plain, 1,000 connections",
    load: "plain-512-1000x1",
    metric: "cpu",
    rival: OURS,
    otherLoad: "plain-512-50x1",
    at: "most",
    limit: 1.3,
    text: "≤ 1.3 × CPU of our own at 50",
  },
  ...row("Client: 64 B, plain", "client-plain-64", [["deno", 1.1]]),
  ...row("512 B compressed, no context", "no-context-512-50x1", [
    ["gorilla", 0.6],
    ["ws-deno", 0.4],
    ["bun", 1.0],
  ]),
  ...row("4 KiB compressed, no context", "no-context-4096-50x1", [
    ["gorilla", 0.5],
    ["ws-deno", 0.4],
    ["bun", 1.0],
  ]),
  ...["", "-level3"].flatMap((suffix): Target[] => {
    const title = `JSON stream, context takeover${suffix === "" ? "" : ", level 3"}`;
    const load = `context-events${suffix}-50x1`;
    return [{
      title,
      load,
      metric: "bytes",
      rival: "gorilla",
      // Whose bytes at its fastest level are what ours are compared with, whatever our level.
      otherLoad: "context-events-50x1",
      at: "most",
      limit: 0.4,
      text: "≤ 0.4 × bytes on the wire",
    }, {
      title,
      load,
      metric: "cpu",
      rival: OURS,
      otherLoad: `no-context-events${suffix}-50x1`,
      at: "most",
      limit: 1.2,
      text: "≤ 1.2 × CPU of our own without context",
    }];
  }),
  ...row("Broadcast of 200 B, plain", "broadcast-plain-200", [
    ["bare-write", 1.5],
    ["ws-deno", 0.5],
    ["bun", 1.3],
  ]),
  ...row("Broadcast of 4 KiB, no context", "broadcast-no-context-4096", [
    ["bare-write", 1.5],
    ["ws-deno", 0.5],
    ["bun", 1.3],
    ["separate", 0.2],
  ]),
  {
    title: "Broadcast of 200 B to 10,000",
    load: "broadcast-10000-plain-200",
    metric: "p50",
    rival: OURS,
    otherLoad: "broadcast-plain-200",
    at: "most",
    limit: 12,
    text: "≤ 12 × the time to the last of 1,000",
  },
  {
    title: "Broadcast from one worker to two",
    load: "deliveries",
    metric: "rate",
    rival: "one-worker",
    at: "least",
    limit: 1.6,
    text: "≥ 1.6 × deliveries a second of one",
  },
  ...[32, 44].map((limit) =>
    own(
      "Idle, compressed, no context",
      "idle-no-context",
      "memory",
      limit * 1000,
      `≤ ${limit} KB a connection`,
    )
  ),
  {
    title: "Idle, compressed, no context",
    load: "idle-no-context",
    metric: "memory",
    rival: "node-tls",
    difference: true,
    at: "most",
    limit: 8000,
    text: "≤ 8 KB a connection more",
  },
  {
    title: "Idle, compressed, no context",
    load: "idle-no-context",
    metric: "memory",
    rival: "ws-deno",
    at: "most",
    limit: 0.12,
    text: "≤ 0.12 × memory",
  },
  {
    title: "Two workers on two CPUs",
    load: "workers",
    metric: "rate",
    rival: "one-worker",
    at: "least",
    limit: 1.7,
    text: "≥ 1.7 × messages a second",
  },
  ...[0.9, 0.8].map((limit): Target => ({
    title: "Handshakes",
    load: "handshakes",
    metric: "perCpuSecond",
    rival: "deno",
    at: "least",
    limit,
    text: `≥ ${limit} × handshakes for a second of CPU`,
  })),
  {
    title: "Start to first answer",
    load: "start",
    metric: "start",
    rival: "hello",
    at: "most",
    limit: 1.2,
    text: "≤ 1.2 × time",
  },
  ...row("HTTP: GET of 1 KiB, TCP", "http-get-tcp", [["deno", 3]]),
  ...row("HTTP: GET of 1 KiB, TLS", "http-get-tls", [["deno", 3]]),
  ...([["connect-tls", 1.3], ["wscat", 0.8]] as const).map(([rival, limit]): Target => ({
    title: "Command: one message, start to exit",
    load: "once",
    metric: "start",
    rival,
    at: "most",
    limit,
    text: `≤ ${limit} × time`,
  })),
  ...row("Command: lines through a pipe, plain", "pipe-plain", [["wscat", 0.5], ["python", 0.7]]),
  ...row("Command: lines through a pipe, compressed", "pipe-context", [
    ["wscat", 0.5],
    ["python", 0.7],
  ]),
  ...([["nats", "NATS"], ["redis", "Redis"]] as const).flatMap(([engine, name]): Target[] => [
    {
      title: `Process to process over ${name}`,
      load: `engine-${engine}`,
      metric: "p50",
      rival: "engine",
      difference: true,
      at: "most",
      limit: 1.5,
      text: "p50 ≤ 1.5 ms more",
    },
    own(
      `Process to process over ${name}`,
      `engine-${engine}`,
      "cpu",
      15,
      "≤ 15 µs of CPU for a message that arrives",
    ),
  ]),
  own("Answer in three messages 2 ms apart", "latency-parts", "p50", 8, "p50 ≤ 8 ms"),
  own("64 KiB echo, one connection", "latency-65536", "p50", 1, "p50 ≤ 1 ms"),
  ...fair("Flood of empty text", "fairness-empty-echo"),
  ...fair("Flood of text of 1 B", "fairness-tiny-echo"),
  ...fair("Flood of pings", "fairness-pings-echo"),
  ...fair("Flood of fragments", "fairness-fragments-echo"),
  ...fair("Bombs, text, reply", "fairness-bombs-text-reply"),
  ...fair("Bombs, binary, reply", "fairness-bombs-binary-reply"),
  ...fair("Bombs, text, echo", "fairness-bombs-text-echo"),
  ...fair("Bombs, binary, echo", "fairness-bombs-binary-echo"),
];

/** Whether a load is of no target, or one of its targets is about this contestant. */
export function isTargeted(rival: Rival, load: Load): boolean {
  const targets = TARGETS.filter((target) =>
    isNamed(load.id, target.load) || load.id === target.otherLoad
  );
  return rival.id === OURS || targets.length === 0 ||
    targets.some((target) => target.rival === rival.id);
}

/** What was measured of a target: the ratio or figure with its spread, if both contestants were measured. */
export interface Verdict {
  target: Target;
  measured: number | undefined;
  spread: number;
  met: boolean;
}

/** Compares what was measured with the targets. */
export function verdicts(results: Result[]): Verdict[] {
  const samples = (load: string, rival: string, metric: MetricName) =>
    results.find((result) => isNamed(result.load.id, load) && result.rival === rival)
      ?.samples[metric] ?? [];
  return TARGETS.map((target) => {
    const { load, metric, rival, otherLoad = load, difference, at, limit } = target;
    const ours = samples(load, OURS, metric);
    const compare = difference ? differences : ratios;
    const values = rival === undefined ? ours : compare(ours, samples(otherLoad, rival, metric));
    if (values.length === 0) return { target, measured: undefined, spread: 0, met: false };
    const measured = median(values);
    const met = at === "most" ? measured <= limit : measured >= limit;
    return { target, measured, spread: spread(values), met };
  });
}
