/** What `examples/` say where they cannot start. */

import { assertEquals } from "@std/assert";
import { certificatesFolder, Folder, projectPath, run, type Task } from "../programs.ts";
import { isDownloaded } from "./downloaded.ts";

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
