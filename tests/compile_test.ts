import { assertEquals, assertMatch } from "@std/assert";
import { freshClone, listeningPort, Program, run, RUNNABLE } from "./programs.ts";

Deno.test({
  name: "cli/compile.ts ends with two programs, or one line why not",
  ignore: !RUNNABLE,
  async fn(test) {
    await using clone = await freshClone();
    const { code, stdout, stderr } = await run("compile", [], { cwd: clone.path });
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
