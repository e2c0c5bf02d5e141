import { assertEquals } from "@std/assert";
import { Folder, once, Program, projectPath } from "../programs.ts";

/** The server's folder, as a process sees it that has these permissions and is in this folder. */
async function seen(cwd: string, home: string, ...permissions: string[]): Promise<string> {
  const module = JSON.stringify(projectPath("cli/certificates_folder.ts"));
  await Deno.writeTextFile(
    `${home}/main.ts`,
    `import { serverFolder } from ${module}; console.log(serverFolder());`,
  );
  const config = `--config=${projectPath("deno.json")}`;
  const args = ["run", "--no-prompt", "--quiet", config, ...permissions, `${home}/main.ts`];
  const env = { XDG_DATA_HOME: `${home}/data` };
  await using program = new Program(Deno.execPath(), args, { cwd, env });
  const { code, stdout, stderr } = await program.end();
  assertEquals([code, stderr], [0, []]);
  return stdout[0]!;
}

once(
  "serverFolder() is the user's where the program may write there, but for a folder with a certificate, or its own",
  async () => {
    await using folder = new Folder();
    const home = `${folder.path}/home`;
    const elsewhere = `${folder.path}/elsewhere`;
    for (const path of [home, elsewhere]) await Deno.mkdir(path);
    const own = `${home}/data/permessage-deflate`;
    assertEquals(await seen(elsewhere, home, "--allow-all"), own);
    assertEquals(await seen(elsewhere, home, "--allow-env", `--allow-write=${own}`), own);
    assertEquals(await seen(elsewhere, home, "--allow-env", "--allow-write=certs"), "certs");
    assertEquals(await seen(elsewhere, home, "--allow-write"), "certs");
    assertEquals(await seen(projectPath(""), home, "--allow-all"), "certs");
    await Deno.mkdir(`${elsewhere}/certs`);
    await Deno.writeTextFile(`${elsewhere}/certs/server.crt`, "");
    assertEquals(await seen(elsewhere, home, "--allow-all"), "certs");
  },
);
