import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertStringIncludes,
} from "@std/assert";
import { main } from "../client.ts";
import config from "../deno.json" with { type: "json" };
import {
  brought,
  certificatesFolder,
  commandOf,
  developmentCertificates,
  type Ending,
  Folder,
  freePort,
  once,
  onEachTransport,
  OPCODE,
  Program,
  projectPath,
  run,
  runHere,
  serveHttp,
  serveRaw,
  serveWebSocket,
  startServer,
} from "./programs.ts";

/** A server that answers every message with the demo's answer. */
function serveDemo(seen: (data: string | ArrayBuffer) => void = () => {}) {
  return serveWebSocket((socket) => {
    socket.onmessage = ({ data }) => {
      seen(data);
      socket.send("Retorno do servidor!");
    };
  });
}

/** What `client.ts` writes when it cannot connect. */
function connectFailure(url: string, reason: string): Ending {
  return {
    code: 1,
    stdout: [`Conectando a ${url}`],
    stderr: [`Erro ao conectar ao WebSocket: ${reason}`],
  };
}

onEachTransport("client.ts prints the demo's lines and nothing else", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer(flags, { cwd: folder.path });
  const url = `wss://127.0.0.1:${server.port}/ws`;
  assertEquals(await run("client", [url, ...flags], { cwd: folder.path }), {
    code: 0,
    stdout: [`Conectando a ${url}`, "Mensagem recebida do servidor: Retorno do servidor!"],
    stderr: [
      "Mensagem enviada para o servidor: Olá, servidor WebSocket!",
      "Conexão WebSocket encerrada!",
    ],
  });
});

once("client.ts --lang=en speaks English", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveDemo();
  const url = `wss://127.0.0.1:${server.port}/ws`;
  assertEquals(await run("client", [url, "--lang=en"], { cwd: folder.path }), {
    code: 0,
    stdout: [
      `Connecting to ${url}`,
      "Message received from the server: Retorno do servidor!",
    ],
    stderr: [
      "Message sent to the server: Olá, servidor WebSocket!",
      "WebSocket connection closed!",
    ],
  });
});

once("client.ts connects to wss://localhost:8443/ws unless told otherwise", async () => {
  await using folder = new Folder();
  // Without the network: what listens at this port of this machine is of no interest here.
  const args = commandOf("client").filter((argument) => argument !== "--allow-net");
  await using program = new Program(Deno.execPath(), args, { cwd: folder.path });
  assertEquals((await program.end()).stdout, ["Conectando a wss://localhost:8443/ws"]);
});

onEachTransport("client.ts closes with 1000 and waits for the close", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const closed = Promise.withResolvers<[code: number, wasClean: boolean]>();
  await using server = await serveWebSocket((socket) => {
    socket.onmessage = () => socket.send("resposta");
    socket.onclose = ({ code, wasClean }) => closed.resolve([code, wasClean]);
  });
  const url = `wss://127.0.0.1:${server.port}/`;
  const { code } = await run("client", [url, ...flags], { cwd: folder.path });
  assertEquals(code, 0);
  assertEquals(await closed.promise, [1000, true]);
});

onEachTransport("client.ts sends each --message and awaits its answer", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer([...flags, "--mode=echo"], { cwd: folder.path });
  const url = `wss://127.0.0.1:${server.port}/ws`;
  const messages = ["--message=um", "--message", "dois, três", "--message="];
  assertEquals(await run("client", [url, ...flags, ...messages], { cwd: folder.path }), {
    code: 0,
    stdout: [
      `Conectando a ${url}`,
      "Mensagem recebida do servidor: um",
      "Mensagem recebida do servidor: dois, três",
      "Mensagem recebida do servidor: ",
    ],
    stderr: [
      "Mensagem enviada para o servidor: um",
      "Mensagem enviada para o servidor: dois, três",
      "Mensagem enviada para o servidor: ",
      "Conexão WebSocket encerrada!",
    ],
  });
});

onEachTransport("client.ts sends no message before the last is answered", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const seen: string[] = [];
  await using server = await serveWebSocket((socket) => {
    socket.onmessage = ({ data }) => seen.push(data);
  });
  const args = [
    `wss://127.0.0.1:${server.port}/`,
    "--message=um",
    "--message=dois",
    "--timeout=1000",
  ];
  const ending = await run("client", [...args, ...flags], { cwd: folder.path });
  assertEquals(ending, {
    code: 3,
    stdout: [`Conectando a ${args[0]}`],
    stderr: [
      "Mensagem enviada para o servidor: um",
      "Erro ao ler mensagem: nenhuma resposta em 1000 ms; aumente com --timeout",
    ],
  });
  assertEquals(seen, ["um"]);
});

