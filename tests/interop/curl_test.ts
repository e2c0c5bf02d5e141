import { assertEquals, assertStringIncludes } from "@std/assert";
import { inflateRawSync } from "node:zlib";
import { serve, type ServeHandler, upgradeWebSocket } from "../../mod.ts";
import { certificatesFolder, developmentCertificates, Program, RUNNABLE } from "../programs.ts";
import { succeeds } from "./peer.ts";

/** A test of a server of ours, with the arguments that curl needs to trust it. */
function test(
  name: string,
  handler: ServeHandler,
  body: (url: string, args: string[]) => Promise<void>,
): void {
  Deno.test({
    name,
    ignore,
    async fn() {
      await using folder = await certificatesFolder();
      const { cert, key } = await developmentCertificates();
      await using server = serve(
        { hostname: "127.0.0.1", port: 0, cert, key, onListen() {} },
        handler,
      );
      const trust = ["--cacert", `${folder.path}/certs/ca.crt`];
      await body(`https://127.0.0.1:${server.addr.port}/`, ["--silent", "--show-error", ...trust]);
    },
  });
}

const ignore = !RUNNABLE || !await succeeds("curl", ["--version"]);

/** Runs curl to its end, and returns what it prints. */
async function curl(args: string[]): Promise<string> {
  await using program = new Program("curl", args, { cwd: "/" });
  const { code, stdout, stderr } = await program.end();
  assertEquals([code, stderr], [0, []]);
  return stdout.join("\n");
}

/** What is sent to whoever connects: long enough to be compressed. */
const GREETING = "hello ".repeat(20);

const greet: ServeHandler = (request) => {
  const { socket, response } = upgradeWebSocket(request);
  socket.onopen = () => socket.send(GREETING);
  return response;
};

/** The answer to curl's opening handshake: its head, and the first frame of fewer than 126 bytes. */
async function shakeHands(args: string[]): Promise<{ head: string[]; frame: Uint8Array }> {
  const child = new Deno.Command("curl", {
    args: [
      ...args,
      "--include",
      "--no-buffer",
      "--http1.1",
      ...["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        .flatMap((header) => ["--header", header]),
      // The key of RFC 6455 section 1.3.
      ...["--header", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="],
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let read = "";
  try {
    for await (const bytes of child.stdout) {
      for (const byte of bytes) read += String.fromCharCode(byte);
      const at = read.indexOf("\r\n\r\n") + 4;
      if (at < 4 || read.length < at + 2 || read.length < at + 2 + read.charCodeAt(at + 1)) {
        continue;
      }
      return {
        head: read.slice(0, at - 4).split("\r\n"),
        frame: Uint8Array.from(read.slice(at), (character) => character.charCodeAt(0)),
      };
    }
    throw new Error(`curl ended after ${JSON.stringify(read)}`);
  } finally {
    // It knows no WebSocket, and would wait for ever.
    child.kill();
    await child.status;
  }
}

const OFFERS: [offers: string[], answer: string | undefined][] = [
  [[], undefined],
  [["permessage-deflate"], "permessage-deflate"],
  [
    ["permessage-deflate; client_no_context_takeover"],
    "permessage-deflate; client_no_context_takeover",
  ],
  [
    ["permessage-deflate; client_max_window_bits; server_max_window_bits=9"],
    "permessage-deflate; server_max_window_bits=9",
  ],
  [
    ["permessage-deflate; server_max_window_bits=16", "permessage-deflate; unknown", "x-other"],
    undefined,
  ],
  [
    ['permessage-deflate; server_max_window_bits="16"', "permessage-deflate"],
    "permessage-deflate",
  ],
  [
    ['permessage-deflate; server_max_window_bits="10"; server_no_context_takeover'],
    "permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
  ],
];

for (const [offers, answer] of OFFERS) {
  test(
    `upgradeWebSocket() answers the handshake of curl that offers [${offers.join(" | ")}]`,
    greet,
    async (url, args) => {
      // Each in a header of its own.
      const headers = offers.flatMap((offer) => [
        "--header",
        `Sec-WebSocket-Extensions: ${offer}`,
      ]);
      const { head, frame } = await shakeHands([...args, ...headers, url]);
      assertEquals(head.map((line) => line.toLowerCase()).sort(), [
        "connection: upgrade",
        "http/1.1 101 switching protocols",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        ...(answer === undefined ? [] : [`sec-websocket-extensions: ${answer}`]),
        "upgrade: websocket",
      ]);
      assertStringIncludes(head.join("\n"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
      const payload = frame.subarray(2, 2 + frame[1]!);
      const [first, text] = answer === undefined ? [0x81, payload] : [
        0xc1,
        inflateRawSync(new Uint8Array([...payload, 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff])),
      ];
      assertEquals(frame[0], first);
      assertEquals(new TextDecoder().decode(text), GREETING);
    },
  );
}

test(
  "serve() answers curl",
  () =>
    new Response(ReadableStream.from(["streamed ", "body"]).pipeThrough(new TextEncoderStream())),
  async (url, args) => {
    assertEquals(await curl([...args, url]), "streamed body<no line end>");
    assertEquals(
      await curl([...args, "--http1.0", "--no-alpn", url]),
      "streamed body<no line end>",
    );
    assertStringIncludes(await curl([...args, "--head", url]), "HTTP/1.1 200 OK");
    assertEquals(
      await curl([
        ...args,
        "--data",
        "body",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        url,
      ]),
      "200<no line end>",
    );
  },
);
