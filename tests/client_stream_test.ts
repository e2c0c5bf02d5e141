/** `client.ts` in a pipe: what goes in by `--stdin`, what comes out by `--follow`, and in which form. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  certificatesFolder,
  type Ending,
  Folder,
  freePort,
  once,
  onEachTransport,
  onTerminal,
  Program,
  run,
  serveRaw,
  serveWebSocket,
  shellCommandOf,
  startServer,
} from "./programs.ts";

/** A server that echoes each message; `greeting` is sent first. */
function serveEcho(greeting?: string) {
  return serveWebSocket((socket) => {
    if (greeting !== undefined) socket.onopen = () => socket.send(greeting);
    socket.onmessage = ({ data }) => socket.send(data);
  });
}

onEachTransport("client.ts --stdin sends each line, and prints each answer", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer([...flags, "--mode=echo"], { cwd: folder.path });
  const url = `wss://127.0.0.1:${server.port}/ws`;
  const long = "á".repeat(300);
  const input = `um\r\n\ndois "três"\n${long}\nfim`;
  const args = [url, "--stdin", "--count=5", ...flags];
  assertEquals(await run("client", args, { cwd: folder.path, input }), {
    code: 0,
    stdout: ["um", "", 'dois "três"', long, "fim"],
    stderr: [`Conectando a ${url}`, "Conexão WebSocket encerrada!"],
  });
});

once("client.ts --stdin ends by --wait of silence, or by --count not reached", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveEcho("olá");
  const url = `wss://127.0.0.1:${server.port}/`;
  const options = { cwd: folder.path, input: "um\ndois\n" };
  const silent = await run("client", [url, "--stdin", "--wait=300ms", "-q"], options);
  assertEquals(silent, { code: 0, stdout: ["olá", "um", "dois"], stderr: [] });
  const args = [url, "--stdin", "--wait=300ms", "--count=4", "--lang=en"];
  const few = await run("client", args, options);
  assertEquals(few, {
    code: 3,
    stdout: ["olá", "um", "dois"],
    stderr: [`Connecting to ${url}`, "Error reading message: 3 of 4 messages came in 300 ms"],
  });
});

once("client.ts --stdin ends by the server's close, and says what was early", async () => {
  await using folder = await certificatesFolder();
  const closes: [code: number, flags: string[], exitCode: number][] = [
    [1000, [], 1],
    [4001, [], 1],
    [4001, ["--fail-on-close"], 4],
  ];
  for (const [code, flags, exitCode] of closes) {
    await using server = await serveWebSocket((socket) => {
      socket.onmessage = () => socket.close(code, "chega");
    });
    const args = [`wss://127.0.0.1:${server.port}/`, "--stdin", "--count=1", ...flags];
    const ending = await run("client", args, { cwd: folder.path, input: "um\n" });
    const sentence = `o servidor encerrou a conexão (código ${code}, "chega") antes de responder`;
    assertEquals([ending.code, ending.stdout], [exitCode, []]);
    assertMatch(ending.stderr.at(-1)!, new RegExp(`: ${sentence.replaceAll(/[()]/g, "\\$&")}$`));
  }
});

once("client.ts --stdin --null sends and prints what ends with NUL", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveEcho();
  const args = [`wss://127.0.0.1:${server.port}/`, "--stdin", "--null", "--count=2", "-q"];
  const ending = await run("client", args, { cwd: folder.path, input: "a\nb\0c\r\n" });
  assertEquals(ending, { code: 0, stdout: ["a", "b\0c\r", "\0<no line end>"], stderr: [] });
});

once("client.ts --stdin --binary sends bytes as they come, and prints them as told", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveEcho();
  const input = Uint8Array.of(255, 0, 10);
  const formats = { raw: "\ufffd\0", hex: "ff000a", base64: "/wAK" };
  for (const [format, line] of Object.entries(formats)) {
    const args = [`wss://127.0.0.1:${server.port}/`, "--stdin", "--binary", "--count=1", "-q"];
    const ending = await run("client", [...args, `--output-format=${format}`], {
      cwd: folder.path,
      input,
    });
    assertEquals(ending, { code: 0, stdout: [line], stderr: [] });
  }
});

once("client.ts --stdin refuses what is no text, and a line over the limit", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveEcho();
  const cases: [input: string | Uint8Array<ArrayBuffer>, flags: string[], reason: string][] = [
    [Uint8Array.of(0x61, 0xff, 0x0a), [], '"-" não é texto em UTF-8; envie-o com --binary'],
    [
      "x".repeat(1025),
      ["--max-message-size=1K"],
      'uma mensagem de "-" passa de 1024 bytes; aumente com --max-message-size, ou use --binary',
    ],
  ];
  for (const [input, flags, reason] of cases) {
    const args = [`wss://127.0.0.1:${server.port}/`, "--stdin", ...flags];
    const { code, stderr } = await run("client", args, { cwd: folder.path, input });
    assertEquals([code, stderr.at(-1)], [1, `Erro ao enviar mensagem: ${reason}`]);
  }
});

