import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { generateCertificates, lockCertificates } from "../certs/generate.ts";
import config from "../deno.json" with { type: "json" };
import { WebSocket } from "../mod.ts";
import { main } from "../server.ts";
import { next } from "./websocket/peers.ts";
import {
  brought,
  certificatesFolder,
  clientFrame,
  commandOf,
  developmentCertificates,
  type Ending,
  Folder,
  handshake,
  listeningPort,
  modesBind,
  once,
  onEachTransport,
  OPCODE,
  Peer,
  Program,
  projectPath,
  RawPeer,
  run,
  runHere,
  RUNNABLE,
  startServer,
  stop,
} from "./programs.ts";

const START = "Servidor WebSocket rodando na porta";

/** The bytes of a close frame's payload. */
function closePayload(code: number): Uint8Array {
  return new Uint8Array([code >> 8, code & 0xff]);
}

onEachTransport("server.ts prints the demo's lines and nothing else", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer(flags, { cwd: folder.path });
  const url = `wss://127.0.0.1:${server.port}/ws`;
  const client = await run("client", [url, ...flags], { cwd: folder.path });
  assertEquals(client.code, 0);

  assertEquals(await stop(server), {
    code: 0,
    stdout: [
      `${START} ${server.port}...`,
      "Handshake recebido",
      "Conexão WebSocket estabelecida!",
      "Mensagem recebida do cliente: Olá, servidor WebSocket!",
      "Mensagem enviada de volta para o cliente: Retorno do servidor!",
      "Conexão WebSocket encerrada!",
    ],
    stderr: [],
  });
});

onEachTransport("server.ts answers every message in the type it came in", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer(flags, { cwd: folder.path });
  await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
  assertEquals(await peer.ask("um"), "Retorno do servidor!");
  assertEquals(
    await peer.ask(new Uint8Array([1, 2])),
    new TextEncoder().encode("Retorno do servidor!"),
  );
  assertEquals(await peer.ask(""), "Retorno do servidor!");
});

onEachTransport("server.ts serves several clients at a time", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer([...flags, "--mode=echo"], { cwd: folder.path });
  const url = `wss://127.0.0.1:${server.port}/ws`;
  await using first = await Peer.open(url);
  await using second = await Peer.open(url);
  assertEquals(await second.ask("second"), "second");
  assertEquals(await first.ask("first"), "first");
});

onEachTransport("server.ts --mode=echo sends the message itself back", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer([...flags, "--mode=echo"], { cwd: folder.path });
  await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
  const long = "ação 🎉 ".repeat(20_000);
  for (const message of ["texto", "", long, new Uint8Array([0, 255, 10]), new Uint8Array()]) {
    assertEquals(await peer.ask(message), message);
  }
});

once("server.ts --reply changes the answer, even to an empty one", async () => {
  await using folder = await certificatesFolder();
  for (const reply of ["Olá, cliente!", ""]) {
    await using server = await startServer([`--reply=${reply}`], { cwd: folder.path });
    await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
    assertEquals(await peer.ask("?"), reply);
    assertEquals(await peer.ask(new Uint8Array(1)), new TextEncoder().encode(reply));
  }
});

once("server.ts --path moves the WebSocket", async () => {
  await using folder = await certificatesFolder();
  await using server = await startServer(["--path=/chat/1"], { cwd: folder.path });
  using peer = await RawPeer.upgraded(server.port, "/chat/1?with=query");
  await peer.write(clientFrame(OPCODE.close, closePayload(1000)));
  using other = await RawPeer.connect(server.port);
  assertEquals((await other.request(handshake("/ws"))).status, 404);
});

onEachTransport(
  "server.ts serves with one file of --cert that has chain and key, in any order",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    const { ca, cert, key } = await developmentCertificates();
    const text = `\ufeff${ca}\n# the key\n${key}\n${cert}`.replaceAll("\n", "\r\n");
    Deno.writeTextFileSync(`${folder.path}/certs/all.pem`, text);
    for (const more of [[], ["--key=certs/all.pem"]]) {
      await using server = await startServer(
        [...flags, "--cert=certs/all.pem", ...more],
        { cwd: folder.path },
      );
      using peer = await RawPeer.connect(server.port);
      assertEquals((await peer.request("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).status, 200);
    }
  },
);

once("server.ts --trust-proxy and --proxy-protocol tell the client behind a proxy", async () => {
  await using folder = await certificatesFolder();
  const json = ["--log-format=json", "--trust-proxy=192.0.2.0/24,127.0.0.1"];
  const clients = async (server: Awaited<ReturnType<typeof startServer>>, headers = {}) => {
    using peer = await RawPeer.connect(server.port);
    assertEquals((await peer.request(handshake("/ws", headers))).status, 101);
    const line = JSON.parse(await server.program.stdout.match(/"handshake"/));
    await peer.write(clientFrame(OPCODE.close, closePayload(1000)));
    return line.properties.client;
  };
  const header = { "X-Forwarded-For": "198.51.100.1, 2001:db8::1, 192.0.2.7" };
  await using server = await startServer(json, { cwd: folder.path });
  assertEquals(await clients(server, header), "[2001:db8::1]:0");
  await using alone = await startServer(json.slice(0, 1), { cwd: folder.path });
  assertMatch(await clients(alone, header), /^127\.0\.0\.1:\d+$/);

  await using proxied = await startServer([...json, "--proxy-protocol", "--workers=2"], {
    cwd: folder.path,
  });
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: proxied.port });
  await connection.write(
    new TextEncoder().encode("PROXY TCP4 203.0.113.5 127.0.0.1 49152 443\r\n"),
  );
  const secured = await Deno.startTls(connection, {
    hostname: "localhost",
    caCerts: [(await developmentCertificates()).ca],
  });
  await secured.write(new TextEncoder().encode(handshake("/ws")));
  const line = JSON.parse(await proxied.program.stdout.match(/"handshake"/));
  assertEquals(line.properties.client, "203.0.113.5:49152");
  secured.close();
});

