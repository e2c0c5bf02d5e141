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

Deno.test("A project with the clone among its links uses it as the package, with types", async () => {
  await using folder = new Folder();
  const links = [projectPath("").replace(/\/$/, "")];
  await Deno.writeTextFile(`${folder.path}/deno.json`, JSON.stringify({ links }));
  await use(folder.path);
});

Deno.test("What deno publish publishes is used from an empty folder, by what a user types", async (test) => {
  await using folder = new Folder();
  const { path } = folder;
  for (const name of ["registry", "project", "a home", "bin"]) await Deno.mkdir(`${path}/${name}`);
  await using registry = new JsrRegistry(`${path}/registry`);
  const variables = { DENO_DIR: `${path}/deno`, JSR_URL: registry.url };
  const deno = Deno.execPath();
  const publish = ["publish", "--allow-dirty", "--no-provenance", "--token=any"];
  await output(deno, publish, projectPath(""), { env: variables });

  await test.step("deno add gives the library, with types", async () => {
    const [project, env] = [`${path}/project`, variables];
    await output(deno, ["add", "jsr:@permessage/deflate"], project, { env });
    const { imports } = JSON.parse(await Deno.readTextFile(`${project}/deno.json`));
    assertEquals(imports, { "@permessage/deflate": `jsr:@permessage/deflate@^${config.version}` });
    await use(project, env);
  });

  await test.step("deno install --global gives the programs, certificates in the user's data", async () => {
    const home = `${path}/a home`;
    // The programs are started by a `deno` of the path.
    await Deno.symlink(deno, `${path}/bin/deno`);
    const env = {
      ...variables,
      DENO_INSTALL_ROOT: home,
      HOME: home,
      PATH: `${path}/bin:${Deno.env.get("PATH")}`,
      XDG_DATA_HOME: "",
    };
    for (const name of ["server", "client"]) {
      const module = `jsr:@permessage/deflate/${name}`;
      const args = ["install", "--global", "--allow-all", `--name=wss-${name}`, module];
      await output(deno, args, path, { env });
    }

    const options = { cwd: home, env, limitMs: 120_000 };
    const args = ["--port=0", "--workers=2"];
    await using server = new Program(`${home}/bin/wss-server`, args, options);
    const port = await listeningPort(server);
    const authority = await Deno.readTextFile(`${home}/.local/share/permessage-deflate/ca.crt`);
    using client = Deno.createHttpClient({ caCerts: [authority] });
    const page = await fetch(`https://localhost:${port}/`, { client });
    assertStringIncludes(await page.text(), "<!doctype html>");
    const url = `wss://localhost:${port}/ws`;
    const told = await output(`${home}/bin/wss-client`, [url], path, { env });
    assertStringIncludes(told, "Mensagem recebida do servidor: Retorno do servidor!");
  });
});
