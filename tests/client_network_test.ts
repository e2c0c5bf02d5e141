/** How `client.ts` reaches its server: proxies, Unix sockets, certificates, redirects and refusals. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect as connectTcp, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import {
  brought,
  certificatesFolder,
  commandOf,
  developmentCertificates,
  type Ending,
  freePort,
  once,
  onEachTransport,
  Program,
  projectPath,
  run,
  serveHttp,
  startServer,
} from "./programs.ts";
import { SocksServer } from "./socks_server.ts";
import { TestProxy } from "./transport/test_proxy.ts";

/** The lines of the demo's exchange, in both streams. */
function assertExchanged({ code, stdout, stderr }: Ending): void {
  assertEquals([code, stdout.at(-1), stderr.at(-1)], [
    0,
    "Mensagem recebida do servidor: Retorno do servidor!",
    "Conexão WebSocket encerrada!",
  ], [...stdout, ...stderr].join("\n"));
}

/** A server whose answer to each path is given, and which says what it was asked. */
async function serveAnswers(answers: (request: Request) => Response | undefined) {
  const requests: { url: string; headers: Headers }[] = [];
  const server = await serveHttp((request) => {
    requests.push({ url: request.url, headers: new Headers(request.headers) });
    const answer = answers(request);
    if (answer !== undefined) return answer;
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = () => socket.send("Retorno do servidor!");
    return response;
  });
  return Object.assign(server, { requests, url: `wss://127.0.0.1:${server.port}` });
}

onEachTransport(
  "client.ts --proxy goes through a proxy, and shows no password",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    await using server = await startServer(flags, { cwd: folder.path });
    await using proxy = new TestProxy();
    const url = `wss://127.0.0.1:${server.port}/ws`;
    for (const given of ["flag", "WSS_PROXY", "https_proxy"]) {
      const value = proxy.url("us%40er:s3cret");
      const args = given === "flag" ? [`--proxy=${value}`] : [];
      const env = given === "flag" ? {} : { [given]: value };
      const ending = await run("client", [url, ...flags, ...args], { cwd: folder.path, env });
      assertExchanged(ending);
      assertEquals([...ending.stdout, ...ending.stderr].join().includes("s3cret"), false);
      const head = proxy.heads.at(-1)!;
      assertStringIncludes(head, `CONNECT 127.0.0.1:${server.port} `);
      assertStringIncludes(head, `Proxy-Authorization: Basic ${btoa("us@er:s3cret")}`);
    }
    const env = { HTTPS_PROXY: proxy.url(), NO_PROXY: "127.0.0.1" };
    const before = proxy.heads.length;
    assertExchanged(await run("client", [url, ...flags], { cwd: folder.path, env }));
    assertEquals(proxy.heads.length, before);
  },
);

onEachTransport(
  "client.ts --proxy goes through a SOCKS5 proxy, which resolves the name",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    await using server = await startServer(flags, { cwd: folder.path });
    for (const [scheme, login] of [["socks5", undefined], ["socks5h", "us@er:p:a s"]] as const) {
      await using proxy = new SocksServer(server.port, login);
      const credentials = login === undefined ? "" : "us%40er:p%3Aa%20s@";
      const args = [`wss://localhost:${server.port}/ws`, ...flags];
      const value = `${scheme}://${credentials}127.0.0.1:${proxy.port}`;
      assertExchanged(await run("client", [...args, `--proxy=${value}`], { cwd: folder.path }));
      const env = { ALL_PROXY: value };
      assertExchanged(await run("client", args, { cwd: folder.path, env }));
      const asked = `${login === undefined ? "" : `${login} `}localhost:${server.port}`;
      // Deno's own asks once more for HTTP/1.1.
      assertEquals([...new Set(proxy.asked)], [asked]);
    }
  },
);

