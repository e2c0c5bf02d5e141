/**
 * Pings the server, as `--ping` asks, and tells each round trip.
 *
 * @module
 */

import { WebSocket as CompressingWebSocket } from "../../websocket/websocket.ts";
import { pongText } from "../number_text.ts";
import type { Sentences } from "../sentences.ts";
import type { Report } from "./report.ts";

/**
 * Starts to ping.
 *
 * @param seconds The time between two pings; 0 for none.
 * @returns Stops it.
 */
export function startPings(
  socket: WebSocket,
  seconds: number,
  report: Report,
  sentences: Sentences,
): () => void {
  if (seconds === 0 || !(socket instanceof CompressingWebSocket)) return () => {};
  const ping = async () => {
    try {
      const ms = Math.round(await socket.ping() * 10) / 10;
      report.err(pongText(ms, sentences), {
        event: "pong",
        ms,
      });
    } catch {
      // The connection has ended: that is told where it is used.
    }
  };
  const timer = setInterval(ping, seconds * 1000);
  return () => clearInterval(timer);
}
