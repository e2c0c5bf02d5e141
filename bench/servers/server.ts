/**
 * What the servers written for Deno have in common: their command line, and the line they print.
 *
 * @module
 */

/**
 * What a server is to do with each message: send it back; send it to every socket; answer with a short
 * text; or answer a text in three messages, 2 ms apart, and send back what is binary.
 */
export type Work = "echo" | "broadcast" | "separate-sends" | "reply" | "parts";

/** The answer of `reply`, and each message of `parts`. */
export const REPLY = "an answer";

/** Sends the three messages of `parts`. */
export function sendParts(socket: { send(data: string): void }): void {
  socket.send(REPLY);
  setTimeout(() => socket.send(REPLY), 2);
  setTimeout(() => socket.send(REPLY), 4);
}

/** How a server of the bench is started: folder of the certificate, mode, work, level. */
export interface ServerArguments {
  cert: string;
  key: string;
  /** How messages are compressed, see `frames.ts`. */
  mode: string;
  work: string;
  /** The level of compression. */
  level: number;
}

/** Reads the command line. */
export function serverArguments(): ServerArguments {
  const [folder, mode = "plain", work = "echo", level = "1"] = Deno.args;
  return {
    cert: Deno.readTextFileSync(`${folder}/server.crt`),
    key: Deno.readTextFileSync(`${folder}/server.key`),
    mode,
    work,
    level: Number(level),
  };
}

/** Where every server of the bench listens. */
export const LOCAL = { hostname: "127.0.0.1", port: 0 };

/** Tells the bench the port. */
export function announce({ port }: { port: number }): void {
  console.log(`port ${port}`);
}
