import { assertEquals } from "@std/assert";
import {
  serve,
  upgradeWebSocket,
  type UpgradeWebSocketOptions,
  type WebSocket,
} from "../../mod.ts";
import {
  certificatesFolder,
  developmentCertificates,
  Program,
  projectPath,
  RUNNABLE,
} from "../programs.ts";
import { NINE_BITS, NO_TAKEOVER, SIZES, TAKEOVER } from "./exchange.ts";
import { hasBrowser } from "./peer.ts";

/** What our end does with each socket, by the path of its URL. */
const ENDPOINTS: Record<string, [(socket: WebSocket) => void, UpgradeWebSocketOptions?]> = {
  "/takeover-15": [echo, { compression: TAKEOVER }],
  "/takeover-9": [echo, { compression: { ...TAKEOVER, ...NINE_BITS } }],
  "/no-takeover-15": [echo, { compression: NO_TAKEOVER }],
  "/no-takeover-9": [echo, { compression: { ...NO_TAKEOVER, ...NINE_BITS } }],
  "/off": [echo, { compression: false }],
  "/close": [(socket) => socket.onopen = () => socket.close(1001, "opção")],
  "/limit": [echo, { maxMessageSize: 1000 }],
  "/cut": [(socket) => socket.onopen = () => socket.terminate()],
  "/ping": [(socket) => socket.onopen = () => socket.ping("data").then(() => socket.close(4000))],
};

function echo(socket: WebSocket): void {
  socket.onmessage = ({ data }) => socket.send(data);
}

/** A function of the page called, and what it is to return. */
interface Call {
  call: string;
  returns: unknown;
  /** How our end of the connection is to end. @default {"4999 true"} */
  ends?: string;
}

const AGREED = {
  "/takeover-15": "permessage-deflate",
  "/takeover-9": "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
  "/no-takeover-15": "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
  "/no-takeover-9": "permessage-deflate; server_no_context_takeover; " +
    "client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9",
  "/off": "",
};

function exchange(path: keyof typeof AGREED, sizes: number[]): Call {
  const end = { code: 4999, reason: "", wasClean: true };
  return {
    call: `exchange("${path}", ${JSON.stringify(sizes)})`,
    returns: { extensions: AGREED[path], wrong: [], end },
  };
}

const ignore = !RUNNABLE || !await hasBrowser("/usr/bin/chromium");

/** A test of a page that makes these calls, one after the other. */
function test(name: string, calls: Call[]): void {
  Deno.test({
    name,
    ignore,
    async fn(t) {
      await using folder = await certificatesFolder();
      const ends: string[] = [];
      const { cert, key } = await developmentCertificates();
      await using server = serve(
        { hostname: "127.0.0.1", port: 0, cert, key, onListen() {} },
        async (request) => {
          const endpoint = ENDPOINTS[new URL(request.url).pathname];
          if (endpoint === undefined) return await page();
          const [serve, options] = endpoint;
          const { socket, response } = upgradeWebSocket(request, options);
          serve(socket);
          socket.onclose = ({ code, wasClean }) => ends.push(`${code} ${wasClean}`);
          return response;
        },
      );
      await using browser = new Program(
        Deno.execPath(),
        [
          ...[
            "run",
            "--quiet",
            "--allow-all",
            "--frozen",
            `--config=${projectPath("tests/interop/chromium/deno.json")}`,
            projectPath("tests/interop/chromium/browse.ts"),
          ],
          `https://127.0.0.1:${server.addr.port}/`,
          folder.path,
          `${folder.path}/certs/ca.crt`,
          ...calls.map(({ call }) => call),
        ],
        { cwd: folder.path, env: { TMPDIR: folder.path } },
      );
      for (const { call, returns } of calls) {
        await t.step(call, async () => {
          assertEquals(JSON.parse(await browser.stdout.next()), returns);
        });
      }
      const { code, stderr } = await browser.end();
      assertEquals([code, stderr], [0, []]);
      assertEquals(ends, calls.map(({ ends = "4999 true" }) => ends));
    },
  });
}

async function page(): Promise<Response> {
  const script = await Deno.readTextFile(projectPath("tests/interop/chromium/page.js"));
  const headers = { "Content-Type": "text/html; charset=utf-8" };
  return new Response(`<!doctype html><script>${script}</script>`, { headers });
}

const small = SIZES.filter((size) => size <= 1 << 20);
const large = SIZES.filter((size) => size > 1 << 20);

test("upgradeWebSocket() talks to Chromium", [
  exchange("/takeover-15", small),
  exchange("/takeover-9", small),
  exchange("/no-takeover-15", small),
  exchange("/no-takeover-9", small),
  exchange("/off", small),
  {
    call: `toTheEnd("/close")`,
    returns: { code: 1001, reason: "opção", wasClean: true },
    ends: "1001 true",
  },
  {
    call: `toTheEnd("/ping")`,
    returns: { code: 4000, reason: "", wasClean: true },
    ends: "4000 true",
  },
  {
    call: `toTheEnd("/cut")`,
    returns: { code: 1006, reason: "", wasClean: false },
    ends: "1006 false",
  },
  {
    call: `toTheEnd("/limit", "x".repeat(1001))`,
    returns: {
      code: 1009,
      reason: "Cannot receive message: it is over 1000 bytes",
      wasClean: true,
    },
    ends: "1006 false",
  },
]);

// Chromium takes seconds for each.
test("upgradeWebSocket() exchanges large messages with Chromium", [
  exchange("/takeover-15", large),
]);
