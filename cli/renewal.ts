/**
 * Noticing that a certificate on disk has been renewed.
 *
 * @module
 */

/** A renewal is several writes: they have ended when none has come for so long, in milliseconds. */
const SETTLE_MS = 300;

/**
 * Calls `renew` when one of the files is written, or the process gets `SIGHUP`.
 *
 * @returns Stops that.
 */
export function watchRenewal(paths: string[], renew: () => void): Disposable {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const names = new Set(paths.map(nameOf));
  // The folders are watched, as a renewal often puts new files in the place of the old.
  const watcher = watchFolders([...new Set(paths.map(folderOf))]);
  void (async () => {
    for await (const event of watcher ?? []) {
      if (event.kind === "access" || !event.paths.some((path) => names.has(nameOf(path)))) continue;
      clearTimeout(timer);
      timer = setTimeout(renew, SETTLE_MS);
    }
  })();
  const signals = Deno.build.os !== "windows";
  if (signals) Deno.addSignalListener("SIGHUP", renew);
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      watcher?.close();
      if (signals) Deno.removeSignalListener("SIGHUP", renew);
    },
  };
}

/** Nothing where the folder may not be read, or the system has no more watches: `SIGHUP` remains. */
function watchFolders(folders: string[]): Deno.FsWatcher | undefined {
  try {
    return Deno.watchFs(folders, { recursive: false });
  } catch {
    return undefined;
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function folderOf(path: string): string {
  const at = path.lastIndexOf("/");
  return at === -1 ? "." : path.slice(0, at) || "/";
}
