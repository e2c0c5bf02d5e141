/**
 * This project's topics in several workers, as many as the last argument says: what one socket sends is published to
 * all, of all workers.
 *
 * @module
 */

import { announce, serverArguments } from "./server.ts";
import type { Start } from "./topic_worker.ts";

const { cert, key } = serverArguments();
let port = 0;
for (let left = Number(Deno.args.at(-1)); left > 0; left--) {
  const worker = new Worker(new URL("topic_worker.ts", import.meta.url), { type: "module" });
  const ready = new Promise<number>((resolve) => worker.onmessage = ({ data }) => resolve(data));
  worker.postMessage({ cert, key, port } satisfies Start);
  port = await ready;
}
announce({ port });