onEachTransport("client.ts --binary sends bytes, and shows them", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer([...flags, "--mode=echo"], { cwd: folder.path });
  const url = `wss://127.0.0.1:${server.port}/ws`;
  const args = [url, ...flags, "--binary", "--message=é\n"];
  const { code, stdout, stderr } = await run("client", args, { cwd: folder.path });
  assertEquals(code, 0);
  assertEquals(stdout[1], "Mensagem recebida do servidor: c3a90a (3 bytes)");
  assertEquals(stderr[0], "Mensagem enviada para o servidor: c3a90a (3 bytes)");
});

onEachTransport("client.ts shows an answer on one line whatever it holds", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const answers = [
    "x\nConexão WebSocket encerrada!\x1b[2J",
    "á".repeat(300),
    new Uint8Array(100).fill(0xab),
  ];
  await using server = await serveWebSocket((socket) => {
    socket.onmessage = () => socket.send(answers.shift()!);
  });
  const args = [`wss://127.0.0.1:${server.port}/`, ...answers.map((_, i) => `--message=${i}`)];
  const { stdout } = await run("client", [...args, ...flags], { cwd: folder.path });
  assertEquals(stdout.slice(1), [
    "Mensagem recebida do servidor: x\\nConexão WebSocket encerrada!\\u{1b}[2J",
    `Mensagem recebida do servidor: ${"á".repeat(256)}… (600 bytes)`,
    `Mensagem recebida do servidor: ${"ab".repeat(64)}… (100 bytes)`,
  ]);
});

onEachTransport("client.ts offers each --protocol and sends each --header", async ({ flags }) => {
  await using folder = await certificatesFolder();
  let headers = new Headers();
  await using server = await serveHttp((request) => {
    headers = new Headers(request.headers);
    const { socket, response } = Deno.upgradeWebSocket(request, { protocol: "chat.v1" });
    socket.onmessage = () => socket.send("resposta");
    return response;
  });
  const args = [
    `wss://127.0.0.1:${server.port}/`,
    "--protocol=chat.v2",
    "--protocol=chat.v1",
    "--header=Authorization: Bearer a:b, c",
    "--header=X-Empty:",
    "--header=Origin: https://a.example",
    "--json",
  ];
  const { code, stdout } = await run("client", [...args, ...flags], { cwd: folder.path });
  assertEquals(code, 0);
  assertEquals(headers.get("Sec-WebSocket-Protocol")?.replaceAll(" ", ""), "chat.v2,chat.v1");
  assertEquals(headers.get("Authorization"), "Bearer a:b, c");
  assertEquals(headers.get("X-Empty"), "");
  assertEquals(headers.get("Origin"), "https://a.example");
  assertEquals(JSON.parse(stdout[1]!).protocol, "chat.v1");
});

onEachTransport("client.ts --json writes one object a line for each event", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const answers = ["a\nb", new Uint8Array([0, 255])];
  await using server = await serveWebSocket((socket) => {
    socket.onmessage = () => socket.send(answers.shift()!);
  });
  const url = `wss://127.0.0.1:${server.port}/`;
  const args = [url, "--json", "--message=um", "--message=dois", ...flags];
  const { code, stdout, stderr } = await run("client", args, { cwd: folder.path });
  assertEquals([code, stderr], [0, []]);
  const [connecting, open, ...rest] = stdout.map((line) => JSON.parse(line));
  assertEquals(connecting, { event: "connecting", url });
  assertEquals([open.event, open.protocol, typeof open.extensions], ["open", "", "string"]);
  assertEquals(rest, [
    { event: "sent", type: "text", data: "um" },
    { event: "received", type: "text", data: "a\nb" },
    { event: "sent", type: "text", data: "dois" },
    { event: "received", type: "binary", base64: "AP8=" },
    { event: "closed", code: 1000, reason: "", wasClean: true },
  ]);
});

once("client.ts and server.ts agree on compression unless one turns it off", async () => {
  await using folder = await certificatesFolder();
  for (const off of [[], ["server"], ["client"]]) {
    const flagsOf = (program: string) => off.includes(program) ? ["--compression=off"] : [];
    const serverFlags = ["--log-format=json", ...flagsOf("server")];
    await using server = await startServer(serverFlags, { cwd: folder.path });
    const args = [`wss://127.0.0.1:${server.port}/ws`, "--json", ...flagsOf("client")];
    const { code, stdout } = await run("client", args, { cwd: folder.path });
    assertEquals(code, 0);
    const agreed = stdout.map((line) => JSON.parse(line)).find(({ event }) => event === "open");
    assertMatch(agreed.extensions, off.length === 0 ? /^permessage-deflate/ : /^$/);
    const open = JSON.parse(await server.program.stdout.match(/"event":"open"/));
    assertEquals(open.properties.extensions, agreed.extensions);
  }
});

