import { assertEquals, assertRejects } from "@std/assert";
import { withFileLock } from "../../cli/file_lock.ts";
import { Folder, granted, modesBind, once, Program, projectPath } from "../programs.ts";

const WRITABLE = await granted("read", "write");

/** A program that takes the lock `lock`, prints a line, and holds the lock until it is killed. */
function holder(cwd: string): Program {
  const module = JSON.stringify(`file://${projectPath("cli/file_lock.ts")}`);
  const code = `
    import { withFileLock } from ${module};
    await withFileLock("lock", () => {
      console.log("held");
      return new Promise(() => setInterval(() => {}, 1000));
    });`;
  return new Program(Deno.execPath(), ["eval", code], { cwd });
}

Deno.test({
  name: "withFileLock() runs one body at a time, and leaves no file",
  ignore: !WRITABLE,
  async fn() {
    await using folder = new Folder();
    let running = 0;
    const most: number[] = [];
    const body = async (i: number) => {
      most.push(++running);
      // Other bodies get many chances to run, if they are not kept from it.
      for (let turn = 0; turn < 5; turn++) await Deno.lstat(folder.path);
      running--;
      return i;
    };
    const bodies = Array.from({ length: 20 }, (_, i) => i);
    const results = bodies.map((i) => withFileLock(`${folder.path}/lock`, () => body(i)));
    assertEquals(await Promise.all(results), bodies);
    assertEquals(most, bodies.map(() => 1));
    assertEquals([...Deno.readDirSync(folder.path)], []);
  },
});

Deno.test({
  name: "withFileLock() releases the lock when its body fails",
  ignore: !WRITABLE,
  async fn() {
    await using folder = new Folder();
    const fail = () => Promise.reject(new RangeError("failed"));
    await assertRejects(() => withFileLock(`${folder.path}/lock`, fail), RangeError, "failed");
    assertEquals(await withFileLock(`${folder.path}/lock`, () => Promise.resolve(1)), 1);
  },
});

once(
  "withFileLock() waits for another process, and no longer than that process lives",
  async () => {
    await using folder = new Folder();
    await using program = holder(folder.path);
    assertEquals(await program.stdout.next(), "held");
    const events: string[] = [];
    const locked = withFileLock(`${folder.path}/lock`, () => {
      events.push("locked");
      return Promise.resolve();
    });
    // An opening and a locking of another file take as long as those that must not succeed.
    await withFileLock(`${folder.path}/other`, () => Promise.resolve());
    events.push("killed");
    program.kill("SIGKILL");
    await locked;
    assertEquals(events, ["killed", "locked"]);
  },
);

Deno.test({
  name: "withFileLock() runs its body without a lock if there can be none",
  ignore: !WRITABLE,
  async fn() {
    await using folder = new Folder();
    const body = () => Promise.resolve("run");
    assertEquals(await withFileLock(`${folder.path}/none/lock`, body), "run");
    if (!modesBind()) return;
    await Deno.chmod(folder.path, 0o500);
    assertEquals(await withFileLock(`${folder.path}/lock`, body), "run");
    await Deno.chmod(folder.path, 0o700);
  },
});
