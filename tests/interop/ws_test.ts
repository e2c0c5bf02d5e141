import { projectPath, RUNNABLE } from "../programs.ts";
import { exchangeWith } from "./exchange.ts";
import { type Orders, type Peer, type RunningPeer, runProgram, succeeds } from "./peer.ts";

const onDeno: Peer = { name: "ws on Deno", ignore: !RUNNABLE, run: runHere };

const onNode: Peer = {
  name: "ws on Node",
  ignore: !RUNNABLE || !await succeeds("node", ["--version"]),
  async run(orders) {
    // Loaded, so that its file is there for Node.
    await import("ws");
    const module = new URL(import.meta.resolve("ws")).pathname;
    const program = projectPath("tests/interop/node/ws_peer.mjs");
    return runProgram("node", [program, decodeURIComponent(module)], orders);
  },
};

/** The same program, without a process of its own. */
async function runHere(orders: Orders): Promise<RunningPeer> {
  const [ws, { run }] = await Promise.all([import("ws"), import("./node/ws_peer.mjs")]);
  const said: string[] = [];
  let awaited: PromiseWithResolvers<void> | undefined;
  const stop = await run(ws, orders, (line) => {
    said.push(line);
    awaited?.resolve();
  });
  return {
    async next() {
      if (said.length === 0) {
        awaited = Promise.withResolvers();
        await awaited.promise;
      }
      return said.shift()!;
    },
    [Symbol.asyncDispose]: stop,
  };
}

for (const peer of [onDeno, onNode]) {
  exchangeWith(peer, "server");
  exchangeWith(peer, "client");
}