once("client.ts tells what is wrong with a proxy, and shows no password", async () => {
  await using folder = await certificatesFolder();
  await using refusing = new TestProxy({
    answer: () => "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n\r\nbody",
  });
  await using socks = new SocksServer(1, "user:right");
  const port = freePort();
  const check = "confira --proxy, ou as variáveis ALL_PROXY, HTTPS_PROXY e HTTP_PROXY";
  const cases: [proxy: string, reason: string | RegExp][] = [
    [
      refusing.url("u:s3cret"),
      "o proxy respondeu HTTP 407 em vez de abrir um túnel; ele exige credenciais, " +
      "dê-as em WSS_PROXY=http://USUÁRIO:SENHA@HOST; proxy-authenticate: Basic realm=x",
    ],
    [
      `http://u:s3cret@127.0.0.1:${port}`,
      `proxy "127.0.0.1:${port}" não abriu a conexão (connection refused); ${check}`,
    ],
    [
      `socks5://u:s3cret@127.0.0.1:${port}`,
      /proxy "127.0.0.1:\d+" não abriu a conexão \(.*ECONNREFUSED.*\); confira/,
    ],
    [
      `socks5://user:s3cret@127.0.0.1:${socks.port}`,
      /proxy "127.0.0.1:\d+" não abriu a conexão \(Socks5 Auth.*\); confira/i,
    ],
  ];
  for (const [proxy, reason] of cases) {
    const args = ["wss://127.0.0.1:1/", `--proxy=${proxy}`];
    const { code, stdout, stderr } = await run("client", args, { cwd: folder.path });
    assertEquals([code, stderr.length], [1, 1], stderr.join("\n"));
    const told = stderr[0]!.replace("Erro ao conectar ao WebSocket: ", "");
    if (typeof reason === "string") assertEquals(told, reason);
    else assertMatch(told, reason);
    assertEquals([...stdout, ...stderr].join().includes("s3cret"), false);
  }
});

once("client.ts gives a silent proxy up after --timeout", async () => {
  await using folder = await certificatesFolder();
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  for (const scheme of ["http", "socks5"]) {
    const proxy = `${scheme}://127.0.0.1:${silent.addr.port}`;
    const args = ["wss://127.0.0.1:1/", `--proxy=${proxy}`, "--timeout=300"];
    const { code, stderr } = await run("client", args, { cwd: folder.path });
    assertEquals([code, stderr], [1, [
      "Erro ao conectar ao WebSocket: sem resposta de 127.0.0.1:1 em 300 ms; aumente com --timeout",
    ]]);
  }
});

onEachTransport("client.ts --unix connects to a Unix socket", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer(flags, { cwd: folder.path });
  const path = `${folder.path}/socket`;
  await using plain = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = () => socket.send("Retorno do servidor!");
    return response;
  });
  // In a process that may listen on a Unix socket, as not all tests may.
  const relayTo = async (port: number) => {
    await Deno.remove(path).catch(() => {});
    const relay = ["run", "-A", projectPath("tests/unix_relay.ts"), path, String(port)];
    const program = new Program(Deno.execPath(), relay, { cwd: folder.path });
    await program.stdout.match(/listening/);
    return program;
  };
  const args = ["ws://localhost/ws", `--unix=${path}`, ...flags];
  const withAccess = commandOf("client").map((word) =>
    word === "--allow-read=certs" ? `--allow-read=certs,${path}` : word
  );
  const ending = async ([url, ...rest] = args) => {
    const command = [
      withAccess[0]!,
      `--allow-write=${path}`,
      ...withAccess.slice(1),
      url!,
      ...rest,
    ];
    await using program = new Program(Deno.execPath(), command, { cwd: folder.path });
    return await program.end();
  };
  {
    await using _ = await relayTo(plain.addr.port);
    assertExchanged(await ending());
  }
  await using _ = await relayTo(server.port);
  const overTls = await ending(["wss://localhost/ws", ...args.slice(1)]);
  if (!flags.includes("--compression=off")) assertExchanged(overTls);
  else {
    assertEquals([overTls.code, overTls.stderr], [1, [
      "Erro ao conectar ao WebSocket: o WebSocket do próprio Deno não faz TLS sobre um socket Unix; " +
      "use ws://, ou retire --compression=off",
    ]]);
  }
  await Deno.remove(path);
  const { code, stderr } = await ending();
  assertEquals([code, stderr], [1, [
    `Erro ao conectar ao WebSocket: não há socket Unix em "${path}"; ` +
    "confira --unix e se o servidor está rodando",
  ]]);
  // The task itself may not.
  const denied = await run("client", args, { cwd: folder.path });
  assertEquals([denied.code, denied.stderr.length], [1, 1]);
  assertStringIncludes(denied.stderr[0]!, path);
  assertStringIncludes(denied.stderr[0]!, "--allow-read");
});

