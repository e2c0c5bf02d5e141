/**
 * The server's metrics, on a port of their own: in Prometheus' text format, and those that the page at `/` shows as
 * JSON.
 *
 * @module
 */

import { urlHost } from "../../protocol/ip_address.ts";
import process from "node:process";
import { serve } from "../../mod.ts";
import { BadValue, type Flag } from "../flags.ts";
import { Failure } from "../failure.ts";
import type { Sentences } from "../sentences.ts";
import { DELAY_BOUNDS } from "./event_loop_delay.ts";
import { type Listener, listenFailure } from "./listener.ts";
import { OWN_NAMES } from "./page.ts";
import type { Report } from "./report.ts";
import { textResponse } from "./request_handler.ts";

/** Where metrics are served. */
export interface MetricsAddress {
  hostname: string;
  port: number;
}

/** Most connections at a time: a few Prometheus servers, and a person with a browser. */
const MAX_CONNECTIONS = 32;

/** Longest wait for an answer that is being sent when the server stops, in milliseconds. */
const GRACE_MS = 500;

/** A flag that takes `[ADDRESS:]PORT`; an IPv6 address is in brackets. Without an address it is 127.0.0.1. */
export const metricsFlag: Flag<MetricsAddress | undefined> = {
  placeholder: "[ADDRESS:]PORT",
  parse(texts) {
    if (texts.length === 0) return undefined;
    const [, host, port] = /^(?:([\w.-]+|\[[\da-f:.]+\]):)?(\d{1,5})$/i.exec(texts.at(-1)!) ?? [];
    if (port === undefined || Number(port) > 65_535) throw new BadValue("metrics");
    return { hostname: host?.replace(/^\[(.*)\]$/, "$1") ?? "127.0.0.1", port: Number(port) };
  },
};

/** A server of metrics. */
export interface MetricsServer extends AsyncDisposable {
  /** Where they are. */
  readonly url: string;
  /** Where a page that a browser on this machine shows can read them, if it can. */
  readonly figuresUrl: string | undefined;
}

/**
 * Serves the metrics at `/metrics`, and what the page shows of them at `/metrics.json`.
 *
 * @param serving The server, once it listens. In a browser, no page but the server's own can read the figures.
 * @throws {Failure} With the remedy, if the port cannot be listened on.
 */
export async function serveMetrics(
  { hostname, port }: MetricsAddress,
  serving: () => Pick<Listener, "port" | "report"> | undefined,
  sentences: Sentences,
): Promise<MetricsServer> {
  const formatter = await import("prom-client");
  const options = {
    hostname,
    port,
    maxConnections: MAX_CONNECTIONS,
    gracePeriod: GRACE_MS,
    onListen() {},
  };
  const handler = async ({ method, url, headers }: Request) => {
    const { pathname } = new URL(url);
    if (pathname !== "/metrics" && pathname !== "/metrics.json") {
      return textResponse(404, "Metrics are at /metrics.");
    }
    if (method !== "GET" && method !== "HEAD") {
      return textResponse(405, "Only GET and HEAD are answered here.", { Allow: "GET, HEAD" });
    }
    const listener = serving();
    const now = await listener?.report();
    if (pathname === "/metrics.json") {
      if (now === undefined) return textResponse(503, "The server does not listen yet.");
      return figuresResponse(now, headers.get("Origin"), listener!.port);
    }
    const metrics = [...now === undefined ? [] : metricsOf(now), ...metricsOfProcess()];
    const page = formatter.AggregatorRegistry.aggregate([metrics]);
    return new Response(await page.metrics(), {
      headers: {
        "Content-Type": page.contentType,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
      },
    });
  };
  try {
    const server = serve(options, handler);
    const { port } = server.addr;
    const pageHost = hostOnThisMachine(hostname);
    return {
      url: `http://${urlHost(hostname)}:${port}/metrics`,
      figuresUrl: pageHost && `http://${pageHost}:${port}/metrics.json`,
      [Symbol.asyncDispose]: () => server.shutdown(),
    };
  } catch (error) {
    throw new Failure(listenFailure(error, { hostname, port, flag: "--metrics" }, sentences));
  }
}

/**
 * The name by which a page reaches the port on its browser's own machine, if it does. A page that comes over TLS
 * may read what comes without TLS from there, and from nowhere else.
 */
function hostOnThisMachine(hostname: string): string | undefined {
  if (hostname === "0.0.0.0" || hostname === "::") return "127.0.0.1";
  // The page's policy can have no address of IPv6 in it.
  if (hostname === "localhost" || hostname === "::1") return "localhost";
  return /^127(\.\d{1,3}){3}$/.test(hostname) ? hostname : undefined;
}

