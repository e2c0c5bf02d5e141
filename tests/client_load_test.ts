/** `client.ts --load`, against servers that do what each test says. No test depends on how fast anything is. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../client.ts";
import { Stopped } from "../cli/signals.ts";
import {
  certificatesFolder,
  type Ending,
  freePort,
  type LocalServer,
  once,
  onTerminal,
  Program,
  run,
  runHere,
  serveHttp,
  serveRaw,
  serveWebSocket,
  shellCommandOf,
  startServer,
} from "./programs.ts";

/** A server that sends each message back. */
function serveEcho() {
  return serveWebSocket((socket) => {
    socket.onmessage = ({ data }) => socket.send(data);
  });
}

/** What a load has come to, as JSON. */
interface Outcome {
  event: "load";
  connections: { opened: number; seconds: number };
  messages: { sent: number; answered: number };
  latency: { p50: number; p99: number; max: number };
  sent: Traffic;
  received: Traffic;
  errors: Record<string, number>;
}

interface Traffic {
  messages: number;
  messageBytes: number;
  wireBytes: number;
}

/** Runs a load for a second in this process, on two connections. */
async function load(
  port: number,
  flags: string[],
  stop?: AbortSignal,
): Promise<Ending & { outcome: Outcome }> {
  const args = [
    `wss://127.0.0.1:${port}/`,
    "--load",
    "--json",
    "--insecure",
    "--connections=2",
    "--duration=1s",
    ...flags,
  ];
  const ending = await runHere((output) => main(args, output, stop));
  const outcome = ending.stdout.map((line) => JSON.parse(line))
    .find(({ event }) => event === "load");
  return { ...ending, outcome };
}

