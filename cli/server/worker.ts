/**
 * A worker of the server: a {@linkcode Listener} on a thread of its own. `workers.ts` sends it orders.
 *
 * @module
 */

import type { ShutdownOptions } from "../../mod.ts";
import type { CertificatePair } from "../certificates.ts";
import { type LogOptions, openLog } from "./log.ts";
import { type Language, sentencesIn } from "../sentences.ts";
import { causeOf } from "../failure.ts";
import { terminal } from "../output.ts";
import { dropPermissions } from "./permissions.ts";
import { type Listener, type ListenerOptions, startListener } from "./listener.ts";
import type { Report } from "./report.ts";

/** What a worker must do. */
export type Order =
  | {
    type: "start";
    /** The worker's number, for the log. */
    worker: number;
    options: ListenerOptions;
    pair: CertificatePair;
    log: LogOptions;
    language: Language;
  }
  | { type: "renew"; pair: CertificatePair }
  | { type: "unready" }
  | { type: "report" }
  | { type: "stop"; options: ShutdownOptions };

/** A worker's answer to an order. */
export interface Outcome {
  order: Order["type"];
  /** The port it listens on; present after a start that succeeded. */
  port?: number;
  /** What it has counted so far, if it counts; present after a report and a stop. */
  report?: Report | undefined;
  /** Why the order failed, if it did. */
  failure?: string;
}

/** The worker's global scope. The types are those of the main thread, which lack these members. */
const scope = globalThis as unknown as {
  addEventListener(type: "message", listener: (event: MessageEvent<Order>) => void): void;
  postMessage(outcome: Outcome): void;
  close(): void;
};

let listener: Listener | undefined;

async function obey(order: Order): Promise<Outcome> {
  switch (order.type) {
    case "start": {
      const log = openLog(order.log, terminal).with({ worker: order.worker });
      listener = await startListener(
        order.options,
        order.pair,
        true,
        log,
        sentencesIn(order.language),
      );
      await dropPermissions();
      return { order: order.type, port: listener.port };
    }
    case "renew":
      await listener!.renew(order.pair);
      break;
    case "unready":
      await listener!.unready();
      break;
    case "report":
      return { order: order.type, report: await listener!.report() };
    case "stop":
      await listener!.stop(order.options);
      return { order: order.type, report: await listener!.report() };
  }
  return { order: order.type };
}

scope.addEventListener("message", async ({ data: order }) => {
  try {
    scope.postMessage(await obey(order));
  } catch (error) {
    scope.postMessage({ order: order.type, failure: causeOf(error) });
  }
  if (order.type === "stop") scope.close();
});