once(
  "server.ts --origin admits the origins listed, and who sends none",
  async () => {
    await using folder = await certificatesFolder();
    const admitted = [
      "https://a.example",
      "https://B.example:8443",
      "capacitor://localhost",
      "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
      "file://",
    ];
    const origins = admitted.map((origin) => `--origin=${origin}`);
    await using server = await startServer(origins, { cwd: folder.path });

    for (const origin of [...admitted, "https://b.example:8443", null]) {
      using peer = await RawPeer.connect(server.port);
      const { status } = await peer.request(handshake("/ws", { Origin: origin }));
      assertEquals(status, 101, `Origin: ${origin}`);
      await peer.write(clientFrame(OPCODE.close, closePayload(1000)));
    }
    for (
      const origin of [
        "https://a.example.evil",
        "http://a.example",
        "null",
        "capacitor://localhost.evil",
        "ionic://localhost",
      ]
    ) {
      using peer = await RawPeer.connect(server.port);
      const { status, body } = await peer.request(handshake("/ws", { Origin: origin }));
      assertEquals(status, 403, `Origin: ${origin}`);
      assertEquals(body, `Cannot upgrade to WebSocket: the origin "${origin}" is not allowed.\n`);
      assertEquals(
        await server.program.stderr.next(),
        `Erro ao fazer upgrade para WebSocket: a origem "${origin}" não é permitida`,
      );
    }
  },
);

onEachTransport(
  "server.ts --idle-timeout pings who is silent, and ends who does not answer",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    await using server = await startServer([...flags, "--idle-timeout=1"], { cwd: folder.path });
    using peer = await RawPeer.upgraded(server.port);
    const { opcode, payload } = await peer.readFrame();
    assertEquals(opcode, OPCODE.ping);
    await peer.write(clientFrame(OPCODE.pong, payload));
    assertEquals((await peer.readFrame()).opcode, OPCODE.ping);
    await peer.readToEnd();
    await server.program.stdout.match(/^Conexão WebSocket encerrada!$/);
  },
);

