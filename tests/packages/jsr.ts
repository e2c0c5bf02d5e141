/**
 * The package for JSR, as `deno publish --dry-run` would publish it.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { Folder, listeningPort, Program, projectPath } from "../programs.ts";
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

/** The package on a registry of this machine, and the variables by which Deno takes it from there. */
async function published(folder: Folder) {
  const { path } = folder;
  await Deno.mkdir(`${path}/registry`);
  const registry = new JsrRegistry(`${path}/registry`);
  const env = { DENO_DIR: `${path}/deno`, JSR_URL: registry.url };
  const args = ["publish", "--allow-dirty", "--no-provenance", "--token=any"];
  await output(Deno.execPath(), args, projectPath(""), { env });
  return { env, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
}

Deno.test("deno add installs what is published in an empty folder, with types", async () => {
  await using folder = new Folder();
  await using registry = await published(folder);
  const { env } = registry;
  const project = `${folder.path}/project`;
  await Deno.mkdir(project);
  await output(Deno.execPath(), ["add", "jsr:@permessage/deflate"], project, { env });
  const { imports } = JSON.parse(await Deno.readTextFile(`${project}/deno.json`));
  assertEquals(imports, { "@permessage/deflate": `jsr:@permessage/deflate@^${config.version}` });
  await use(project, env);
});

Deno.test("deno install --global gives programs of what is published, certificates in the user's data", async () => {
  await using folder = new Folder();
  await using registry = await published(folder);
  const [home, bin] = ["a home", "bin"].map((name) => `${folder.path}/${name}`);
  for (const path of [home!, bin!]) await Deno.mkdir(path);
  // The programs are started by a `deno` of the path.
  await Deno.symlink(Deno.execPath(), `${bin}/deno`);
  const env = {
    ...registry.env,
    DENO_INSTALL_ROOT: home!,
    HOME: home!,
    PATH: `${bin}:${Deno.env.get("PATH")}`,
    XDG_DATA_HOME: "",
  };
  const options = { cwd: home!, env, limitMs: 120_000 };
  for (const name of ["server", "client"]) {
    const module = `jsr:@permessage/deflate/${name}`;
    const args = ["install", "--global", "--allow-all", `--name=wss-${name}`, module];
    await output(Deno.execPath(), args, home!, { env });
  }

  await using server = new Program(`${home}/bin/wss-server`, ["--port=0", "--workers=2"], options);
  const port = await listeningPort(server);
  const authority = await Deno.readTextFile(`${home}/.local/share/permessage-deflate/ca.crt`);
  using client = Deno.createHttpClient({ caCerts: [authority] });
  const page = await fetch(`https://localhost:${port}/`, { client });
  assertStringIncludes(await page.text(), "<!doctype html>");
  const told = await output(`${home}/bin/wss-client`, [`wss://localhost:${port}/ws`], home!, {
    env,
  });
  assertStringIncludes(told, "Mensagem recebida do servidor: Retorno do servidor!");
});
