/**
 * Sends publications to their subscribers in fair turns, in the order in which they were published.
 *
 * Each subscriber has a queue of what it is yet to be sent, and each publication goes round its subscribers in steps of
 * its own. Whichever publication comes to a subscriber first sends all that is in the queue. So a publication to few
 * does not wait until one to many has been round, and nobody gets two messages in another order.
 *
 * @module
 */

import { prepare, type PreparedMessage } from "../protocol/prepared_message.ts";
import { turns, type Work } from "../transport/turns.ts";
import { State } from "../websocket/session.ts";
import { sendAtOnce, WebSocket } from "../websocket/websocket.ts";

/** A socket of this library, or of Deno's own. */
export type TopicSocket = Pick<
  globalThis.WebSocket,
  "readyState" | "bufferedAmount" | "send" | "close" | "addEventListener" | "removeEventListener"
>;

/** A message that was published. */
export interface Publication {
  /** Tells publications apart. */
  readonly id: number;
  readonly topic: string;
  readonly data: string | Uint8Array<ArrayBuffer>;
  readonly size: number;
  readonly compress: boolean;
  /** Made when the first socket of this library is sent the message. */
  prepared: PreparedMessage | undefined;
}

/** What becomes of a publication for a subscriber that is too slow for it. */
export type SlowPolicy = "skip" | "end";

/** The close code of a subscriber that is too slow. */
const TRY_AGAIN_LATER = 1013;

/** Likewise, for sockets that may not send 1013: Deno's own, and those of clients. */
const OWN_TRY_AGAIN_LATER = 4013;

/** A socket that has subscribed to something. */
export class Subscriber {
  readonly socket: TopicSocket;
  readonly #isOurs: boolean;
  /** Its topics and patterns. */
  readonly topics = new Set<string>();
  /** The id of the latest publication that it was considered for: one that matches several of its topics is sent once. */
  latest = 0;
  /** What it is yet to be sent. Mostly it is one publication, for which no array is made. */
  #next: Publication | undefined;
  #later: Publication[] | undefined;
  /** Bytes of these. */
  #queued = 0;

  constructor(socket: TopicSocket) {
    this.socket = socket;
    this.#isOurs = socket instanceof WebSocket;
  }

  /** Whether it can be sent a message. */
  get isOpen(): boolean {
    return this.socket.readyState === State.OPEN;
  }

  /** Bytes that it has not been sent, or not taken. */
  get unsent(): number {
    return this.#queued + this.socket.bufferedAmount;
  }

  /** Queues a publication. */
  queue(publication: Publication): void {
    this.#queued += publication.size;
    if (this.#next === undefined) this.#next = publication;
    else (this.#later ??= []).push(publication);
  }

  /**
   * Sends all that is queued.
   *
   * @param flushes Whether it is written at once, so that a turn is charged for what that takes. Otherwise it is written
   * after the caller's task, together with what else the task sends.
   */
  sendQueued(flushes: boolean): void {
    const first = this.#next;
    if (first === undefined) return;
    const later = this.#later;
    this.#next = this.#later = undefined;
    this.#queued = 0;
    const last = later?.pop() ?? first;
    if (later !== undefined) {
      this.#send(first, false);
      for (const publication of later) this.#send(publication, false);
    }
    this.#send(last, flushes);
  }

  #send(publication: Publication, flushes: boolean): void {
    if (!this.isOpen) return;
    const { data, compress } = publication;
    if (!this.#isOurs) return this.socket.send(data);
    const socket = this.socket as WebSocket;
    publication.prepared ??= prepare(data);
    if (flushes) sendAtOnce(socket, publication.prepared, compress);
    else socket.send(publication.prepared, { compress });
  }

  /** Ends a subscriber that is too slow. */
  end(): void {
    try {
      this.socket.close(TRY_AGAIN_LATER, SLOW);
    } catch {
      this.socket.close(OWN_TRY_AGAIN_LATER, SLOW);
    }
  }
}

const SLOW = "messages come faster than they are read";

/** Subscribers that one step sends to: 0.4 ms of work, as a write over TLS takes 22 µs. */
const STEP_SIZE = 16;

/** A publication's way round its subscribers. */
class Round implements Work {
  readonly #publication: Publication;
  readonly #subscribers: readonly Subscriber[];
  readonly #onDone: (publication: Publication) => void;
  #at = 0;

  constructor(
    publication: Publication,
    subscribers: readonly Subscriber[],
    onDone: (publication: Publication) => void,
  ) {
    this.#publication = publication;
    this.#subscribers = subscribers;
    this.#onDone = onDone;
  }

  step(flushes = true): boolean {
    const subscribers = this.#subscribers;
    const end = Math.min(subscribers.length, this.#at + STEP_SIZE);
    while (this.#at < end) subscribers[this.#at++]!.sendQueued(flushes);
    if (end < subscribers.length) return true;
    this.#onDone(this.#publication);
    return false;
  }
}

/** What a publication that is on its way takes besides its message, in bytes: without it, empty ones had no bound. */
const PUBLICATION_BYTES = 256;

/** Sends publications. */
export class Delivery {
  /** Bytes of publications that are on their way round. */
  #waiting = 0;

  /** Bytes of publications that not all subscribers have been sent. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Sends a publication to subscribers that it is queued for; to few at once, to many in turns. */
  send(publication: Publication, subscribers: readonly Subscriber[]): void {
    this.#waiting += publication.size + PUBLICATION_BYTES;
    const round = new Round(publication, subscribers, this.#onDone);
    if (subscribers.length > STEP_SIZE || this.#isBehind) turns.add(round);
    else round.step(false);
  }

  /**
   * Publications that are made faster than they can be sent take turns however few their subscribers are: otherwise
   * they would take the time of those that wait.
   */
  get #isBehind(): boolean {
    return turns.size > 0;
  }

  readonly #onDone = ({ size }: Publication): void => {
    this.#waiting -= size + PUBLICATION_BYTES;
  };
}
