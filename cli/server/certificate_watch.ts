/**
 * Notices that a certificate on disk has changed.
 *
 * @module
 */

/** A renewal is several writes. It is complete when the files stay the same for this long, in milliseconds. */
const SETTLE_MS = 300;

/** A certificate and its key: either the paths of their files, or their contents. */
interface Pair {
  cert: string;
  key: string;
}

/**
 * Calls `renew` when the files no longer hold the pair that is served, and on `SIGHUP`. `SIGHUP` is needed
 * when the whole folder is replaced by another, which a watch of the folder does not see.
 *
 * @returns Dispose of it to stop watching.
 */
export function watchCertificate(paths: Pair, served: Pair, renew: () => void): Disposable {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const contents = () => contentOf(paths.cert) + contentOf(paths.key);
  // What `renew` was last called for, and what the last look found.
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
  // Watch the folders, not the files: a renewal often puts a new file in place, or replaces what the file
  // links to. So the names in an event do not say whether it matters, and the files are read.
  const watcher = watchFolders([...new Set([paths.cert, paths.key].map(folderOf))]);
  void (async () => {
    for await (const { kind } of watcher ?? []) if (kind !== "access") lookSoon();
  })();
  const signals = Deno.build.os !== "windows";
  if (signals) Deno.addSignalListener("SIGHUP", renewNow);
  // The files may have changed since the server read them.
  lookSoon();
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      watcher?.close();
      if (signals) Deno.removeSignalListener("SIGHUP", renewNow);
    },
  };
}

/** Undefined if a folder cannot be watched, or the system has no more watches; `SIGHUP` still works. */
function watchFolders(folders: string[]): Deno.FsWatcher | undefined {
  try {
    return Deno.watchFs(folders, { recursive: false });
  } catch {
    return undefined;
  }
}

/** The file's text; empty if it cannot be read, which `renew` will report. */
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
