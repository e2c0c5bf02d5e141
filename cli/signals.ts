/**
 * The signals by which the operating system asks a program to stop.
 *
 * @module
 */

const STOP_SIGNALS: Partial<Record<Deno.Signal, number>> = Deno.build.os === "windows"
  ? { SIGINT: 2, SIGBREAK: 21 }
  : { SIGINT: 2, SIGTERM: 15 };

/** Why the process stops, with the shell's exit code for it: 128 plus the signal's number. */
export class Stopped extends Error {
  override name = "Stopped";
  readonly signal: string;
  readonly exitCode: number;
  constructor(signal: string, exitCode: number) {
    super(`Stopped by ${signal}`);
    this.signal = signal;
    this.exitCode = exitCode;
  }
}

/**
 * Returns an `AbortSignal` that aborts with {@linkcode Stopped} when the process is asked to stop. When it
 * is asked a second time, the process exits at once.
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

/** Settles as `work` does, or rejects with the reason of `stop` if `stop` aborts first. */
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

/** Resolves once `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true })
  );
}
