/**
 * Ends an example by one sentence where it cannot start: its port is taken, or there are no certificates.
 *
 * @module
 */

/** What is wrong, and what to do about it; undefined for any other error. */
function explain(error: unknown): string | undefined {
  const { code, message = "" } = error as { code?: string; message?: string };
  if (code === "EADDRINUSE") {
    return "Cannot listen: the port is taken, name another one behind the task, such as 9443";
  }
  if (code === "ENOENT" && message.includes("certs/server.")) {
    return "Cannot start: there are no certificates, make them by `deno task certs`";
  }
  return undefined;
}

/** Errors that it cannot explain keep their stack. */
function end(event: Event, error: unknown): void {
  const sentence = explain(error);
  if (sentence === undefined) return;
  event.preventDefault();
  console.error(sentence);
  Deno.exit(1);
}

addEventListener("unhandledrejection", (event) => end(event, event.reason));
addEventListener("error", (event) => end(event, event.error));
