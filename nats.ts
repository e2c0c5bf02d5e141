/**
 * Topics on many machines, over NATS.
 *
 * @module
 */

export type { Backplane, BackplaneListener } from "./topics/backplane.ts";
export type { EngineOptions } from "./topics/engine_options.ts";
export { NatsBackplane, type NatsBackplaneOptions } from "./topics/nats.ts";
