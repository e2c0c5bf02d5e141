/**
 * Follows the feed of `server.ts` for as long as it is wanted, and misses nothing that the server still keeps. Run it
 * by `deno task example:feed:client`, or import `follow`.
 *
 * @module
 */

import { WebSocket } from "../../mod.ts";

/** An entry of the feed. */
export interface Entry {
  number: number;
  text: string;
}

/** Longest wait before it connects again, in milliseconds. */
const LONGEST_WAIT_MS = 5000;

/** Options of {@linkcode follow}. */
export interface FollowOptions {
  /** Authorities to trust besides the public ones, PEM. */
  caCerts?: string[];
  /** Called when the connection is lost, or could not be made, before it is made anew. */
  onLost?: (error: Error) => void;
}

/**
 * Gives each entry once, in order.
 *
 * @param url The feed's URL.
 * @param signal Ends it.
 */
export async function* follow(
  url: string,
  signal: AbortSignal,
  { onLost, ...options }: FollowOptions = {},
): AsyncGenerator<Entry> {
  /** The number of the latest entry that was given. */
  let after = 0;
  for (let wait = 250; !signal.aborted; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    const socket = new WebSocket(`${url}?after=${after}`, options);
    const end = () => socket.close();
    signal.addEventListener("abort", end);
    try {
      for await (const message of socket.readable) {
        wait = 250;
        const event: Entry | { reset: number } = JSON.parse(message as string);
        if ("reset" in event) {
          after = event.reset;
        } else if (event.number > after) {
          after = event.number;
          yield event;
        }
      }
    } catch (error) {
      if (!signal.aborted) onLost?.(error as Error);
    } finally {
      signal.removeEventListener("abort", end);
      end();
    }
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

if (import.meta.main) {
  const { port } = await import("../start.ts");
  const options = {
    caCerts: [await Deno.readTextFile("certs/ca.crt")],
    onLost: ({ message }: Error) => console.error(`${message}, connecting anew`),
  };
  const entries = follow(`wss://localhost:${port}/feed`, new AbortController().signal, options);
  for await (const entry of entries) console.log(JSON.stringify(entry));
}
