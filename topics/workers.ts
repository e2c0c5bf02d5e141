/**
 * The backplane between the workers of one process.
 *
 * @module
 */

import type { Backplane, BackplaneListener } from "./backplane.ts";

/** What goes through the channel. */
interface Carried {
  topic: string;
  envelope: Uint8Array<ArrayBuffer>;
}

/**
 * Carries messages between the threads of one process by a `BroadcastChannel`. Every thread is given every message, and
 * leaves out those that it has no subscriber for.
 *
 * @example
 * ```ts
 * import { Topics, WorkersBackplane } from "@permessage/deflate/topics";
 *
 * await using topics = new Topics({ backplane: new WorkersBackplane() });
 * ```
 */
export class WorkersBackplane implements Backplane {
  readonly #channel: BroadcastChannel;

  /**
   * Opens the channel.
   *
   * @param name Threads whose channels have the same name hear each other.
   */
  constructor(name = "permessage-deflate-topics") {
    this.#channel = new BroadcastChannel(name);
  }

  /** Starts to work. */
  start(listener: BackplaneListener): void {
    this.#channel.onmessage = ({ data }: MessageEvent<Carried>) => {
      listener.onMessage(data.topic, data.envelope);
    };
    listener.onState(true);
  }

  /** Does nothing: the channel carries all messages. */
  subscribe(): void {}

  /** Does nothing. */
  unsubscribe(): void {}

  /** Sends a message to the other threads. */
  publish(topic: string, envelope: Uint8Array<ArrayBuffer>): boolean {
    this.#channel.postMessage({ topic, envelope } satisfies Carried);
    return true;
  }

  /** Closes the channel. */
  // deno-lint-ignore require-await
  async close(): Promise<void> {
    this.#channel.close();
  }
}