once("client.ts and server.ts agree on what --compression asks for, workers too", async () => {
  await using folder = await certificatesFolder();
  const cases: [server: string[], client: string, agreed: string][] = [
    [["--compression=on"], "on", "permessage-deflate"],
    [["--compression=fast"], "on", "permessage-deflate; server_no_context_takeover"],
    [
      ["--compression=small"],
      "level=3,client_no_context_takeover",
      "permessage-deflate; client_no_context_takeover",
    ],
    [
      [
        "--workers=2",
        "--max-connections=9",
        "--compression=level=3;server_max_window_bits=12;client_max_window_bits=10",
      ],
      "on",
      "permessage-deflate; server_max_window_bits=12; client_max_window_bits=10",
    ],
  ];
  for (const [flags, asked, agreed] of cases) {
    await using server = await startServer(flags, { cwd: folder.path });
    const args = [`wss://127.0.0.1:${server.port}/ws`, "--json", `--compression=${asked}`];
    const { code, stdout } = await run("client", args, { cwd: folder.path });
    assertEquals(code, 0);
    const open = stdout.map((line) => JSON.parse(line)).find(({ event }) => event === "open");
    assertEquals(open.extensions, agreed);
  }
});

once("client.ts --json tells a failure as an event too", async () => {
  await using folder = await certificatesFolder();
  const url = `wss://127.0.0.1:${freePort()}/`;
  const args = [url, "--json", "--lang=en"];
  const { code, stdout, stderr } = await run("client", args, { cwd: folder.path });
  assertEquals([code, stderr], [1, []]);
  assertEquals(stdout.map((line) => JSON.parse(line)), [
    { event: "connecting", url },
    {
      event: "error",
      step: "connectFailed",
      message: `nobody answers at ${new URL(url).host}; ` +
        "check that the server is running and that the port is right",
    },
  ]);
});

onEachTransport("client.ts tells why it cannot connect", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const { cert, key } = await developmentCertificates();
  const plain = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => new Response());
  await using _plain = plain;
  await using tls = await serveHttp(() => new Response(), { cert, key });
  await using silent = await serveRaw((peer) => peer.readToEnd());
  const closed = freePort();
  const cases: [string, string, ...string[]][] = [
    [
      `wss://127.0.0.1:${closed}/ws`,
      `ninguém atende em 127.0.0.1:${closed}; confira se o servidor está rodando e se a porta é a certa`,
    ],
    [
      `ws://127.0.0.1:${closed}/ws`,
      `ninguém atende em 127.0.0.1:${closed}; confira se o servidor está rodando e se a porta é a certa`,
    ],
    [
      "wss://nao-existe.invalid/ws",
      'o nome "nao-existe.invalid" não foi encontrado; confira a URL e o DNS',
    ],
    [
      `wss://127.0.0.1:${silent.port}/ws`,
      `sem resposta de 127.0.0.1:${silent.port} em 300 ms; aumente com --timeout`,
      "--timeout=300",
    ],
    [
      `wss://127.0.0.1:${plain.addr.port}/ws`,
      "o servidor não fala TLS nessa porta; use ws:// em vez de wss://, ou outra porta",
    ],
    [
      `ws://127.0.0.1:${tls.port}/ws`,
      "o servidor fala TLS nessa porta; use wss:// em vez de ws://",
    ],
  ];
  await Promise.all(cases.map(async ([url, reason, ...args]) => {
    const ending = await run("client", [url, ...args, ...flags], { cwd: folder.path });
    assertEquals(ending, connectFailure(url, reason));
  }));
});

once("client.ts tells what is wrong with the file of --cacert", async () => {
  await using folder = await certificatesFolder();
  const url = "wss://127.0.0.1:1/";
  const outside = `${folder.path}/ca.crt`;
  const cases: [string, string][] = [
    [
      "certs/none.crt",
      'o arquivo "certs/none.crt" não existe; confira --cacert',
    ],
    [
      "certs/server.key",
      '"certs/server.key" não tem certificado, só PRIVATE KEY; um certificado PEM começa com -----BEGIN CERTIFICATE-----',
    ],
    [
      outside,
      `o Deno não pode ler "${outside}"; acrescente --allow-read=${outside} (de um programa instalado, no arquivo ~/.deno/bin/wss-client)`,
    ],
  ];
  await Promise.all(cases.map(async ([file, reason]) => {
    const ending = await run("client", [url, `--cacert=${file}`], { cwd: folder.path });
    assertEquals(ending, connectFailure(url, reason));
  }));
});