onEachTransport(
  "client.ts --cert and --key show a certificate to a server that demands one",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    const { cert, key } = await developmentCertificates();
    const own = await brought();
    await Deno.writeTextFile(`${folder.path}/certs/own.crt`, own.cert);
    await Deno.writeTextFile(`${folder.path}/certs/own.key`, own.key);
    const relay = createTlsServer(
      { cert, key, ca: [own.ca], requestCert: true, rejectUnauthorized: true },
      (socket) => {
        const other = connectTcp({ host: "127.0.0.1", port: plain.addr.port });
        for (const [from, to] of [[socket, other], [other, socket]] as [Socket, Socket][]) {
          from.pipe(to);
          from.on("error", () => to.destroy());
          from.once("close", () => to.destroy());
        }
      },
    );
    relay.on("tlsClientError", () => {});
    await using plain = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.onmessage = () => socket.send("Retorno do servidor!");
      return response;
    });
    await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
    const { port } = relay.address() as { port: number };
    const args = [`wss://127.0.0.1:${port}/`, ...flags];
    const pair = ["--cert=certs/own.crt", "--key=certs/own.key"];
    assertExchanged(await run("client", [...args, ...pair], { cwd: folder.path }));
    assertEquals((await run("client", args, { cwd: folder.path })).code, 1);
    await new Promise<void>((resolve) => relay.close(() => resolve()));
    const wrong = ["--cert=certs/own.crt", "--key=certs/ca.crt"];
    const { stderr } = await run("client", [...args, ...wrong], { cwd: folder.path });
    assertMatch(stderr[0]!, /"certs\/ca.crt" não tem chave privada/);
  },
);

onEachTransport("client.ts tells the headers and the body of a refusal", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const headers = { "WWW-Authenticate": "Basic realm=x", "Retry-After": "1", "X-Other": "y" };
  await using server = await serveAnswers(() =>
    new Response("Olá\n\x1b[2J" + "a".repeat(5000), { status: 401, headers })
  );
  const run_ = (...args: string[]) =>
    run("client", [`${server.url}/`, ...flags, ...args], { cwd: folder.path });
  const { code, stderr } = await run_();
  assertEquals([code, stderr], [1, [
    "Erro ao conectar ao WebSocket: o servidor respondeu HTTP 401 em vez de 101; ele exige " +
    "credenciais, envie-as com --header; www-authenticate: Basic realm=x; retry-after: 1",
    `Corpo da resposta: Olá\\n\\u{1b}[2J${"a".repeat(248)}… (4096 bytes)`,
  ]]);
  const { stdout } = await run_("--json");
  const event = JSON.parse(stdout.at(-1)!);
  assertEquals([event.event, event.status], ["error", 401]);
  assertEquals(event.headers, { "www-authenticate": "Basic realm=x", "retry-after": "1" });
  assertEquals(event.body.slice(0, 9), "Olá\n\x1b[2Ja");
});

onEachTransport("client.ts follows redirects with --location alone", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await serveAnswers(({ url }) => {
    const { pathname } = new URL(url);
    const [, status, left] = /^\/(\d+)\/(\d+)$/.exec(pathname) ?? [];
    if (status === undefined) return undefined;
    const next = left === "0" ? "/end" : `/${status}/${Number(left) - 1}`;
    return new Response(null, { status: Number(status), headers: { Location: next } });
  });
  const run_ = (path: string, ...args: string[]) =>
    run("client", [`${server.url}${path}`, ...flags, ...args], { cwd: folder.path });
  for (const status of [301, 302, 303, 307, 308]) {
    const ending = await run_(`/${status}/1`, "--location");
    assertExchanged(ending);
    assertEquals(ending.stdout.slice(0, 3), [
      `Conectando a ${server.url}/${status}/1`,
      `Conectando a ${server.url}/${status}/0`,
      `Conectando a ${server.url}/end`,
    ]);
  }
  const asked = server.requests.length;
  const { code, stderr } = await run_("/302/0");
  assertEquals([code, stderr], [1, [
    "Erro ao conectar ao WebSocket: o servidor respondeu HTTP 302 em vez de 101; " +
    "siga o redirecionamento com --location; location: /end",
  ]]);
  assertEquals(server.requests.slice(asked).some(({ url }) => url.endsWith("/end")), false);
  const circle = await run_("/302/10", "--location");
  assertEquals([circle.code, circle.stderr], [1, [
    "Erro ao conectar ao WebSocket: o servidor redireciona mais de 10 vezes; confira a URL",
  ]]);
});

