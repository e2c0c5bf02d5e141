/**
 * The package for JSR, as `deno publish --dry-run` would publish it.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { Folder, Program, projectPath } from "../programs.ts";
import { JsrRegistry } from "./jsr_registry.ts";
import { output, use } from "./project.ts";

/** Folders of files that users of the package need, and the files beside them. */
const FOLDERS = ["certs", "cli", "page", "protocol", "server", "topics", "transport", "websocket"];
const FILES = [
  "LICENSE",
  "README.md",
  "client.ts",
  "deno.json",
  "mod.ts",
  "nats.ts",
  "redis.ts",
  "server.ts",
  "topics.ts",
];

Deno.test("deno publish --dry-run publishes what users need, and nothing else", async () => {
  const args = ["publish", "--dry-run", "--allow-dirty"];
  await using program = new Program(Deno.execPath(), args, {
    cwd: projectPath(""),
    limitMs: 120_000,
  });
  const { code, stdout, stderr } = await program.end();
  assertEquals(code, 0, stderr.join("\n"));

  const lines = [...stdout, ...stderr];
  const paths = lines.flatMap((line) => /^ +file:\/\/(\S+) \(/.exec(line)?.[1] ?? [])
    .map((path) => decodeURIComponent(path).replace(projectPath(""), ""));
  assert(paths.length > 100, `${paths.length} files`);
  const inFolders = paths.filter((path) => path.includes("/"));
  assertEquals(paths.filter((path) => !path.includes("/")).sort(), FILES);
  assertEquals([...new Set(inFolders.map((path) => path.split("/")[0]))].sort(), FOLDERS);
  for (const path of inFolders) assertMatch(path, /^page\/|\.ts$/);
  assertEquals(paths.filter((path) => path.startsWith("certs/")), ["certs/generate.ts"]);
  for (const entry of Object.values(config.exports)) {
    assert(paths.includes(entry.replace("./", "")), `${entry} is not published`);
  }

  // The client of an engine is loaded by name, so that nobody else downloads it.
  const warnings = lines.filter((line) => /^(warning|error)\[/.test(line));
  assertEquals(warnings, [
    "warning[unanalyzable-dynamic-import]: unable to analyze dynamic import",
  ]);
  const at = lines.find((line) => line.includes("-->"))!;
  assertMatch(at, /cli\/server\/modes\/backplane\.ts/);
});

Deno.test("deno add installs what was published in an empty folder, and its programs run", async () => {
  await using folder = new Folder();
  const { path } = folder;
  const project = `${path}/project`;
  for (const name of ["project", "registry"]) await Deno.mkdir(`${path}/${name}`);
  await using registry = new JsrRegistry(`${path}/registry`);
  const env = { DENO_DIR: `${path}/deno`, JSR_URL: registry.url };
  const deno = Deno.execPath();
  const publish = ["publish", "--allow-dirty", "--no-provenance", "--token=any"];
  await output(deno, publish, projectPath(""), { env });

  await output(deno, ["add", "jsr:@permessage/deflate"], project, { env });
  const { imports } = JSON.parse(await Deno.readTextFile(`${project}/deno.json`));
  assertEquals(imports, { "@permessage/deflate": `jsr:@permessage/deflate@^${config.version}` });
  await use(project, env);
});
