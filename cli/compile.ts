/**
 * `deno task compile`: builds the two programs as single binaries in `dist/`, with fixed permissions.
 *
 * @module
 */

import { terminal } from "./output.ts";

/**
 * Unlike the tasks, a binary may use the whole network and read every file; the client also writes where
 * `--output` says. A binary cannot be given more
 * permissions when it runs, and what `--host`, a URL, `--cert` and `--cacert` name is known only then.
 */
const PERMISSIONS = ["--no-prompt", "--allow-net"];

/** The variables that name proxies, as the client's task has them. */
const PROXIES = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"]
  .flatMap((name) => [name, name.toLowerCase()]);

const PROGRAMS = {
  server: [
    "--allow-env=WSS_*",
    "--allow-read",
    "--allow-write=certs",
    "--include=cli/server/worker.ts",
    // As the task has it.
    "--v8-flags=--max-semi-space-size=4",
  ],
  client: [
    `--allow-env=WSS_*,HOME,XDG_STATE_HOME,${PROXIES},REQUEST_METHOD`,
    "--allow-read",
    "--allow-write",
  ],
};

async function main(): Promise<number> {
  const excluded = await testsOfBintrees();
  for (const [name, permissions] of Object.entries(PROGRAMS)) {
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "compile",
        "--quiet",
        ...PERMISSIONS,
        "--exclude-unused-npm",
        `--exclude=${excluded}`,
        ...permissions,
        `--output=dist/${name}`,
        `${name}.ts`,
      ],
      stdout: "inherit",
    }).output();
    if (!success) {
      terminal.err(explain(new TextDecoder().decode(stderr)));
      return 1;
    }
    terminal.out(`dist/${name}`);
  }
  return 0;
}

/**
 * The tests in the npm package `bintrees`, which `prom-client` depends on: `deno compile` of Deno 2.9 overflows its
 * stack when it embeds them.
 */
async function testsOfBintrees(): Promise<string> {
  const lock = JSON.parse(await Deno.readTextFile("deno.lock"));
  const name = Object.keys(lock.npm).find((name) => name.startsWith("bintrees@"))!;
  // Packages are kept as <registry>/<name>/<version>/.
  const packages = new URL("../../", import.meta.resolve("prom-client"));
  return decodeURIComponent(new URL(`${name.replace("@", "/")}/test`, packages).pathname);
}

/** Explains an error. Deno downloads its base binary from a server that many networks cannot reach. */
function explain(stderr: string): string {
  const address = /error sending request for url \((\S+)\)/.exec(stderr)?.[1];
  return address === undefined
    ? stderr
    : `Cannot compile: Deno's runtime base binary cannot be downloaded from ${address}; ` +
      "run this where that address can be reached, or name a copy of it in DENORT_BIN";
}

if (import.meta.main) Deno.exit(await main());
