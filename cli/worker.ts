/**
 * A worker of the server: a {@linkcode Service} on a thread of its own, told what to do by
 * `workers.ts`.
 *
 * @module
 */

import type { CertificatePair } from "./certificates.ts";
import { type LogOptions, openLog } from "./log.ts";
import { type Language, messagesIn } from "./messages.ts";
import { causeOf, terminal } from "./output.ts";
import { dropPermissions } from "./permissions.ts";
import { type Service, type ServiceOptions, startService } from "./service.ts";

/** What a worker is told. */
export type Order =
  | {
    type: "start";
    /** Its number, for the log. */
    worker: number;
    options: ServiceOptions;
    pair: CertificatePair;
    log: LogOptions;
    language: Language;
  }
  | { type: "renew"; pair: CertificatePair }
  | { type: "stop" };

/** What a worker tells: how an order came out. */
export interface Outcome {
  order: Order["type"];
  /** The port, after the start. */
  port?: number;
  /** Why it failed, if so. */
  failure?: string;
}

/** The worker's own global scope, which the types of the main thread do not know. */
const scope = globalThis as unknown as {
  addEventListener(type: "message", listener: (event: MessageEvent<Order>) => void): void;
  postMessage(outcome: Outcome): void;
  close(): void;
};

let service: Service | undefined;

async function obey(order: Order): Promise<Outcome> {
  switch (order.type) {
    case "start": {
      const log = openLog(order.log, terminal).with({ worker: order.worker });
      service = startService(order.options, order.pair, true, log, messagesIn(order.language));
      await dropPermissions();
      return { order: order.type, port: service.port };
    }
    case "renew":
      await service!.renew(order.pair);
      break;
    case "stop":
      await service!.stop();
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
