/** What `examples/` say where they cannot start, and of what may stand behind their tasks. */

import { assertEquals } from "@std/assert";
import { certificatesFolder, Folder, once, projectPath, run, type Task } from "../programs.ts";
import { isDownloaded } from "./downloaded.ts";

/** What is said of a wrong port. */
function refused(text: string) {
  const sentence = `Cannot start: the port is "${text}", must be a number from 0 to 65535, ` +
    "such as 9443 behind the task";
  return { code: 1, stdout: [], stderr: [sentence] };
}

/** What each example imports from npm, directly or not. */
const IMPORTS: [task: Task, specifiers: string[]][] = [
  ["example:app", ["hono", "srvx/static"]],
  ["example:chat", [projectPath("nats.ts")]],
  ["example:echo", []],
  ["example:express", ["express"]],
  ["example:feed", []],
  ["example:hono", ["hono"]],
];

for (const [task, specifiers] of IMPORTS) {
  Deno.test({
    name: `deno task ${task} says in one sentence why it cannot start`,
    ignore: !await isDownloaded(...specifiers),
    async fn() {
      await using empty = new Folder();
      assertEquals(await run(task, ["0"], { cwd: empty.path }), {
        code: 1,
        stdout: [],
        stderr: ["Cannot start: there are no certificates, make them by `deno task certs`"],
      });
      assertEquals(await run(task, ["99999"], { cwd: empty.path }), refused("99999"));
      await using folder = await certificatesFolder();
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = listener.addr as Deno.NetAddr;
      assertEquals(await run(task, [`${port}`], { cwd: folder.path }), {
        code: 1,
        stdout: [],
        stderr: [
          "Cannot listen: the port is taken, name another one behind the task, such as 9443",
        ],
      });
    },
  });
}

once("deno task example:echo takes a port behind it, and says so", async () => {
  await using empty = new Folder();
  const ask = (...args: string[]) => run("example:echo", args, { cwd: empty.path });
  for (const wrong of ["abc", "--port=9443", "65536", "-1", "1e3", "80.5"]) {
    assertEquals(await ask(wrong), refused(wrong));
  }
  assertEquals(await ask("9443", "9444"), refused("9443 9444"));
  assertEquals(await ask("--help"), {
    code: 0,
    stdout: ["Behind the task may stand a port, such as 9443; without it the port is 8443"],
    stderr: [],
  });
});