/** What the page shows. Only the server's own page may read it in a browser, at a name of this machine. */
function figuresResponse(
  { server: { sockets, received, sent } }: Report,
  origin: string | null,
  pagePort: number,
): Response {
  const origins = OWN_NAMES.map((name) => new URL(`https://${name}:${pagePort}`).origin);
  return Response.json({ time: performance.now(), sockets, received, sent }, {
    headers: {
      ...(origin !== null && origins.includes(origin) && { "Access-Control-Allow-Origin": origin }),
      "Vary": "Origin",
      "X-Content-Type-Options": "nosniff",
      "Cache-Control": "no-store",
    },
  });
}

/** A metric as the formatter takes it. */
interface Metric {
  name: string;
  help: string;
  type: "counter" | "gauge" | "histogram";
  values: { value: number; labels: Record<string, string | number>; metricName?: string }[];
  aggregator: "sum";
}

function single(type: "counter" | "gauge", name: string, help: string, value: number): Metric {
  return { name, help, type, values: [{ value, labels: {} }], aggregator: "sum" };
}

/** A counter with a value for each key, which is its label. */
function labelled(
  name: string,
  help: string,
  label: string,
  counts: Readonly<Record<string, number>>,
): Metric {
  const values = Object.entries(counts).map(([key, value]) => ({
    value,
    labels: { [label]: snakeCase(key) },
  }));
  return { name, help, type: "counter", values, aggregator: "sum" };
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** What the server has counted. */
function metricsOf({ server, eventLoopDelay }: Report): Metric[] {
  const { connections, sockets, received, sent, responses, refusals, closes } = server;
  const { contexts, memory } = server;
  const direction = (name: string, help: string, key: keyof typeof received) =>
    labelled(name, help, "direction", { received: received[key], sent: sent[key] });
  return [
    direction("websocket_messages_total", "Whole messages of all WebSockets.", "messages"),
    direction(
      "websocket_message_bytes_total",
      "Bytes of these messages before compression.",
      "messageBytes",
    ),
    direction(
      "websocket_wire_bytes_total",
      "Bytes of their frames after compression, with headers, without TLS.",
      "wireBytes",
    ),
    single("gauge", "websocket_open_sockets", "WebSockets that are open.", sockets.open),
    single("counter", "websocket_sockets_total", "WebSockets that were accepted.", sockets.total),
    labelled(
      "websocket_closes_total",
      "WebSockets that have closed, by close code.",
      "code",
      closes,
    ),
    single(
      "gauge",
      "websocket_open_connections",
      "Connections that are open, for HTTP and WebSockets.",
      connections.open,
    ),
    single(
      "counter",
      "websocket_connections_total",
      "Connections that were accepted.",
      connections.total,
    ),
    labelled(
      "websocket_http_responses_total",
      "Responses to HTTP requests; 1xx is the start of a WebSocket.",
      "status",
      responses,
    ),
    labelled(
      "websocket_refusals_total",
      "Connections and requests refused before they were looked at.",
      "reason",
      refusals,
    ),
    single(
      "gauge",
      "websocket_compression_contexts",
      "Contexts that are kept to compress messages.",
      contexts.count,
    ),
    single(
      "gauge",
      "websocket_compression_contexts_bytes",
      "Memory that these contexts take.",
      contexts.bytes,
    ),
    single(
      "gauge",
      "websocket_memory_held_bytes",
      "Memory for unfinished and unsent messages.",
      memory.held,
    ),
    single("gauge", "websocket_memory_limit_bytes", "Limit of that memory.", memory.limit),
    histogram(
      "websocket_event_loop_delay_seconds",
      "How late timers fire, seen ten times a second.",
      eventLoopDelay,
    ),
  ];
}

function histogram(name: string, help: string, delays: Report["eventLoopDelay"]): Metric {
  const { count, sum, buckets } = delays;
  const bucket = (le: number | string, value: number) => ({
    value,
    labels: { le },
    metricName: `${name}_bucket`,
  });
  const values = [
    ...DELAY_BOUNDS.map((bound, index) => bucket(bound, buckets[index]!)),
    bucket("+Inf", count),
    { value: sum, labels: {}, metricName: `${name}_sum` },
    { value: count, labels: {}, metricName: `${name}_count` },
  ];
  return { name, help, type: "histogram", values, aggregator: "sum" };
}

/** What Prometheus' own libraries say of a process, as far as it needs no permission. */
function metricsOfProcess(): Metric[] {
  const { user, system } = process.cpuUsage();
  const { rss } = Deno.memoryUsage();
  return [
    single("counter", "process_cpu_seconds_total", "CPU time spent.", (user + system) / 1e6),
    single("gauge", "process_resident_memory_bytes", "Resident memory.", rss),
    single(
      "gauge",
      "process_start_time_seconds",
      "Start of the process, in Unix time.",
      performance.timeOrigin / 1000,
    ),
  ];
}
