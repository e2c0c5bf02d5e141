/**
 * The operating system's ways of asking a program to stop.
 *
 * @module
 */

const STOP_SIGNALS: Partial<Record<Deno.Signal, number>> = Deno.build.os === "windows"
  ? { SIGINT: 2, SIGBREAK: 21 }
  : { SIGINT: 2, SIGTERM: 15 };

/** Why the process is to stop, with the shell's exit code for it: 128 and the signal's number. */
export class Stopped extends Error {
  override name = "Stopped";
  readonly exitCode: number;
  constructor(signal: string, exitCode: number) {
    super(`Stopped by ${signal}`);
    this.exitCode = exitCode;
  }
}

/**
 * A signal that aborts, with {@linkcode Stopped}, when the process is asked to stop. Asked a second time,
 * the process exits at once.
 */
export function stopRequested(): AbortSignal {
  const controller = new AbortController();
  for (const [name, number] of Object.entries(STOP_SIGNALS)) {
    Deno.addSignalListener(name as Deno.Signal, () => {
      if (controller.signal.aborted) Deno.exit(128 + number);
      controller.abort(new Stopped(name, 128 + number));
    });
  }
  return controller.signal;
}

/** What `work` results in, unless `stop` aborts first: then rejects with its reason. */
export async function unlessStopped<T>(work: Promise<T>, stop: AbortSignal): Promise<T> {
  const stopped = Promise.withResolvers<never>();
  const abort = () => stopped.reject(stop.reason);
  stop.addEventListener("abort", abort);
  if (stop.aborted) abort();
  try {
    return await Promise.race([work, stopped.promise]);
  } finally {
    stop.removeEventListener("abort", abort);
  }
}
