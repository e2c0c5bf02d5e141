/**
 * Programs in Go on Debian's package of gorilla/websocket, compiled once for each test file.
 *
 * Importing this file needs no permission.
 *
 * @module
 */

import { Folder, projectPath, RUNNABLE } from "../programs.ts";

/** Debian's packages are compiled without modules, from where golang-*-dev puts them. */
const ENV = { GO111MODULE: "off", GOPATH: "/usr/share/gocode", CGO_ENABLED: "0" };

/** Whether Go and gorilla/websocket are here, and may be run. */
export const HAS_GORILLA: boolean = RUNNABLE &&
  await go(["list", "github.com/gorilla/websocket"]).then(() => true, () => false);

let folder: Folder | undefined;
const compiled = new Map<string, Promise<string>>();

/**
 * Compiles the program in a folder of `tests/interop/go/`.
 *
 * @returns The path of the program, which is removed after the tests of the file.
 */
export function compileGo(name: string): Promise<string> {
  folder ??= new Folder();
  const file = `${folder.path}/${name}`;
  const compiling = compiled.get(name) ??
    go(["build", "-o", file, "."], projectPath(`tests/interop/go/${name}`)).then(() => file);
  compiled.set(name, compiling);
  return compiling;
}

Deno.test.afterAll(() => folder?.[Symbol.asyncDispose]());

/** Runs a command of Go. */
async function go(args: string[], cwd?: string): Promise<void> {
  const command = new Deno.Command("go", { args, env: ENV, ...(cwd !== undefined && { cwd }) });
  const { success, stderr } = await command.output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}
