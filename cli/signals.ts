/**
 * The operating system's ways of asking a program to stop.
 *
 * @module
 */

const STOP_SIGNALS: Partial<Record<Deno.Signal, number>> = Deno.build.os === "windows"
  ? { SIGINT: 2, SIGBREAK: 21 }
  : { SIGINT: 2, SIGTERM: 15 };

/**
 * A signal that aborts when the process is asked to stop. Asked a second time, the process exits at
 * once, with the shell's code for it: 128 and the signal's number.
 */
export function stopRequested(): AbortSignal {
  const controller = new AbortController();
  for (const [name, number] of Object.entries(STOP_SIGNALS)) {
    Deno.addSignalListener(name as Deno.Signal, () => {
      if (controller.signal.aborted) Deno.exit(128 + number);
      controller.abort();
    });
  }
  return controller.signal;
}
