/**
 * What a mode of the server is: `--mode` chooses what is done with sockets and their messages.
 *
 * @module
 */

import type { PeerLog } from "../peer_log.ts";

type Line = Parameters<PeerLog["write"]>;

/** Logs what a socket's peer does. */
export type SocketLog = (level: Line[0], event: Line[1], properties?: Line[3]) => void;

/** What is done with the sockets of one path. */
export interface Endpoint {
  /** Why no further socket is let in, as a key of `sentences.refusal`; `undefined` if one is. */
  readonly refusal?: "rooms" | undefined;
  /** A socket that is about to open. */
  accept?(socket: WebSocket): void;
  /**
   * The socket has opened.
   *
   * @param connection Its number in the log.
   */
  opened?(socket: WebSocket, log: SocketLog, connection: number): void;
  /**
   * A message has come.
   *
   * @throws If an answer cannot be sent.
   */
  received(socket: WebSocket, data: string | ArrayBuffer, log: SocketLog): void;
  /** The socket has closed. */
  closed?(log: SocketLog): void;
}

/** A mode. */
export interface Mode {
  /**
   * Finds what is done with the sockets of a path.
   *
   * @param below What the path has behind that of the WebSocket: empty, or `/` and more.
   * @returns `undefined` if there is nothing.
   */
  endpoint(below: string): Endpoint | undefined;
  /** What does not work, in English, although the server is alive; `undefined` if all does. */
  readonly trouble?: string | undefined;
  /** Ends what the mode has started, once all sockets have closed. */
  close(): Promise<void>;
}
