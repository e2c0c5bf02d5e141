/**
 * A client that keeps an echo server busy by an ordinary `WebSocket`, and says in JSON what that took
 * itself: the client's side of the bench.
 *
 * Started by `measure.ts` with a {@linkcode ClientJob} in JSON as its argument; answers with an
 * `Outcome` of `load.ts`.
 *
 * @module
 */

import { WebSocket as Ours } from "../mod.ts";
import type { Mode } from "./frames.ts";
import type { Outcome } from "./load.ts";
import { messagesOf, type Size } from "./messages.ts";
import { Meter, type Stretch } from "./meter.ts";

/** What the client is to do. */
export interface ClientJob extends Stretch {
  kind: "client";
  /** Which `WebSocket`. */
  client: string;
  port: number;
  mode: Mode;
  connections: number;
  size: Size;
  depth: number;
}

/** What the clients have in common. */
type Socket = Pick<WebSocket, "onopen" | "onmessage" | "onerror" | "send" | "extensions" | "close">;

/** Makes a socket of one sort. */
type Factory = (url: string, mode: Mode) => Socket;

/** By the names of `rivals.ts`. `ws` is loaded only where it is measured. */
const FACTORIES: Record<string, () => Factory | Promise<Factory>> = {
  "ours": () => (url, mode) => {
    const forgets = mode === "no-context";
    return new Ours(url, {
      compression: mode !== "plain" && {
        threshold: 0,
        level: 1,
        clientNoContextTakeover: forgets,
        serverNoContextTakeover: forgets,
      },
    });
  },
  "deno": () => (url) => new WebSocket(url),
  "ws-deno": async () => {
    const specifier = "ws";
    const { default: Ws } = await import(specifier);
    return (url, mode) => {
      const forgets = mode === "no-context";
      return new Ws(url, {
        perMessageDeflate: mode !== "plain" && {
          threshold: 0,
          zlibDeflateOptions: { level: 1 },
          clientNoContextTakeover: forgets,
          serverNoContextTakeover: forgets,
        },
      });
    };
  },
};

function opened(socket: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve(socket);
    socket.onerror = (event) =>
      reject(new Error("Cannot measure: no connection", { cause: event }));
  });
}

async function run(job: ClientJob): Promise<Outcome> {
  const create = await FACTORIES[job.client]!();
  const messages = messagesOf(job.size);
  const sockets = await Promise.all(
    Array.from(
      { length: job.connections },
      () => opened(create(`wss://127.0.0.1:${job.port}/`, job.mode)),
    ),
  );
  const meter = new Meter();
  for (const socket of sockets) {
    const sentAt = new Float64Array(job.depth).fill(performance.now());
    let answered = 0;
    socket.onmessage = () => {
      const now = performance.now();
      meter.note(now - sentAt[answered % job.depth]!);
      sentAt[answered % job.depth] = now;
      meter.count++;
      socket.send(messages[(answered++ + job.depth) % messages.length]!);
    };
    for (let i = 0; i < job.depth; i++) socket.send(messages[i % messages.length]!);
  }
  const { count, milliseconds, ownCpu, p50, p99 } = await meter.run(
    job,
    job.connections * job.depth,
    () => {},
  );
  const { extensions } = sockets[0]!;
  const figures = { cpu: ownCpu / count, rate: count / milliseconds * 1000, p50, p99 };
  return { figures, extensions };
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(JSON.parse(Deno.args[0]!))));
  // The sockets keep on talking; the server is done with them.
  Deno.exit();
}
