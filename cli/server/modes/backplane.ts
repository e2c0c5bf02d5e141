/**
 * What carries messages between the server's workers, or between servers: `--backplane` names an engine.
 *
 * @module
 */

import { type Backplane, WorkersBackplane } from "../../../topics.ts";
import { engineSettings, shownServer } from "../../../topics/engine_options.ts";
import { causeOf, Failure } from "../../failure.ts";
import { BadValue, type Flag } from "../../flags.ts";
import { fill, type Sentences } from "../../sentences.ts";

/** An engine: how it is named, and the module of the library and the class in it that are for it. */
interface Engine {
  schemes: [plain: string, secure: string];
  port: number;
  module: string;
  backplane: string;
}

const ENGINES: Engine[] = [
  { schemes: ["nats", "tls"], port: 4222, module: "nats.ts", backplane: "NatsBackplane" },
  { schemes: ["redis", "rediss"], port: 6379, module: "redis.ts", backplane: "RedisBackplane" },
];

/** Makes the backplane of an engine. */
type EngineBackplane = new (options: { servers: string[] }) => Backplane;

/** The flag. Its value is the URLs of one engine's servers. */
export const backplaneFlag: Flag<string[] | undefined> = {
  placeholder: "URL",
  parse(texts) {
    const servers = texts.at(-1)?.split(",");
    if (servers === undefined) return undefined;
    try {
      engineSettings({ servers }, engineOf(servers));
    } catch {
      throw new BadValue("backplane");
    }
    return servers;
  },
  // It may hold a password.
  show: () => "***",
};

/** The engine that the first URL is of. */
function engineOf([url]: string[]): Engine {
  const engine = ENGINES.find(({ schemes }) => schemes.includes(url!.split("://")[0]!));
  if (engine === undefined) throw new SyntaxError("Cannot tell the engine by its URL");
  return engine;
}

/**
 * Makes the backplane of a server.
 *
 * @param servers The engine's servers; without any, only workers need a backplane.
 * @throws {Failure} With the remedy, if the engine cannot be used by this process.
 */
export async function makeBackplane(
  servers: string[] | undefined,
  hasWorkers: boolean,
  { failure }: Sentences,
): Promise<Backplane | undefined> {
  if (servers === undefined) return hasWorkers ? new WorkersBackplane() : undefined;
  const engine = engineOf(servers);
  let host = "";
  for (const server of engineSettings({ servers }, engine).servers) {
    host = shownServer(server);
    const { state } = await Deno.permissions.query({ name: "net", host });
    if (state !== "granted") throw new Failure(fill(failure.backplaneNotAllowed, { host }));
  }
  try {
    // Not named as such: otherwise Deno downloads the engine's client for everybody.
    const module = await import(import.meta.resolve(`../../../${engine.module}`));
    return new (module[engine.backplane] as EngineBackplane)({ servers });
  } catch (error) {
    const cause = causeOf(error);
    // A module that may not be read is a `TypeError`, not `NotCapable`.
    if (/^Requires \w+ access/.test(cause)) {
      throw new Failure(fill(failure.backplaneNotAllowed, { host }));
    }
    throw new Failure(fill(failure.backplaneNotLoaded, { cause }));
  }
}
