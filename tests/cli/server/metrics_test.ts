import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { BadValue } from "../../../cli/flags.ts";
import { Failure } from "../../../cli/failure.ts";
import { metricsFlag, serveMetrics } from "../../../cli/server/metrics.ts";
import type { Report } from "../../../cli/server/report.ts";
import { fill, sentencesIn } from "../../../cli/sentences.ts";
import { serve } from "../../../mod.ts";
import { main } from "../../../server.ts";
import {
  certificatesFolder,
  granted,
  once,
  Peer,
  run,
  runHere,
  type RunOptions,
  startServer,
  stop,
} from "../../programs.ts";

const SENTENCES = sentencesIn("en");

const LOCAL = { hostname: "127.0.0.1", port: 0 };

/** What a server has counted that has done nothing. */
async function nothing(): Promise<Report> {
  await using server = serve({ ...LOCAL, onListen() {} }, () => new Response());
  return {
    server: server.stats,
    eventLoopDelay: { count: 3, sum: 0.25, buckets: [0, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3] },
  };
}

/** A server on port 8443 that has counted this. */
function serving(report: Report) {
  return { port: 8443, report: () => Promise.resolve(report) };
}

/** The samples of a page: each value by its name and labels. */
async function samples(url: string): Promise<Record<string, number>> {
  const response = await fetch(url);
  assertEquals(response.headers.get("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  const lines = (await response.text()).split("\n").filter((line) => /^[a-z]/.test(line));
  return Object.fromEntries(lines.map((line) => {
    const [name, value] = line.split(" ");
    return [name!, Number(value)];
  }));
}

Deno.test("metricsFlag takes a port, with an address before it or not", () => {
  const cases: [string, string, number][] = [
    ["9090", "127.0.0.1", 9090],
    ["0", "127.0.0.1", 0],
    ["0.0.0.0:65535", "0.0.0.0", 65_535],
    ["[::1]:9090", "::1", 9090],
    ["localhost:9090", "localhost", 9090],
  ];
  for (const [text, hostname, port] of cases) {
    assertEquals(metricsFlag.parse([text]), { hostname, port });
  }
  assertEquals(metricsFlag.parse([]), undefined);
  const bad = ["", ":9090", "65536", "-1", "::1:9090", "[::1]", "a:b", "a:1:2", "http://a:1", " 1"];
  for (const text of bad) assertThrows(() => metricsFlag.parse([text]), BadValue);
});

Deno.test("serveMetrics() serves /metrics alone, to GET and HEAD", async () => {
  const report = await nothing();
  await using metrics = await serveMetrics(LOCAL, () => serving(report), SENTENCES);
  const found = await samples(metrics.url);
  assertEquals(found['websocket_messages_total{direction="sent"}'], 0);
  assertEquals(found['websocket_refusals_total{reason="tls_handshake"}'], 0);
  assertEquals(found['websocket_event_loop_delay_seconds_bucket{le="0.0025"}'], 1);
  assertEquals(found['websocket_event_loop_delay_seconds_bucket{le="+Inf"}'], 3);
  assertEquals(found.websocket_event_loop_delay_seconds_sum, 0.25);
  assert(found.process_cpu_seconds_total! > 0);
  assert(found.process_resident_memory_bytes! > 1e6);
  const head = await fetch(metrics.url, { method: "HEAD" });
  assertEquals([head.status, await head.text()], [200, ""]);
  const post = await fetch(metrics.url, { method: "POST" });
  assertEquals([post.status, post.headers.get("Allow")], [405, "GET, HEAD"]);
  const other = await fetch(new URL("/", metrics.url));
  assertEquals([other.status, await other.text()], [404, "Metrics are at /metrics.\n"]);
  await post.body?.cancel();
});

Deno.test("serveMetrics() serves figures to the server's own page at names of this machine alone", async () => {
  const report = await nothing();
  await using metrics = await serveMetrics(LOCAL, () => serving(report), SENTENCES);
  assertEquals(metrics.figuresUrl, `${metrics.url}.json`);
  const read = async (headers: Record<string, string>) => {
    const response = await fetch(metrics.figuresUrl!, { headers });
    const { time, ...figures } = await response.json();
    assert(time > 0);
    const none = { messages: 0, messageBytes: 0, wireBytes: 0 };
    assertEquals(figures, { sockets: { open: 0, total: 0 }, received: none, sent: none });
    assertEquals(response.headers.get("Vary"), "Origin");
    return response.headers.get("Access-Control-Allow-Origin");
  };
  for (const host of ["localhost", "127.0.0.1", "[::1]"]) {
    const Origin = `https://${host}:8443`;
    assertEquals(await read({ Origin }), Origin);
  }
  const others = [
    "http://localhost:8443",
    "https://localhost",
    "https://localhost:84430",
    "https://example.com:8443",
    "null",
  ];
  for (const Origin of others) assertEquals(await read({ Origin }), null, Origin);
  assertEquals(await read({}), null);
});

Deno.test("serveMetrics() has no figures until the server listens", async () => {
  await using metrics = await serveMetrics(LOCAL, () => undefined, SENTENCES);
  const response = await fetch(metrics.figuresUrl!);
  assertEquals([response.status, await response.text()], [
    503,
    "The server does not listen yet.\n",
  ]);
});

Deno.test("serveMetrics() tells where a browser on this machine reads the figures", async () => {
  const cases = { "127.0.0.1": "127.0.0.1", "0.0.0.0": "127.0.0.1", localhost: "localhost" };
  for (const [hostname, host] of Object.entries(cases)) {
    await using metrics = await serveMetrics({ hostname, port: 0 }, () => undefined, SENTENCES);
    const { port } = new URL(metrics.url);
    assertEquals(metrics.figuresUrl, `http://${host}:${port}/metrics.json`);
  }
});

Deno.test("serveMetrics() has the process alone until there is a report", async () => {
  await using metrics = await serveMetrics(LOCAL, () => undefined, SENTENCES);
  const names = Object.keys(await samples(metrics.url));
  assertEquals(names.filter((name) => !name.startsWith("process_")), []);
});

/** Why the metrics cannot be served at an address. */
async function failure(hostname: string, port: number): Promise<string> {
  const serving = serveMetrics({ hostname, port }, () => undefined, SENTENCES);
  return (await assertRejects(() => serving, Failure)).message;
}

Deno.test("serveMetrics() says what to do about a port that is taken", async () => {
  using busy = Deno.listen(LOCAL);
  const { port } = busy.addr;
  const expected = fill(SENTENCES.failure.portInUse, { port, flag: "--metrics" });
  assertEquals(await failure("127.0.0.1", port), expected);
});

Deno.test({
  name: "serveMetrics() says what to do about an address of another machine",
  ignore: !await granted("net"),
  async fn() {
    const host = "192.0.2.1";
    assertEquals(await failure(host, 0), fill(SENTENCES.failure.metricsUnavailable, { host }));
  },
});

/** Starts a server with metrics, and finds where they are. */
async function startMeasured(args: string[], options: RunOptions) {
  const server = await startServer(["--metrics=0", ...args], options);
  const url = /http:\S+/.exec(await server.program.stdout.match(/Métricas/))![0];
  return Object.assign(server, { url });
}

for (const workers of [1, 2]) {
  once(`server.ts --metrics has one page for all, with --workers=${workers}`, async () => {
    await using folder = await certificatesFolder();
    const flags = [`--workers=${workers}`, "--mode=echo"];
    await using server = await startMeasured(flags, { cwd: folder.path });
    assertMatch(server.url, /^http:\/\/127\.0\.0\.1:\d+\/metrics$/);
    const sockets = 5;
    for (let i = 0; i < sockets; i++) {
      await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
      assertEquals(await peer.ask("hello"), "hello");
    }
    let found = await samples(server.url);
    while (found.websocket_open_sockets !== 0) found = await samples(server.url);
    assertEquals(found.websocket_sockets_total, sockets);
    for (const direction of ["received", "sent"]) {
      const of = (name: string) => found[`websocket_${name}_total{direction="${direction}"}`];
      assertEquals(of("messages"), sockets);
      assertEquals(of("message_bytes"), sockets * "hello".length);
      assert(of("wire_bytes")! > sockets * "hello".length);
    }
    assertEquals(found['websocket_http_responses_total{status="1xx"}'], sockets);
    const figures = await (await fetch(`${server.url}.json`)).json();
    assertEquals([figures.sockets, figures.sent.messages], [{ open: 0, total: sockets }, sockets]);
    assertEquals(found.websocket_memory_limit_bytes, 128 * 1024 * 1024);
    while (!(found.websocket_event_loop_delay_seconds_count! > 0)) {
      found = await samples(server.url);
    }
    const { code, stderr } = await stop(server);
    assertEquals([code, stderr], [0, []]);
  });
}

once("server.ts --metrics refuses what it cannot serve, in words", async () => {
  const cases: [string[], string][] = [
    [
      ["--metrics=here"],
      'Valor inválido em --metrics: "here", deve ser uma porta, ou endereço e porta, como 9090, ' +
      "0.0.0.0:9090 ou [::1]:9090",
    ],
    [
      ["--metrics=9090", "--compression=off"],
      'Sem efeito com --compression=off: "--metrics"; retire isso, ou use --compression=on',
    ],
  ];
  for (const [args, line] of cases) {
    const ending = await runHere((output) => main(args, output, AbortSignal.abort()));
    assertEquals(ending, { code: 2, stdout: [], stderr: [line] });
  }
  await using folder = await certificatesFolder();
  using busy = Deno.listen(LOCAL);
  const args = ["--host=127.0.0.1", "--port=0", `--metrics=${busy.addr.port}`];
  assertEquals(await run("serve", args, { cwd: folder.path }), {
    code: 1,
    stdout: [],
    stderr: [
      `Erro ao iniciar o servidor: a porta ${busy.addr.port} já está em uso; encerre o outro programa ` +
      "ou escolha outra com --metrics",
    ],
  });
});
