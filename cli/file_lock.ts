/**
 * A lock between processes, held on a file. The system releases it when its process ends, however it ends,
 * so a crash leaves no lock behind.
 *
 * @module
 */

/** On Windows a file that is open cannot be removed, so the lock's file stays, and is always the same. */
const STAYS = Deno.build.os === "windows";

/**
 * Runs `body` while this process alone holds the lock. Waits for a process that holds it already.
 *
 * If the lock cannot be had (in a folder that cannot be written, or on a file system without locks), `body`
 * runs without it.
 *
 * @param path The lock's file, which is there only while the lock is held or waited for.
 * @param body What to run.
 * @returns What `body` returns.
 */
export async function withFileLock<T>(path: string, body: () => Promise<T>): Promise<T> {
  const file = await lock(path);
  try {
    return await body();
  } finally {
    // Removed before the lock is released: the next holder notices, and locks a new file.
    if (file !== undefined && !STAYS) await Deno.remove(path).catch(() => {});
    file?.close();
  }
}

/** The locked file, or undefined if the lock cannot be had. */
async function lock(path: string): Promise<Deno.FsFile | undefined> {
  for (;;) {
    let file: Deno.FsFile | undefined;
    try {
      file = await Deno.open(path, { write: true, create: true });
      await file.lock(true);
      if (STAYS || await isStillAt(path, file)) return file;
      file.close();
    } catch {
      file?.close();
      return undefined;
    }
  }
}

/** Whether `file` is what `path` names. It is not if the lock's last holder has removed it. */
async function isStillAt(path: string, file: Deno.FsFile): Promise<boolean> {
  try {
    const [held, named] = await Promise.all([file.stat(), Deno.lstat(path)]);
    return held.ino === named.ino && held.dev === named.dev;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
