/**
 * A request that came by `serve`, and what the handler does with it: it may be upgraded once, until it is
 * answered, and then its answer is the response of the upgrade.
 *
 * @module
 */

import type { Session } from "../websocket/session.ts";
import { Misuse } from "./misuse.ts";

/** What `upgradeWebSocket` prepares, and `startUpgraded` completes. */
export interface Upgrade {
  session: Session;
  /** The `Sec-WebSocket-Accept` of its response, by which a copy of that is known. */
  accept: string;
}

/** The requests that came by `serve`. */
export const ownRequests: WeakMap<Request, OwnRequest> = new WeakMap();

/** The keys of the handshakes among them that wait for their answer. */
const pendingKeys = new Set<string>();

/** Whether a request seems to be a copy of one that came by `serve`. */
export function isCopy(request: Request): boolean {
  return pendingKeys.has(request.headers.get("Sec-WebSocket-Key")!);
}

/** A request that came by `serve`, and what becomes of it. */
export class OwnRequest {
  readonly address: Deno.Addr;
  /** There once the handler has called `upgradeWebSocket`. */
  upgrade: Upgrade | undefined;
  readonly #key: string | null;
  #isAnswered = false;

  /** @param mayUpgrade Whether its connection can be taken over. */
  constructor(request: Request, address: Deno.Addr, mayUpgrade: boolean) {
    this.address = address;
    this.#key = mayUpgrade ? request.headers.get("Sec-WebSocket-Key") : null;
    ownRequests.set(request, this);
    if (this.#key !== null) pendingKeys.add(this.#key);
  }

  /**
   * Checks that the request can be upgraded now.
   *
   * @throws {Misuse} If it cannot.
   */
  checkUpgradable(): void {
    const problem = this.upgrade !== undefined
      ? "was upgraded before: upgrade it once"
      : this.#isAnswered
      ? "has been answered: upgrade it before the handler returns"
      : undefined;
    if (problem !== undefined) {
      throw new Misuse(`Cannot upgrade to WebSocket: the request ${problem}`);
    }
  }

  /**
   * Checks that a response fits what was done with the request.
   *
   * @throws {Misuse} If the request was upgraded, and this is not the response of that, or the other way round.
   */
  checkAnswer(response: Response): void {
    const { upgrade } = this;
    if (upgrade === undefined && response.status === 101) {
      throw new Misuse(
        "Cannot respond: status is 101, must come of upgradeWebSocket of this library, for the very request " +
          "that the handler was given",
      );
    }
    if (upgrade === undefined) return;
    const accept = response.headers.get("Sec-WebSocket-Accept");
    if (response.status === 101 && accept === upgrade.accept) return;
    throw new Misuse(
      "Cannot open WebSocket: the handler did not return the response of the upgrade, must return it, or " +
        "refuse the request before upgradeWebSocket",
    );
  }

  /** Ends the socket of an upgrade that is not to be. */
  abandon(error: unknown): void {
    this.upgrade?.session.abandon(error);
    this.upgrade = undefined;
  }

  /** The request is answered: it cannot be upgraded any more. */
  end(): void {
    this.#isAnswered = true;
    if (this.#key !== null) pendingKeys.delete(this.#key);
  }
}