onEachTransport("client.ts tells the HTTP status it got instead of 101", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const options = [...flags, "--origin=https://a.example"];
  await using server = await startServer(options, { cwd: folder.path });
  const notAllowed = 'Cannot upgrade to WebSocket: the origin "https://b.example" is not allowed.';
  const hints: [path: string, status: number, hint: string, body: string][] = [
    ["/ws", 403, "ele recusa este cliente ou esta origem", notAllowed],
    ["/other", 404, "confira o caminho da URL", "There is nothing at this path."],
  ];
  for (const [path, status, hint, body] of hints) {
    const url = `wss://127.0.0.1:${server.port}${path}`;
    const args = [url, "--header=Origin: https://b.example", ...flags];
    const { stderr, ...failure } = connectFailure(
      url,
      `o servidor respondeu HTTP ${status} em vez de 101; ${hint}`,
    );
    assertEquals(await run("client", args, { cwd: folder.path }), {
      ...failure,
      stderr: [...stderr, `Corpo da resposta: ${body}`],
    });
  }
});

onEachTransport("client.ts tells that the peer is no WebSocket server", async ({ flags }) => {
  await using folder = await certificatesFolder();
  for (
    const answer of [
      "",
      "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ]
  ) {
    await using server = await serveRaw(async (peer) => {
      await peer.readRequest();
      await peer.write(answer);
    });
    const url = `wss://127.0.0.1:${server.port}/`;
    const { code, stdout, stderr } = await run("client", [url, ...flags], { cwd: folder.path });
    assertEquals([code, stdout], [1, [`Conectando a ${url}`]]);
    assertEquals(stderr.length, 1, stderr.join("\n"));
    assertMatch(
      stderr[0]!,
      /^Erro ao conectar ao WebSocket: o servidor não completou o handshake WebSocket \(\S.*\)$/,
    );
  }
});

const UNTRUSTED = "o certificado do servidor não é de uma autoridade conhecida; " +
  "confie nela com --cacert=ARQUIVO, ou aceite qualquer uma com --insecure";

onEachTransport("client.ts trusts the authority of --cacert", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const { ca, ...pair } = await brought();
  await Deno.writeTextFile(`${folder.path}/certs/theirs.crt`, ca);
  await using server = await serveHttp((request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = () => socket.send("resposta");
    return response;
  }, pair);
  const url = `wss://127.0.0.1:${server.port}/`;
  const refused = await run("client", [url, ...flags], { cwd: folder.path });
  assertEquals(refused, connectFailure(url, UNTRUSTED));
  const args = [url, "--cacert=certs/theirs.crt", ...flags];
  assertEquals((await run("client", args, { cwd: folder.path })).code, 0);
});

onEachTransport("client.ts runs without certs/, and trusts nobody new", async ({ flags }) => {
  await using folder = new Folder();
  await using server = await serveDemo();
  const url = `wss://127.0.0.1:${server.port}/`;
  const ending = await run("client", [url, ...flags], { cwd: folder.path });
  assertEquals(ending, connectFailure(url, UNTRUSTED));
});

onEachTransport(
  "client.ts tells what else is wrong with a certificate",
  async ({ name, flags }) => {
    await using folder = await certificatesFolder();
    const cases: [Parameters<typeof brought>[0], RegExp][] = [
      [
        { names: ["example.com"] },
        /: o certificado do servidor não vale para "127\.0\.0\.1"; use um nome que conste nele$/,
      ],
      [{ to: -1 }, /: o certificado do servidor está vencido; renove-o no servidor$/],
      [
        { selfSigned: true },
        // As OpenSSL and browsers do, our own takes a certificate that is trusted itself.
        name === "compressing"
          ? /: o servidor respondeu HTTP 200 /
          : /: o certificado do servidor é o de uma autoridade, .*; .* ou aceite qualquer um com --insecure$/,
      ],
    ];
    for (const [options, line] of cases) {
      const { ca, ...pair } = await brought(options);
      await Deno.writeTextFile(`${folder.path}/certs/theirs.crt`, ca);
      await using server = await serveHttp(() => new Response(), pair);
      const url = `wss://127.0.0.1:${server.port}/`;
      const args = [url, "--cacert=certs/theirs.crt", ...flags];
      const { code, stdout, stderr } = await run("client", args, { cwd: folder.path });
      assertEquals([code, stdout, stderr.length], [1, [`Conectando a ${url}`], 1]);
      assertMatch(stderr[0]!, line);
    }
  },
);

onEachTransport("client.ts --insecure accepts any certificate, and says so", async (transport) => {
  const { flags, insecure } = transport;
  await using folder = await certificatesFolder();
  for (const options of [{}, { names: ["example.com"] }, { to: -1 }, { selfSigned: true }]) {
    await using server = await serveHttp((request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.onmessage = () => socket.send("resposta");
      return response;
    }, await brought(options));
    const url = `wss://127.0.0.1:${server.port}/`;
    const args = [url, "--insecure", ...flags];
    const ending = await run(insecure, args, { cwd: folder.path });
    // Deno has a warning of its own about its own flag.
    const stderr = ending.stderr.filter((line) => !line.startsWith("DANGER: "));
    assertEquals({ ...ending, stderr }, {
      code: 0,
      stdout: [`Conectando a ${url}`, "Mensagem recebida do servidor: resposta"],
      stderr: [
        "Aviso: o certificado do servidor não será verificado (--insecure)",
        "Mensagem enviada para o servidor: Olá, servidor WebSocket!",
        "Conexão WebSocket encerrada!",
      ],
    });
  }
});

