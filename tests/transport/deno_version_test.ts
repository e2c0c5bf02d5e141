import { assertEquals } from "@std/assert";
import { isTooOld, OLDEST_DENO } from "../../transport/deno_version.ts";
import { projectPath, RUNNABLE } from "../programs.ts";

Deno.test("isTooOld() compares numbers, and goes on where there are none", () => {
  const tooOld = ["1.46.3", "2.0.0", "2.7.14", "2.8.99", "2.9.0", "2.9.0-rc.1"];
  const fine = [OLDEST_DENO, "2.9.6", "2.9.50", "2.10.0", "3.0.0", "2.9.6+1234567"];
  for (const version of tooOld) assertEquals(isTooOld(version), true, version);
  for (const version of [...fine, "", "canary", undefined]) {
    assertEquals(isTooOld(version), false, version);
  }
});

/** Runs Deno as if it were of version 2.8.3. */
async function runOld(...args: string[]) {
  const [command, ...rest] = args;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...[command!, `--config=${projectPath("deno.json")}`],
      ...[`--preload=${projectPath("tests/old_deno.ts")}`, ...rest],
    ],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test({
  name: "Programs on a version that is too old say so in one line, and exit with 1",
  ignore: !RUNNABLE,
  async fn() {
    const lines = {
      "en": 'Cannot run: Deno is "2.8.3", must be 2.9.5 or newer\n',
      "pt-BR": 'Não é possível executar: o Deno é "2.8.3", deve ser 2.9.5 ou mais novo\n',
    };
    for (const file of ["server.ts", "client.ts"]) {
      for (const [language, line] of Object.entries(lines)) {
        const ran = await runOld("run", "-A", projectPath(file), `--lang=${language}`);
        assertEquals(ran, { code: 1, out: "", err: line });
      }
    }
  },
});

Deno.test({
  name: "serve() and WebSocket throw on a version that is too old",
  ignore: !RUNNABLE,
  async fn() {
    const code = `
      import { serve, WebSocket } from "${`file://${projectPath("mod.ts")}`}";
      for (const start of [
        () => serve({ port: 0, hostname: "127.0.0.1" }, () => new Response()),
        () => new WebSocket("ws://127.0.0.1:1/"),
      ]) {
        try {
          start();
        } catch (error) {
          console.log(error.message);
        }
      }
    `;
    const file = Deno.makeTempFileSync({ suffix: ".ts" });
    try {
      Deno.writeTextFileSync(file, code);
      const { out } = await runOld("run", "-A", "--no-check", file);
      assertEquals(out.split("\n"), [
        'Cannot serve: Deno is "2.8.3", must be 2.9.5 or newer',
        'Cannot open WebSocket: Deno is "2.8.3", must be 2.9.5 or newer',
        "",
      ]);
    } finally {
      Deno.removeSync(file);
    }
  },
});
