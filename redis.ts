/**
 * Topics on many machines, over Redis.
 *
 * @module
 */

export type { EngineOptions } from "./topics/engine_options.ts";
export { RedisBackplane, type RedisBackplaneOptions } from "./topics/redis.ts";
