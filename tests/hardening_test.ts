/**
 * The programs where things go wrong around them: renewed certificates, tokens, lost connections.
 */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { generateCertificates, writeCertificates } from "../certs/generate.ts";
import { upgradeWebSocket, WebSocket } from "../mod.ts";
import {
  certificatesFolder,
  clientFrame,
  commandOf,
  freePort,
  handshake,
  once,
  onEachTransport,
  OPCODE,
  Program,
  RawPeer,
  run,
  serveHttp,
  serveWebSocket,
  startServer,
  stop,
} from "./programs.ts";

/** The outcome of one connection of a client that trusts `ca`. */
function connect(port: number, ca: string, protocols: string[] = []): Promise<string> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`wss://localhost:${port}/ws`, { caCerts: [ca], protocols });
    socket.onopen = () => {
      resolve(`open ${socket.protocol}`.trim());
      socket.close(1000);
    };
    socket.onerror = (event) => resolve((event as ErrorEvent).message);
  });
}

once(
  "server.ts serves a renewed certificate to new connections, and keeps the old ones",
  async () => {
    await using folder = await certificatesFolder();
    await using server = await startServer([], { cwd: folder.path });
    const first = await Deno.readTextFile(`${folder.path}/certs/ca.crt`);
    const socket = new WebSocket(`wss://localhost:${server.port}/ws`, { caCerts: [first] });
    await new Promise((resolve) => socket.onopen = resolve);

    const renewed = await generateCertificates();
    await writeCertificates(`${folder.path}/certs`, renewed);
    assertEquals(
      await server.program.stderr.next(),
      'Certificado renovado de "certs/server.crt"',
    );
    assertEquals(await connect(server.port, renewed.ca), "open");
    assertMatch(await connect(server.port, first), /certificate/);

    // A pair that will not do is told in one line, and the one before is kept.
    await Deno.writeTextFile(`${folder.path}/certs/server.crt`, "no certificate");
    assertMatch(
      await server.program.stderr.next(),
      /^Certificado anterior mantido: .*não é um cert/,
    );
    server.program.kill("SIGHUP");
    assertMatch(await server.program.stderr.next(), /^Certificado anterior mantido: /);
    assertEquals(await connect(server.port, renewed.ca), "open");

    const answer = new Promise<MessageEvent>((resolve) => socket.onmessage = resolve);
    socket.send("still here");
    assertEquals((await answer).data, "Retorno do servidor!");
    const closed = new Promise((resolve) => socket.onclose = resolve);
    socket.close(1000);
    await closed;
  },
);

once(
  "server.ts --compression=off tells that a renewed certificate needs another start",
  async () => {
    await using folder = await certificatesFolder();
    const flags = ["--compression=off", "--lang=en"];
    await using server = await startServer(flags, { cwd: folder.path });
    await writeCertificates(`${folder.path}/certs`, await generateCertificates());
    assertEquals(
      await server.program.stderr.next(),
      "The old certificate is kept: restart the server to use the new certificate with --compression=off",
    );
  },
);

/** Run before the server, prints what it may do: at its start, and when it exits. */
const PERMISSIONS_PROBE = `
  const descriptors = [
    { name: "write", path: "certs" },
    { name: "env", variable: "WSS_TOKEN" },
    { name: "run", command: "sh" },
    { name: "ffi", path: "certs" },
    { name: "sys", kind: "hostname" },
  ];
  const print = () => {
    const granted = descriptors.filter((descriptor) =>
      Deno.permissions.querySync(descriptor).state === "granted"
    );
    console.log("granted:", granted.map(({ name }) => name).join(" "));
  };
  print();
  addEventListener("unload", print);
`;

