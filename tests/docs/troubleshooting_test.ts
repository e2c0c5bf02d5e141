/**
 * `docs/troubleshooting.md` has each message, violation, status and close code that there is, as it is now.
 */

import { assert, assertEquals } from "@std/assert";
import { LANGUAGES, type Sentences, sentencesIn } from "../../cli/sentences.ts";
import { CloseCode } from "../../protocol/frame.ts";
import { granted, projectPath } from "../programs.ts";

const ignore = !await granted("read");

function readDocument(): Promise<string> {
  return Deno.readTextFile(projectPath("docs/troubleshooting.md"));
}

/** The lines of its blocks, which are lines that the programs print. */
function printedIn(text: string): string[] {
  return [...text.matchAll(/^```text\n(.*?)^```$/gms)]
    .flatMap(([, block]) => block!.trimEnd().split("\n"));
}

/** The sentences of the programs that tell what is wrong, by their names. */
function sentencesOfFailures(sentences: Sentences): [name: string, sentence: string][] {
  const { failure, usage, refusal, refused, tooOldDeno, server, client } = sentences;
  const { notFound, skipped, backplaneRefused, backplaneLost, linesLeftOut, restartToRenew } =
    server;
  const {
    upgradeFailed,
    readFailed,
    sendFailed,
    workerFailed,
    certificateKept,
    certificateExpiring,
    certificateOfAuthority,
  } = server;
  return entries({
    ...{ failure, usage, refusal, refused, tooOldDeno },
    ...{ notFound, skipped, backplaneRefused, backplaneLost, linesLeftOut, restartToRenew },
    ...{ upgradeFailed, readFailed, sendFailed, workerFailed },
    ...{ certificateKept, certificateExpiring, certificateOfAuthority },
    ...{ slow: client.load.slow, faulty: client.load.faulty },
  });
}

function entries(sentences: object, prefix = ""): [name: string, sentence: string][] {
  return Object.entries(sentences).flatMap(([key, value]) =>
    typeof value === "string"
      ? [[prefix + key, value] as [string, string]]
      : entries(value, `${prefix}${key}.`)
  );
}

/** Parts of other sentences: a hint, or what to do about a certificate or a permission. */
const PART = /Hints\.|\.(?:renew|use|addPermission)/;

/** What matches a line that the sentence is filled to. */
function patternOf(name: string, sentence: string): RegExp {
  const pattern = sentence.split(/(\{[^}]*\})/).map((part) => {
    const forms = /^\{\w+\|(.*)\|(.*)\}$/.exec(part);
    if (forms !== null) return `(?:${forms[1]}|${forms[2]})`;
    return part.startsWith("{") ? ".*" : RegExp.escape(part);
  }).join("");
  return new RegExp(PART.test(name) ? `; ${pattern}$` : `^${pattern}$`);
}

for (const language of LANGUAGES) {
  Deno.test({
    name: `docs/troubleshooting.md has each sentence that tells what is wrong, in ${language}`,
    ignore,
    async fn() {
      const lines = printedIn(await readDocument());
      const missing = sentencesOfFailures(sentencesIn(language)).filter(([name, sentence]) => {
        const pattern = patternOf(name, sentence);
        return !lines.some((line) => pattern.test(line));
      });
      assertEquals(missing, []);
    },
  });
}

Deno.test({
  name: "docs/troubleshooting.md shows no line that no program prints",
  ignore,
  async fn() {
    const patterns = LANGUAGES.flatMap((language) => sentencesOfFailures(sentencesIn(language)))
      .filter(([name]) => !PART.test(name))
      .map(([name, sentence]) => patternOf(name, sentence));
    const lines = printedIn(await readDocument());
    assert(lines.length > 200, `${lines.length} lines`);
    assertEquals(lines.filter((line) => !patterns.some((pattern) => pattern.test(line))), []);
  },
});

/** The library's source. */
async function readSource(folders: string[]): Promise<string> {
  const texts: string[] = [];
  const read = async (folder: string) => {
    for await (const { name, isDirectory } of Deno.readDir(projectPath(folder))) {
      const path = `${folder}/${name}`;
      if (isDirectory) await read(path);
      else texts.push(await Deno.readTextFile(projectPath(path)));
    }
  };
  for (const folder of folders) await read(folder);
  return texts.join("\n");
}

/** The first cells of its tables. */
function firstCells(text: string): string[] {
  return text.split("\n").flatMap((line) => /^\| (.*?) +\|/.exec(line)?.[1] ?? []);
}

Deno.test({
  name: "docs/troubleshooting.md has each violation with its close code",
  ignore,
  async fn() {
    const [text, type, source] = await Promise.all([
      readDocument(),
      Deno.readTextFile(projectPath("protocol/protocol_error.ts")),
      readSource(["protocol", "websocket"]),
    ]);
    const codes = new Map<string, number>(
      [...source.matchAll(/CloseCode\.(\w+),\s+"([A-Z_0-9]+)"/g)]
        .map(([, name, violation]) => [violation!, CloseCode[name as keyof typeof CloseCode]]),
    );
    const violations = [...type.matchAll(/^ {2}\| "(\w+)"/gm)].map(([, name]) => name!);
    assert(violations.length > 15);
    for (const violation of violations) {
      const code = codes.get(violation) ?? CloseCode.PROTOCOL_ERROR;
      assert(
        new RegExp(`^\\| \`${violation}\` +\\| ${code} +\\| \\w`, "m").test(text),
        `${violation}: ${code}`,
      );
    }
  },
});

Deno.test({
  name: "docs/troubleshooting.md has each status that the server answers, and each close code",
  ignore,
  async fn() {
    const [text, source] = await Promise.all([
      readDocument(),
      readSource(["server", "transport", "protocol", "cli/server"]),
    ]);
    const answered = source.matchAll(
      /(?:HttpError\(|textResponse\(|status: |_\w+: )\s*([45]\d\d)\b/g,
    );
    const statuses = new Set([...answered].map(([, status]) => status!));
    assert(statuses.size > 10, [...statuses].join());
    const cells = firstCells(text);
    for (const code of [...statuses, ...Object.values(CloseCode)]) {
      assert(cells.includes(String(code)), `${code}`);
    }
  },
});

Deno.test({
  name: "docs/troubleshooting.md has what each kind of the library's errors begins with, as it is",
  ignore,
  async fn() {
    const [text, code] = await Promise.all([
      readDocument(),
      readSource(["protocol", "transport", "websocket", "server", "topics"]),
    ]);
    const source = code.replaceAll(/["`] \+\s+["`]/g, "");
    const quoted = firstCells(text).flatMap((cell) => cell.match(/(?<=`)[^`]{9,}(?=`)/g) ?? [])
      .filter((message) => /^(?:\w+Error: )?(?:Cannot|Connection lost|Sockets)/.test(message));
    assert(quoted.length > 50, `${quoted.length} messages`);
    for (const message of quoted) {
      for (const part of message.replace(/^\w+Error: /, "").split(/…|"|\d[\d.]+/)) {
        // What cannot be done may be a variable.
        const problem = part.replace(/^Cannot [\w ]+: /, "");
        const found = [part, problem].some((text) =>
          source.includes(text.replaceAll(/^[:,\s]+|[:,\s]+$/g, ""))
        );
        assert(found, message);
      }
    }
    const actions = new Set(
      [...source.matchAll(/["`](Cannot [\w ]+):/g)].map(([, action]) => action!),
    );
    assert(actions.size > 15);
    const readable = text.replaceAll(/\s+/g, " ");
    assertEquals([...actions].filter((action) => !readable.includes(`${action}:`)), []);
  },
});
