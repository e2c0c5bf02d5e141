/**
 * `deno task demo`: runs the server and the client for one exchange, and prints the output of both.
 *
 * @module
 */

import { main as runClient } from "../client.ts";
import { main as runServer } from "../server.ts";
import { languageOf, sentencesIn } from "./sentences.ts";
import { type Output, terminal } from "./output.ts";
import { readEnvironment } from "./flags.ts";

const PORT = 8443;

/** Collects the lines of one program, in the order in which they were written. */
class Transcript implements Output {
  readonly lines: string[] = [];

  out(line: string): void {
    this.lines.push(line);
  }

  err(line: string): void {
    this.lines.push(line);
  }
}

/** Whether the demo's own port is free. */
function isFree(port: number): boolean {
  try {
    Deno.listen({ hostname: "::", port }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    return true; // The server explains any other error better.
  }
}

async function main(args: string[]): Promise<number> {
  const sentences = sentencesIn(languageOf(args, readEnvironment("WSS_LANG")));
  const stop = new AbortController();
  const server = new Transcript();
  const client = new Transcript();

  const listening = Promise.withResolvers<{ port: number }>();
  const serverEnd = runServer(
    [`--port=${isFree(PORT) ? PORT : 0}`, ...args],
    server,
    stop.signal,
    (port) => listening.resolve({ port }),
  );
  const started = await Promise.race([listening.promise, serverEnd]);

  let clientCode = 1;
  if (typeof started === "object") {
    clientCode = await runClient([`wss://localhost:${started.port}/ws`, ...args], client);
    stop.abort();
  }
  const serverCode = await serverEnd;

  terminal.out(`# ${sentences.demo.server}`);
  server.lines.forEach(terminal.out);
  terminal.out(`\n# ${sentences.demo.client}`);
  client.lines.forEach(terminal.out);
  return serverCode === 0 ? clientCode : serverCode;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
