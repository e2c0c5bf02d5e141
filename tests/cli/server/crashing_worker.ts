/** A worker of the server that crashes when it gets an order to use the certificate `crash`. */

import "../../../cli/server/worker.ts";

addEventListener("message", ({ data }: MessageEventInit) => {
  if (data.type !== "renew" || data.pair.cert !== "crash") return;
  queueMicrotask(() => {
    throw new Error("crashed");
  });
});
