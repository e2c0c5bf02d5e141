import { assertEquals, assertRejects } from "@std/assert";
import { BadArguments, SlashCommands } from "../../cli/slash_commands.ts";
import { Failure } from "../../cli/failure.ts";
import { sentencesIn } from "../../cli/sentences.ts";

function commands() {
  const done: string[] = [];
  const slash = new SlashCommands<"open" | "fail" | "bug" | "bad" | "off">(
    {
      send: (text) => void done.push(`sent ${text}`),
      tell: (lines) => void done.push(lines),
      fail: (sentence) => void done.push(`failed: ${sentence}`),
      commands: {
        open: (argument) => void done.push(`open "${argument}"`),
        off: () => Promise.reject(new DOMException("socket is CLOSED\x1b[2J")),
        fail: () => {
          throw new Failure("no file");
        },
        bug: () => Promise.reject(new TypeError("a bug")),
        bad: () => {
          throw new BadArguments();
        },
      },
    },
    {
      open: "/open [NAME]: opens",
      fail: "/fail: fails",
      bug: "/bug: has one",
      bad: "/bad N: is never right",
      off: "/off: is off",
      help: "/help: this",
    },
    sentencesIn("en"),
  );
  return { slash, done };
}

Deno.test("SlashCommands sends what is no command, and with // what looks like one", async () => {
  const { slash, done } = commands();
  for (const line of ["text /open", "", " /open", "//open", "///x", "//"]) await slash.run(line);
  assertEquals(done, ["sent text /open", "sent  /open", "sent /open", "sent //x", "sent /"]);
});

Deno.test("SlashCommands gives a command what stands behind its name", async () => {
  const { slash, done } = commands();
  for (const line of ["/open", "/open  a  b ", "/open a\nb"]) await slash.run(line);
  assertEquals(done, ['open ""', 'open "a  b"', 'open "a\nb"']);
});

Deno.test("SlashCommands tells what cannot be done, and what was meant", async () => {
  const { slash, done } = commands();
  for (const line of ["/opne", "/constructor", "/", "/fail", "/bad 1", "/off"]) {
    await slash.run(line);
  }
  const rest = "; /help shows all, and // sends a text with /";
  assertEquals(done, [
    `failed: Unknown command "/opne", perhaps "/open"${rest}`,
    `failed: Unknown command "/constructor"${rest}`,
    `failed: Unknown command "/"${rest}`,
    "failed: no file",
    "failed: Cannot run the command: its arguments must be as in /bad N",
    "failed: socket is CLOSED\\u{1b}[2J",
  ]);
  await assertRejects(() => slash.run("/bug"), TypeError);
});

Deno.test("SlashCommands shows each command in /help, and completes names alone", async () => {
  const { slash, done } = commands();
  await slash.run("/help");
  assertEquals(done[0]!.split("\n").slice(0, 2), [
    "  /open [NAME]  opens",
    "  /fail         fails",
  ]);
  assertEquals(done[0]!.split("\n").length, 7);
  assertEquals(slash.complete("/o"), ["/open", "/off"]);
  assertEquals([slash.complete("o"), slash.complete(""), slash.complete("/x")], [[], [], []]);
});