onEachTransport(
  "client.ts --follow sends, and prints what comes until --count",
  async (transport) => {
    const { flags } = transport;
    await using folder = await certificatesFolder();
    const closed = Promise.withResolvers<number>();
    await using server = await serveWebSocket((socket) => {
      socket.onopen = () => socket.send("olá");
      socket.onmessage = ({ data }) => {
        for (let i = 0; i < 1000; i++) socket.send(`${data} ${i}`);
      };
      socket.onclose = ({ code }) => closed.resolve(code);
    });
    const args = [`wss://127.0.0.1:${server.port}/`, "-f", "--message=um", "--count=3", ...flags];
    assertEquals(await run("client", args, { cwd: folder.path }), {
      code: 0,
      stdout: ["olá", "um 0", "um 1"],
      stderr: [
        `Conectando a ${args[0]}`,
        "Mensagem enviada para o servidor: um",
        "Conexão WebSocket encerrada!",
      ],
    });
    assertEquals(await closed.promise, 1000);
  },
);

once("client.ts --follow ends by --duration, a close or a signal, each with its code", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveWebSocket((socket) => {
    socket.onmessage = ({ data }) => data === "um" ? socket.send(data) : socket.close(Number(data));
  });
  const url = `wss://127.0.0.1:${server.port}/`;
  const cases: [flags: string[], code: number][] = [
    [["--duration=1", "--message=um"], 0],
    [["--duration=1", "--message=um", "--count=2"], 3],
    [["--message=1000"], 0],
    [["--message=4000"], 0],
    [["--message=4000", "--fail-on-close"], 4],
    [["--message=1000", "--fail-on-close"], 0],
  ];
  const ended = new Map<string, Ending>();
  await Promise.all(cases.map(async ([flags, code]) => {
    const ending = await run("client", [url, "--follow", ...flags], { cwd: folder.path });
    assertEquals([flags, ending.code], [flags, code]);
    ended.set(flags.join(" "), ending);
  }));
  // What is no error by its exit code is told as none.
  const last = (flags: string) => ended.get(flags)!.stderr.at(-1);
  assertEquals(last("--message=1000"), "Conexão WebSocket encerrada!");
  assertEquals(last("--message=4000"), "Conexão encerrada: 4000 (código da aplicação)");
  assertEquals(
    last("--message=4000 --fail-on-close"),
    "Erro ao ler mensagem: o servidor encerrou a conexão (código 4000)",
  );
  const json = await run("client", [url, "--follow", "--message=4000", "--json"], {
    cwd: folder.path,
  });
  assertEquals(
    JSON.parse(json.stdout.at(-1)!),
    { event: "closed", code: 4000, reason: "", wasClean: true },
  );
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    const args = [url, "--follow", "--message=um"];
    await using program = Program.task("client", args, { cwd: folder.path });
    assertEquals(await program.stdout.next(), "um");
    program.kill(signal);
    const { code: exitCode, stderr } = await program.end();
    assertEquals(exitCode, code);
    assert(stderr.includes("Conexão WebSocket encerrada!"));
  }
});

once(
  "client.ts --follow --reconnect connects again, and sends again what it asks for",
  async () => {
    await using folder = await certificatesFolder();
    let connections = 0;
    await using server = await serveRaw(async (peer) => {
      await peer.accept();
      const { payload } = await peer.readFrame();
      const text = `${new TextDecoder().decode(payload)} ${++connections}`;
      await peer.write(new Uint8Array([0x81, text.length, ...new TextEncoder().encode(text)]));
    });
    const args = [`wss://127.0.0.1:${server.port}/`, "--follow", "--message=a", "--reconnect=3"];
    const { code, stdout } = await run("client", [...args, "--count=2"], { cwd: folder.path });
    assertEquals([code, stdout], [1, ["a 1", "a 2"]]);
  },
);

once("client.ts ends quietly when the reader of its pipe has seen enough", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveWebSocket((socket) => {
    const send = () => {
      if (socket.readyState !== WebSocket.OPEN) return;
      if (socket.bufferedAmount < 1_000_000) socket.send("x".repeat(1000));
      setTimeout(send, 0);
    };
    socket.onopen = send;
  });
  const url = `wss://127.0.0.1:${server.port}/`;
  for (const flags of [["--follow", "-q"], ["--follow", "--json"], ["--stdin", "-q"]]) {
    await using program = Program.task("client", [url, ...flags], { cwd: folder.path });
    await program.stdout.next();
    await program.stdout.close();
    const { code, stderr } = await program.end();
    assertEquals([flags, code, stderr], [flags, 0, []]);
  }
});