onEachTransport(
  "client.ts shows another origin no credentials, and goes nowhere without TLS",
  async ({ flags }) => {
    await using folder = await certificatesFolder();
    await using other = await serveAnswers(() => undefined);
    await using server = await serveAnswers(({ url }) => {
      const { pathname } = new URL(url);
      const location =
        { "/other": `${other.url}/?b`, "/same": "/", "/plain": "ws://127.0.0.1:1/" }[pathname];
      return location === undefined
        ? undefined
        : new Response(null, { status: 302, headers: { Location: location } });
    });
    const secrets = ["Authorization: s3cret", "Cookie: s3cret", "X-Api-Key: s3cret"];
    const args = [
      ...secrets.map((header) => `--header=${header}`),
      "--location",
      ...flags,
    ];
    const run_ = (path: string) =>
      run("client", [`wss://us:s3cret@127.0.0.1:${server.port}${path}?token=s3cret`, ...args], {
        cwd: folder.path,
      });
    assertExchanged(await run_("/other"));
    const leaked = (request: { url: string; headers: Headers }) =>
      [request.url, ...request.headers.values()].join().includes("s3cret");
    assertEquals(other.requests.map(leaked), [false]);
    assertExchanged(await run_("/same"));
    assertEquals(leaked(server.requests.at(-1)!), true);
    const { stderr } = await run_("/plain");
    assertEquals(stderr, [
      'Erro ao conectar ao WebSocket: o servidor redireciona para "ws://127.0.0.1:1/", sem TLS; ' +
      "use essa URL se confia na rede",
    ]);
  },
);

once(
  "client.ts --reconnect asks again after a refusal only where that may help, or is told",
  async () => {
    await using folder = await certificatesFolder();
    let status = 0;
    await using server = await serveAnswers(() =>
      new Response(null, { status, headers: { Location: "/" } })
    );
    const count = async (...args: string[]) => {
      const before = server.requests.length;
      const all = [`${server.url}/`, "--reconnect=1", ...args];
      assertEquals((await run("client", all, { cwd: folder.path })).code, 1);
      return server.requests.length - before;
    };
    for (
      const [given, requests] of [
        ...[302, 400, 401, 403, 404, 426].map((status) => [status, 1]),
        ...[408, 425, 429, 500, 503].map((status) => [status, 2]),
      ]
    ) {
      status = given!;
      assertEquals(await count(), requests, `${status}`);
    }
    status = 404;
    assertEquals(await count("--reconnect-on=403", "--reconnect-on=404"), 2);
    assertEquals(await count("--reconnect-on=403"), 1);
  },
);

once(
  "client.ts refuses flags that have no effect alone, exclude one another, or hold no proxy",
  async () => {
    await using folder = await certificatesFolder();
    const cases: [string[], string][] = [
      [["--cert=a"], "--cert has no effect without --key"],
      [["--key=a"], "--key has no effect without --cert"],
      [["--reconnect-on=404"], "--reconnect-on has no effect without --reconnect"],
      [["--unix=/a", "--proxy=http://h"], "--unix and --proxy cannot be used together"],
      [
        ["--reconnect=1", "--reconnect-on=4"],
        'Bad value of --reconnect-on: "4", must be a whole number from 100 to 599',
      ],
      [
        ["--proxy=ftp://u:s3cret@h"],
        'Bad value of --proxy: "ftp://***@h", must be the URL of a proxy: ' +
        "http://, https://, socks5:// or socks5h://",
      ],
    ];
    await Promise.all(cases.map(async ([args, line]) => {
      const ending = await run("client", ["--lang=en", ...args], { cwd: folder.path });
      assertEquals([ending.code, ending.stderr], [2, [line]]);
    }));
  },
);

onEachTransport("client.ts sends the credentials that flags and files hold", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await serveAnswers(() => undefined);
  await Deno.writeTextFile(`${folder.path}/certs/token`, "abc.s3cret-_~+/==\n");
  const url = `${server.url}/`;
  const cases: [args: string[], header: string, value: string][] = [
    [["--user=ö:s3cret:x"], "Authorization", `Basic ${btoa("\xc3\xb6:s3cret:x")}`],
    [["--bearer-file=certs/token"], "Authorization", "Bearer abc.s3cret-_~+/=="],
    [["--cookie=a=s3cret", "--cookie=b=2; c=3"], "Cookie", "a=s3cret; b=2; c=3"],
    [["--host=a.example:99"], "Host", "a.example:99"],
  ];
  for (const [args, header, value] of cases) {
    const ending = await run("client", [url, ...args, ...flags], { cwd: folder.path });
    assertExchanged(ending);
    assertEquals([header, server.requests.at(-1)!.headers.get(header)], [header, value]);
    assertEquals([...ending.stdout, ...ending.stderr].join().includes("s3cret"), false);
  }
});

