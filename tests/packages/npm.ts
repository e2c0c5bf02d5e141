/**
 * The archive for npm, as `deno task pack` makes it, in a project of its own.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import archive from "../../npm.json" with { type: "json" };
import { Folder, projectPath } from "../programs.ts";
import { output, use } from "./project.ts";

/** Makes the archive, by the task's command. */
async function pack(): Promise<Uint8Array<ArrayBuffer>> {
  await using folder = new Folder();
  const path = `${folder.path}/package.tgz`;
  const args = ["task", "--quiet", "pack", `--output=${path}`];
  assertEquals(await output(Deno.execPath(), args, projectPath("")), "");
  return await Deno.readFile(path);
}

/** The archive, for all tests. */
let packed: Promise<Uint8Array<ArrayBuffer>> | undefined;

Deno.test("deno task pack makes an archive that npm installs in an empty folder, the same each time", async () => {
  await using folder = new Folder();
  const { path } = folder;
  const archive = await (packed ??= pack());
  await Deno.writeFile(`${path}/package.tgz`, archive);
  const project = `${path}/project`;
  await Deno.mkdir(project);
  await Deno.writeTextFile(`${project}/package.json`, '{ "type": "module" }');
  await output("npm", ["install", "--no-audit", "--no-fund", "../package.tgz"], project);

  const installed = `${project}/node_modules/@permessage/deflate`;
  const { version, license } = JSON.parse(await Deno.readTextFile(`${installed}/package.json`));
  assertEquals([version, license], [config.version, "MIT"]);
  await use(project);

  // Node has npm, and may be tried by mistake.
  const told = await output("node", ["-e", 'import("@permessage/deflate")'], project, {
    success: false,
  });
  assertStringIncludes(
    told,
    "Error: Cannot load @permessage/deflate: the runtime is not Deno",
  );

  // Seconds later, the same files give the same bytes.
  assertEquals(await pack(), archive);
});

/** A registry of npm that has an archive alone. */
function registry(archive: Uint8Array<ArrayBuffer>, manifest: { name: string; version: string }) {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { origin, pathname } = new URL(request.url);
    if (pathname === "/archive.tgz") return new Response(archive);
    if (decodeURIComponent(pathname) !== `/${manifest.name}`) {
      return new Response("Not found", { status: 404 });
    }
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-512", archive));
    const dist = { tarball: `${origin}/archive.tgz`, integrity: `sha512-${hash.toBase64()}` };
    return Response.json({
      name: manifest.name,
      "dist-tags": { latest: manifest.version },
      versions: { [manifest.version]: { ...manifest, dist } },
    });
  });
}

Deno.test("deno add installs the archive from a registry in an empty folder", async () => {
  await using folder = new Folder();
  const { path } = folder;
  const archive = await (packed ??= pack());
  await Deno.writeFile(`${path}/package.tgz`, archive);
  await output("tar", ["-xzf", "package.tgz"], path);
  const manifest = JSON.parse(await Deno.readTextFile(`${path}/package/package.json`));
  await using server = registry(archive, manifest);
  const project = `${path}/project`;
  await Deno.mkdir(project);
  // What it depends on comes from where all comes from.
  const { port } = server.addr;
  await Deno.writeTextFile(
    `${project}/.npmrc`,
    `@permessage:registry=http://127.0.0.1:${port}/\n`,
  );
  const env = { DENO_DIR: `${path}/deno` };
  await output(Deno.execPath(), ["add", "npm:@permessage/deflate"], project, { env });

  const { imports } = JSON.parse(await Deno.readTextFile(`${project}/deno.json`));
  assertEquals(imports, { "@permessage/deflate": `npm:@permessage/deflate@^${config.version}` });
  await use(project, env);
});

Deno.test("npm.json has the exports of deno.json but the programs", () => {
  const { "./client": _client, "./server": _server, ...library } = config.exports;
  assertEquals<unknown>(archive.exports, library);
  assertEquals(archive.license, config.license);
});
