import { assert, assertEquals } from "@std/assert";
import { granted } from "../programs.ts";
import { type Code, codeIn, codeOf } from "./documents.ts";
import { idle, misfits } from "./takers.ts";

const ignore = !await granted("read");

Deno.test({
  name: "Each block and each command of the documents is run by one test",
  ignore,
  async fn() {
    assertEquals(await misfits(), []);
    assertEquals(await idle(), []);
  },
});

Deno.test({
  name: "README.pt-BR.md has the blocks of README.md, each with as many lines",
  ignore,
  async fn() {
    const [english, portuguese] = await Promise.all(
      ["README.md", "README.pt-BR.md"].map(async (document) =>
        (await codeOf(document)).filter(({ language }) => language !== "inline")
          .map(({ language, text }) => [language, text.split("\n").length])
      ),
    );
    assert(english!.length > 4);
    assertEquals(portuguese, english);
  },
});

const MARKDOWN = [
  "# First",
  "Type `deno task",
  "serve --port=1`, or `deno`.",
  "",
  "```sh",
  "deno task demo # `deno task test`",
  "```",
  "",
  "shows",
  "",
  "- in a list:",
  "",
  "  ```text",
  "  hello",
  "  ```",
  "",
  "## Second",
  "",
  "| `a` | `wss-client a \\| b` |",
  "```text",
  "a drawing",
  "```",
].join("\n");

Deno.test("codeIn() finds blocks, their output, and commands across line ends and in tables", () => {
  const code = codeIn("a.md", MARKDOWN);
  const short = ({ line, section, language, text, outputOf }: Code) => [
    ...[line, section, language, text],
    ...outputOf === undefined ? [] : [outputOf.line],
  ];
  assertEquals(code.map(short), [
    [2, "First", "inline", "deno task serve --port=1"],
    [5, "First", "sh", "deno task demo # `deno task test`\n"],
    [13, "First", "text", "hello\n", 5],
    [19, "Second", "inline", "wss-client a | b"],
    [20, "Second", "text", "a drawing\n"],
  ]);
});