once("client.ts prints payloads whole: --raw, --json, --output", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveEcho();
  const url = `wss://127.0.0.1:${server.port}/`;
  const text = `{"a":"${"x".repeat(5000)}"}`;
  const options = { cwd: folder.path };
  const raw = await run("client", [url, `--message=${text}`, "--raw", "--quiet"], options);
  assertEquals(raw, { code: 0, stdout: [text], stderr: [] });
  const json = await run("client", [url, `--message=${text}`, "--json"], options);
  assertEquals(JSON.parse(json.stdout.at(-2)!), { event: "received", type: "text", data: text });
  const flags = ["--hex=00ff0a", `--output=${folder.path}/out`];
  const { code, stdout } = await run("client:tool", [url, ...flags], options);
  assertEquals([code, stdout], [0, []]);
  assertEquals(await Deno.readFile(`${folder.path}/out`), Uint8Array.of(0, 255, 10));
  const refused = await run("client", [url, ...flags, "--lang=en"], options);
  assertEquals([refused.code, refused.stderr], [1, [
    `Deno may not use the file "${folder.path}/out"; add --allow-write=${folder.path}/out ` +
    "(of an installed program, in the file ~/.deno/bin/wss-client)",
  ]]);
});

once("client.ts tells a person on a terminal, and prints escape sequences as text", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveEcho();
  const url = `wss://127.0.0.1:${server.port}/`;
  const command = shellCommandOf("client", [url, "--stdin", "--count=1", "--lang=en"]);
  const { code, lines } = await onTerminal(`printf 'a\\033[2Jb\\n' | ${command}`, {
    cwd: folder.path,
  });
  assertEquals([code, lines], [0, [
    `Connecting to ${url}`,
    "Message sent to the server: a\\u{1b}[2Jb",
    "Message received from the server: a\\u{1b}[2Jb",
    "WebSocket connection closed!",
  ]]);
});

once("client.ts tells a person who pipes without --stdin what to do, and nobody else", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveEcho();
  const url = `wss://127.0.0.1:${server.port}/`;
  const options = { cwd: folder.path };
  const hint = /^Warning: standard input is not read; send each line of it with --stdin$/;
  const count = async (input: string, ...args: string[]) => {
    const command = shellCommandOf("client", [url, "--lang=en", ...args]);
    const { code, lines } = await onTerminal(`${input} ${command}`, options);
    assertEquals(code, 0);
    return lines.filter((line) => hint.test(line)).length;
  };
  assertEquals(await count("echo a |"), 1);
  assertEquals(await count("</dev/null"), 0);
  assertEquals(await count(""), 0);
  assertEquals(await count("echo a |", "--message=b"), 0);
  const piped = await run("client", [url], { ...options, input: "a\n" });
  assertEquals(piped.stderr.length, 2);
});

once("client.ts --message takes files and standard input, and --hex bytes", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveEcho();
  await Deno.writeTextFile(`${folder.path}/certs/text`, "olá\r\n");
  await Deno.writeFile(`${folder.path}/certs/bytes`, Uint8Array.of(0xff, 0x0a));
  const url = `wss://127.0.0.1:${server.port}/`;
  const options = { cwd: folder.path, input: '{"a":\n1}\n' };
  const messages = ["@certs/text", "-", "@@b", "@", "c@d"].map((text) => `--message=${text}`);
  const args = [url, "--json", ...messages, "--hex=00FF", "--hex="];
  const { code, stdout } = await run("client", args, options);
  const sent = stdout.map((line) => JSON.parse(line)).filter(({ event }) => event === "sent");
  assertEquals(code, 0);
  assertEquals(sent.map(({ data, base64 }) => data ?? base64), [
    "olá",
    '{"a":\n1}',
    "@b",
    "@",
    "c@d",
    "AP8=",
    "",
  ]);
  const binary = [url, "--binary", "--message=@certs/bytes", "--output-format=hex", "--raw", "-q"];
  assertEquals(await run("client", binary, options), { code: 0, stdout: ["ff0a"], stderr: [] });
  const cases: [file: string, reason: RegExp][] = [
    ["certs/bytes", /^"certs\/bytes" não é texto em UTF-8; envie-o com --binary$/],
    [
      "certs/none",
      /^o arquivo "certs\/none" não pode ser lido \(arquivo ou pasta não existe\); um @ no início .* @@$/,
    ],
    [
      "none",
      /^o Deno não pode usar o arquivo "none"; acrescente --allow-read=none \(.*\/wss-client\)$/,
    ],
  ];
  for (const [file, reason] of cases) {
    const { code, stdout, stderr } = await run("client", [url, `--message=@${file}`], options);
    assertEquals([code, stdout, stderr.length], [1, [], 1]);
    assertMatch(stderr[0]!, reason);
  }
});