once("client.ts --load tells what a server did, in both languages", async () => {
  await using folder = await certificatesFolder();
  await using server = await startServer(["--mode=echo"], { cwd: folder.path });
  const url = `wss://127.0.0.1:${server.port}/ws`;
  const args = [url, "--load", "--connections=3", "--duration=1s", "--rate=50", "--max-errors=0"];
  const told = {
    en: [
      /^Connecting to wss:/,
      /^Connections: 3 of 3 opened in [\d.]+ s \(\d+\/s\), p50 [\d.]+ ms, p99 [\d.]+ ms, max/,
      /^Messages: 50 sent, 50 answered in [\d.]+ s \(\d+\/s\)$/,
      /^Sent: 1\.3 kB in messages \(/,
      /^Received: 1\.3 kB in messages \(/,
      /^Latency: p50 [\d.]+ ms, p90 [\d.]+ ms, p99 [\d.]+ ms, p99\.9 [\d.]+ ms, max [\d.]+ ms$/,
      /^Sent late by this program: /,
      /^Errors: none$/,
    ],
    "pt-BR": [
      /^Conectando a wss:/,
      /^Conexões: 3 de 3 abertas em [\d,]+ s \(\d+\/s\), p50 [\d,]+ ms, p99 [\d,]+ ms, máx\./,
      /^Mensagens: 50 enviadas, 50 respondidas em [\d,]+ s \(\d+\/s\)$/,
      /^Enviado: 1,3 kB em mensagens \(/,
      /^Recebido: 1,3 kB em mensagens \(/,
      /^Latência: p50 [\d,]+ ms, p90 [\d,]+ ms, p99 [\d,]+ ms, p99\.9 [\d,]+ ms, máx\. [\d,]+ ms$/,
      /^Envio atrasado por este programa: /,
      /^Erros: nenhum$/,
    ],
  };
  for (const [language, lines] of Object.entries(told)) {
    const ending = await run("client", [...args, `--lang=${language}`], { cwd: folder.path });
    assertEquals([ending.code, ending.stderr], [0, []]);
    assertEquals(ending.stdout.length, lines.length);
    lines.forEach((line, index) => assertMatch(ending.stdout[index]!, line));
  }
});

once("client.ts --load shows its progress on a terminal, and erases it", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveEcho();
  const args = [`wss://127.0.0.1:${server.port}/`, "--load", "--duration=2s", "--lang=en"];
  const { code, lines } = await onTerminal(shellCommandOf("client", args), { cwd: folder.path });
  assertEquals(code, 0);
  // Each piece of progress erases the one before, and so does what comes next.
  const [connecting, ...pieces] = lines.join("\n").split("\r\x1b[K");
  assertMatch(connecting!, /^Connecting to wss:/);
  assertMatch(pieces.pop()!, /^Connections: 10 of 10 opened/);
  assert(pieces.length > 0);
  for (const piece of pieces) {
    assertMatch(
      piece,
      /^\[#* *\] (connecting|sending|waiting): \d+ of 10, \d+\/s, p99 [\d.]+ ms, errors: 0$/,
    );
  }
});

once("client.ts --load compresses, and tells the bytes it saved", async () => {
  await using folder = await certificatesFolder();
  await using server = await startServer(["--mode=echo"], { cwd: folder.path });
  const args = [`wss://127.0.0.1:${server.port}/ws`, "--load", "--json", "--duration=1s"];
  for (const [flag, isSmaller] of [["on", true], ["off", false]] as const) {
    const flags = ["--rate=50", "--size=1K", `--compression=${flag}`];
    const { code, stdout } = await run("client", [...args, ...flags], { cwd: folder.path });
    assertEquals(code, 0);
    const { sent, received, errors } = JSON.parse(stdout.at(-1)!) as Outcome;
    assertEquals([sent.messageBytes, received.messageBytes, errors], [51_200, 51_200, {}]);
    for (const { messageBytes, wireBytes } of [sent, received]) {
      assertEquals(wireBytes < messageBytes / 2, isSmaller, flag);
    }
  }
});

once("client.ts --load without --rate sends when it was answered", async () => {
  let open = 0;
  let awaited = 0;
  let most = 0;
  await using server = await serveWebSocket((socket) => {
    open++;
    socket.onmessage = ({ data }) => {
      most = Math.max(most, ++awaited);
      queueMicrotask(() => {
        awaited--;
        socket.send(data);
      });
    };
  });
  const { code, outcome } = await load(server.port, []);
  assertEquals([code, open, outcome.errors], [0, 2, {}]);
  assert(most <= 2, `${most} messages were awaited at a time`);
  const { sent, answered } = outcome.messages;
  assert(answered > 0 && sent === answered);
  assertEquals(outcome.received.messages, answered);
});

once("client.ts --load exits with 1 if the answers are later than --max-p99", async () => {
  await using server = await serveWebSocket((socket) => {
    socket.onmessage = ({ data }) => setTimeout(() => socket.send(data), 100);
  });
  const slow = await load(server.port, ["--max-p99=90ms", "--rate=20"]);
  assertEquals([slow.code, slow.outcome.errors], [1, {}]);
  assert(slow.outcome.latency.p50 >= 99, `${slow.outcome.latency.p50}`);
  const { flag, value, limit } = JSON.parse(slow.stdout.at(-1)!);
  assertEquals([flag, value, limit], ["max-p99", slow.outcome.latency.p99, 90]);
  assertEquals((await load(server.port, ["--max-p99=1h", "--rate=20"])).code, 0);
});

once("client.ts --load counts latency also for what was due while the server stalled", async () => {
  let stalled: (() => void)[] | undefined = [];
  await using server = await serveWebSocket((socket) => {
    socket.onmessage = ({ data }) => {
      if (stalled === undefined) return socket.send(data);
      stalled.push(() => socket.send(data));
      // The first half second's messages are answered together.
      if (stalled.length === 50) {
        stalled.forEach((answer) => answer());
        stalled = undefined;
      }
    };
  });
  const { outcome } = await load(server.port, ["--rate=100"]);
  assertEquals(outcome.messages, { ...outcome.messages, sent: 100, answered: 100 });
  assert(outcome.latency.p99 >= 450, `${outcome.latency.p99}`);
});

/** A server, the flags of a load, and the errors that are counted; of messages it may be any number. */
const FAULTS: Record<
  string,
  [serve: () => Promise<LocalServer>, flags: string[], errors: Record<string, number | "some">]
> = {
  "a status": [
    () => serveHttp(() => new Response("full", { status: 503 })),
    [],
    { "status 503": 2 },
  ],
  "no handshake in time": [
    () => serveRaw((peer) => peer.readToEnd()),
    ["--timeout=500ms"],
    { timeout: 2 },
  ],
  "a close": [
    () =>
      serveWebSocket((socket) => {
        socket.onmessage = () => socket.close(4001);
      }),
    [],
    { "closed 4001": 2, unanswered: 2 },
  ],
  "a lost connection": [
    () =>
      serveRaw(async (peer) => {
        await peer.accept();
        await peer.readFrame();
      }),
    ["--compression=off"],
    { lost: 2, unanswered: 2 },
  ],
  "another answer": [serveEcho, ["--rate=10", "--message=a", "--expect=b"], { unexpected: 10 }],
  "an answer where there is to be none": [
    serveEcho,
    ["--rate=10", "--expect=none"],
    { unexpected: "some" },
  ],
  "no answer": [
    () => serveWebSocket(() => {}),
    ["--timeout=2s"],
    { unanswered: 2 },
  ],
};

for (const [name, [serve, flags, errors]] of Object.entries(FAULTS)) {
  once(`client.ts --load counts ${name}`, async () => {
    await using server = await serve();
    const { code, outcome } = await load(server.port, [...flags, "--max-errors=0"]);
    const counted = Object.entries(outcome.errors).map(([kind, count]) =>
      [kind, errors[kind] === "some" && count > 0 ? "some" : count] as const
    );
    assertEquals(Object.fromEntries(counted), errors);
    assertEquals(code, 1);
  });
}

once("client.ts --load takes the answer that --expect names, and no answer for none", async () => {
  await using server = await serveEcho();
  for (const flags of [["--message=a", "--expect=a"], ["--message=a", "--expect=a", "--binary"]]) {
    const { code, outcome } = await load(server.port, [...flags, "--rate=10", "--max-errors=0"]);
    assertEquals([code, outcome.errors, outcome.messages.answered], [0, {}, 10]);
  }
  await using silent = await serveWebSocket(() => {});
  const flags = ["--expect=none", "--rate=10", "--max-errors=0"];
  const { code, outcome } = await load(silent.port, flags);
  assertEquals([code, outcome.messages.sent, outcome.messages.answered], [0, 10, 0]);
});

once("client.ts --load leaves --skip messages at the start out", async () => {
  await using server = await serveWebSocket((socket) => {
    socket.onopen = () => socket.send("hello");
    socket.onmessage = ({ data }) => socket.send(data);
  });
  const flags = ["--skip=1", "--message=a", "--expect=a", "--rate=10", "--max-errors=0"];
  const { code, outcome } = await load(server.port, flags);
  assertEquals([code, outcome.messages.answered], [0, 10]);
});

once("client.ts --load says why nobody could be connected to, and exits with 1", async () => {
  const port = freePort();
  const args = [`ws://127.0.0.1:${port}/`, "--load", "--connections=3", "--lang=en"];
  const ending = await runHere((output) => main(args, output));
  assertEquals(ending.code, 1);
  assertEquals(ending.stdout.slice(2), [
    "Errors: 3",
    `  no connection: 3 (nobody answers at 127.0.0.1:${port}; check that the server is running and that the port is right)`,
  ]);
});

once("client.ts --load opens its connections over --ramp", async () => {
  await using server = await serveEcho();
  const { outcome } = await load(server.port, ["--ramp=1s", "--rate=10"]);
  // The second of two begins after half of the time.
  assert(outcome.connections.seconds >= 0.5, `${outcome.connections.seconds}`);
  assertEquals(outcome.connections.opened, 2);
});

once("client.ts --load stops at a signal, and tells what came of it until then", async () => {
  await using folder = await certificatesFolder();
  const asked = Promise.withResolvers<void>();
  await using server = await serveWebSocket((socket) => {
    socket.onmessage = ({ data }) => {
      socket.send(data);
      asked.resolve();
    };
  });
  const args = [`wss://127.0.0.1:${server.port}/`, "--load", "--duration=1h", "--json"];
  await using program = Program.task("client", args, { cwd: folder.path });
  await asked.promise;
  program.kill("SIGINT");
  const { code, stdout } = await program.end();
  const outcome: Outcome = JSON.parse(stdout.at(-1)!);
  assertEquals([code, outcome.connections.opened, outcome.errors], [130, 10, {}]);
});

once("client.ts --load stops while it connects", async () => {
  const stop = new AbortController();
  await using server = await serveRaw(async (peer) => {
    stop.abort(new Stopped("SIGINT", 130));
    await peer.readToEnd();
  });
  const { code, outcome } = await load(server.port, ["--ramp=1h"], stop.signal);
  assertEquals([code, outcome.connections.opened, outcome.errors], [130, 0, {}]);
});

once("client.ts refuses flags of --load without it, and such as it does not know", async () => {
  const cases = [
    ["--rate=1"],
    ["--max-errors=0"],
    ["--load", "--follow"],
    ["--load", "--reconnect=1"],
    ["--load", "--size=1", "--message=a"],
    ["--load", "--expect=none"],
    ["--load", "--expect=none", "--rate=1", "--max-p99=1"],
    ["--load", "--rate=0"],
    ["--load", "--connections=0"],
  ];
  for (const flags of cases) {
    const ending = await runHere((output) => main(["ws://127.0.0.1:1/", ...flags], output));
    assertEquals([ending.code, ending.stdout], [2, []], flags.join(" "));
  }
});
