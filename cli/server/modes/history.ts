/**
 * The latest messages of each room, for those who join it.
 *
 * @module
 */

import type { Backplane, BackplaneListener } from "../../../topics.ts";
import { readEnvelope } from "../../../topics/envelope.ts";

/** Most bytes of memory for the messages that are kept of one room. */
const ROOM_BYTES = 1024 * 1024;

/** Most bytes of memory for the messages that are kept of all rooms, by all workers together. */
const TOTAL_BYTES = 64 * 1024 * 1024;

/** Memory that a text takes besides its characters, in bytes: its place in the list, and the heads of V8's objects. */
const TEXT_BYTES = 80;

/** Likewise, of a binary message, with the envelope that it came in. */
const BINARY_BYTES = 272;

/** How much a {@linkcode History} keeps. */
export interface HistoryOptions {
  /** Most messages of a room. */
  messages: number;
  /** Most rooms. */
  rooms: number;
  /** How many workers there are, each with a history of its own. */
  workers: number;
}

/** What is kept of a room. */
interface Kept {
  messages: { data: string | Uint8Array<ArrayBuffer>; size: number }[];
  bytes: number;
}

/** The latest messages of rooms, by their topics. */
export class History {
  readonly #options: HistoryOptions;
  readonly #onForget: (topic: string) => void;
  readonly #maxBytes: number;
  /** The room whose latest message is the oldest comes first. */
  readonly #rooms = new Map<string, Kept>();
  #bytes = 0;

  /** @param onForget Called with the topic of a room of which nothing is kept any more. */
  constructor(options: HistoryOptions, onForget: (topic: string) => void) {
    this.#options = options;
    this.#onForget = onForget;
    this.#maxBytes = Math.max(ROOM_BYTES, TOTAL_BYTES / options.workers);
  }

  /** Whether something is kept of a room. */
  has(topic: string): boolean {
    return this.#rooms.has(topic);
  }

  /** What is kept of a room, oldest first. */
  *of(topic: string): Iterable<string | Uint8Array<ArrayBuffer>> {
    for (const { data } of this.#rooms.get(topic)?.messages ?? []) yield data;
  }

  /**
   * Keeps a message, in place of older ones.
   *
   * @param size Bytes of memory that it takes.
   */
  add(topic: string, data: string | Uint8Array<ArrayBuffer>, size: number): void {
    const room = this.#rooms.get(topic) ?? { messages: [], bytes: 0 };
    this.#rooms.delete(topic);
    this.#rooms.set(topic, room);
    room.messages.push({ data, size });
    room.bytes += size;
    this.#bytes += size;
    while (room.messages.length > this.#options.messages || room.bytes > ROOM_BYTES) {
      const oldest = room.messages.shift()!;
      room.bytes -= oldest.size;
      this.#bytes -= oldest.size;
    }
    for (const [oldest, { bytes }] of this.#rooms) {
      if (this.#rooms.size <= this.#options.rooms && this.#bytes <= this.#maxBytes) break;
      this.#rooms.delete(oldest);
      this.#bytes -= bytes;
      this.#onForget(oldest);
    }
  }
}

/**
 * A backplane that keeps a history of all that goes over it: what is published here, and what comes. It may have another
 * behind it, which carries the messages. A room stays subscribed there as long as something is kept of it, so that
 * nothing is missing in between.
 */
export class RecordingBackplane implements Backplane {
  readonly history: History;
  readonly #behind: Backplane | undefined;
  readonly #maxMessageSize: number;
  /** Topics that have a subscriber here. */
  readonly #wanted = new Set<string>();
  /** Topics that are subscribed behind. */
  readonly #subscribed = new Set<string>();
  /** The origin of what is published here; `undefined` before the first message. */
  #origin: string | undefined;

  /** @param maxMessageSize Longest message that is kept, in bytes. */
  constructor(behind: Backplane | undefined, options: HistoryOptions, maxMessageSize: number) {
    this.#behind = behind;
    this.#maxMessageSize = maxMessageSize;
    this.history = new History(options, (topic) => this.#release(topic));
  }

  start(listener: BackplaneListener): void {
    if (this.#behind === undefined) return listener.onState(true);
    this.#behind.start({
      onMessage: (topic, envelope) => {
        this.#record(topic, envelope);
        listener.onMessage(topic, envelope);
      },
      onState: (isConnected, error) => listener.onState(isConnected, error),
      onRefusal: (error) => listener.onRefusal(error),
    });
  }

  subscribe(topic: string): void {
    this.#wanted.add(topic);
    if (this.#subscribed.has(topic)) return;
    this.#subscribed.add(topic);
    this.#behind?.subscribe(topic);
  }

  unsubscribe(topic: string): void {
    this.#wanted.delete(topic);
    this.#release(topic);
  }

  publish(topic: string, envelope: Uint8Array<ArrayBuffer>): boolean {
    this.#origin ??= readEnvelope(envelope, envelope.length)!.origin;
    this.#record(topic, envelope, true);
    return this.#behind?.publish(topic, envelope) ?? true;
  }

  async close(): Promise<void> {
    await this.#behind?.close();
  }

  #record(topic: string, bytes: Uint8Array<ArrayBuffer>, isOwn = false): void {
    const envelope = readEnvelope(bytes, this.#maxMessageSize);
    if (envelope === undefined || !isOwn && envelope.origin === this.#origin) return;
    this.history.add(topic, envelope.data, memoryOf(envelope.data));
  }

  /** Ends the subscription to a topic, unless it is needed. */
  #release(topic: string): void {
    if (this.#wanted.has(topic) || this.history.has(topic)) return;
    if (this.#subscribed.delete(topic)) this.#behind?.unsubscribe(topic);
  }
}

/** Bytes of memory that a kept message takes. */
function memoryOf(data: string | Uint8Array): number {
  if (typeof data !== "string") return BINARY_BYTES + data.length;
  // V8 keeps two bytes for each code unit of a text that is not all Latin-1.
  return TEXT_BYTES + data.length * (/[^\0-\xff]/.test(data) ? 2 : 1);
}
