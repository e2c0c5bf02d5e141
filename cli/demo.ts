/**
 * `deno task demo`: the server and the client of the demo, one exchange, and both outputs.
 *
 * @module
 */

import { main as runClient } from "../client.ts";
import { main as runServer } from "../server.ts";
import { languageOf, messagesIn } from "./messages.ts";
import { type Output, terminal } from "./output.ts";
import { readEnvironment } from "./flags.ts";

const PORT = 8443;

/** Keeps the lines of one program, in the order they were written. */
class Transcript implements Output {
  readonly lines: string[] = [];
  /** Called with each line. */
  onLine: (line: string) => void = () => {};

  out(line: string): void {
    this.lines.push(line);
    this.onLine(line);
  }

  err(line: string): void {
    this.out(line);
  }
}

/** Whether the demo's own port can be had. */
function isFree(port: number): boolean {
  try {
    Deno.listen({ hostname: "::", port }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    return true; // Whatever else is the matter, the server says it better.
  }
}

async function main(args: string[]): Promise<number> {
  const messages = messagesIn(languageOf(args, readEnvironment("WSS_LANG")));
  const stop = new AbortController();
  const server = new Transcript();
  const client = new Transcript();

  const listening = Promise.withResolvers<string>();
  const pattern = new RegExp(messages.server.listening.split("{port}")[0]! + "(\\d+)");
  server.onLine = (line) => {
    const port = pattern.exec(line)?.[1];
    if (port !== undefined) listening.resolve(port);
  };
  const port = isFree(PORT) ? PORT : 0;
  const serverEnd = runServer([`--port=${port}`, ...args], server, stop.signal);
  const actual = await Promise.race([listening.promise, serverEnd]);

  let clientCode = 1;
  if (typeof actual === "string") {
    clientCode = await runClient([`wss://localhost:${actual}/ws`, ...args], client);
    stop.abort();
  }
  const serverCode = await serverEnd;

  terminal.out(`# ${messages.demo.server}`);
  server.lines.forEach(terminal.out);
  terminal.out(`\n# ${messages.demo.client}`);
  client.lines.forEach(terminal.out);
  return serverCode === 0 ? clientCode : serverCode;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