onEachTransport("server.ts gives up what it no longer needs to be allowed", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const probe = `${folder.path}/probe.js`;
  await Deno.writeTextFile(probe, PERMISSIONS_PROBE);
  const [subcommand, ...args] = commandOf("serve");
  const all = [`--preload=${probe}`, "--allow-run=sh", "--allow-ffi=certs", "--allow-sys"];
  const serve = [subcommand!, ...all, ...args, "--host=127.0.0.1", "--port=0", ...flags];
  await using program = new Program(Deno.execPath(), serve, { cwd: folder.path });
  await program.stdout.match(/^Servidor WebSocket rodando/);
  program.kill("SIGTERM");
  const { code, stdout } = await program.end();
  const granted = stdout.filter((line) => line.startsWith("granted:"));
  assertEquals([code, granted], [0, ["granted: write env run ffi sys", "granted: "]]);
});

/** A server that asks for `token`, and logs all it can. */
async function startGuarded(token: string, flags: string[], cwd: string) {
  return await startServer([...flags, "--log-level=debug"], { cwd, env: { WSS_TOKEN: token } });
}

/** The status and subprotocol that answer an offer of subprotocols that is sent as it is. */
async function offer(port: number, protocols: string): Promise<[number, string | null]> {
  using peer = await RawPeer.connect(port);
  const request = handshake("/ws", { "Sec-WebSocket-Protocol": protocols });
  const { status, headers } = await peer.request(request);
  if (status === 101) await peer.write(clientFrame(OPCODE.close, new Uint8Array([3, 232])));
  return [status, headers.get("Sec-WebSocket-Protocol")];
}

onEachTransport("server.ts --token lets in who has it, and logs it nowhere", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const token = "s3cret";
  await using server = await startGuarded(token, flags, folder.path);
  const ca = await Deno.readTextFile(`${folder.path}/certs/ca.crt`);
  assertEquals(await connect(server.port, ca, [`bearer.${token}`, "chat"]), "open chat");
  assertMatch(await connect(server.port, ca, ["bearer.other"]), /status 401/);
  const url = `wss://127.0.0.1:${server.port}/ws`;
  const header = `--header=Authorization: Bearer ${token}`;
  assertEquals((await run("client", [url, header, ...flags], { cwd: folder.path })).code, 0);
  const refused = await run("client", [url, ...flags], { cwd: folder.path });
  assertEquals(refused.code, 1);
  assertMatch(refused.stderr[0]!, /HTTP 401 .*--header/);
  assertEquals(await offer(server.port, `bearer.${token}, my chat`), [101, `bearer.${token}`]);
  // Deno's own `upgradeWebSocket` wants a space behind the comma, and quotes the subprotocol.
  await offer(server.port, `bearer.${token},bearer.${token}`);
  const { stdout, stderr } = await stop(server);
  assertEquals([...stdout, ...stderr].join("\n").includes(token), false);
});

onEachTransport("server.ts --token takes one that is no subprotocol's name", async ({ flags }) => {
  await using folder = await certificatesFolder();
  const token = "c2VjcmV0/dG9rZW4=";
  await using server = await startGuarded(token, flags, folder.path);
  assertEquals(await offer(server.port, `bearer.${token}`), [101, null]);
  assertEquals(await offer(server.port, `bearer.${token}, chat`), [101, "chat"]);
  const { stdout, stderr } = await stop(server);
  assertEquals([...stdout, ...stderr].join("\n").includes(token), false);
});

Deno.test("upgradeWebSocket() quotes no subprotocol that it refuses: one may hold a token", () => {
  for (const protocol of ["bearer.s3cret", "bearer.s3cret/"]) {
    const headers = {
      Upgrade: "websocket",
      Connection: "Upgrade",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
      "Sec-WebSocket-Protocol": "bearer.s3cret/, chat",
    };
    const request = new Request("https://localhost/ws", { headers });
    const { message } = assertThrows(() => upgradeWebSocket(request, { protocol }), TypeError);
    assertEquals(message.includes("s3cret"), false, message);
  }
});

once("server.ts bounds connections and messages as it is told", async () => {
  await using folder = await certificatesFolder();
  const flags = ["--max-connections=1", "--max-message-size=10"];
  await using server = await startServer(flags, { cwd: folder.path });
  const ca = await Deno.readTextFile(`${folder.path}/certs/ca.crt`);
  const socket = new WebSocket(`wss://localhost:${server.port}/ws`, { caCerts: [ca] });
  await new Promise((resolve) => socket.onopen = resolve);
  assertMatch(await connect(server.port, ca), /status 503/);
  const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
  socket.send("eleven byte");
  assertEquals((await closed).code, 1009);
});