once(
  "client.ts --skip leaves greetings out of the answers, and --connect-only sends nothing",
  async () => {
    await using folder = await certificatesFolder();
    await using server = await serveEcho("olá");
    const url = `wss://127.0.0.1:${server.port}/`;
    const skipped = await run("client", [url, "--skip=1", "--message=um"], { cwd: folder.path });
    assertEquals([skipped.code, skipped.stdout.slice(1)], [0, [
      "Mensagem recebida do servidor: olá",
      "Mensagem recebida do servidor: um",
    ]]);
    assertEquals(await run("client", [url, "--connect-only"], { cwd: folder.path }), {
      code: 0,
      stdout: [`Conectando a ${url}`],
      stderr: ["Conexão WebSocket encerrada!"],
    });
    const refused = await run("client", [`wss://127.0.0.1:${freePort()}/`, "--connect-only"], {
      cwd: folder.path,
    });
    assertEquals(refused.code, 1);
  },
);

once(
  "client.ts --stats tells messages, bytes and times, --timestamps when, --ping how far",
  async () => {
    await using folder = await certificatesFolder();
    await using server = await startServer(["--mode=echo"], { cwd: folder.path });
    const url = `wss://127.0.0.1:${server.port}/ws`;
    const text = "0123456789".repeat(500);
    const args = [url, "--stats", "--timestamps", `--message=${text}`, "--lang=en"];
    const { code, stdout, stderr } = await run("client", args, { cwd: folder.path });
    assertEquals(code, 0);
    for (const line of [...stdout, ...stderr]) assertMatch(line, /^\d{4}-\d\d-\d\dT[\d:.]+Z \S/);
    const told = stderr.slice(-3).map((line) => line.replace(/^\S+ /, ""));
    assertMatch(told[0]!, /^Sent: 1 message, 5\.0 kB as \d+ B, [1-5] %$/);
    assertMatch(told[1]!, /^Received: 1 message, 5\.0 kB as \d+ B, [1-5] %$/);
    assertMatch(told[2]!, /^Answers: p50 [\d.]+ ms, p99 [\d.]+ ms$/);

    const follow = ["--follow", "--ping=1", "--duration=2", "--json", "--stats", "--timestamps"];
    const json = await run("client", [url, ...follow], { cwd: folder.path });
    const events = json.stdout.map((line) => JSON.parse(line));
    const pong = events.find(({ event }) => event === "pong");
    assert(pong.ms >= 0 && !Number.isNaN(Date.parse(pong.time)));
    const { sent, received } = events.find(({ event }) => event === "stats");
    assertEquals([sent.messages, received.messages], [0, 0]);
  },
);

once("client.ts --idle-timeout gives up a server that answers no ping", async () => {
  await using folder = await certificatesFolder();
  await using server = await serveRaw(async (peer) => {
    await peer.accept();
    await peer.readToEnd();
  });
  const url = `wss://127.0.0.1:${server.port}/`;
  const args = [url, "--follow", "--idle-timeout=1s", "--lang=en"];
  const { code, stderr } = await run("client", args, { cwd: folder.path });
  assertEquals(code, 1);
  assertMatch(stderr.join("\n"), / the connection was lost without a close \(code 1006\)$/);
  const refused = await run("client", [...args, "--compression=off"], { cwd: folder.path });
  assertEquals(refused.code, 2);
});

once("client.ts --completion prints a script that names every flag", async () => {
  await using folder = new Folder();
  for (const shell of ["bash", "zsh", "fish"]) {
    const ending = await run("client", [`--completion=${shell}`], { cwd: folder.path });
    assertEquals([ending.code, ending.stderr], [0, []]);
    const text = ending.stdout.join("\n");
    for (const name of ["message", "stdin", "bearer-file"]) {
      assertMatch(text, new RegExp(shell === "fish" ? `-l ${name} ` : `--${name}\\b`));
    }
    if (shell !== "bash") continue;
    const completed = `${text}\nCOMP_WORDS=(client --lang = e) COMP_CWORD=3\n` +
      '_client 2>/dev/null; echo "$COMPREPLY"\n' +
      'COMP_WORDS=(client --bear) COMP_CWORD=1\n_client 2>/dev/null; echo "$COMPREPLY"\n';
    const { stdout } = await new Deno.Command("bash", { args: ["-c", completed] }).output();
    assertEquals(new TextDecoder().decode(stdout), "en\n--bearer-file=\n");
  }
});
