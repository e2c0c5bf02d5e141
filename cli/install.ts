/**
 * `deno task install`: installs `wss-server` and `wss-client` for the current user.
 *
 * The programs have the permissions of their tasks, but for the certificates, which are in the user's own
 * folder.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };
import { LOCAL_FOLDER, userFolder } from "./certificates_folder.ts";
import { readEnvironment } from "./flags.ts";
import { terminal } from "./output.ts";

const PROGRAMS = { "wss-server": "serve", "wss-client": "client" } as const;

/** The absolute path of a file of the project. */
function projectPath(path: string): string {
  return decodeURIComponent(new URL(`../${path}`, import.meta.url).pathname);
}

/** The arguments of `deno install` for a task's command. */
function argumentsOf(task: keyof typeof config.tasks, folder: string): string[] {
  const { command } = config.tasks[task];
  const words = command.slice(command.indexOf(" run ") + " run ".length).split(" ");
  return words.map((word) => {
    const [flag, list] = word.split("=");
    if (flag === "--allow-env") return `${word},HOME,XDG_DATA_HOME`;
    if (flag !== "--allow-read" && flag !== "--allow-write") {
      return word.endsWith(".ts") ? projectPath(word) : word;
    }
    const paths = list!.split(",").map((path) =>
      path === LOCAL_FOLDER ? folder : projectPath(path)
    );
    return `${flag}=${paths}`;
  });
}

/** The folder that `deno install --global` writes to. Undefined if only the system knows the user's home. */
function installFolder(): string | undefined {
  const root = readEnvironment("DENO_INSTALL_ROOT");
  if (root) return `${root}/bin`;
  const home = readEnvironment("HOME");
  return home && `${home}/.deno/bin`;
}

/** The folders where the user's shell looks for programs. */
function searchedFolders(): string[] {
  const folders = (readEnvironment("PATH") ?? "").split(":");
  // What npx and npm add is there only while they run.
  return folders.filter((folder) => !folder.endsWith("/node_modules/.bin"));
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** What the user must do before the programs can be run by their names. */
function warnings(folder: string | undefined): string[] {
  const searched = searchedFolders();
  return [
    ...folder === undefined || searched.includes(folder)
      ? []
      : [`${folder} is not in PATH; write: export PATH="${folder}:$PATH"`],
    ...searched.some((path) => isFile(`${path}/deno`))
      ? []
      : ["The programs are run by deno, which is not in PATH; write: npm install --global deno"],
  ];
}

async function main(): Promise<number> {
  const folder = userFolder();
  if (folder === undefined) {
    terminal.err("Cannot install: HOME and XDG_DATA_HOME name no folder, one of them must");
    return 1;
  }
  const bin = installFolder();
  for (const [name, task] of Object.entries(PROGRAMS)) {
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: [
        "install",
        "--global",
        "--force",
        "--quiet",
        `--name=${name}`,
        `--config=${projectPath("deno.json")}`,
        ...argumentsOf(task, folder),
      ],
    }).spawn().status;
    if (code !== 0) return code;
    terminal.out(bin === undefined ? name : `${bin}/${name}`);
  }
  for (const warning of warnings(bin)) terminal.err(warning);
  return 0;
}

if (import.meta.main) Deno.exit(await main());
