/**
 * Sockets and backplanes for the tests of topics.
 *
 * @module
 */

import type { Backplane, BackplaneListener, TopicSocket } from "../../topics.ts";

/** A socket that keeps what it is sent. */
export class FakeSocket extends EventTarget implements TopicSocket {
  readyState: 0 | 1 | 2 | 3 = 1;
  bufferedAmount = 0;
  readonly sent: unknown[] = [];
  closing: { code?: number | undefined; reason?: string | undefined } | undefined;

  send(data: unknown): void {
    if (this.readyState === 0) throw new DOMException("CONNECTING", "InvalidStateError");
    this.sent.push(data);
  }

  close(code?: number, reason?: string): void {
    // As on the web.
    if (code !== 1000 && !(code! >= 3000 && code! <= 4999)) {
      throw new DOMException("code", "InvalidAccessError");
    }
    this.closing = { code, reason };
    this.readyState = 2;
  }

  /** Ends the connection. */
  end(): void {
    this.readyState = 3;
    this.dispatchEvent(new CloseEvent("close"));
  }
}

/** The engine that {@linkcode FakeBackplane}s share: it sends a message once for each subscription that matches. */
export class FakeEngine {
  readonly backplanes = new Set<FakeBackplane>();
  published = 0;
}

/** A backplane on a {@linkcode FakeEngine}. Messages come at once, also to their publisher. */
export class FakeBackplane implements Backplane {
  readonly subscriptions: string[] = [];
  /** All calls of subscribe and unsubscribe. */
  readonly log: string[] = [];
  listener: BackplaneListener | undefined;
  isAway = false;
  isClosed = false;
  readonly #engine: FakeEngine;

  constructor(engine: FakeEngine) {
    this.#engine = engine;
  }

  start(listener: BackplaneListener): void {
    this.listener = listener;
    this.#engine.backplanes.add(this);
    listener.onState(true);
  }

  subscribe(topic: string): void {
    this.log.push(`+${topic}`);
    this.subscriptions.push(topic);
  }

  unsubscribe(topic: string): void {
    this.log.push(`-${topic}`);
    this.subscriptions.splice(this.subscriptions.indexOf(topic), 1);
  }

  publish(topic: string, envelope: Uint8Array<ArrayBuffer>): boolean {
    if (this.isAway) return false;
    this.#engine.published++;
    for (const { subscriptions, listener } of this.#engine.backplanes) {
      for (const subscription of subscriptions) {
        const pattern = subscription.replaceAll(".", "\\.").replaceAll("*", "[^.]+")
          .replace(/>$/, ".+");
        if (new RegExp(`^${pattern}$`).test(topic)) listener!.onMessage(topic, envelope.slice());
      }
    }
    return true;
  }

  // deno-lint-ignore require-await
  async close(): Promise<void> {
    this.isClosed = true;
    this.#engine.backplanes.delete(this);
  }
}
