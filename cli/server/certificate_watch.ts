/**
 * Noticing that a certificate on disk has been renewed.
 *
 * @module
 */

/** A renewal is several writes: they have ended when they changed nothing for so long, in milliseconds. */
const SETTLE_MS = 300;

/** A certificate and its key: the paths of their files, or what they hold. */
interface Pair {
  cert: string;
  key: string;
}

/**
 * Calls `renew` when the files no longer hold what is served, or the process gets `SIGHUP`: the only way
 * to tell of a folder that has been replaced by another.
 *
 * @returns Stops that.
 */
export function watchCertificate(paths: Pair, served: Pair, renew: () => void): Disposable {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const contents = () => contentOf(paths.cert) + contentOf(paths.key);
  let known = served.cert + served.key;
  let seen = known;
  const renewNow = () => {
    known = contents();
    renew();
  };
  const look = () => {
    timer = undefined;
    const now = contents();
    if (now === known) return;
    if (now === seen) return renewNow();
    seen = now;
    lookSoon();
  };
  const lookSoon = () => {
    timer ??= setTimeout(look, SETTLE_MS);
  };
  // The folders are watched, as a renewal often puts new files in the place of the old, or replaces what
  // they are links to: the names in an event do not tell whether it matters.
  const watcher = watchFolders([...new Set([paths.cert, paths.key].map(folderOf))]);
  void (async () => {
    for await (const { kind } of watcher ?? []) if (kind !== "access") lookSoon();
  })();
  const signals = Deno.build.os !== "windows";
  if (signals) Deno.addSignalListener("SIGHUP", renewNow);
  // They may have been written since they were read.
  lookSoon();
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      watcher?.close();
      if (signals) Deno.removeSignalListener("SIGHUP", renewNow);
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

/** What cannot be read holds nothing; `renew` tells why. */
function contentOf(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

function folderOf(path: string): string {
  const at = path.lastIndexOf("/");
  return at === -1 ? "." : path.slice(0, at) || "/";
}
