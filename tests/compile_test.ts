import { assert, assertEquals, assertMatch } from "@std/assert";
import { freshClone, listeningPort, once, Program, run, RUNNABLE } from "./programs.ts";

Deno.test({
  name: "cli/compile.ts ends with two programs, or one line why not",
  ignore: !RUNNABLE,
  async fn(test) {
    await using clone = await freshClone();
    const { code, stdout, stderr } = await run("compile", [], {
      cwd: clone.path,
      limitMs: 120_000,
    });
    const built = code === 0;
    if (!built) {
      assertEquals([code, stdout, stderr.length], [1, [], 1]);
      assertMatch(
        stderr[0]!,
        /^Cannot compile: Deno's runtime base binary cannot be downloaded from https:\S+; run this where /,
      );
    }
    await test.step({
      name: "dist/server and dist/client, once built, exchange messages",
      ignore: !built,
      async fn() {
        assertEquals(stdout, ["dist/server", "dist/client"]);
        const start = (name: string, args: string[]) =>
          new Program(`${clone.path}/dist/${name}`, args, { cwd: clone.path });
        await using server = start("server", ["--host=127.0.0.1", "--port=0"]);
        const port = await listeningPort(server);
        await using client = start("client", [`wss://127.0.0.1:${port}/ws`]);
        assertEquals((await client.end()).code, 0);
        server.kill("SIGTERM");
        assertEquals((await server.end()).code, 0);
      },
    });
  },
});

/** What Deno embeds in a binary, as far as it can be told without running it. */
interface Embedded {
  /** The permissions, the flags of V8 and the like. */
  metadata: { permissions: Record<string, unknown>; v8_flags: string[] };
  /** The whole, as Latin-1. */
  text: string;
}

async function latin1(path: string): Promise<string> {
  return new TextDecoder("latin1").decode(await Deno.readFile(path));
}

async function embeddedIn(path: string): Promise<Embedded> {
  const text = await latin1(path);
  const start = text.indexOf('{"argv":');
  // Behind the first object comes what is not JSON.
  let depth = 0;
  let end = start;
  do {
    if (text[end] === "{") depth++;
    if (text[end] === "}") depth--;
    end++;
  } while (depth > 0);
  return { metadata: JSON.parse(text.slice(start, end)), text };
}

once(
  "cli/compile.ts embeds modules, page and permissions, upon the base binary that DENORT_BIN names",
  async () => {
    await using clone = await freshClone();
    // Deno looks only at its format.
    const env = { DENORT_BIN: "/usr/bin/true" };
    const { code, stdout, stderr } = await run("compile", [], {
      cwd: clone.path,
      env,
      limitMs: 120_000,
    });
    assertEquals([code, stdout, stderr], [0, ["dist/server", "dist/client"], []]);

    const server = await embeddedIn(`${clone.path}/dist/server`);
    const client = await embeddedIn(`${clone.path}/dist/client`);
    const granted = ({ metadata }: Embedded) => {
      const { allow_net, allow_read, allow_write, allow_run, allow_ffi, allow_sys, prompt } =
        metadata.permissions;
      return { allow_net, allow_read, allow_write, allow_run, allow_ffi, allow_sys, prompt };
    };
    const none = { allow_run: null, allow_ffi: null, allow_sys: null, prompt: false };
    const all = { allow_net: [], allow_read: [] };
    assertEquals(granted(server), { ...none, ...all, allow_write: ["certs"] });
    assertEquals(granted(client), { ...none, ...all, allow_write: [] });
    assertEquals(server.metadata.permissions["allow_env"], ["WSS_*"]);
    assert(server.metadata.v8_flags.includes("--max-semi-space-size=4"));

    // The worker's module, a package that is loaded only when it is used, and the page.
    const page = ["index.html", "page.css", "page.js"].map((name) =>
      latin1(`${clone.path}/page/${name}`)
    );
    for (const own of ['Order["type"]', "RBTree", ...await Promise.all(page)]) {
      assert(server.text.includes(own), `${own} is not in the server`);
      assert(!client.text.includes(own), `${own} is in the client`);
    }
    // A package that only tests use.
    assert(!server.text.includes("fc.property"));
  },
);