once("client.ts --reconnect comes back until every message is answered", async () => {
  await using folder = await certificatesFolder();
  const port = freePort();
  await using client = Program.task("client", [
    `wss://127.0.0.1:${port}/ws`,
    "--reconnect=20",
    "--message=one",
    "--message=two",
    "--lang=en",
  ], { cwd: folder.path });
  assertMatch(await client.stderr.next(), /^Error connecting .*nobody answers/);
  assertMatch(await client.stderr.next(), /^Reconnecting in \d+ ms \(attempt 1 of 20\)$/);
  await using _server = await startServer([`--port=${port}`], { cwd: folder.path });
  const { code, stdout } = await client.end();
  assertEquals(code, 0);
  assertEquals(
    stdout.filter((line) => line.startsWith("Message received")),
    Array(2).fill("Message received from the server: Retorno do servidor!"),
  );
});

once("client.ts --reconnect sends again what was not answered, and says so", async () => {
  await using folder = await certificatesFolder();
  let connections = 0;
  await using server = await serveHttp((request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    const first = connections++ === 0;
    socket.onmessage = ({ data }) => {
      if (first && data === "two") socket.close(1011);
      else socket.send(`answer to ${data}`);
    };
    return response;
  });
  const args = [`wss://127.0.0.1:${server.port}/ws`, "--reconnect=2", "--lang=en"];
  const messages = ["--message=one", "--message=two", "--message=three"];
  const { code, stdout, stderr } = await run("client", [...args, ...messages], {
    cwd: folder.path,
  });
  assertEquals(code, 0);
  assertEquals(stdout.filter((line) => line.startsWith("Message")).map((line) => line.slice(-9)), [
    "er to one",
    "er to two",
    "to three".padStart(9),
  ]);
  assert(stderr.includes("Not answered, sending again: two"), stderr.join("\n"));
});

once("client.ts --reconnect gives up after its attempts, and tells what was not sent", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveHttp(() =>
    new Response(null, { status: 503, headers: { "Retry-After": "0" } })
  );
  const args = [`wss://127.0.0.1:${server.port}/ws`, "--reconnect=1", "--lang=en", "--json"];
  const { code, stdout } = await run("client", [...args, "--message=a", "--message=b"], {
    cwd: folder.path,
  });
  assertEquals(code, 1);
  const events = stdout.map((line) => JSON.parse(line));
  assertEquals(events.map(({ event }) => event), [
    "connecting",
    "error",
    "reconnecting",
    "connecting",
    "error",
    "summary",
  ]);
  assertEquals(events.at(-1), { event: "summary", answered: 0, unanswered: 0, unsent: 2 });
});

for (const [signal, exitCode] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  onEachTransport(
    `client.ts tells on ${signal} what was answered, and exits ${exitCode}`,
    async ({ flags }) => {
      await using folder = await certificatesFolder();
      await using server = await serveWebSocket((socket) => {
        socket.onmessage = ({ data }) => {
          if (data === "one") socket.send("answer");
        };
      });
      const messages = ["--message=one", "--message=two", "--message=three"];
      const cases: [port: number, line: RegExp, summary: string][] = [
        [freePort(), /^Reconnecting/, "0 answered, 0 sent without an answer, 3 not sent"],
        [server.port, /: two$/, "1 answered, 1 sent without an answer, 1 not sent"],
      ];
      for (const [port, line, summary] of cases) {
        const args = [`wss://127.0.0.1:${port}/`, "--reconnect=9", "--lang=en", ...messages];
        await using client = Program.task("client", [...args, ...flags], { cwd: folder.path });
        await client.stderr.match(line);
        client.kill(signal);
        const { code, stderr } = await client.end();
        assertEquals([code, stderr.at(-1)], [exitCode, `Messages: ${summary}`]);
      }
    },
  );
}
