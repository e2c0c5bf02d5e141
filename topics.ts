/**
 * Topics: one message to many sockets, of one process or of many machines.
 *
 * A message is delivered at most once: see {@linkcode Topics}.
 *
 * @module
 */

export type { Backplane, BackplaneListener } from "./topics/backplane.ts";
export type { SlowPolicy, TopicSocket } from "./topics/delivery.ts";
export { topicToken } from "./topics/topic.ts";
export {
  BackplaneEvent,
  type PublishOptions,
  SkipEvent,
  type SubscribeOptions,
  Topics,
  type TopicsEventMap,
  type TopicsOptions,
  type TopicsStats,
} from "./topics/topics.ts";
export { WorkersBackplane } from "./topics/workers.ts";
