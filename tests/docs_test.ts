/**
 * The documents stay true: the files, tasks and options that they name are there, and the options that there
 * are they name.
 */

import { assert, assertEquals } from "@std/assert";
import { flags } from "../cli/client/flags.ts";
import { sentencesIn } from "../cli/sentences.ts";
import type { Flag } from "../cli/flags.ts";
import config from "../deno.json" with { type: "json" };
import { main as server } from "../server.ts";
import { granted, projectPath, runHere, RUNNABLE } from "./programs.ts";
import { serveLimits } from "../server/options.ts";
import { socketLimits } from "../websocket/options.ts";

const READMES = ["README.md", "README.pt-BR.md"];

const ignore = !await granted("read");

/** The text of each document, by its path in the project. */
async function documents(): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const folder of ["", "bench/", "docs/"]) {
    for await (const { name } of Deno.readDir(projectPath(folder))) {
      const path = folder + name;
      if (name.endsWith(".md")) texts.set(path, await Deno.readTextFile(projectPath(path)));
    }
  }
  return texts;
}

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
    const texts = await documents();
    texts.set(".ci/run", await Deno.readTextFile(projectPath(".ci/run")));
    for (const document of [...READMES, "CONTRIBUTING.md", "SECURITY.md", "docs/server.md"]) {
      assert(/\bdeno task [a-z]/.test(texts.get(document)!), document);
    }
    for (const [document, text] of texts) {
      // A line of output does not go on in the next one.
      const lines = text.replaceAll(
        /^```text$.*?^```$/gms,
        (block) => block.replaceAll("\n", ";\n"),
      );
      for (const [, task] of lines.matchAll(/\bdeno(?:@[\d.]+)? task\s+([a-z:]+)/g)) {
        assert(tasks.includes(task!), `${document}: ${task}`);
      }
    }
  },
});

/** The name that GitHub gives a heading in an address. */
function anchorOf(heading: string): string {
  const plain = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
  return plain.replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, "").replaceAll(" ", "-");
}

/** A document without its blocks of code, where `#` begins no heading and brackets make no link. */
function withoutCode(text: string): string {
  return text.replaceAll(/^```[^]*?^```$/gm, "");
}

Deno.test({
  name: "Links of documents lead to files and headings that there are",
  ignore,
  async fn() {
    const texts = await documents();
    let count = 0;
    for (const [document, text] of texts) {
      for (const [, link] of withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(link!)) continue;
        count++;
        const { pathname, hash } = new URL(link!, `file:///${document}`);
        const path = decodeURIComponent(pathname).slice(1);
        const found = await Deno.stat(projectPath(path)).catch(() => undefined);
        assert(found !== undefined, `${document} links to ${link}, which is not there`);
        if (hash === "") continue;
        const headings = withoutCode(texts.get(path)!).match(/(?<=^#+ ).+/gm) ?? [];
        const anchor = decodeURIComponent(hash.slice(1));
        assert(headings.map(anchorOf).includes(anchor), `${document}: no heading for ${link}`);
      }
    }
    assert(count > 40, `${count} links`);
  },
});

Deno.test({
  name: "README.md and README.pt-BR.md are short",
  ignore,
  async fn() {
    for (const document of READMES) {
      const text = await Deno.readTextFile(projectPath(document));
      const lines = text.trimEnd().split("\n");
      assert(lines.length < 250, `${document} has ${lines.length} lines`);
      const prose = withoutCode(text).split("\n").filter((line) => !line.startsWith("|"));
      assertEquals(prose.filter((line) => line.length > 120), [], document);
    }
  },
});

Deno.test({
  name: "docs/library.md and SECURITY.md have a row for each limit",
  ignore,
  async fn() {
    const limits = [...Object.keys(socketLimits({}, "server")), ...Object.keys(serveLimits({}))];
    assert(limits.includes("messageTimeout") && limits.includes("maxHeaders"));
    for (const document of ["docs/library.md", "SECURITY.md"]) {
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
    assert(rows(english!).length > 10);
    assertEquals(rows(portuguese!), rows(english!));
    const commands = (text: string) => text.match(/`deno task [^`]+`/g);
    assertEquals(commands(portuguese!), commands(english!));
    const links = (text: string) => text.match(/\]\((?!README|#)[^)]+\)/g);
    assertEquals(links(portuguese!), links(english!));
  },
});

/** The flags in the first cells of a document's tables. */
function flagsOf(text: string): string[] {
  const cells = text.split("\n").filter((line) => line.startsWith("| `-"))
    .map((line) => line.split(/(?<!\\)\|/)[1]);
  return [...new Set(cells.join().match(/(?<=`)--?[\w-]+/g))].sort();
}

Deno.test({
  name: "docs/server.md has a row for each flag of the server, and no other",
  ignore: !RUNNABLE,
  async fn() {
    const text = await Deno.readTextFile(projectPath("docs/server.md"));
    const help = await runHere((output) => server(["--help"], output, AbortSignal.abort()));
    const known = help.stdout.join("\n").match(/(?<=^ +(?:-\w, )?)--?[\w-]+/gm)!;
    assert(known.length > 20);
    assertEquals(flagsOf(text), known.sort());
  },
});

Deno.test({
  name: "docs/client.md has a row for each flag of the client and each exit code, and no other",
  ignore,
  async fn() {
    const text = await Deno.readTextFile(projectPath("docs/client.md"));
    const known = Object.entries<Flag<unknown>>(flags).flatMap(([name, { alias }]) =>
      alias === undefined ? [`--${name}`] : [`--${name}`, `-${alias}`]
    );
    assertEquals(flagsOf(text), known.sort());
    const codes = text.match(/(?<=^\| )`\d+`(?:, `\d+`)*(?= +\|)/gm)!.join(", ").match(/\d+/g);
    assertEquals(codes, Object.keys(sentencesIn("en").client.exitCodes));
  },
});

Deno.test({
  name: "Documents name variables of flags that there are",
  ignore,
  async fn() {
    const texts = await documents();
    // The tests above hold these tables to the flags.
    const named = flagsOf(texts.get("docs/server.md")! + texts.get("docs/client.md")!);
    const variables = named.map((flag) =>
      flag.toUpperCase().replace("--", "WSS_").replaceAll("-", "_")
    );
    const used = [...texts].flatMap(([document, text]) =>
      [...text.matchAll(/\bWSS_[A-Z_]+/g)].map(([variable]) => ({ document, variable }))
    );
    assert(used.length > 10);
    assertEquals(used.filter(({ variable }) => !variables.includes(variable)), []);
  },
});
