/**
 * Who is logged in, and with which sockets.
 *
 * @module
 */

import type { WebSocket } from "../../mod.ts";

/** A user who is logged in, until the session ends. */
export interface Session {
  /** The value of the cookie: a secret that nobody guesses. */
  id: string;
  user: string;
  /** Open or about to open; closed when the session ends. */
  sockets: Set<WebSocket>;
  timer: ReturnType<typeof setTimeout>;
}

/** How long a session lasts. */
export const SESSION_SECONDS = 8 * 60 * 60;

/** With more than this many, the oldest ends. */
const MAX_SESSIONS = 1000;

/** By their ids, the oldest first. */
export const sessions: Map<string, Session> = new Map();

/** Starts a session of `user`. */
export function startSession(user: string): Session {
  const [oldest] = sessions.values();
  if (oldest !== undefined && sessions.size >= MAX_SESSIONS) endSession(oldest);
  const id = crypto.getRandomValues(new Uint8Array(32)).toBase64({
    alphabet: "base64url",
    omitPadding: true,
  });
  const timer = setTimeout(() => endSession(session), SESSION_SECONDS * 1000);
  const session: Session = { id, user, sockets: new Set(), timer };
  sessions.set(id, session);
  return session;
}

/** Ends a session, and closes its sockets. */
export function endSession({ id, sockets, timer }: Session): void {
  clearTimeout(timer);
  sessions.delete(id);
  for (const socket of sockets) socket.close(4001, "The session has ended");
}
