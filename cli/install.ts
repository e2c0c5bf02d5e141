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

async function main(): Promise<number> {
  const folder = userFolder();
  if (folder === undefined) {
    terminal.err("Cannot install: HOME and XDG_DATA_HOME name no folder, one of them must");
    return 1;
  }
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
    terminal.out(name);
  }
  return 0;
}

if (import.meta.main) Deno.exit(await main());
