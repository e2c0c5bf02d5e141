/**
 * What all examples do at their start: take the port from behind the task, and end by one sentence where they cannot
 * start.
 *
 * @module
 */

/** The port that stands behind the task, or 8443. */
export const port: number = readPort(Deno.args.join(" ") || "8443");

function readPort(text: string): number {
  if (text === "--help") {
    console.log("Behind the task may stand a port, such as 9443; without it the port is 8443");
    Deno.exit();
  }
  if (/^\d{1,5}$/.test(text) && Number(text) < 65536) return Number(text);
  console.error(
    `Cannot start: the port is ${JSON.stringify(text)}, must be a number from 0 to 65535, ` +
      "such as 9443 behind the task",
  );
  Deno.exit(1);
}

/** What is wrong, and what to do about it; undefined for any other error. */
function explain(error: unknown): string | undefined {
  const { code, message = "" } = error as { code?: string; message?: string };
  if (code === "EADDRINUSE") {
    return "Cannot listen: the port is taken, name another one behind the task, such as 9443";
  }
  if (code === "EACCES" && port < 1024) {
    return "Cannot listen: the system keeps the port, name another one behind the task, such as 9443";
  }
  if (code === "ENOENT" && message.includes("certs/")) {
    return "Cannot start: there are no certificates, make them by `deno task certs`";
  }
  // Of the chat. The value is not shown, as it may have a password in it.
  if (message.startsWith("Cannot make backplane: ")) {
    return "Cannot start: CHAT_BACKPLANE is malformed, must be a URL of NATS, such as nats://127.0.0.1";
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
