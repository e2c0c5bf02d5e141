/**
 * What carries messages between the processes, threads and machines of one application.
 *
 * @module
 */

/** What a {@linkcode Backplane} tells its `Topics`. */
export interface BackplaneListener {
  /**
   * A message has come. It may come more than once, and back to its publisher: `Topics` drops it then.
   *
   * @param topic The topic, as it was published.
   * @param envelope What {@linkcode Backplane.publish} was given; from now on the listener's own.
   */
  onMessage(topic: string, envelope: Uint8Array<ArrayBuffer>): void;
  /**
   * The backplane works, or no longer does, or does not yet. Told once, until it is otherwise.
   *
   * @param error Why it does not, without a secret in it.
   */
  onState(isConnected: boolean, error?: unknown): void;
  /**
   * The engine refuses something, such as a subscription that it does not permit; all else goes on.
   *
   * @param error What it refuses and why, without a secret in it.
   */
  onRefusal(error: unknown): void;
}

/**
 * Carries messages between the `Topics` of several threads, processes or machines, at most once. It keeps its
 * subscriptions: when what it works with was away and is back, it subscribes again by itself.
 */
export interface Backplane {
  /** Starts to work. Called once, before all others. */
  start(listener: BackplaneListener): void;
  /** From now on messages of a topic, or of all topics that a pattern names, are wanted. Not called twice in a row. */
  subscribe(topic: string): void;
  /** They are no longer wanted. */
  unsubscribe(topic: string): void;
  /**
   * Sends a message to the other `Topics`.
   *
   * @returns Whether it has been taken. It is not while the engine is away, or takes less than what is published: then
   * it is lost, and nothing is kept for later.
   */
  publish(topic: string, envelope: Uint8Array<ArrayBuffer>): boolean;
  /** Ends it. Resolves when nothing of it is left. */
  close(): Promise<void>;
}