onEachTransport(
  "server.ts answers HTTP requests with a status and one sentence",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    await using server = await startServer(flags, { cwd: folder.path });
    const upgrade = { Upgrade: "websocket" };
    const version = { "Sec-WebSocket-Version": "13" };
    const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`;
    const cases: [string, number, string, Record<string, string>][] = [
      [get("/healthz"), 200, "The server is running.", {}],
      ["HEAD /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200, "", {}],
      [
        "OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        200,
        "The server is running.",
        { Allow: "get, head, options" },
      ],
      [
        get("/ws"),
        426,
        "Cannot upgrade to WebSocket: the header Upgrade: websocket is missing.",
        upgrade,
      ],
      [
        handshake("/ws", { "Sec-WebSocket-Version": "8" }),
        426,
        'Cannot upgrade to WebSocket: Sec-WebSocket-Version is "8", must be 13.',
        version,
      ],
      [
        handshake("/ws", { "Sec-WebSocket-Version": null }),
        426,
        'Cannot upgrade to WebSocket: Sec-WebSocket-Version is "", must be 13.',
        version,
      ],
      ...[null, "", "short", "dGhlIHNhbXBsZSBub25jZQ"].map((key) =>
        [
          handshake("/ws", { "Sec-WebSocket-Key": key }),
          400,
          "Cannot upgrade to WebSocket: Sec-WebSocket-Key is missing or malformed, must be 16 bytes in base64.",
          {},
        ] as [string, number, string, Record<string, string>]
      ),
      [get("/nothing"), 404, "There is nothing at this path.", {}],
      [get("/ws/"), 404, "There is nothing at this path.", {}],
      [handshake("/other"), 404, "There is nothing at this path.", {}],
    ];
    for (const [request, status, sentence, headers] of cases) {
      using peer = await RawPeer.connect(server.port);
      const response = await peer.request(request);
      assertEquals(response.status, status, request);
      assertEquals(response.body, sentence === "" ? "" : `${sentence}\n`, request);
      assertEquals(response.headers.get("Content-Type"), "text/plain; charset=utf-8", request);
      for (const [name, value] of Object.entries(headers)) {
        assertEquals(response.headers.get(name)?.toLowerCase(), value, request);
      }
    }
  },
);

once(
  "server.ts logs a refused handshake as an error of the upgrade",
  async () => {
    await using folder = await certificatesFolder();
    await using server = await startServer([], { cwd: folder.path });
    using peer = await RawPeer.connect(server.port);
    await peer.request(handshake("/ws", { "Sec-WebSocket-Version": "7" }));
    const { stdout, stderr } = await stop(server);
    assertEquals(stdout.slice(1), ["Handshake recebido"]);
    assertEquals(stderr, [
      'Erro ao fazer upgrade para WebSocket: Sec-WebSocket-Version é "7", deve ser 13',
    ]);
  },
);

onEachTransport("server.ts shows a message on one line whatever it holds", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer([...flags, "--mode=echo"], { cwd: folder.path });
  await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
  const cases: [string | Uint8Array<ArrayBuffer>, string][] = [
    [
      "x\nConexão WebSocket encerrada!\r\x1b[2J\x9b\u202e\u2028",
      "x\\nConexão WebSocket encerrada!\\r\\u{1b}[2J\\u{9b}\\u{202e}\\u{2028}",
    ],
    ["{data} {client} {{}}", "{data} {client} {{}}"],
    ["á".repeat(300), `${"á".repeat(256)}… (600 bytes)`],
    [new Uint8Array([0, 0x1b, 0xff]), "001bff (3 bytes)"],
    [new Uint8Array(100).fill(0xab), `${"ab".repeat(64)}… (100 bytes)`],
    ["", ""],
    [new Uint8Array(), "(0 bytes)"],
  ];
  for (const [message] of cases) await peer.ask(message);
  peer.socket.close(1000);
  await peer.closed;
  const { stdout, stderr } = await stop(server);
  assertEquals(stderr, []);
  assertEquals(stdout.slice(3), [
    ...cases.flatMap(([, shown]) => [
      `Mensagem recebida do cliente: ${shown}`,
      `Mensagem enviada de volta para o cliente: ${shown}`,
    ]),
    "Conexão WebSocket encerrada!",
  ]);
});

onEachTransport(
  "server.ts logs a connection that is cut, and one against the protocol, as errors",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    await using server = await startServer(flags, { cwd: folder.path });
    const { stdout, stderr } = server.program;
    {
      using _cut = await RawPeer.upgraded(server.port);
    }
    assertMatch(await stderr.next(), /^Erro ao ler mensagem: \S/);
    await stdout.match(/^Conexão WebSocket encerrada!$/);

    using wrong = await RawPeer.upgraded(server.port);
    await wrong.write(clientFrame(3, new Uint8Array()));
    await wrong.readToEnd();
    wrong.close();
    assertMatch(await stderr.next(), /^Erro ao ler mensagem: \S/);
    await stdout.match(/^Conexão WebSocket encerrada!$/);
  },
);

for (const format of ["text", "json"]) {
  onEachTransport(`server.ts bounds the lines of a flood in ${format}`, async ({ flags }) => {
    await using folder = await certificatesFolder();
    const args = [...flags, `--log-format=${format}`, "--reply="];
    await using server = await startServer(args, { cwd: folder.path });
    await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
    // Unless its lines are read, the server waits.
    const lines = server.program.stdout.all();
    const started = performance.now();
    for (let sent = 0; sent < 20_000; sent += 1000) {
      for (let i = 0; i < 1000; i++) peer.socket.send("");
      for (let i = 0; i < 1000; i++) assertEquals(await peer.next(), "");
    }
    peer.socket.close();
    await peer.closed;
    const { code, stderr } = await stop(server);
    const stdout = await lines;
    // What an address may write at once, and in the time this took.
    const most = 30_000 + (performance.now() - started) / 1000 * 100;
    assert(stdout.length >= 30_000 && stdout.length <= most + 10, `${stdout.length} lines`);
    const leftOut = format === "json"
      ? stderr.map((line) => JSON.parse(line).properties.count)
      : stderr.map((line) => /^Linhas do registro omitidas .* (\d+)$/.exec(line)?.[1]);
    const total = leftOut.reduce((sum, count) => sum + Number(count), stdout.length);
    assertEquals([code, total], [0, 40_004]);
  });
}

onEachTransport("server.ts answers a close in kind, without an error", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer(flags, { cwd: folder.path });
  using peer = await RawPeer.upgraded(server.port);
  await peer.write(clientFrame(OPCODE.close, closePayload(1000)));
  const frame = await peer.readFrame();
  assertEquals([frame.opcode, ...frame.payload], [OPCODE.close, ...closePayload(1000)]);
  peer.close();
  await server.program.stdout.match(/^Conexão WebSocket encerrada!$/);
  assertEquals((await stop(server)).stderr, []);
});

once(
  "server.ts keeps serving when the reader of its output leaves",
  async () => {
    await using folder = await certificatesFolder();
    await using server = await startServer([], { cwd: folder.path });
    await server.program.stdout.close();
    await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
    assertEquals(await peer.ask("1"), "Retorno do servidor!");
    assertEquals(await peer.ask("2"), "Retorno do servidor!");
  },
);

for (const [signal, number] of [["SIGINT", 2], ["SIGTERM", 15]] as const) {
  onEachTransport(
    `server.ts closes its sockets with 1001 on ${signal}, and exits 0`,
    async ({ flags }) => {
      await using folder = await certificatesFolder();
      await using server = await startServer(flags, { cwd: folder.path });
      await using first = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
      await using second = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
      server.program.kill(signal);
      for (const peer of [first, second]) {
        const { code, wasClean } = await peer.closed;
        assertEquals([code, wasClean], [1001, true]);
      }
      const { code, stdout, stderr } = await server.program.end();
      assertEquals([code, stderr], [0, []]);
      assertEquals(stdout.filter((line) => line === "Conexão WebSocket encerrada!").length, 2);
    },
  );

  onEachTransport(`server.ts exits at once on a second ${signal}`, async ({ flags }) => {
    await using folder = await certificatesFolder();
    await using server = await startServer([...flags, "--grace=600000"], { cwd: folder.path });
    using peer = await RawPeer.upgraded(server.port);
    server.program.kill(signal);
    // The close stays unanswered: the server waits for as long as the grace period allows.
    const { opcode, payload } = await peer.readFrame();
    assertEquals([opcode, ...payload.subarray(0, 2)], [OPCODE.close, ...closePayload(1001)]);
    server.program.kill(signal);
    assertEquals((await server.program.end()).code, 128 + number);
  });
}

onEachTransport("server.ts accepts nobody while it stops", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer([...flags, "--grace=600000"], { cwd: folder.path });
  using peer = await RawPeer.upgraded(server.port);
  server.program.kill("SIGTERM");
  await peer.readFrame();
  await assertRejects(() => RawPeer.upgraded(server.port));
  await peer.write(clientFrame(OPCODE.close, closePayload(1001)));
  peer.close();
  assertEquals((await server.program.end()).code, 0);
});

onEachTransport(
  "server.ts --grace bounds the wait for a peer that does not answer the close",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    await using server = await startServer([...flags, "--grace=50"], { cwd: folder.path });
    using peer = await RawPeer.upgraded(server.port);
    server.program.kill("SIGTERM");
    assertEquals((await peer.readFrame()).opcode, OPCODE.close);
    assertEquals((await server.program.end()).code, 0);
  },
);

onEachTransport(
  "server.ts stops although an HTTP client keeps its connection open",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    await using server = await startServer([...flags, "--grace=600000"], { cwd: folder.path });
    using peer = await RawPeer.connect(server.port);
    await peer.request("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assertEquals((await stop(server)).code, 0);
  },
);

once("server.ts --lang=en speaks English", async () => {
  await using folder = await certificatesFolder();
  await using server = await startServer(["--lang=en"], { cwd: folder.path });
  await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
  await peer.ask("hi");
  peer.socket.close(1000);
  await peer.closed;
  assertEquals((await stop(server)).stdout, [
    `WebSocket server running on port ${server.port}...`,
    "Handshake received",
    "WebSocket connection established!",
    "Message received from the client: hi",
    "Message sent back to the client: Retorno do servidor!",
    "WebSocket connection closed!",
  ]);
});

once("server.ts --log-format=json writes one object a line", async () => {
  await using folder = await certificatesFolder();
  await using server = await startServer(["--log-format=json"], { cwd: folder.path });
  await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
  await peer.ask('a"b\n');
  peer.socket.close(4000, "why");
  await peer.closed;
  using refused = await RawPeer.connect(server.port);
  await refused.request(handshake("/ws", { "Sec-WebSocket-Version": "7" }));
  const { stdout, stderr } = await stop(server);

  const [output, errors] = [stdout, stderr].map((lines) => lines.map((line) => JSON.parse(line)));
  assertEquals(output!.map(({ level, properties: { event } }) => [level, event]), [
    ["INFO", "listening"],
    ["INFO", "handshake"],
    ["INFO", "open"],
    ["INFO", "received"],
    ["INFO", "sent"],
    ["INFO", "closed"],
    ["INFO", "handshake"],
  ]);
  assertEquals(errors!.map(({ level, properties }) => [level, properties.event]), [
    ["ERROR", "upgradeFailed"],
  ]);
  assertEquals(output![0].properties.port, server.port);
  assertMatch(output![1].properties.client, /^127\.0\.0\.1:\d+$/);
  assertEquals(output![3].properties.data, 'a"b\\n');
  assertEquals(output![5].properties.code, 4000);
  assertEquals(output![5].properties.reason, "why");
  for (const record of [...output!, ...errors!]) {
    assert(!Number.isNaN(Date.parse(record["@timestamp"])), record["@timestamp"]);
    assertNotEquals(record.message, "");
  }
});

once("server.ts --log-level=debug says what an operator needs", async () => {
  await using folder = await certificatesFolder();
  const flags = ["--log-level=debug", "--lang=en", "--path=/chat"];
  await using server = await startServer(flags, { cwd: folder.path });
  const { stdout } = server.program;
  const origin = `127.0.0.1:${server.port}`;
  assertEquals(await stdout.next(), `Address: wss://${origin}/chat`);
  {
    await using peer = await Peer.open(`wss://${origin}/chat`);
    await peer.ask("?");
  }
  const told = (line: string) =>
    line.replace(/^.*: (.*), (\d+) bytes on .* (\d+) bytes?$/, "$1 $2 $3");
  assertEquals(told(await stdout.match(/Frame received/)), "TEXT FIN 7 1");
  assertEquals(told(await stdout.match(/Frame sent/)), "TEXT FIN 22 20");
  assertEquals(told(await stdout.match(/Frame received/)), "CLOSE FIN 6 0");
  await stdout.match(/closed!$/);
  using plain = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  await plain.write(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
  const refused = "Refused: the client does not speak TLS, as with ws:// in place of wss://";
  assertMatch(await stdout.match(/Refused/), new RegExp(`^127\\.0\\.0\\.1:\\d+ ${refused}$`));
  const caCerts = [await Deno.readTextFile(`${folder.path}/certs/ca.crt`)];
  using client = Deno.createHttpClient({ caCerts });
  await (await fetch(`https://${origin}/none`, { client })).body?.cancel();
  assertMatch(await stdout.match(/Nothing/), /^127\.0\.0\.1:\d+ Nothing at \/none \(GET\)$/);
  const ending = await stop(server);
  assertEquals([ending.code, ending.stderr], [0, []]);
  assertMatch(
    ending.stdout.at(-1)!,
    /^Totals: connections: 3, WebSockets: 1, messages received: 1 \(1 byte, \d+ on the wire\), sent: 1 \(20 bytes, \d+ on the wire\), refusals: 1$/,
  );
});

