/**
 * What the servers written for Deno have in common: their command line, and the line they print.
 *
 * @module
 */

/** What a server is to do with each message: send it back, or send it to every socket. */
export type Work = "echo" | "broadcast" | "separate-sends";

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
