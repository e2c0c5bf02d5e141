/**
 * Topics: one message to many sockets, also of other threads, processes and machines.
 *
 * @module
 */

import { bytesOf, isBytes } from "../websocket/data.ts";
import { numberOption } from "../websocket/options.ts";
import { State } from "../websocket/session.ts";
import type { Backplane } from "./backplane.ts";
import {
  Delivery,
  type Publication,
  type SlowPolicy,
  Subscriber,
  type TopicSocket,
} from "./delivery.ts";
import { EnvelopeWriter, readEnvelope } from "./envelope.ts";
import { PatternTree } from "./pattern_tree.ts";
import { isPattern, isTopic, MAX_TOPIC_BYTES } from "./topic.ts";

/** Options of {@linkcode Topics}. */
export interface TopicsOptions {
  /** Carries messages to the `Topics` of other threads, processes and machines, and theirs to this one. */
  backplane?: Backplane;
  /**
   * What becomes of a message for a subscriber that has more than {@linkcode TopicsOptions.maxUnsent} bytes unsent:
   * `"skip"` leaves it out for that subscriber, fires `skip` and counts it; `"end"` closes the socket with 1013, or with
   * 4013 where it may not send that.
   *
   * @default {"skip"}
   */
  slow?: SlowPolicy;
  /** With more bytes unsent, a subscriber is slow. @default {1048576} (1 MiB) */
  maxUnsent?: number;
  /**
   * Most bytes of messages that are on their way to subscribers, each counted once, as 256 bytes more than it has. What
   * is published beyond it is left out for all of them, and no socket is closed for it.
   *
   * @default {67108864} (64 MiB)
   */
  maxWaiting?: number;
  /** Longest message that is taken from the backplane, in bytes. @default {16777216} (16 MiB) */
  maxMessageSize?: number;
  /** Most topics and patterns of one socket. @default {1024} */
  maxTopicsPerSocket?: number;
}

/** Options of {@linkcode Topics.subscribe}. */
export interface SubscribeOptions {
  /**
   * Whether the topic is a pattern, in which `*` stands for any token and `>` at the end for one or more. Never set
   * it for a name that a client sends: without it such a name cannot ask for more than one topic.
   *
   * @default {false}
   */
  pattern?: boolean;
}

/** Options of {@linkcode Topics.publish}. */
export interface PublishOptions {
  /** A socket that is not sent the message, such as the one that it came from. */
  except?: TopicSocket;
  /** Whether the message may be compressed. @default {true} */
  compress?: boolean;
}

/** The counts of a {@linkcode Topics}, since it was made where they are totals. */
export interface TopicsStats {
  /** Topics and patterns that have a subscriber here. */
  readonly topics: number;
  /** Sockets that have subscribed to something. */
  readonly subscribers: number;
  /** Messages that were published here. */
  readonly published: number;
  /** Messages that came by the backplane, each counted once. */
  readonly received: number;
  /** Messages given to sockets, those that came by the backplane too. */
  readonly delivered: number;
  /** Messages that slow subscribers were not sent. */
  readonly skipped: number;
  /** Messages that the backplane did not take. */
  readonly lost: number;
  /** Bytes of messages that are on their way to subscribers, and 256 more for each message. */
  readonly waiting: number;
  /** Whether the backplane works; `true` where there is none. */
  readonly isConnected: boolean;
}

/** The event `skip` of {@linkcode Topics}: a slow subscriber was not sent a message. */
export class SkipEvent extends Event {
  /** The message's topic. */
  readonly topic: string;
  /** The subscriber. */
  readonly socket: TopicSocket;

  /** Makes the event. */
  constructor(topic: string, socket: TopicSocket) {
    super("skip");
    this.topic = topic;
    this.socket = socket;
  }
}

/**
 * The event `backplane` of {@linkcode Topics}: the backplane works, or no longer does, or its engine refuses something.
 */
