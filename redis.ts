/**
 * Topics on many machines, over Redis.
 *
 * @module
 */

export type { Backplane, BackplaneListener } from "./topics/backplane.ts";
export type { EngineOptions } from "./topics/engine_options.ts";
export { RedisBackplane, type RedisBackplaneOptions } from "./topics/redis.ts";
