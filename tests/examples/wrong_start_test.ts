/** What `examples/` say where they cannot start. */

import { assertEquals } from "@std/assert";
import { succeeds } from "../interop/peer.ts";
import { certificatesFolder, Folder, projectPath, run, RUNNABLE, type Task } from "../programs.ts";
import { CAN_RUN as CAN_RUN_APP } from "./app.ts";

/** Whether the packages of the chat have been downloaded. */
const CAN_RUN_CHAT = RUNNABLE && await succeeds(Deno.execPath(), [
  "eval",
  "--cached-only",
  "--frozen",
  `--config=${projectPath("examples/deno.json")}`,
  `import ${JSON.stringify(projectPath("nats.ts"))};`,
]);

const CASES: [task: Task, canRun: boolean][] = [
  ["example:app", CAN_RUN_APP],
  ["example:chat", CAN_RUN_CHAT],
  ["example:feed", RUNNABLE],
];

for (const [task, canRun] of CASES) {
  Deno.test({
    name: `deno task ${task} says in one sentence why it cannot start`,
    ignore: !canRun,
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