export class BackplaneEvent extends Event {
  /** Whether it works. */
  readonly isConnected: boolean;
  /** Why it does not; where it does, what the engine refuses, such as a subscription that it does not permit. */
  readonly error: unknown;

  /** Makes the event. */
  constructor(isConnected: boolean, error: unknown) {
    super("backplane");
    this.isConnected = isConnected;
    this.error = error;
  }
}

/** The events of {@linkcode Topics}. */
export interface TopicsEventMap {
  /** A slow subscriber was not sent a message. */
  skip: SkipEvent;
  /** The backplane works, or no longer does, or its engine refuses something. */
  backplane: BackplaneEvent;
}

/** The subscribers of a topic or pattern that has several. */
class Room {
  readonly members = new Set<Subscriber>();
  /** The members in an array; `undefined` when there are others since it was made. */
  #list: readonly Subscriber[] | undefined;

  get list(): readonly Subscriber[] {
    return this.#list ??= [...this.members];
  }

  changed(): void {
    this.#list = undefined;
  }
}

/** One that is alone is kept without a room: most topics of many have one subscriber. */
type Members = Subscriber | Room;

const NOBODY: readonly Subscriber[] = [];

/** Messages that are remembered to tell when one comes again. */
const REMEMBERED = 1024;

/**
 * Topics that sockets subscribe to, and messages that are published to them. **A message is delivered at most once**: a
 * socket that is gone, too slow, or on a machine that cannot be reached misses it, and nothing is sent again. Where no
 * message may be missing, number them, keep the latest, and let clients ask for what they missed when they come back.
 *
 * It takes the sockets of this library and Deno's own. A message is encoded once, and compressed once for each set of
 * agreed parameters. One that goes to many is sent in fair turns. Each subscriber gets the messages of one publisher in
 * the order in which they were published.
 *
 * Events: `skip`, a {@linkcode SkipEvent}; `backplane`, a {@linkcode BackplaneEvent}.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { serve, upgradeWebSocket, WebSocket } from "@permessage/deflate";
 * import { Topics } from "@permessage/deflate/topics";
 *
 * await using topics = new Topics();
 * await using server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
 *   const { socket, response } = upgradeWebSocket(request);
 *   socket.onopen = () => {
 *     topics.subscribe(socket, "chat.lobby");
 *     topics.publish("chat.lobby", "somebody came in");
 *   };
 *   return response;
 * });
 *
 * const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/`);
 * const { data } = await new Promise<MessageEvent>((resolve) => socket.onmessage = resolve);
 * assertEquals(data, "somebody came in");
 * const closed = new Promise((resolve) => socket.onclose = resolve);
 * socket.close(1000);
 * await closed;
 * ```
 */
export class Topics extends EventTarget implements AsyncDisposable {
  readonly #backplane: Backplane | undefined;
  readonly #limits: Required<Omit<TopicsOptions, "backplane" | "slow">>;
  readonly #slow: SlowPolicy;
  readonly #subscribers = new Map<TopicSocket, Subscriber>();
  /** By topic. */
  readonly #exact = new Map<string, Members>();
  /** By pattern. */
  readonly #patterns = new Map<string, Members>();
  readonly #patternTree = new PatternTree<string>();
  readonly #delivery = new Delivery();
  readonly #envelopes = new EnvelopeWriter();
  /** Origins and numbers of the latest messages that came by the backplane, oldest first. */
  readonly #remembered = new Set<string>();
  /** What the backplane told last; `undefined` before. */
  #isConnected: boolean | undefined;
  #isClosed = false;
  #published = 0;
  #received = 0;
  #delivered = 0;
  #skipped = 0;
  #lost = 0;
  /** The id of the latest publication. */
  #latest = 0;