once("server.ts --log-level leaves lower levels out", async () => {
  const args = ["--host=127.0.0.1", "--port=0"];
  {
    await using folder = await certificatesFolder();
    await using server = await startServer(["--log-level=debug"], { cwd: folder.path });
    await using peer = await Peer.open(`wss://127.0.0.1:${server.port}/ws`);
    await peer.ask("?");
    assertMatch(
      await server.program.stdout.match(/Extensões/),
      /^#1 127\.0\.0\.1:\d+ Extensões acordadas: -$/,
    );
  }
  {
    await using folder = new Folder();
    const options = [...args, "--log-level=warning"];
    await using program = Program.task("serve", options, { cwd: folder.path });
    const warning = await program.stderr.next();
    assertMatch(warning, /^Certificado de desenvolvimento criado/);
    program.kill("SIGTERM");
    assertEquals(await program.end(), { code: 0, stdout: [], stderr: [warning] });
  }
  {
    await using folder = new Folder();
    using busy = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const port = `--port=${(busy.addr as Deno.NetAddr).port}`;
    const options = [...args, port, "--log-level=error"];
    const { stdout, stderr } = await run("serve", options, { cwd: folder.path });
    assertEquals([stdout, stderr.length], [[], 1]);
    assertMatch(stderr[0]!, /^Erro ao iniciar o servidor: a porta/);
  }
});

