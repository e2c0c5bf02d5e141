/** What `client.ts` does beside the same command of npm's wscat: the server sees the same. */

import { assert, assertEquals } from "@std/assert";
import { comingFrom, type Row, rows, StandIn } from "../docs/coming_from.ts";
import { RUNNABLE } from "../programs.ts";
import { TestProxy } from "../transport/test_proxy.ts";

/** What a command of npm's prints, if wscat is there or can be had from npm. */
async function printed(command: string): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command("npx", {
      args: ["-y", "--package=wscat@6.1.0", "-c", command],
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch {
    return undefined;
  }
}

const path = RUNNABLE ? await printed("command -v wscat") : undefined;
const ignore = path === undefined;

/** Runs both commands of each row, and compares what a server and a proxy have seen. */
async function compare(rows: Row[]): Promise<void> {
  await using proxy = new TestProxy();
  await using standIn = await StandIn.start();
  const seenOf = async (command: string) => {
    const before = proxy.heads.length;
    const address = `http://127.0.0.1:${proxy.port}`;
    const { code } = await standIn.run(command.replace("http://localhost:3128", address), {
      WSCAT: path!,
    });
    assertEquals(code, 0, command);
    return { tunnels: proxy.heads.length - before, ...await standIn.seen };
  };
  for (const { theirs, ours } of rows) {
    const expected = await seenOf(theirs);
    assertEquals(expected.messages?.length, theirs.split(" -x ").length - 1, theirs);
    assertEquals(await seenOf(ours), expected, ours);
  }
}

Deno.test({
  name: "client.ts shows a server what wscat shows it, by the commands of docs/coming-from.md",
  ignore,
  async fn() {
    const compared = (await rows()).filter(({ theirs }) => /^wscat .*-x /.test(theirs));
    assert(compared.length > 12, `${compared.length} commands`);
    // wscat waits two seconds in each, so several run at a time.
    await Promise.all(
      [0, 1, 2].map((lane) => compare(compared.filter((_, at) => at % 3 === lane))),
    );
  },
});

Deno.test({
  name: "docs/coming-from.md names each option of wscat",
  ignore,
  async fn() {
    const [text] = (await comingFrom()).split("\n## websocat");
    const help = await printed("wscat --help");
    const options = help!.split("\n").filter((line) => /^ +-/.test(line));
    assert(options.length > 15, help);
    for (const option of options) {
      const names = option.trim().split(" ").filter((word) => word.startsWith("-"))
        .map((name) => name.replace(",", ""));
      if (names.includes("--help") || names.includes("--version")) continue;
      const isNamed = names.some((name) => new RegExp(`[ \`]${name}[ \`]`).test(text!));
      assert(isNamed, `docs/coming-from.md lacks wscat's ${names.join(", ")}`);
    }
  },
});
