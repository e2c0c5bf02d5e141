import { assertEquals, assertRejects } from "@std/assert";
import { Conversation } from "../../cli/conversation.ts";
import { messagesIn } from "../../cli/messages.ts";
import { Failure } from "../../cli/output.ts";
import { FakeSocket } from "./fake_socket.ts";

/** Long enough for what happens at once, short enough to wait for. */
const TIMEOUT_MS = 20;

function converse(timeout = 60_000): { socket: FakeSocket; conversation: Conversation } {
  const socket = new FakeSocket();
  return { socket, conversation: new Conversation(socket.asWebSocket, timeout, messagesIn("en")) };
}

const never = () => Promise.reject(new Error("there was nothing to explain"));

Deno.test("Conversation.opened() waits for the open event", async () => {
  const { socket, conversation } = converse();
  const opened = conversation.opened("host", never);
  socket.onopen?.();
  await opened;
});

Deno.test("Conversation.opened() fails with what explains the error", async () => {
  const { socket, conversation } = converse();
  const opened = conversation.opened(
    "host",
    (message) => Promise.resolve(new Failure(`so: ${message}`)),
  );
  socket.onerror?.(new ErrorEvent("error", { message: "refused" }));
  socket.end(1006, "", false);
  await assertRejects(() => opened, Failure, "so: refused");
});

Deno.test("Conversation.opened() names the host that does not answer in time", async () => {
  const { conversation } = converse(TIMEOUT_MS);
  await assertRejects(
    () => conversation.opened("a.example:8443", never),
    Failure,
    "no answer from a.example:8443 in 20 ms; raise it with --timeout",
  );
});

Deno.test("Conversation.nextMessage() returns messages in their order, whenever they came", async () => {
  const { socket, conversation } = converse();
  socket.receive("one");
  socket.receive(new Uint8Array([2]));
  assertEquals(await conversation.nextMessage(), "one");
  assertEquals(await conversation.nextMessage(), new Uint8Array([2]));
  const next = conversation.nextMessage();
  socket.receive("three");
  assertEquals(await next, "three");
});

Deno.test("Conversation.nextMessage() returns what came before the close", async () => {
  const { socket, conversation } = converse();
  socket.receive("last");
  socket.end(1000);
  assertEquals(await conversation.nextMessage(), "last");
  await assertRejects(
    () => conversation.nextMessage(),
    Failure,
    "the server closed the connection (code 1000) before it answered",
  );
});

Deno.test("Conversation.nextMessage() fails with how the connection ended", async () => {
  const cases: [number, string, boolean, string][] = [
    [
      4001,
      "bye\x1b",
      true,
      'the server closed the connection (code 4001, "bye\\u{1b}") before it answered',
    ],
    [1006, "", false, "the connection was lost without a close (code 1006)"],
    [0, "", false, "the connection was lost without a close (code 1006)"],
  ];
  for (const [code, reason, wasClean, sentence] of cases) {
    const { socket, conversation } = converse();
    const next = conversation.nextMessage();
    socket.end(code, reason, wasClean);
    await assertRejects(() => next, Failure, sentence);
  }
});

Deno.test("Conversation.nextMessage() fails when no message comes in time", async () => {
  const { conversation } = converse(TIMEOUT_MS);
  await assertRejects(
    () => conversation.nextMessage(),
    Failure,
    "no answer in 20 ms; raise it with --timeout",
  );
});

Deno.test("Conversation.close() closes with 1000 and returns how the peer closed", async () => {
  const { socket, conversation } = converse();
  const closing = conversation.close();
  assertEquals(socket.closes, [1000]);
  socket.end(1000, "bye");
  assertEquals(await closing, { code: 1000, reason: "bye", wasClean: true });
});

Deno.test("Conversation.close() fails when the peer does not close, or not cleanly", async () => {
  const { conversation } = converse(TIMEOUT_MS);
  await assertRejects(
    () => conversation.close(),
    Failure,
    "the server did not confirm the close in 20 ms",
  );
  const { socket, conversation: lost } = converse();
  const closing = lost.close();
  socket.end(1006, "", false);
  await assertRejects(
    () => closing,
    Failure,
    "the connection was lost without a close (code 1006)",
  );
});
