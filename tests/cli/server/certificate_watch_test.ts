import { deadline } from "@std/async/deadline";
import { assertEquals } from "@std/assert";
import { watchCertificate } from "../../../cli/server/certificate_watch.ts";
import { Folder, RUNNABLE } from "../../programs.ts";

/** Longest wait for a call of the watch, in milliseconds. */
const LIMIT_MS = 10_000;

/** A watch whose calls are awaited one by one. */
class Watch implements Disposable {
  calls = 0;
  readonly #watch: Disposable;
  #called = Promise.withResolvers<void>();

  constructor(folder: string, served: string) {
    const paths = { cert: `${folder}/tls.crt`, key: `${folder}/tls.key` };
    this.#watch = watchCertificate(paths, { cert: served, key: served }, () => {
      this.calls++;
      this.#called.resolve();
    });
  }

  /** Waits for the next call. */
  async called(): Promise<void> {
    await deadline(this.#called.promise, LIMIT_MS);
    this.#called = Promise.withResolvers();
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }
}

/** Writes a pair, both files with the same text, into `folder`. */
async function writePair(folder: string, text: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (const file of ["tls.crt", "tls.key"]) await Deno.writeTextFile(`${folder}/${file}`, text);
}

Deno.test({
  name: "watchCertificate() notices that the target of the links is replaced",
  ignore: !RUNNABLE,
  async fn() {
    await using folder = new Folder();
    const { path } = folder;
    // This is how Kubernetes mounts a secret: it replaces one link, and the files' own names get no event.
    const release = async (name: string) => {
      await writePair(`${path}/..${name}`, name);
      await Deno.symlink(`..${name}`, `${path}/..data_tmp`);
      await Deno.rename(`${path}/..data_tmp`, `${path}/..data`);
    };
    await release("one");
    for (const file of ["tls.crt", "tls.key"]) {
      await Deno.symlink(`..data/${file}`, `${path}/${file}`);
    }
    using watch = new Watch(path, "one");
    for (const name of ["two", "three"]) {
      await release(name);
      await watch.called();
    }
  },
});

Deno.test({
  name:
    "watchCertificate() notices a change made before it watched, and no change where there is none",
  ignore: !RUNNABLE,
  async fn() {
    await using folder = new Folder();
    await writePair(folder.path, "new");
    using current = new Watch(folder.path, "new");
    using stale = new Watch(folder.path, "old");
    // Both watches look at the files after the same time.
    await stale.called();
    assertEquals(current.calls, 0);
    await writePair(folder.path, "newer");
    await current.called();
  },
});
