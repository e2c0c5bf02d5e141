import { assertEquals, assertThrows } from "@std/assert";
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { ownTerminal, Prompt, type PromptTerminal } from "../../cli/prompt.ts";
import { Failure } from "../../cli/failure.ts";
import type { Stopped } from "../../cli/signals.ts";

/** A terminal of 20 columns that remembers what was drawn. */
class FakeTerminal extends EventEmitter implements PromptTerminal {
  readonly input = new PassThrough();
  readonly output = this;
  columns = 20;
  #drawn = "";

  write(text: string): void {
    this.#drawn += text;
  }

  /** What was drawn since the last time. */
  take(): string {
    const drawn = this.#drawn;
    this.#drawn = "";
    return drawn;
  }

  /** Presses keys, and waits until the prompt has taken them. */
  async press(keys: string): Promise<void> {
    const taken = new Promise((resolve) => this.input.once("data", resolve));
    this.input.write(keys);
    await taken;
  }
}

function start(options?: Parameters<Prompt["start"]>[0]) {
  const terminal = new FakeTerminal();
  const prompt = new Prompt(terminal, "hint");
  prompt.start(options);
  return { terminal, prompt };
}

Deno.test("Prompt gives the lines that are typed, in order, and ends at Ctrl-D", async () => {
  const { terminal, prompt } = start();
  using _ = prompt;
  await terminal.press("on\x1b[D\x1b[DX\rtwo\nthree\r");
  await terminal.press("\x04");
  assertEquals(await prompt.next(), "Xon");
  assertEquals(await prompt.next(), "two");
  assertEquals(await prompt.next(), "three");
  assertEquals(await prompt.next(), undefined);
  assertEquals(await prompt.next(), undefined);
});

Deno.test("Prompt.next waits for a line, and for the end", async () => {
  const { terminal, prompt } = start();
  const line = prompt.next();
  await terminal.press("late\r");
  assertEquals(await line, "late");
  const end = prompt.next();
  prompt[Symbol.dispose]();
  assertEquals(await end, undefined);
});

Deno.test("Prompt.print erases the line in all its rows, and draws it again below", async () => {
  const { terminal, prompt } = start();
  using _ = prompt;
  await terminal.press("a".repeat(30));
  terminal.take();
  prompt.print("above\nit");
  assertEquals(
    terminal.take(),
    `\x1b[1A\r\x1b[Jabove\nit\n\n\x1b[1A\x1b[1G\x1b[0J> ${"a".repeat(30)}\x1b[13G`,
  );
});

Deno.test("Prompt.print prints plainly before the start and after the end", () => {
  const terminal = new FakeTerminal();
  const prompt = new Prompt(terminal, "hint");
  prompt.print("before");
  assertEquals(terminal.take(), "before\n");
  prompt.start();
  prompt[Symbol.dispose]();
  terminal.take();
  prompt.print("after");
  assertEquals(terminal.take(), "after\n");
});

Deno.test("Prompt clears the line at Ctrl-C, and leaves at a second one in a row", async () => {
  const { terminal, prompt } = start();
  using _ = prompt;
  await terminal.press("gone\x03");
  await terminal.press("kept\r");
  assertEquals(await prompt.next(), "kept");
  await terminal.press("\x03");
  await terminal.press("x\x03");
  assertEquals(prompt.left.aborted, false);
  await terminal.press("\x03");
  assertEquals((prompt.left.reason as Stopped).exitCode, 130);
  assertEquals(terminal.take().match(/hint\n/g)?.length, 3);
});

Deno.test("Prompt calls back the history that it was given, the latest first", async () => {
  const { terminal, prompt } = start({ history: ["older", "newer"] });
  using _ = prompt;
  await terminal.press("\x1b[A\r\x1b[A\x1b[A\r");
  assertEquals([await prompt.next(), await prompt.next()], ["newer", "older"]);
});

Deno.test("Prompt completes with the tab key, and leaves a tab that was pasted", async () => {
  const complete = (line: string) => ["/ping", "/pong"].filter((name) => name.startsWith(line));
  const { terminal, prompt } = start({ complete });
  using _ = prompt;
  await terminal.press("/pi");
  await terminal.press("\t");
  await terminal.press("\ra\tb\r");
  assertEquals([await prompt.next(), await prompt.next()], ["/ping", "a\tb"]);
});

Deno.test("Prompt draws a line anew at another width, over the rows it takes by then", async () => {
  const { terminal, prompt } = start();
  using _ = prompt;
  await terminal.press("a".repeat(30));
  for (const [columns, move] of [[10, "\x1b[2A\x1b[1A"], [40, "\n\n\n\x1b[3A"]] as const) {
    terminal.take();
    terminal.columns = columns;
    terminal.emit("resize");
    assertEquals(terminal.take().startsWith(`${move}\x1b[1G\x1b[0J> aaa`), true);
  }
});

Deno.test("Prompt leaves no listeners, and what was typed last in sight", async () => {
  const { terminal, prompt } = start();
  await terminal.press("unsent\x1b[D");
  terminal.take();
  prompt[Symbol.dispose]();
  prompt[Symbol.dispose]();
  assertEquals(terminal.take().endsWith("\n"), true);
  assertEquals([terminal.listenerCount("resize"), terminal.input.isPaused()], [0, true]);

  const empty = start();
  empty.terminal.take();
  empty.prompt[Symbol.dispose]();
  assertEquals(empty.terminal.take().startsWith("\r\x1b[J"), true);
});

Deno.test({
  name: "ownTerminal() refuses to go on where there is no terminal",
  ignore: Deno.stdin.isTerminal() && Deno.stdout.isTerminal(),
  fn() {
    const error = assertThrows(() => ownTerminal("use a terminal"), Failure);
    assertEquals([error.exitCode, error.message], [2, "use a terminal"]);
  },
});