once(
  "client.ts --resolve, -4, -6 and --sni say where and under which name",
  async () => {
    await using folder = await certificatesFolder();
    const names = ["a.example"];
    const { ca, ...pair } = await brought({ names });
    await Deno.writeTextFile(`${folder.path}/certs/theirs.crt`, ca);
    let host: string | null = "";
    await using server = await serveHttp((request) => {
      host = request.headers.get("Host");
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.onmessage = () => socket.send("Retorno do servidor!");
      return response;
    }, pair);
    const { port } = server;
    const trust = ["--cacert=certs/theirs.crt"];
    const cases: [url: string, args: string[], host: string][] = [
      [`wss://a.example:${port}/`, [`--resolve=a.example:${port}:127.0.0.1`], `a.example:${port}`],
      [`wss://127.0.0.1:${port}/`, ["--sni=a.example"], `127.0.0.1:${port}`],
      [`wss://localhost:${port}/`, ["-4", "--sni=a.example"], `localhost:${port}`],
      [`wss://localhost:${port}/`, ["-4", "--sni=a.example", "--host=b.example"], "b.example"],
    ];
    for (const [url, args, wanted] of cases) {
      assertExchanged(await run("client", [url, ...args, ...trust], { cwd: folder.path }));
      assertEquals(host, wanted);
    }
    const url = `wss://127.0.0.1:${port}/`;
    const told: [args: string[], code: number, line: RegExp][] = [
      [[url, "-6"], 1, /: o nome "127\.0\.0\.1" não tem endereço IPv6; confira a URL e o DNS$/],
      [[`ws://127.0.0.1:${port}/`, "--sni=a"], 2, /: --sni não tem efeito sem wss:\/\/$/],
      [
        [url, "--user=a:b", "--header=authorization: c"],
        2,
        /: --user e --header="Authorization: …" não/,
      ],
      [[url, "--bearer-file=certs/ca.crt"], 1, /: o arquivo "certs\/ca.crt" não contém um token/],
    ];
    for (const [args, code, line] of told) {
      const ending = await run("client", [...args, ...trust], { cwd: folder.path });
      assertEquals([args, ending.code], [args, code]);
      assertMatch(ending.stderr[0]!, line);
    }
    const env = { HTTPS_PROXY: "http://127.0.0.1:1" };
    const ending = await run("client", [url, "--sni=a.example", ...trust], {
      cwd: folder.path,
      env,
    });
    assertMatch(ending.stderr[0]!, /: --sni e HTTPS_PROXY não podem ser usados juntos$/);
  },
);

onEachTransport(
  "client.ts refuses a server that chooses none of its --protocol",
  async ({ name, flags }) => {
    await using folder = await certificatesFolder();
    await using server = await serveAnswers(() => undefined);
    const args = [`${server.url}/`, "--protocol=a", "--protocol=bearer.s3cret", ...flags];
    const { code, stderr } = await run("client", args, { cwd: folder.path });
    assertEquals([code, stderr.length], [1, 1]);
    const reason = name === "runtime"
      ? 'o servidor não escolheu nenhum dos subprotocolos oferecidos ("a", "bearer.***")'
      : "o servidor não completou o handshake WebSocket (";
    assertStringIncludes(stderr[0]!, `Erro ao conectar ao WebSocket: ${reason}`);
  },
);

once(
  "client.ts trusts a folder's authority for this machine's own names alone",
  async () => {
    await using folder = await certificatesFolder();
    const { ca, ...pair } = await brought({ names: ["localhost", "a.example"] });
    await Deno.writeTextFile(`${folder.path}/certs/ca.crt`, ca);
    await using server = await serveHttp((request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.onmessage = () => socket.send("Retorno do servidor!");
      return response;
    }, pair);
    const { port } = server;
    const args = [`--resolve=a.example:${port}:127.0.0.1`];
    const theirs = [`wss://a.example:${port}/`, ...args];
    const { code, stderr } = await run("client", theirs, { cwd: folder.path });
    assertEquals(code, 1);
    assertMatch(stderr[0]!, /o certificado do servidor não é de uma autoridade conhecida/);
    const own = [`wss://localhost:${port}/`, "-4"];
    assertExchanged(await run("client", own, { cwd: folder.path }));
    const given = [...theirs, "--cacert=certs/ca.crt"];
    assertExchanged(await run("client", given, { cwd: folder.path }));
  },
);

once("client.ts --max-message-size closes with 1009", async () => {
  await using folder = await certificatesFolder();
  await using server = await startServer(["--mode=echo"], { cwd: folder.path });
  const url = `wss://127.0.0.1:${server.port}/ws`;
  const args = [url, "--max-message-size=1K", `--message=${"x".repeat(1025)}`];
  const { code, stderr } = await run("client", args, { cwd: folder.path });
  assertEquals(code, 1);
  assertMatch(stderr[1]!, /^Erro ao ler mensagem: /);
  const off = await run("client", [...args, "--compression=off"], { cwd: folder.path });
  assertEquals(off.code, 2);
});