once("server.ts --log-timestamps puts the time before each line", async () => {
  await using folder = await certificatesFolder();
  const before = Date.now();
  await using server = await startServer(["--log-timestamps"], { cwd: folder.path });
  const [line] = (await stop(server)).stdout;
  const [time, ...words] = line!.split(" ");
  assertEquals(words.join(" "), `${START} ${server.port}...`);
  assertMatch(time!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert(Date.parse(time!) >= before && Date.parse(time!) <= Date.now(), time);
});

once("server.ts --help names every flag, in both languages", async () => {
  await using folder = new Folder();
  const names = [
    ..."host port path cert key mode reply max-rooms history backplane compression origin token"
      .split(" "),
    ..."max-message-size max-connections max-per-address max-memory idle-timeout".split(" "),
    ..."trust-proxy proxy-protocol workers drain spread close-code grace".split(" "),
    ..."lang log-level log-format log-timestamps help version".split(" "),
  ];
  const texts = await Promise.all(
    [["--help"], ["-h", "--lang=en"], ["--help=all"]].map(async (args) => {
      const { code, stdout, stderr } = await run("serve", args, { cwd: folder.path });
      assertEquals([code, stderr], [0, []]);
      // It fits one screen.
      assert(stdout.length <= 40, `${stdout.length} lines`);
      assertEquals(stdout.filter((line) => line.length > 80), []);
      return stdout.join("\n");
    }),
  );
  for (const text of texts) {
    for (const name of names) assertMatch(text, new RegExp(`^ .*--${name}\\b.* {2}\\S`, "m"));
    assertStringIncludes(text, "WSS_PORT");
  }
  assertStringIncludes(texts[0]!, "Uso: deno task serve");
  assertStringIncludes(texts[1]!, "Usage: deno task serve");
});

once("server.ts --version prints the version of deno.json", async () => {
  await using folder = new Folder();
  for (const flag of ["--version", "-V"]) {
    const ending = await run("serve", [flag], { cwd: folder.path });
    assertEquals(ending, { code: 0, stdout: [config.version], stderr: [] });
  }
});

once("server.ts ends a usage error in one line, with exit code 2", async () => {
  await using folder = new Folder();
  for (
    const [flag, line] of [
      ["--bogus", 'Opção desconhecida "--bogus"; veja --help'],
      ["--port", 'Falta o valor de "--port"; escreva --port=VALOR'],
    ] as const
  ) {
    const ending = await run("serve", [flag], { cwd: folder.path });
    assertEquals(ending, { code: 2, stdout: [], stderr: [line] });
  }
});

Deno.test("server.ts refuses what it does not understand", async () => {
  const badNumbers = ["", "0", "-1", "+1", "1e3", " 5", "5 ", "5.0", "0x10", "Infinity", "5\n"];
  const port = "deve ser um número inteiro de 0 a 65535";
  const path = "deve ser um caminho que começa com / e não tem espaço, ? nem #";
  const cases: [string[], string][] = [
    [["--bogus"], 'Opção desconhecida "--bogus"; veja --help'],
    [["--bogus=1", "--lang=en"], 'Unknown flag "--bogus"; see --help'],
    [["-x"], 'Opção desconhecida "-x"; veja --help'],
    [["extra"], 'Argumento inesperado "extra"; veja --help'],
    [["--port"], 'Falta o valor de "--port"; escreva --port=VALOR'],
    [["--port", "--mode=echo"], 'Falta o valor de "--port"; escreva --port=VALOR'],
    [["--port=abc"], `Valor inválido em --port: "abc", ${port}`],
    [["--port=65536"], `Valor inválido em --port: "65536", ${port}`],
    [["--port=1e3"], `Valor inválido em --port: "1e3", ${port}`],
    [["--path=ws"], `Valor inválido em --path: "ws", ${path}`],
    [["--path=/a?b"], `Valor inválido em --path: "/a?b", ${path}`],
    [["--host="], 'Valor inválido em --host: "", deve ser um texto não vazio'],
    [["--cert="], 'Valor inválido em --cert: "", deve ser um texto não vazio'],
    [["--key="], 'Valor inválido em --key: "", deve ser um texto não vazio'],
    [
      ["--origin=https://a.example", "--origin=capacitor://", "--origin=null"],
      'Valor inválido em --origin: "capacitor://", deve ser uma origem como https://exemplo.com, https://*.exemplo.com, capacitor://localhost, file:// ou null',
    ],
    [
      ["--trust-proxy=10.0.0.0/8,proxy.example"],
      'Valor inválido em --trust-proxy: "proxy.example", deve ser um endereço IP, uma rede como 10.0.0.0/8 ou 2001:db8::/32, ou unix',
    ],
    [
      ["--origin=example"],
      'Valor inválido em --origin: "example", deve ser uma origem como https://exemplo.com, https://*.exemplo.com, capacitor://localhost, file:// ou null',
    ],
    [
      ["--compression=gzip"],
      'Valor inválido em --compression: "gzip", deve ser on, off, fast, small ou parâmetros como level=6;threshold=128;server_no_context_takeover;client_max_window_bits=12',
    ],
    [
      ["--mode=both"],
      'Valor inválido em --mode: "both", deve ser um de: reply, echo, broadcast, interactive',
    ],
    [
      ["--idle-timeout=-1"],
      'Valor inválido em --idle-timeout: "-1", deve ser um número inteiro de 0 a 86400 s, ou com unidade, como 500ms, 30s, 5m ou 1h',
    ],
    [
      ["--grace=1x"],
      'Valor inválido em --grace: "1x", deve ser um número inteiro de 0 a 600000 ms, ou com unidade, como 500ms, 30s, 5m ou 1h',
    ],
    [
      [
        "--compression=off",
        "--max-connections=1",
        "--max-message-size=2",
        "--max-per-address=3",
        "--max-memory=1000",
      ],
      'Sem efeito com --compression=off: "--max-message-size", "--max-connections", "--max-per-address", "--max-memory"; ' +
      "retire isso, ou use --compression=on",
    ],
    [
      ["--mode=broadcast", "--reply=x"],
      'Sem efeito com --mode=broadcast: "--reply"; retire isso, ou use --mode=reply',
    ],
    [["--max-rooms=1"], "--max-rooms não tem efeito sem --mode=broadcast"],
    [["--mode=echo", "--history=1"], "--history não tem efeito sem --mode=broadcast"],
    [
      ["--mode=broadcast", "--history=1001"],
      'Valor inválido em --history: "1001", deve ser um número inteiro de 0 a 1000',
    ],
    ...["max-connections", "max-per-address", "max-memory"].map((name) =>
      [
        ["--workers=4", `--${name}=3`],
        `Valor inválido em --${name}: "3", deve ser ao menos 4, o valor de --workers`,
      ] as [string[], string]
    ),
    ...["max-connections", "max-per-address"].flatMap((name) =>
      [...badNumbers, "5k"].map((text) =>
        [
          [`--${name}=${text}`],
          `Valor inválido em --${name}: "${text}", deve ser um número inteiro de 1 a 1000000`,
        ] as [string[], string]
      )
    ),
    ...Object.entries({ "max-message-size": 2 ** 30, "max-memory": 2 ** 40 }).flatMap((
      [name, max],
    ) =>
      [...badNumbers, "5kk", "5x"].map((text) =>
        [
          [`--${name}=${text}`],
          `Valor inválido em --${name}: "${text}", deve ser um número inteiro de bytes de 1 a ${max}, ` +
          "ou com unidade, como 64K ou 16M",
        ] as [string[], string]
      )
    ),
    [["--lang=fr"], 'Valor inválido em --lang: "fr", deve ser um de: pt-BR, en'],
    [
      ["--log-level=loud"],
      'Valor inválido em --log-level: "loud", deve ser um de: info, debug, warning, error',
    ],
    [["--log-format=xml"], 'Valor inválido em --log-format: "xml", deve ser um de: text, json'],
    [
      ["--log-timestamps=maybe"],
      'Valor inválido em --log-timestamps: "maybe", deve ser um de: true, false',
    ],
  ];
  for (const [args, line] of cases) {
    const ending = await runHere((output) => main(args, output, AbortSignal.abort()));
    assertEquals(ending, { code: 2, stdout: [], stderr: [line] });
  }
});

once("server.ts takes its flags from the environment, and prefers the command line", async () => {
  await using folder = await certificatesFolder();
  const env = {
    WSS_HOST: "127.0.0.1",
    WSS_PORT: "0",
    WSS_PATH: "/env",
    WSS_MODE: "echo",
    WSS_ORIGIN: "https://a.example, https://b.example",
    WSS_LANG: "en",
    WSS_GRACE: "1000",
  };
  await using server = await startServer(["--path=/flag"], { cwd: folder.path, env });
  const url = `wss://127.0.0.1:${server.port}/flag`;
  await using peer = await Peer.open(url, { Origin: "https://b.example" });
  assertEquals(await peer.ask("eco"), "eco");
  using refused = await RawPeer.connect(server.port);
  const { status } = await refused.request(handshake("/flag", { Origin: "https://c.example" }));
  assertEquals(status, 403);
  assertEquals(
    (await stop(server)).stdout[0],
    `WebSocket server running on port ${server.port}...`,
  );
});

once("server.ts names the variable whose value it refuses", async () => {
  await using folder = new Folder();
  const env = { WSS_IDLE_TIMEOUT: "x" };
  assertEquals(await run("serve", [], { cwd: folder.path, env }), {
    code: 2,
    stdout: [],
    stderr: [
      'Valor inválido em WSS_IDLE_TIMEOUT: "x", deve ser um número inteiro de 0 a 86400 s, ou com unidade, como 500ms, 30s, 5m ou 1h',
    ],
  });
});

once("server.ts refuses a limit of the environment that would be ignored", async () => {
  await using folder = new Folder();
  const noEffect = (named: string) =>
    `Sem efeito com --compression=off: ${named}; retire isso, ou use --compression=on`;
  const cases: [string[], Record<string, string>, string][] = [
    [["--compression=off"], { WSS_MAX_CONNECTIONS: "5" }, noEffect('"WSS_MAX_CONNECTIONS"')],
    [["--max-per-address=5"], { WSS_COMPRESSION: "off" }, noEffect('"--max-per-address"')],
    [
      ["--proxy-protocol"],
      { WSS_COMPRESSION: "off", WSS_TRUST_PROXY: "::1" },
      noEffect('"WSS_TRUST_PROXY", "--proxy-protocol"'),
    ],
    [[], { WSS_COMPRESSION: "off", WSS_MAX_MESSAGE_SIZE: "5" }, noEffect('"WSS_MAX_MESSAGE_SIZE"')],
    [
      [],
      { WSS_MAX_CONNECTIONS: "" },
      'Valor inválido em WSS_MAX_CONNECTIONS: "", deve ser um número inteiro de 1 a 1000000',
    ],
    [
      [],
      { WSS_ORIGIN: "" },
      'Valor inválido em WSS_ORIGIN: "", deve ser uma origem como https://exemplo.com, https://*.exemplo.com, capacitor://localhost, file:// ou null',
    ],
  ];
  for (const [args, env, line] of cases) {
    const ending = await run("serve", args, { cwd: folder.path, env });
    assertEquals(ending, { code: 2, stdout: [], stderr: [line] });
  }
});

once("server.ts asks for no variable where the environment may not be read", async () => {
  await using folder = new Folder();
  const args = commandOf("serve").filter((argument) => !argument.startsWith("--allow-env"));
  const env = { WSS_PORT: "not a number" };
  const options = { cwd: folder.path, env };
  await using program = new Program(Deno.execPath(), [...args, "--version"], options);
  assertEquals(await program.end(), { code: 0, stdout: [config.version], stderr: [] });
});

onEachTransport("server.ts --host decides which addresses are listened on", async ({ flags }) => {
  await using folder = await certificatesFolder();
  // Without --host: every address, of both kinds where the machine has them.
  await using everywhere = Program.task("serve", ["--port=0", ...flags], { cwd: folder.path });
  const port = await listeningPort(everywhere);
  const addresses = ["127.0.0.1", ...hasIPv6() ? ["::1"] : []];
  for (const address of addresses) {
    using peer = await RawPeer.connect(port, address);
    assertEquals((await peer.request(handshake("/ws"))).status, 101);
    await peer.write(clientFrame(OPCODE.close, closePayload(1000)));
  }
  if (!hasIPv6()) return;
  await using server = await startServer([...flags], { cwd: folder.path });
  using peer = await RawPeer.connect(server.port);
  assertEquals((await peer.request("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).status, 200);
  await assertRejects(() => RawPeer.connect(server.port, "::1"), Deno.errors.ConnectionRefused);
});

function hasIPv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

/** How a server ends that cannot start. */
function startFailure(reason: string): Ending {
  return { code: 1, stdout: [], stderr: [`Erro ao iniciar o servidor: ${reason}`] };
}

onEachTransport("server.ts tells why it cannot listen", async ({ flags }) => {
  await using folder = await certificatesFolder();
  using busy = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = busy.addr as Deno.NetAddr;
  const options = { cwd: folder.path };
  assertEquals(
    await run("serve", ["--host=127.0.0.1", `--port=${port}`, ...flags], options),
    startFailure(
      `a porta ${port} já está em uso; encerre o outro programa ou escolha outra com --port`,
    ),
  );
  assertEquals(
    await run("serve", ["--host=203.0.113.1", "--port=0", ...flags], options),
    startFailure(
      'o Deno não pode usar a rede em "203.0.113.1"; acrescente --allow-net=203.0.113.1 (de um programa instalado, no arquivo ~/.deno/bin/wss-server)',
    ),
  );
});

once("server.ts tells that the task may not reach a backplane, or has not its client", async () => {
  await using folder = await certificatesFolder();
  const start = (url: string) =>
    run("serve", ["--port=0", "--mode=broadcast", `--backplane=${url}`], { cwd: folder.path });
  for (const host of ["192.0.2.1", "127.0.0.1"]) {
    assertEquals(
      await start(`nats://${host}`),
      startFailure(
        `o Deno não pode usar o backplane em "${host}:4222"; use deno task serve:backplane no clone`,
      ),
    );
  }
});

once("server.ts tells what is wrong with its certificate", async () => {
  await using folder = await certificatesFolder();
  const certs = `${folder.path}/certs`;
  const [other, expired] = await Promise.all([brought(), brought({ to: -1 })]);
  await Promise.all([
    Deno.writeTextFile(`${certs}/other.key`, other.key),
    Deno.writeTextFile(`${certs}/expired.crt`, expired.cert),
    Deno.writeTextFile(`${certs}/expired.key`, expired.key),
    Deno.writeTextFile(`${certs}/text`, "no PEM at all\n"),
    Deno.mkdir(`${certs}/folder.crt`),
  ]);
  const yesterday = new Date(Date.now() - 24 * 60 * 60 * 1000).toISOString().slice(0, 10);
  const outside = `${folder.path}/outside.crt`;
  const cases: [string[], string][] = [
    [
      ["--cert=certs/none.crt"],
      'o arquivo "certs/none.crt" não existe; confira --cert',
    ],
    [
      ["--cert=certs/folder.crt"],
      'o arquivo "certs/folder.crt" não pode ser lido pelo usuário atual; ajuste as permissões dele',
    ],
    [
      [`--cert=${outside}`],
      `o Deno não pode ler "${outside}"; acrescente --allow-read=${outside},certs/server.key (de um programa instalado, no arquivo ~/.deno/bin/wss-server)`,
    ],
    [
      ["--cert=certs/text"],
      '"certs/text" não é um certificado PEM; ele começa com -----BEGIN CERTIFICATE-----',
    ],
    [
      ["--key=certs/text"],
      '"certs/text" não é uma chave privada PEM sem senha; ela começa com -----BEGIN PRIVATE KEY-----',
    ],
    [
      ["--key=certs/other.key"],
      'a chave "certs/other.key" não é a do certificado "certs/server.crt"; indique o par certo com --cert e --key',
    ],
    [
      ["--cert=certs/expired.crt", "--key=certs/expired.key"],
      `o certificado "certs/expired.crt" venceu em ${yesterday}; renove-o com quem o emitiu`,
    ],
  ];
  await Promise.all(cases.map(async ([args, reason]) => {
    assertEquals(
      await run("serve", ["--port=0", ...args], { cwd: folder.path }),
      startFailure(reason),
    );
  }));
});

Deno.test({
  name: "server.ts says which certificate the user may not read",
  ignore: !RUNNABLE || !modesBind(),
  async fn() {
    await using folder = await certificatesFolder();
    await Deno.chmod(`${folder.path}/certs/server.crt`, 0o000);
    const ending = await run("serve", ["--port=0"], { cwd: folder.path });
    assertEquals(ending, {
      code: 1,
      stdout: [],
      stderr: [
        'Erro ao iniciar o servidor: o arquivo "certs/server.crt" não pode ser lido pelo usuário atual; ajuste as permissões dele',
      ],
    });
  },
});

once(
  "server.ts fails to start in English with --lang=en, and as JSON with --log-format=json",
  async () => {
    await using folder = await certificatesFolder();
    const args = ["--cert=certs/none.crt", "--lang=en"];
    const reason = 'the file "certs/none.crt" does not exist; check --cert';
    const text = await run("serve", args, { cwd: folder.path });
    assertEquals(text.stderr, [`Error starting the server: ${reason}`]);
    const json = await run("serve", [...args, "--log-format=json"], { cwd: folder.path });
    assertEquals([json.code, json.stdout, json.stderr.length], [1, [], 1]);
    const { level, properties } = JSON.parse(json.stderr[0]!);
    assertEquals([level, properties], ["ERROR", { event: "startFailed", reason }]);
  },
);

once(
  "server.ts makes its certificates on the first start, and says so in one line",
  async () => {
    await using folder = new Folder();
    const line =
      'Certificado de desenvolvimento criado em "certs"; importe "certs/ca.crt" para confiar nele';
    let made: string;
    {
      await using server = await startServer([], { cwd: folder.path });
      const url = `wss://127.0.0.1:${server.port}/ws`;
      const client = await run("client", [url], { cwd: folder.path });
      assertEquals(client.code, 0, client.stderr.join("\n"));
      assertEquals((await stop(server)).stderr, [line]);
      made = await Deno.readTextFile(`${folder.path}/certs/server.crt`);
    }
    {
      await using server = await startServer([], { cwd: folder.path });
      assertEquals((await stop(server)).stderr, []);
      assertEquals(await Deno.readTextFile(`${folder.path}/certs/server.crt`), made);
    }
  },
);

once("server.ts makes no certificate in place of half a pair", async () => {
  for (const [present, missing] of [["crt", "key"], ["key", "crt"]]) {
    await using folder = await certificatesFolder(await brought());
    await Deno.remove(`${folder.path}/certs/server.${missing}`);
    const kept = await Deno.readTextFile(`${folder.path}/certs/server.${present}`);
    const ending = await run("serve", ["--port=0"], { cwd: folder.path });
    assertEquals(ending, {
      code: 1,
      stdout: [],
      stderr: [
        `Erro ao iniciar o servidor: existe "certs/server.${present}" mas não "certs/server.${missing}"; ` +
        "traga o arquivo que falta, ou remova o outro para que os dois sejam criados",
      ],
    });
    assertEquals(await Deno.readTextFile(`${folder.path}/certs/server.${present}`), kept);
    await assertRejects(
      () => Deno.lstat(`${folder.path}/certs/server.${missing}`),
      Deno.errors.NotFound,
    );
  }
});

once("server.ts makes its certificates again where their making was cut short", async () => {
  await using folder = await certificatesFolder();
  const certs = `${folder.path}/certs`;
  // A crash between two of the moves: the key is there, its certificate is not yet.
  await Deno.mkdir(`${certs}/.new`);
  await Deno.rename(`${certs}/server.crt`, `${certs}/.new/server.crt`);
  await using server = await startServer([], { cwd: folder.path });
  assertMatch((await stop(server)).stderr.join("\n"), /^Certificado de desenvolvimento criado/);
  const names = [...Deno.readDirSync(certs)].map(({ name }) => name).sort();
  assertEquals(names, ["ca.crt", "server.crt", "server.key"]);
});

/** Completes a TLS handshake with a server, whose certificate must be of the authority `ca`. */
async function shakeHands(port: number, ca: string): Promise<void> {
  using connection = await Deno.connectTls({ hostname: "127.0.0.1", port, caCerts: [ca] });
  await connection.handshake();
}

once("server.ts makes one pair for all that start at once in a new folder", async () => {
  for (let round = 0; round < 3; round++) {
    await using folder = new Folder();
    const started = await Promise.allSettled(
      Array.from({ length: 6 }, () => startServer([], { cwd: folder.path })),
    );
    const servers = started.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
    try {
      assertEquals(started.flatMap((one) => one.status === "rejected" ? [one.reason] : []), []);
      // The authority's key is not kept, so it has signed this one certificate alone.
      const ca = await Deno.readTextFile(`${folder.path}/certs/ca.crt`);
      for (const { port } of servers) await shakeHands(port, ca);
      const endings = await Promise.all(servers.map(stop));
      assertEquals(endings.map(({ code }) => code), endings.map(() => 0));
      assertEquals(endings.flatMap(({ stderr }) => stderr).length, 1, "one of them made it");
      const names = [...Deno.readDirSync(`${folder.path}/certs`)].map(({ name }) => name).sort();
      assertEquals(names, ["ca.crt", "server.crt", "server.key"]);
    } finally {
      for (const server of servers) await server[Symbol.asyncDispose]();
    }
  }
});

/** Waits until `program` waits for a lock, as Linux lists it. Fails if `listening` settles first. */
async function waitsForLock(program: Program, listening: Promise<unknown>): Promise<void> {
  let settled = false;
  listening.catch(() => {}).finally(() => settled = true);
  const waits = new RegExp(`-> FLOCK .* ${program.pid} `);
  // By another program, as Deno wants every permission for reading below `/proc`.
  const cat = new Deno.Command("cat", { args: ["/proc/locks"] });
  while (!waits.test(new TextDecoder().decode((await cat.output()).stdout))) {
    assert(!settled, "it did not wait");
  }
}

for (
  const [name, files] of [
    ["waits for a pair that another process is writing", ["server.key"]],
    ["waits for a pair that another process is replacing", ["server.key", "server.crt"]],
  ] as const
) {
  Deno.test({
    name: `server.ts ${name}`,
    ignore: !RUNNABLE || Deno.build.os !== "linux",
    async fn() {
      await using folder = new Folder();
      const certs = `${folder.path}/certs`;
      const [old, made] = [await developmentCertificates(), await generateCertificates()];
      await Deno.mkdir(`${certs}/.new`, { recursive: true });
      const half: Record<string, string> = { "server.key": made.key, "server.crt": old.cert };
      const put = (file: string, text: string) => Deno.writeTextFile(`${certs}/${file}`, text);
      for (const file of files) await put(file, half[file]!);

      const args = ["--host=127.0.0.1", "--port=0"];
      let listening: Promise<number>;
      await using stack = new AsyncDisposableStack();
      const program = await lockCertificates(certs, async () => {
        const program = stack.use(Program.task("serve", args, { cwd: folder.path }));
        listening = listeningPort(program);
        await waitsForLock(program, listening);
        await put("ca.crt", made.ca);
        await put("server.crt", made.cert);
        await Deno.remove(`${certs}/.new`);
        return program;
      });
      const port = await listening!;
      await shakeHands(port, made.ca);
      assertEquals((await stop({ program, port })).stderr, []);
    },
  });
}

onEachTransport("server.ts serves with the certificate of --cert and --key", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const { ca, cert, key } = await brought();
  await Deno.writeTextFile(`${folder.path}/certs/mine.crt`, cert);
  await Deno.writeTextFile(`${folder.path}/certs/mine.key`, key);
  const pair = ["--cert=certs/mine.crt", "--key=certs/mine.key"];
  await using server = await startServer([...flags, ...pair], { cwd: folder.path });
  const connect = (caCert: string) =>
    Deno.connectTls({ hostname: "127.0.0.1", port: server.port, caCerts: [caCert] })
      .then(async (connection) => {
        using _ = connection;
        await connection.handshake();
      });
  await connect(ca);
  const { ca: wrong } = await developmentCertificates();
  assertInstanceOf(await connect(wrong).catch((error) => error), Error);
});

once("server.ts warns about a certificate that expires in less than seven days", async () => {
  for (const [days, warns] of [[6, true], [8, false]] as const) {
    await using folder = await certificatesFolder(await generateCertificates({ days }));
    await using server = await startServer([], { cwd: folder.path });
    const date = new Date(Date.now() + days * 24 * 60 * 60 * 1000).toISOString().slice(0, 10);
    assertEquals(
      (await stop(server)).stderr,
      warns
        ? [`O certificado "certs/server.crt" vence em ${date}; crie outro com deno task certs`]
        : [],
    );
  }
});

onEachTransport("server.ts --port listens on the port it is given", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using first = await startServer(flags, { cwd: folder.path });
  await stop(first);
  await using second = await startServer([...flags, `--port=${first.port}`], {
    cwd: folder.path,
  });
  assertEquals(second.port, first.port);
  await using peer = await Peer.open(`wss://127.0.0.1:${first.port}/ws`);
  assertEquals(await peer.ask("?"), "Retorno do servidor!");
});

Deno.test({
  name: "server.ts --workers shares a port among threads, with one log and one shutdown",
  ignore: !RUNNABLE || Deno.build.os !== "linux",
  async fn() {
    await using folder = await certificatesFolder();
    const flags = ["--workers=2", "--log-format=json", "--mode=echo"];
    await using server = await startServer(flags, { cwd: folder.path });
    const url = `wss://127.0.0.1:${server.port}/ws`;
    const caCerts = [await Deno.readTextFile(`${folder.path}/certs/ca.crt`)];
    const sockets: WebSocket[] = [];
    const seen = new Set<unknown>();
    // The kernel chooses: sooner or later both have been chosen.
    while (seen.size < 2) {
      const socket = new WebSocket(url, { caCerts });
      await next<Event>(socket, "open");
      sockets.push(socket);
      const line = await server.program.stdout.match(/"event":"open"/);
      seen.add(JSON.parse(line).properties.worker);
    }
    const ends = sockets.map((socket) => next<CloseEvent>(socket, "close"));
    const { code, stdout, stderr } = await stop(server);
    assertEquals([code, stderr], [0, []]);
    for (const end of ends) assertEquals((await end).code, 1001);
    assertEquals(stdout.filter((line) => line.includes('"event":"listening"')).length, 1);
    assertEquals(
      stdout.filter((line) => line.includes('"event":"closed"')).length,
      sockets.length,
    );
  },
});

once(
  "server.ts in its own folder names the command that may use any file and address",
  async () => {
    await using folder = await certificatesFolder();
    const certs = `${folder.path}/certs`;
    const own = { cwd: projectPath("") };
    const pair = [`--cert=${certs}/server.crt`, `--key=${certs}/server.key`];
    const args = ["--port=0", "--lang=en", ...pair];
    const { code, stderr } = await run("serve", args, own);
    assertEquals(code, 1);
    const [, command] = /; use deno (run .+) instead of deno task serve$/.exec(stderr[0]!) ?? [];
    const words = [...command!.split(" "), ...args];
    await using server = new Program(Deno.execPath(), words, own);
    await listeningPort(server);
  },
);
