import { assertEquals, assertMatch } from "@std/assert";
import {
  certificatesFolder,
  listeningPort,
  Program,
  run,
  startServer,
  stop,
  TRANSPORTS,
} from "../programs.ts";
import { compileGo, HAS_GORILLA } from "./go.ts";

/** What gorilla agrees to: it keeps no context in either direction. */
const AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/** A test of each transport of ours with gorilla, which compresses or does not. */
function onEachPair(
  name: (transport: string) => string,
  body: (pair: { flags: string[]; theirs: boolean; agreed: string }) => Promise<void>,
): void {
  for (const transport of TRANSPORTS) {
    for (const theirs of [true, false]) {
      Deno.test({
        name: `${name(transport.name)}${theirs ? "" : " without compression"}`,
        ignore: !HAS_GORILLA,
        fn: () =>
          body({
            flags: transport.flags,
            theirs,
            agreed: transport.name === "compressing" && theirs ? AGREED : "",
          }),
      });
    }
  }
}

onEachPair(
  (transport) => `client.ts [${transport}] talks to gorilla's server`,
  async ({ flags, theirs, agreed }) => {
    const file = await compileGo("server");
    await using folder = await certificatesFolder();
    const pair = ["-cert=certs/server.crt", "-key=certs/server.key"];
    const args = [...pair, "-addr=127.0.0.1:0", `-compression=${theirs}`];
    await using server = new Program(file, args, { cwd: folder.path });
    const port = await listeningPort(server);
    const url = `wss://127.0.0.1:${port}/ws`;

    assertEquals(await run("client", [url, ...flags], { cwd: folder.path }), {
      code: 0,
      stdout: [`Conectando a ${url}`, "Mensagem recebida do servidor: Retorno do servidor!"],
      stderr: [
        "Mensagem enviada para o servidor: Olá, servidor WebSocket!",
        "Conexão WebSocket encerrada!",
      ],
    });

    const long = "compressão ".repeat(5000);
    const options = ["--json", "--binary", `--message=${long}`, "--message="];
    const { code, stdout } = await run("client", [url, ...options, ...flags], {
      cwd: folder.path,
    });
    assertEquals(code, 0);
    const events = stdout.map((line) => JSON.parse(line));
    assertEquals(events.find(({ event }) => event === "open").extensions, agreed);
    const answer = new TextEncoder().encode("Retorno do servidor!").toBase64();
    assertEquals(
      events.filter(({ event }) => event === "received").map(({ type, base64 }) => [type, base64]),
      [["binary", answer], ["binary", answer]],
    );
    assertEquals(events.at(-1), { event: "closed", code: 1000, reason: "", wasClean: true });

    server.kill("SIGTERM");
    assertEquals((await server.end()).stdout, [
      `Servidor WebSocket rodando na porta ${port}...`,
      ...["Olá, servidor WebSocket!", long].flatMap((message, index) => [
        "Handshake recebido",
        "Conexão WebSocket estabelecida!",
        `Mensagem recebida do cliente: ${message}`,
        "Mensagem enviada de volta para o cliente: Retorno do servidor!",
        ...index === 1
          ? [
            "Mensagem recebida do cliente: ",
            "Mensagem enviada de volta para o cliente: Retorno do servidor!",
          ]
          : [],
        "Conexão WebSocket encerrada!",
      ]),
    ]);
  },
);

onEachPair(
  (transport) => `server.ts [${transport}] talks to gorilla's client`,
  async ({ flags, theirs, agreed }) => {
    const file = await compileGo("client");
    await using folder = await certificatesFolder();
    await using server = await startServer(flags, { cwd: folder.path });
    const url = `wss://127.0.0.1:${server.port}/ws`;
    const args = ["-cacert=certs/ca.crt", `-url=${url}`, `-compression=${theirs}`];
    for (const kind of [[], ["-binary", "-message=opção"]]) {
      await using client = new Program(file, [...args, ...kind], { cwd: folder.path });
      const message = kind.length === 0 ? "Olá, servidor WebSocket!" : "opção";
      assertEquals(await client.end(), {
        code: 0,
        stdout: [
          `Conectando a ${url}`,
          `Extensões: "${agreed}"`,
          "Mensagem recebida do servidor: Retorno do servidor!",
        ],
        stderr: [
          `Mensagem enviada para o servidor: ${message}`,
          "Conexão WebSocket encerrada!",
        ],
      });
    }
    assertEquals(await stop(server), {
      code: 0,
      stdout: [
        `Servidor WebSocket rodando na porta ${server.port}...`,
        "Handshake recebido",
        "Conexão WebSocket estabelecida!",
        "Mensagem recebida do cliente: Olá, servidor WebSocket!",
        "Mensagem enviada de volta para o cliente: Retorno do servidor!",
        "Conexão WebSocket encerrada!",
        "Handshake recebido",
        "Conexão WebSocket estabelecida!",
        "Mensagem recebida do cliente: 6f70c3a7c3a36f (7 bytes)",
        "Mensagem enviada de volta para o cliente: 5265746f726e6f20646f207365727669646f7221 (20 bytes)",
        "Conexão WebSocket encerrada!",
      ],
      stderr: [],
    });
  },
);

Deno.test({
  name: "server.ts is refused by gorilla's client that does not trust its certificate",
  ignore: !HAS_GORILLA,
  async fn() {
    const file = await compileGo("client");
    await using folder = await certificatesFolder();
    await using server = await startServer([], { cwd: folder.path });
    const url = `-url=wss://127.0.0.1:${server.port}/ws`;
    await using client = new Program(file, ["-cacert=certs/server.key", url], {
      cwd: folder.path,
    });
    const { code, stderr } = await client.end();
    assertEquals(code, 1);
    assertMatch(stderr[0]!, /^Erro ao conectar ao WebSocket: .*certificate/);
  },
});