onEachTransport(
  "client.ts --insecure says what to run where Deno's own flag is needed",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    for (const options of [{}, { names: ["example.com"] }, { selfSigned: true }]) {
      await using server = await serveHttp(() => new Response(), await brought(options));
      const url = `wss://127.0.0.1:${server.port}/`;
      const { code, stderr } = await run("client", [url, "--insecure", ...flags], {
        cwd: folder.path,
      });
      assertEquals(code, 1);
      assertEquals(stderr, [
        "Aviso: o certificado do servidor não será verificado (--insecure)",
        "Erro ao conectar ao WebSocket: para aceitar qualquer certificado, o WebSocket do próprio " +
        "Deno precisa de uma opção do Deno: retire --compression=off, ou execute deno task client:insecure no clone",
      ]);
    }
  },
  ({ insecure }) => insecure === "client:insecure",
);

onEachTransport("client.ts tells when the server closes before it answers", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const cases: [number, string, string][] = [
    [1000, "", "código 1000"],
    [4001, "chega\n!", 'código 4001, "chega\\n!"'],
  ];
  for (const [code, reason, shown] of cases) {
    await using server = await serveWebSocket((socket) => {
      socket.onmessage = () => socket.close(code, reason);
    });
    const url = `wss://127.0.0.1:${server.port}/`;
    assertEquals(await run("client", [url, ...flags], { cwd: folder.path }), {
      code: 1,
      stdout: [`Conectando a ${url}`],
      stderr: [
        "Mensagem enviada para o servidor: Olá, servidor WebSocket!",
        `Erro ao ler mensagem: o servidor encerrou a conexão (${shown}) antes de responder`,
      ],
    });
  }
});

onEachTransport("client.ts tells when the connection is lost", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await serveRaw(async (peer) => {
    await peer.accept();
    await peer.readFrame();
  });
  const url = `wss://127.0.0.1:${server.port}/`;
  assertEquals(await run("client", [url, ...flags], { cwd: folder.path }), {
    code: 1,
    stdout: [`Conectando a ${url}`],
    stderr: [
      "Mensagem enviada para o servidor: Olá, servidor WebSocket!",
      "Erro ao ler mensagem: a conexão caiu sem encerramento (código 1006)",
    ],
  });
});

onEachTransport("client.ts --timeout bounds the wait for the close", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const closed = Promise.withResolvers<number>();
  await using server = await serveRaw(async (peer) => {
    await peer.accept();
    await peer.readFrame();
    await peer.write(new Uint8Array([0x81, 2, 0x6f, 0x6b]));
    const { opcode, payload } = await peer.readFrame();
    assertEquals(opcode, OPCODE.close);
    closed.resolve(payload[0]! << 8 | payload[1]!);
    await peer.readToEnd();
  });
  const url = `wss://127.0.0.1:${server.port}/`;
  const ending = await run("client", [url, "--timeout=1000", ...flags], { cwd: folder.path });
  assertEquals(await closed.promise, 1000);
  assertEquals(ending, {
    code: 1,
    stdout: [`Conectando a ${url}`, "Mensagem recebida do servidor: ok"],
    stderr: [
      "Mensagem enviada para o servidor: Olá, servidor WebSocket!",
      "Erro ao encerrar a conexão: o servidor não confirmou o encerramento em 1000 ms; aumente com --timeout",
    ],
  });
});

once("client.ts finishes when the reader of its output leaves", async () => {
  await using folder = await certificatesFolder();
  const left = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<number>();
  await using server = await serveWebSocket((socket) => {
    socket.onmessage = () => left.promise.then(() => socket.send("resposta"));
    socket.onclose = ({ code }) => closed.resolve(code);
  });
  const url = `wss://127.0.0.1:${server.port}/`;
  await using program = Program.task("client", [url], { cwd: folder.path });
  assertEquals(await program.stdout.next(), `Conectando a ${url}`);
  await program.stdout.close();
  left.resolve();
  assertEquals((await program.end()).code, 0);
  assertEquals(await closed.promise, 1000);
});

once("client.ts --help fits one screen, in both languages", async () => {
  await using folder = new Folder();
  for (const args of [["--help"], ["-h", "--lang=en"]]) {
    const { code, stdout, stderr } = await run("client", args, { cwd: folder.path });
    assertEquals([code, stderr], [0, []]);
    assert(stdout.length < 25, `${stdout.length} lines`);
    for (const line of stdout) assert(line.length <= 80, line);
    assertStringIncludes(stdout.join("\n"), "--help=all");
  }
});

