/**
 * The documents stay true: the files, tasks and options that they name are there, and the options that there
 * are they name.
 */

import { assert, assertEquals } from "@std/assert";
import { flags } from "../cli/client/flags.ts";
import { sentencesIn } from "../cli/sentences.ts";
import type { Flag } from "../cli/flags.ts";
import config from "../deno.json" with { type: "json" };
import { granted, projectPath } from "./programs.ts";
import { serveLimits } from "../server/options.ts";
import { socketLimits } from "../websocket/options.ts";

const READMES = ["README.md", "README.pt-BR.md"];

const ignore = !await granted("read");

Deno.test({
  name: "docs/design.md names files that there are",
  ignore,
  async fn() {
    const text = await Deno.readTextFile(projectPath("docs/design.md"));
    const files = text.match(/(?:[\w.-]+\/)*[\w.-]+\.(?:ts|md|json|mjs|go)\b/g) ?? [];
    const folders = text.match(/(?<![\w./])(?:[\w-]+\/)+(?![\w.])/g) ?? [];
    const paths = new Set([...files, ...folders]);
    assert(paths.size > 40, `${paths.size} paths`);
    for (const path of paths) {
      const found = await Deno.stat(projectPath(path)).catch(() => undefined);
      assert(found !== undefined, `docs/design.md names "${path}", which is not there`);
      assertEquals(found.isDirectory, path.endsWith("/"), path);
    }
  },
});

Deno.test({
  name: "Documents name tasks that there are",
  ignore,
  async fn() {
    const tasks = Object.keys(config.tasks);
    const documents = [
      ...READMES,
      "CONTRIBUTING.md",
      "SECURITY.md",
      "docs/design.md",
      "docs/scale.md",
      "bench/README.md",
      ".ci/run",
    ];
    for (const document of documents) {
      const text = await Deno.readTextFile(projectPath(document));
      const named = [...text.matchAll(/\bdeno(?:@[\d.]+)? task\s+([a-z:]+)/g)];
      assert(named.length > 0, document);
      for (const [, task] of named) assert(tasks.includes(task!), `${document}: ${task}`);
    }
  },
});

Deno.test({
  name: "README.md, README.pt-BR.md and SECURITY.md have a row for each limit",
  ignore,
  async fn() {
    const limits = [...Object.keys(socketLimits({}, "server")), ...Object.keys(serveLimits({}))];
    assert(limits.includes("messageTimeout") && limits.includes("maxHeaders"));
    for (const document of [...READMES, "SECURITY.md"]) {
      const text = await Deno.readTextFile(projectPath(document));
      for (const limit of limits) {
        assert(new RegExp(`^\\| \`${limit}\` `, "m").test(text), `${document} lacks ${limit}`);
      }
    }
  },
});

/** What the first cells of the tables name. */
function rows(text: string): string[] {
  const cells = text.split("\n").flatMap((line) => /^\| (`[^|]*?) +\|/.exec(line)?.[1] ?? []);
  // What a value is called is translated, and so is what stands behind the name in brackets.
  return cells.map((cell) => cell.replace(/=.*|\s\(.*/, ""));
}

Deno.test({
  name: "README.pt-BR.md has the rows and the commands of README.md",
  ignore,
  async fn() {
    const [english, portuguese] = await Promise.all(
      READMES.map((path) => Deno.readTextFile(projectPath(path))),
    );
    assert(rows(english!).length > 40);
    assertEquals(rows(portuguese!), rows(english!));
    const commands = (text: string) => text.match(/`deno task [^`]+`/g);
    assertEquals(commands(portuguese!), commands(english!));
    const links = (text: string) => text.match(/\]\((?!README)[^)]+\)/g);
    assertEquals(links(portuguese!), links(english!));
  },
});

Deno.test({
  name: "docs/client.md has a row for each flag of the client and each exit code, and no other",
  ignore,
  async fn() {
    const text = await Deno.readTextFile(projectPath("docs/client.md"));
    const cells = text.split("\n").filter((line) => line.startsWith("| `-"))
      .map((line) => line.split(/(?<!\\)\|/)[1]);
    const named = cells.join().match(/(?<=`)--?[\w-]+/g) ?? [];
    const known = Object.entries<Flag<unknown>>(flags).flatMap(([name, { alias }]) =>
      alias === undefined ? [`--${name}`] : [`--${name}`, `-${alias}`]
    );
    assertEquals([...new Set(named)].sort(), known.sort());
    const codes = text.match(/(?<=^\| )`\d+`(?:, `\d+`)*(?= +\|)/gm)!.join(", ").match(/\d+/g);
    assertEquals(codes, Object.keys(sentencesIn("en").client.exitCodes));
  },
});
