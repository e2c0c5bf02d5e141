/**
 * How the way of a socket's bytes is decided.
 */

import { assertEquals, assertMatch } from "@std/assert";
import { chooseWay, decideWay } from "../../transport/sockets.ts";
import { developmentCertificates, projectPath, RUNNABLE } from "../programs.ts";
import { echo, next, opened } from "../websocket/peers.ts";
import { wayNow } from "./ends.ts";

Deno.test({
  name: "decideWay() proves the native handles on the runtime of these tests",
  async fn() {
    const before = chooseWay(undefined);
    try {
      await decideWay(await developmentCertificates());
      assertEquals(wayNow(), "native");
    } finally {
      chooseWay(before);
    }
  },
});

/** Runs `exchange.ts`. */
function run(permission: string, ...args: string[]) {
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--no-check", `--config=${projectPath("deno.json")}`, permission],
      ...[projectPath("tests/transport/exchange.ts"), ...args],
    ],
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Has `exchange.ts` exchange a message with a server of this process. */
async function dialled(permission: (port: number) => string, defect: string[] = []) {
  await using server = echo();
  const { port } = server.addr;
  const { stdout, stderr } = await run(permission(port), `ws://localhost:${port}/`, ...defect)
    .output();
  const decoder = new TextDecoder();
  return { out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test({
  name: "decideWay() needs no permission but the connection's, and is silent about it",
  ignore: !RUNNABLE,
  async fn() {
    assertEquals(await dialled((port) => `--allow-net=localhost:${port}`), {
      out: "hello public\n",
      err: "",
    });
    assertEquals(await dialled(() => "--allow-net"), { out: "hello native\n", err: "" });

    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    listener.close();
    const server = run(`--allow-net=0.0.0.0:${port}`, `${port}`);
    const reader = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
    assertMatch((await reader.read()).value!, /^Listening on /);
    const socket = await opened(`ws://127.0.0.1:${port}/`);
    const closed = next<CloseEvent>(socket, "close");
    socket.send("hello");
    await closed;
    assertEquals((await reader.read()).value, "hello public\n");
    await reader.cancel();
    assertEquals(await new Response(server.stderr).text(), "");
    assertEquals((await server.status).code, 0);
  },
});

Deno.test({
  name: "decideWay() takes the public streams where the proof fails, and says so in one line",
  ignore: !RUNNABLE,
  async fn() {
    const { out, err } = await dialled(() => "--allow-net", ["no-bindings"]);
    assertEquals(out, "hello public\n");
    assertEquals(
      err,
      `Sockets of Deno ${Deno.version.deno} do not work as expected (there are no native ` +
        "handles): slower public streams take their place\n",
    );
  },
});
