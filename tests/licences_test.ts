/**
 * The packages of npm that are locked, and their licences, as their own `package.json` in Deno's cache states them.
 */

import { assert } from "@std/assert";
import { once, projectPath } from "./programs.ts";

/** Licences that ask for no more than their own text to be kept. */
const PERMISSIVE = ["0BSD", "Apache-2.0", "BSD-3-Clause", "ISC", "MIT", "Unlicense"];

/** The lock file of what the library and the programs load, and of the tests' packages. */
const LOCK = "deno.lock";

/** Likewise, of what is downloaded only once it is used. */
const OPTIONAL_LOCKS = ["examples/deno.lock", "topics/engines.lock"];

/** The folder of npm's packages in Deno's cache: `<name>/<version>/` is below it. */
function packages(): URL {
  return new URL("../../", import.meta.resolve("prom-client"));
}

/** The names and versions that a lock file has, without what tells apart copies for different peers. */
async function locked(path: string): Promise<[name: string, version: string][]> {
  const { npm } = JSON.parse(await Deno.readTextFile(projectPath(path)));
  return Object.keys(npm).map((key) => {
    const [, name, version] = /^(@?[^@]+)@([^_]+)/.exec(key)!;
    return [name!, version!];
  });
}

once("Locked packages have licences that permit their use", async () => {
  let known = 0;
  for (const lock of [LOCK, ...OPTIONAL_LOCKS]) {
    for (const [name, version] of await locked(lock)) {
      const file = new URL(`${name}/${version}/package.json`, packages());
      const text = await Deno.readTextFile(file).catch(() => undefined);
      if (text === undefined && lock !== LOCK) continue;
      assert(text !== undefined, `${name}@${version} is not in Deno's cache`);
      const { license } = JSON.parse(text);
      assert(PERMISSIVE.includes(license), `${name}@${version} is licensed under "${license}"`);
      known++;
    }
  }
  assert(known > 20, `${known} packages`);
});
