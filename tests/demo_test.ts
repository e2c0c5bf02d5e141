import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import {
  certificatesFolder,
  type Ending,
  freshClone,
  listeningPort,
  once,
  onEachTransport,
  Program,
  run,
} from "./programs.ts";

/** The demo's exchange on whatever port it took, which is returned. */
function assertExchange({ code, stdout }: Ending, made: boolean): number {
  const port = Number(/porta (\d+)\.\.\.$/m.exec(stdout.join("\n"))?.[1]);
  assertEquals({ code, stdout }, {
    code: 0,
    stdout: [
      "# Saída do servidor",
      ...made
        ? [
          'Certificado de desenvolvimento criado em "certs"; importe "certs/ca.crt" para confiar nele',
        ]
        : [],
      `Servidor WebSocket rodando na porta ${port}...`,
      "Handshake recebido",
      "Conexão WebSocket estabelecida!",
      "Mensagem recebida do cliente: Olá, servidor WebSocket!",
      "Mensagem enviada de volta para o cliente: Retorno do servidor!",
      "Conexão WebSocket encerrada!",
      "",
      "# Saída do cliente",
      `Conectando a wss://localhost:${port}/ws`,
      "Mensagem enviada para o servidor: Olá, servidor WebSocket!",
      "Mensagem recebida do servidor: Retorno do servidor!",
      "Conexão WebSocket encerrada!",
    ],
  });
  return port;
}

/** Runs a task by its name, as a user does. */
function denoTask(name: string, args: string[], cwd: string): Program {
  return new Program(Deno.execPath(), ["task", name, ...args], { cwd });
}

once("deno task demo shows the exchange of a fresh clone", async () => {
  await using clone = await freshClone();
  {
    await using first = denoTask("demo", [], clone.path);
    assertExchange(await first.end(), true);
  }
  await using second = denoTask("demo", [], clone.path);
  assertExchange(await second.end(), false);
});

once("deno task serve and deno task client work in a fresh clone", async () => {
  await using clone = await freshClone();
  await using certs = denoTask("certs", [], clone.path);
  assertEquals((await certs.end()).code, 0);
  await using server = denoTask("serve", ["--port=0"], clone.path);
  const port = await listeningPort(server);
  await using client = denoTask("client", [`wss://localhost:${port}/ws`], clone.path);
  const { code, stdout } = await client.end();
  assertEquals([code, stdout[1]], [0, "Mensagem recebida do servidor: Retorno do servidor!"]);
  server.kill("SIGTERM");
  assertEquals((await server.end()).code, 0);
});

onEachTransport("cli/demo.ts takes a free port where 8443 is busy", async ({ flags }) => {
  await using folder = await certificatesFolder();
  using _busy = occupy(8443);
  assertNotEquals(assertExchange(await run("demo", flags, { cwd: folder.path }), false), 8443);
});

/** Makes sure that `port` is in use, whoever uses it. */
function occupy(port: number): Disposable {
  try {
    return Deno.listen({ hostname: "127.0.0.1", port });
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    return { [Symbol.dispose]() {} };
  }
}

once("cli/demo.ts --lang=en speaks English", async () => {
  await using folder = await certificatesFolder();
  const { code, stdout } = await run("demo", ["--lang=en"], { cwd: folder.path });
  assertEquals(code, 0);
  assertEquals(stdout[0], "# Output of the server");
  assertMatch(stdout[1]!, /^WebSocket server running on port \d+\.\.\.$/);
  assertEquals(stdout.includes("# Output of the client"), true);
});

once("cli/demo.ts fails where the exchange does not happen", async () => {
  {
    await using folder = await certificatesFolder();
    await Deno.writeTextFile(`${folder.path}/certs/server.crt`, "broken");
    const { code, stdout } = await run("demo", [], { cwd: folder.path });
    assertEquals(code, 1);
    assertMatch(
      stdout[1]!,
      /^Erro ao iniciar o servidor: "certs\/server\.crt" não é um certificado PEM/,
    );
  }
  {
    await using folder = await certificatesFolder();
    // The client does not trust this authority.
    await Deno.remove(`${folder.path}/certs/ca.crt`);
    const { code, stdout } = await run("demo", [], { cwd: folder.path });
    assertEquals(code, 1);
    assertMatch(stdout.at(-1)!, /^Erro ao conectar ao WebSocket: o certificado do servidor/);
  }
});
