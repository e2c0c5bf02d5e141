/**
 * Mode `broadcast`: the path names a room, and what one socket sends goes to the others there.
 *
 * @module
 */

import { type Backplane, Topics, topicToken } from "../../../topics.ts";
import { causeOf } from "../../failure.ts";
import { printable } from "../../printable.ts";
import type { Sentences } from "../../sentences.ts";
import type { Logger } from "../log.ts";
import { REPORT_MS, Tally } from "../tally.ts";
import { RecordingBackplane } from "./history.ts";
import type { Endpoint, Mode, SocketLog } from "./mode.ts";

/** Longest name of a room, in bytes of UTF-8: each takes up to three of a topic's 256. */
const MAX_ROOM_BYTES = 80;

/** Keeps the topics of rooms apart from what others publish by the same engine. */
const TOPIC = "rooms";

/** Options of {@linkcode BroadcastMode}. */
export interface BroadcastOptions {
  /** Most rooms that somebody is in. */
  maxRooms: number;
  /** How many messages of a room are sent to a socket that joins it. */
  history: number;
  /** Longest message that is taken from the backplane, in bytes. */
  maxMessageSize: number;
  /** What carries messages to other workers and servers. */
  backplane: Backplane | undefined;
  log: Logger;
  sentences: Sentences;
  /** How many workers there are. @default {1} */
  workers?: number | undefined;
}

/** The rooms. */
export class BroadcastMode implements Mode {
  readonly topics: Topics;
  readonly maxRooms: number;
  /** Absent if nothing is kept. */
  readonly recorder: RecordingBackplane | undefined;
  /** How many sockets are in each room or about to open, by its topic. */
  readonly members = new Map<string, number>();
  readonly #skipped: Tally;
  /** Whether a refusal of the engine has been logged, which others like it may follow. */
  #hasRefused = false;

  constructor(
    { maxRooms, history, maxMessageSize, backplane, log, sentences, workers = 1 }: BroadcastOptions,
  ) {
    this.maxRooms = maxRooms;
    if (history > 0) {
      const limits = { messages: history, rooms: maxRooms, workers };
      this.recorder = new RecordingBackplane(backplane, limits, maxMessageSize);
    }
    const carrier = this.recorder ?? backplane;
    this.topics = new Topics({ maxMessageSize, ...(carrier && { backplane: carrier }) });
    this.#skipped = new Tally((count) =>
      log.warn(sentences.server.skipped, {
        event: "skipped",
        count,
        seconds: REPORT_MS / 1000,
      })
    );
    this.topics.addEventListener("skip", () => this.#skipped.add());
    this.topics.addEventListener("backplane", ({ isConnected, error }) => {
      const reason = printable(causeOf(error));
      if (!isConnected) {
        this.#hasRefused = false;
        log.error(sentences.server.backplaneLost, { event: "backplaneLost", reason });
      } else if (error === undefined) {
        log.warn(sentences.server.backplaneConnected, { event: "backplaneConnected" });
      } else if (!this.#hasRefused) {
        this.#hasRefused = true;
        log.error(sentences.server.backplaneRefused, { event: "backplaneRefused", reason });
      }
    });
  }

  endpoint(below: string): Endpoint | undefined {
    const name = roomName(below);
    return name === undefined ? undefined : new Room(this, name);
  }

  get trouble(): string | undefined {
    return this.topics.stats.isConnected
      ? undefined
      : "its backplane is away: messages reach the sockets of this server alone";
  }

  async close(): Promise<void> {
    this.#skipped.flush();
    await this.topics.close();
  }
}

/** A room, as one socket uses it. */
class Room implements Endpoint {
  readonly #mode: BroadcastMode;
  /** As the log shows it. */
  readonly #name: string;
  readonly #topic: string;

  constructor(mode: BroadcastMode, name: string) {
    this.#mode = mode;
    this.#name = printable(name);
    this.#topic = name === "" ? TOPIC : `${TOPIC}.${topicToken(name)}`;
  }

  get refusal(): "rooms" | undefined {
    const { members, maxRooms } = this.#mode;
    return members.size < maxRooms || members.has(this.#topic) ? undefined : "rooms";
  }

  accept(): void {
    const { members } = this.#mode;
    members.set(this.#topic, (members.get(this.#topic) ?? 0) + 1);
  }

  opened(socket: WebSocket, log: SocketLog): void {
    const { topics, recorder } = this.#mode;
    log("info", "joined", () => ({ room: this.#name }));
    // What comes from now on comes by the subscription.
    for (const data of recorder?.history.of(this.#topic) ?? []) socket.send(data);
    topics.subscribe(socket, this.#topic);
  }

  received(socket: WebSocket, data: string | ArrayBuffer, log: SocketLog): void {
    const count = this.#mode.topics.publish(this.#topic, data, { except: socket });
    log("info", "published", () => ({ room: this.#name, count }));
  }

  closed(log: SocketLog): void {
    const { members } = this.#mode;
    const left = members.get(this.#topic)! - 1;
    if (left === 0) members.delete(this.#topic);
    else members.set(this.#topic, left);
    log("info", "left", () => ({ room: this.#name }));
  }
}

/**
 * The name of a room: one segment behind the path of the WebSocket, decoded; empty for that path alone. `undefined` if
 * it is none, or too long.
 */
function roomName(below: string): string | undefined {
  if (below === "") return "";
  const [, segment, ...more] = below.split("/");
  if (!segment || more.length > 0) return undefined;
  try {
    const name = decodeURIComponent(segment);
    return new TextEncoder().encode(name).length > MAX_ROOM_BYTES ? undefined : name;
  } catch {
    return undefined;
  }
}