once("client.ts --help=all names every flag and exit code, in both languages", async () => {
  await using folder = new Folder();
  const names = "message binary protocol header cacert insecure compression timeout lang json";
  for (const args of [["--help=all"], ["--help=all", "--lang=en"]]) {
    const { code, stdout, stderr } = await run("client", args, { cwd: folder.path });
    assertEquals([code, stderr], [0, []]);
    const text = stdout.join("\n");
    for (const name of [...names.split(" "), "help", "version"]) {
      assertMatch(text, new RegExp(`^ .*--${name}\\b.* {2}\\S`, "m"));
    }
    assertStringIncludes(text, "deno task client [URL]");
    assertStringIncludes(text, "WSS_TIMEOUT");
    assertEquals(text.includes("Usage:"), args.includes("--lang=en"));
    assertEquals(text.match(/--help=all/g)?.length, 1, "it refers to itself");
    // What an open loop is, is said where its flags are.
    assertMatch(text, /^--load: [^]{0,300}--rate/m);
    for (const code of [0, 1, 2, 3, 4, 130, 143]) {
      assertMatch(text, new RegExp(`^ {2}${code} `, "m"));
    }
  }
});

once("client.ts --version prints the version of deno.json", async () => {
  await using folder = new Folder();
  for (const flag of ["--version", "-V"]) {
    const ending = await run("client", [flag], { cwd: folder.path });
    assertEquals(ending, { code: 0, stdout: [config.version], stderr: [] });
  }
});

once("client.ts ends a usage error in one line, with exit code 2", async () => {
  await using folder = new Folder();
  for (
    const [args, line] of [
      [["--bogus"], 'Opção desconhecida "--bogus"; veja --help'],
      [["wss://a/", "b"], 'Argumento inesperado "b"; veja --help'],
    ] as const
  ) {
    const ending = await run("client", [...args], { cwd: folder.path });
    assertEquals(ending, { code: 2, stdout: [], stderr: [line] });
  }
});

Deno.test("client.ts refuses what it does not understand", async () => {
  const url = "deve ser uma URL ws:// ou wss:// sem fragmento";
  const header = 'deve ser um cabeçalho "Nome: valor"';
  const cases: [string[], string][] = [
    [["--bogus"], 'Opção desconhecida "--bogus"; veja --help'],
    [["--bogus", "--lang=en"], 'Unknown flag "--bogus"; see --help'],
    [["wss://a/", "b"], 'Argumento inesperado "b"; veja --help'],
    [["--message"], 'Falta o valor de "--message"; escreva --message=VALOR'],
    [["--cacert"], 'Falta o valor de "--cacert"; escreva --cacert=VALOR'],
    [["--cacert="], 'Valor inválido em --cacert: "", deve ser um texto não vazio'],
    [
      ["localhost:8443"],
      `Valor inválido em URL: "localhost:8443", ${url}, talvez wss://localhost:8443`,
    ],
    [["ftp://localhost/"], `Valor inválido em URL: "ftp://localhost/", ${url}`],
    [["wss://localhost/#a"], `Valor inválido em URL: "wss://localhost/#***", ${url}`],
    [
      ["--timeout=0"],
      'Valor inválido em --timeout: "0", deve ser um número inteiro de 1 a 86400000 ms, ou com unidade, como 500ms, 30s, 5m ou 1h',
    ],
    [["--header=novalue"], `Valor inválido em --header: "***", ${header}`],
    [["--header=: a"], `Valor inválido em --header: "***", ${header}`],
    [["--header=A b: c"], `Valor inválido em --header: "A: ***", ${header}`],
    [
      ["--protocol=a b"],
      'Valor inválido em --protocol: "a b", deve ser um nome de subprotocolo (RFC 6455), sem repetição',
    ],
    [
      ["--protocol=Chat", "--protocol=chat"],
      'Valor inválido em --protocol: "Chat, chat", deve ser um nome de subprotocolo (RFC 6455), sem repetição',
    ],
    [
      ["--compression=gzip"],
      'Valor inválido em --compression: "gzip", deve ser on, off, fast, small ou parâmetros como level=6;threshold=128;server_no_context_takeover;client_max_window_bits=12',
    ],
    [["--json=maybe"], 'Valor inválido em --json: "maybe", deve ser um de: true, false'],
    [["--lang=fr"], 'Valor inválido em --lang: "fr", deve ser um de: pt-BR, en'],
  ];
  for (const [args, line] of cases) {
    const ending = await runHere((output) => main(args, output));
    assertEquals(ending, { code: 2, stdout: [], stderr: [line] });
  }
});

Deno.test("client.ts lets no header value break the line", async () => {
  const ending = await runHere((output) => main(["--header=A: b\r\nC: d"], output));
  assertEquals([ending.code, ending.stdout], [2, []]);
});

