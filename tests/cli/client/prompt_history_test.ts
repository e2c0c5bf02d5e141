import { assert, assertEquals, assertThrows } from "@std/assert";
import { mayBeKept, PromptHistory } from "../../../cli/client/prompt_history.ts";
import { Failure } from "../../../cli/failure.ts";
import { HISTORY_LINES } from "../../../cli/prompt.ts";
import { sentencesIn } from "../../../cli/sentences.ts";
import { Folder, granted } from "../../programs.ts";

const english = sentencesIn("en");
const ignore = !await granted("read", "write");

Deno.test("mayBeKept() leaves out what may hold a secret, and what begins with a space", () => {
  const kept = ["hello", "/close 4000 bye", '{"type":"subscribe","id":7}', "x".repeat(4096)];
  assertEquals(kept.filter(mayBeKept), kept);
  const secrets = [
    "token=abc",
    '{"access_token":"abc"}',
    "Authorization: Basic YTpi",
    "bearer abc",
    '{"PASSWORD": 1}',
    '{"senha": 1}',
    "x-api-key: 1",
    "client_secret=1",
    "Cookie: a=b",
    "eyJhbGciOiJIUzI1NiJ9.e30.x",
    " hello",
    "",
    "x".repeat(4097),
  ];
  assertEquals(secrets.filter(mayBeKept), []);
});

Deno.test({
  name: "PromptHistory keeps lines from one run to the next, for their owner alone",
  ignore,
  async fn() {
    await using folder = new Folder();
    const path = `${folder.path}/history`;
    Deno.writeTextFileSync(path, "older\ntoken=1\n", { mode: 0o644 });
    const first = PromptHistory.open(path, english);
    const second = PromptHistory.open(path, english);
    assertEquals(first.lines, ["older"]);
    first.add("one");
    first.add("Bearer secret");
    second.add("two");
    assertEquals(PromptHistory.open(path, english).lines, ["older", "one", "two"]);
    assert(!Deno.readTextFileSync(path).includes("secret"));
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
  },
});

Deno.test({
  name: "PromptHistory reads no more than the end of a large file, and cuts a long one",
  ignore,
  async fn() {
    await using folder = new Folder();
    const path = `${folder.path}/history`;
    const all = Array.from({ length: 200_000 }, (_, index) => `line ${index}`);
    Deno.writeTextFileSync(path, `${all.join("\n")}\n`);
    const { lines } = PromptHistory.open(path, english);
    assertEquals(lines, all.slice(-HISTORY_LINES));
    assertEquals(Deno.readTextFileSync(path), `${lines.join("\n")}\n`);
    assertEquals(Array.from(Deno.readDirSync(folder.path)).length, 1);
  },
});

Deno.test({
  name: "PromptHistory refuses a file that cannot be used, and can do without one",
  ignore,
  async fn() {
    await using folder = new Folder();
    for (const path of [folder.path, `${folder.path}/none/history`]) {
      const error = assertThrows(() => PromptHistory.open(path, english), Failure);
      assert(error.message.includes(`the history "${path}" cannot be used`), error.message);
    }
    const none = PromptHistory.open("off", english);
    none.add("line");
    assertEquals(none.lines, []);

    const history = PromptHistory.open(`${folder.path}/history`, english);
    Deno.removeSync(`${folder.path}/history`);
    Deno.mkdirSync(`${folder.path}/history`);
    assertThrows(() => history.add("told once"), Failure);
    history.add("not told again");
  },
});