  /**
   * Starts the backplane, if there is one.
   *
   * @throws {RangeError} If an option is out of its range.
   */
  constructor(options: TopicsOptions = {}) {
    super();
    const { backplane, slow = "skip" } = options;
    const limit = (name: keyof TopicsOptions, fallback: number) =>
      numberOption("make topics", name, options[name], fallback);
    if (slow !== "skip" && slow !== "end") {
      throw new RangeError(`Cannot make topics: slow is "${slow}", must be "skip" or "end"`);
    }
    this.#slow = slow;
    this.#limits = {
      maxUnsent: limit("maxUnsent", 1024 * 1024),
      maxWaiting: limit("maxWaiting", 64 * 1024 * 1024),
      maxMessageSize: limit("maxMessageSize", 16 * 1024 * 1024),
      maxTopicsPerSocket: limit("maxTopicsPerSocket", 1024),
    };
    this.#isConnected = backplane === undefined ? true : undefined;
    this.#backplane = backplane;
    backplane?.start({
      onMessage: (topic, envelope) => this.#onMessage(topic, envelope),
      onState: (isConnected, error) => this.#onState(isConnected, error),
      onRefusal: (error) => this.#onRefusal(error),
    });
  }

  /**
   * Subscribes a socket to a topic, until it unsubscribes or ends. One that is not open yet gets what is published from
   * the time on when it is. To subscribe twice is to subscribe once.
   *
   * @param topic Tokens separated by dots, such as `chat.room-7`, of 256 bytes at most; no token has white space, `*` or
   * `>`.
   * @throws {SyntaxError} If the topic is malformed.
   * @throws {RangeError} If the socket has as many topics as it may have.
   * @throws {TypeError} If this is closed.
   */
  subscribe(socket: TopicSocket, topic: string, { pattern = false }: SubscribeOptions = {}): void {
    if (this.#isClosed) throw new TypeError("Cannot subscribe: these topics are closed");
    checkTopic("subscribe", topic, pattern);
    if (socket.readyState > State.OPEN) return;
    const subscriber = this.#subscribers.get(socket) ?? this.#add(socket);
    if (subscriber.topics.has(topic)) return;
    const { maxTopicsPerSocket } = this.#limits;
    if (subscriber.topics.size >= maxTopicsPerSocket) {
      throw new RangeError(
        `Cannot subscribe: the socket has ${subscriber.topics.size} topics, must have ` +
          `${maxTopicsPerSocket} at most`,
      );
    }
    subscriber.topics.add(topic);
    const rooms = pattern ? this.#patterns : this.#exact;
    const members = rooms.get(topic);
    if (members === undefined) {
      rooms.set(topic, subscriber);
      if (pattern) this.#patternTree.add(topic, topic);
      this.#backplane?.subscribe(topic);
    } else if (members instanceof Room) {
      members.members.add(subscriber);
      members.changed();
    } else {
      const room = new Room();
      room.members.add(members).add(subscriber);
      rooms.set(topic, room);
    }
  }

  /**
   * Ends the subscription of a socket to a topic or pattern.
   *
   * @returns Whether there was one.
   */
  unsubscribe(socket: TopicSocket, topic: string): boolean {
    const subscriber = this.#subscribers.get(socket);
    if (subscriber === undefined || !subscriber.topics.delete(topic)) return false;
    this.#leave(subscriber, topic);
    if (subscriber.topics.size === 0) {
      // It comes before all that a later subscription brings.
      subscriber.sendQueued(false);
      this.#forget(subscriber);
    }
    return true;
  }

  /**
   * Publishes a message to all subscribers of a topic, here and by the backplane.
   *
   * It does not wait for them. What was published is sent in this order to each, also if it is to other topics.
   *
   * @param data Text, or bytes, of which a copy is made.
   * @returns To how many sockets here it goes.
   * @throws {SyntaxError} If the topic is malformed, or is a pattern.
   * @throws {TypeError} If the data is neither text nor bytes, or this is closed.
   */
  publish(
    topic: string,
    data: string | BufferSource,
    { except, compress = true }: PublishOptions = {},
  ): number {
    if (this.#isClosed) throw new TypeError("Cannot publish: these topics are closed");
    checkTopic("publish", topic, false);
    const message = messageOf(data);
    this.#published++;
    // First, as a listener of `skip` may publish, or close this.
    if (this.#backplane !== undefined) {
      const envelope = this.#envelopes.write(message, compress);
      if (!this.#backplane.publish(topic, envelope)) this.#lost++;
    }
    return this.#deliver(topic, message, compress, except);
  }

  /** The topics and patterns that a socket has subscribed to. */
  topicsOf(socket: TopicSocket): string[] {
    return [...this.#subscribers.get(socket)?.topics ?? []];
  }

  /** How many sockets here have subscribed to a topic or pattern itself. */
  subscribers(topic: string): number {
    return listOf(this.#exact.get(topic) ?? this.#patterns.get(topic)).length;
  }

  /** What this has done so far, and what it holds now. */
  get stats(): TopicsStats {
    return {
      topics: this.#exact.size + this.#patterns.size,
      subscribers: this.#subscribers.size,
      published: this.#published,
      received: this.#received,
      delivered: this.#delivered,
      skipped: this.#skipped,
      lost: this.#lost,
      waiting: this.#delivery.waiting,
      isConnected: this.#isConnected === true,
    };
  }

  /** Ends all subscriptions and the backplane. The sockets stay as they are. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const subscriber of this.#subscribers.values()) this.#end(subscriber);
    await this.#backplane?.close();
  }

  /** As {@linkcode Topics.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Adds a listener, as every `EventTarget` does. */
  override addEventListener<K extends keyof TopicsEventMap>(
    type: K,
    listener: (this: Topics, event: TopicsEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** Adds a listener of any event. */
  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(
    ...listening: Parameters<EventTarget["addEventListener"]>
  ): void {
    super.addEventListener(...listening);
  }

  /** Removes a listener. */
  override removeEventListener<K extends keyof TopicsEventMap>(
    type: K,
    listener: (this: Topics, event: TopicsEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  /** Removes a listener of any event. */
  override removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
  override removeEventListener(
    ...listening: Parameters<EventTarget["removeEventListener"]>
  ): void {
    super.removeEventListener(...listening);
  }

  #add(socket: TopicSocket): Subscriber {
    const subscriber = new Subscriber(socket);
    this.#subscribers.set(socket, subscriber);
    socket.addEventListener("close", this.#onClose);
    return subscriber;
  }

  readonly #onClose = (event: Event): void => {
    const subscriber = this.#subscribers.get(event.target as unknown as TopicSocket);
    if (subscriber !== undefined) this.#end(subscriber);
  };

  /** Ends all subscriptions of a socket. */
  #end(subscriber: Subscriber): void {
    for (const topic of subscriber.topics) this.#leave(subscriber, topic);
    subscriber.topics.clear();
    this.#forget(subscriber);
  }

  #forget({ socket }: Subscriber): void {
    this.#subscribers.delete(socket);
    socket.removeEventListener("close", this.#onClose);
  }

  #leave(subscriber: Subscriber, topic: string): void {
    const rooms = this.#exact.has(topic) ? this.#exact : this.#patterns;
    const members = rooms.get(topic);
    if (members instanceof Room) {
      members.members.delete(subscriber);
      members.changed();
      if (members.members.size > 0) return;
    }
    rooms.delete(topic);
    if (rooms === this.#patterns) this.#patternTree.remove(topic);
    this.#backplane?.unsubscribe(topic);
  }

  /** Sends a message to the subscribers here. Returns to how many. */
  #deliver(
    topic: string,
    data: string | Uint8Array<ArrayBuffer>,
    compress: boolean,
    except: TopicSocket | undefined,
  ): number {
    const subscribers = this.#subscribersOf(topic);
    if (subscribers.length === 0) return 0;
    // Text counts by its characters: to count its bytes is to encode it.
    const size = data.length;
    const { maxUnsent, maxWaiting } = this.#limits;
    const isFull = this.#delivery.waiting > maxWaiting - size;
    const id = ++this.#latest;
    const publication: Publication = { id, topic, data, size, compress, prepared: undefined };
    let count = 0;
    let skipped: Subscriber[] | undefined;
    for (const subscriber of subscribers) {
      if (subscriber.latest === id || subscriber.socket === except) continue;
      subscriber.latest = id;
      if (!subscriber.isOpen) continue;
      if (isFull || subscriber.unsent > maxUnsent) {
        (skipped ??= []).push(subscriber);
        continue;
      }
      subscriber.queue(publication);
      count++;
    }
    if (count > 0) this.#delivery.send(publication, subscribers);
    this.#delivered += count;
    // Its listeners may publish: no sooner than this publication is in every queue.
    if (skipped !== undefined) this.#skip(skipped, topic, isFull);
    return count;
  }

  #subscribersOf(topic: string): readonly Subscriber[] {
    const exact = listOf(this.#exact.get(topic));
    if (this.#patterns.size === 0) return exact;
    let all = exact;
    this.#patternTree.match(topic, (pattern) => {
      const list = listOf(this.#patterns.get(pattern));
      all = all.length === 0 ? list : [...all, ...list];
    });
    return all;
  }

  #skip(subscribers: readonly Subscriber[], topic: string, isFull: boolean): void {
    this.#skipped += subscribers.length;
    for (const subscriber of subscribers) {
      this.dispatchEvent(new SkipEvent(topic, subscriber.socket));
      if (this.#slow === "end" && !isFull) subscriber.end();
    }
  }

  #onMessage(topic: string, bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#isClosed) return;
    const envelope = readEnvelope(bytes, this.#limits.maxMessageSize);
    if (envelope === undefined || envelope.origin === this.#envelopes.origin) return;
    if (this.#isRepeated(`${envelope.origin}${envelope.number}`)) return;
    this.#received++;
    this.#deliver(topic, envelope.data, envelope.compress, undefined);
  }

  /**
   * Whether a message has come before: an engine sends it once for each subscription that matches. Without a pattern
   * there is one; but of those that came while there was one, the second may come still.
   */
  #isRepeated(id: string): boolean {
    if (this.#remembered.has(id)) return true;
    if (this.#patterns.size === 0) return false;
    this.#remembered.add(id);
    if (this.#remembered.size > REMEMBERED) {
      for (const oldest of this.#remembered) {
        this.#remembered.delete(oldest);
        break;
      }
    }
    return false;
  }

  #onState(isConnected: boolean, error: unknown): void {
    if (isConnected === this.#isConnected || this.#isClosed) return;
    this.#isConnected = isConnected;
    this.dispatchEvent(new BackplaneEvent(isConnected, error));
  }

  #onRefusal(error: unknown): void {
    if (!this.#isClosed) this.dispatchEvent(new BackplaneEvent(this.#isConnected === true, error));
  }
}

function listOf(members: Members | undefined): readonly Subscriber[] {
  if (members === undefined) return NOBODY;
  return members instanceof Room ? members.list : [members];
}

function messageOf(data: string | BufferSource): string | Uint8Array<ArrayBuffer> {
  if (typeof data === "string") return data.toWellFormed();
  if (!isBytes(data)) {
    throw new TypeError(`Cannot publish: data is ${data}, must be text or bytes`);
  }
  return bytesOf(data).slice();
}

/** Refuses what is no topic, or no pattern. */
function checkTopic(action: string, topic: string, pattern: boolean): void {
  if (pattern ? isPattern(topic) : isTopic(topic)) return;
  const shown = typeof topic === "string"
    ? JSON.stringify(topic.slice(0, MAX_TOPIC_BYTES))
    : String(topic);
  throw new SyntaxError(
    `Cannot ${action}: topic is ${shown}, must be tokens separated by dots` +
      (pattern
        ? ', with "*" for any token or ">" at the end'
        : ', without white space, "*" and ">"') +
      `, of ${MAX_TOPIC_BYTES} bytes at most`,
  );
}