Deno.test("client.ts shows no secret of what it refuses", async () => {
  const cases: [arg: string, shown: string][] = [
    ["wss://a/?x=1&token=s3cret#s3cret", "wss://a/?x=1&token=***#***"],
    ["wss://me:s3cret@a:99999/ws", "wss://a:99999/ws"],
    ["me:s3cret@a/?token=s3cret", "a/?token=***"],
    ["--header=Authorization Bearer s3cret", "Authorization: ***"],
    ["--header=Authorization: Bearer s3cret\x01", "Authorization: ***"],
    ["--header=s3cret", "***"],
    ["--protocol=bearer.s3cret/s3cret=", "bearer.***"],
    ["--protocol=bearer.s3cret s3cret", "bearer.***"],
  ];
  for (const [arg, shown] of cases) {
    const { code, stderr } = await runHere((output) => main(["--lang=en", arg], output));
    assertEquals(code, 2);
    assertMatch(stderr.join("\n"), /^Bad value of \S+: "[^"]*", must be .+$/);
    assertEquals(/"(.*?)"/.exec(stderr[0]!)?.[1], shown);
  }
});

onEachTransport("client.ts shows no secret of what it connects with", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const url = (port: number, user: string, token: string) =>
    `wss://${user}127.0.0.1:${port}/ws?a=1&token=${token}&b=%20`;
  const protocol = "bearer.s3cret";
  await using server = await serveWebSocket((socket) => {
    socket.onmessage = () => socket.send("resposta");
  }, { protocol });
  const secrets = [`--protocol=${protocol}`, "--header=Authorization: Bearer s3cret"];
  for (const format of [[], ["--json"]]) {
    const args = [url(server.port, "me:s3cret@", "s3cret"), ...secrets, ...format, ...flags];
    const { code, stdout, stderr } = await run("client", args, { cwd: folder.path });
    assertEquals(code, 0, stderr.join("\n"));
    assertEquals([...stdout, ...stderr].join("\n").includes("s3cret"), false);
    assertStringIncludes(stdout[0]!, url(server.port, "", "***"));
    if (format.length > 0) assertEquals(JSON.parse(stdout[1]!).protocol, "bearer.***");
  }
});

once("client.ts takes its flags from the environment", async () => {
  await using folder = await certificatesFolder();
  const seen: unknown[] = [];
  await using server = await serveDemo((data) => seen.push(data));
  const url = `wss://127.0.0.1:${server.port}/`;
  const env = {
    WSS_MESSAGE: "um, dois\ntrês",
    WSS_JSON: "true",
    WSS_TIMEOUT: "1",
    WSS_LANG: "fr",
    // Set for other modes, and for the server.
    WSS_HISTORY_FILE: "history",
    WSS_IDLE_TIMEOUT: "5",
    WSS_CERT: "certs/server.crt",
  };
  const args = [url, "--timeout=20000", "--lang=en", "--compression=off"];
  const { code, stdout } = await run("client", args, { cwd: folder.path, env });
  assertEquals([code, seen], [0, ["um, dois", "três"]]);
  for (const line of stdout) assertNotEquals(JSON.parse(line).event, undefined);
});

once("client.ts names the variable whose value it refuses", async () => {
  await using folder = new Folder();
  const env = { WSS_TIMEOUT: "soon" };
  assertEquals(await run("client", [], { cwd: folder.path, env }), {
    code: 2,
    stdout: [],
    stderr: [
      'Valor inválido em WSS_TIMEOUT: "soon", deve ser um número inteiro de 1 a 86400000 ms, ou com unidade, como 500ms, 30s, 5m ou 1h',
    ],
  });
});

onEachTransport(
  "client.ts tells in one line that the network is not allowed",
  async ({ flags }) => {
    await using folder = new Folder();
    const args = commandOf("client").filter((argument) => argument !== "--allow-net");
    const url = "wss://127.0.0.1:8443/ws";
    await using program = new Program(Deno.execPath(), [...args, url, ...flags], {
      cwd: folder.path,
    });
    const { code, stderr } = await program.end();
    assertEquals([code, stderr.length], [1, 1]);
    assertMatch(stderr[0]!, /--allow-net/);
  },
);

once("client.ts --show-headers shows the handshake both ways, without secrets", async () => {
  await using folder = await certificatesFolder();
  const flags = ["--show-headers", "--header=Authorization: Bearer secret", "--header=X-Own: y"];
  {
    await using server = await startServer([], { cwd: folder.path });
    const url = `wss://127.0.0.1:${server.port}/ws?token=secret`;
    const { code, stdout, stderr } = await run("client", [url, ...flags], { cwd: folder.path });
    assertEquals(code, 0);
    assertEquals(stdout.length, 2);
    assertEquals(stderr.filter((line) => line.includes("secret")), []);
    assertEquals(stderr.slice(0, 3), [
      "> GET /ws?token=*** HTTP/1.1",
      `> Host: 127.0.0.1:${server.port}`,
      "> Upgrade: websocket",
    ]);
    for (
      const line of [
        "> authorization: Bearer ***",
        "> x-own: y",
        "> ",
        "< HTTP/1.1 101 Switching Protocols",
        "< Sec-WebSocket-Extensions: permessage-deflate",
        "< ",
      ]
    ) {
      assertEquals(stderr.filter((other) => other === line), [line]);
    }
    assertEquals(stderr.slice(-2), [
      "Mensagem enviada para o servidor: Olá, servidor WebSocket!",
      "Conexão WebSocket encerrada!",
    ]);
  }
  {
    await using server = await serveHttp(() =>
      new Response("no", { status: 403, headers: { "Set-Cookie": "a=secret" } })
    );
    const url = `wss://127.0.0.1:${server.port}/`;
    const args = [url, ...flags, "--json"];
    const { code, stdout } = await run("client", args, { cwd: folder.path });
    assertEquals(code, 1);
    assertEquals(stdout.filter((line) => line.includes("secret")), []);
    const [request, response] = stdout.map((line) => JSON.parse(line))
      .filter(({ event }) => event === "handshake");
    assertEquals([request.direction, request.line], ["sent", "GET / HTTP/1.1"]);
    assertEquals([response.direction, response.line], ["received", "HTTP/1.1 403 Forbidden"]);
    const headers = new Headers(response.headers);
    assertEquals(headers.get("Set-Cookie"), "***");
  }
});

once("client.ts --frames shows each frame both ways", async () => {
  await using folder = await certificatesFolder();
  await using server = await startServer(["--mode=echo"], { cwd: folder.path });
  const url = `wss://127.0.0.1:${server.port}/ws`;
  const args = [url, "--frames", `--message=${"again ".repeat(100)}`];
  const { code, stderr } = await run("client", args, { cwd: folder.path });
  assertEquals(code, 0);
  assertEquals(
    stderr.filter((line) => /^[<>]/.test(line)).map((line) =>
      line.replace(/\d+(?= bytes na)/, "N")
    ),
    [
      "> TEXT FIN RSV1, N bytes na rede, payload de 600 bytes",
      "< TEXT FIN RSV1, N bytes na rede, payload de 600 bytes",
      "> CLOSE FIN, N bytes na rede, payload de 2 bytes",
      "< CLOSE FIN, N bytes na rede, payload de 2 bytes",
    ],
  );
  const english = await run("client", [url, "--frames", "--lang=en"], { cwd: folder.path });
  const first = "> TEXT FIN, 31 bytes on the wire, payload of 25 bytes";
  assertEquals(english.stderr[0], first);
  const asJson = await run("client", [url, "--frames", "--json"], { cwd: folder.path });
  const frames = asJson.stdout.map((line) => JSON.parse(line))
    .filter(({ event }) => event === "frame");
  assertEquals(frames.length, 4);
  assertEquals(frames[1], {
    event: "frame",
    direction: "received",
    frame: "TEXT FIN",
    opcode: 1,
    fin: true,
    rsv1: false,
    masked: false,
    wireLength: 27,
    payloadLength: 25,
  });
});

once("client.ts refuses --frames and --show-headers where they have no effect", async () => {
  await using folder = new Folder();
  const options = { cwd: folder.path };
  const args = ["--frames", "--show-headers", "--lang=en"];
  assertEquals(await run("client", ["--compression=off", ...args], options), {
    code: 2,
    stdout: [],
    stderr: [
      'Without effect with --compression=off: "--show-headers", "--frames"; leave that out, or use --compression=on',
    ],
  });
  assertEquals(await run("client", ["--quiet", "--frames", "--lang=en"], options), {
    code: 2,
    stdout: [],
    stderr: ["--frames and --quiet cannot be used together"],
  });
});

once("client.ts in its own folder names the task that may use any file, and it may", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveDemo();
  const args = [`wss://127.0.0.1:${server.port}/`, "--lang=en"];
  const own = { cwd: projectPath("") };
  const flags = [
    `--cacert=${folder.path}/certs/ca.crt`,
    `--output=${folder.path}/out`,
    `--bearer-file=${folder.path}/none`,
    `--unix=${folder.path}/none`,
  ];
  await Promise.all(flags.map(async (flag) => {
    const { code, stderr } = await run("client", [...args, flag], own);
    assertEquals(code, 1);
    assertMatch(stderr.at(-1)!, /Deno may not [^;]*; use deno task client:tool instead$/);
    const tool = await run("client:tool", [...args, flags[0]!, flag], own);
    assertNotMatch(tool.stderr.at(-1)!, /Deno may not/);
  }));
});
