import { assertEquals, assertRejects } from "@std/assert";
import { AwaitableSocket } from "../../../cli/client/awaitable_socket.ts";
import { ProtocolError } from "../../../protocol/protocol_error.ts";
import { sentencesIn } from "../../../cli/sentences.ts";
import { Failure } from "../../../cli/failure.ts";
import { FakeSocket } from "../fake_socket.ts";

/** A timeout that the tests wait for, in milliseconds. */
const TIMEOUT_MS = 20;

function converse(timeout = 60_000): { socket: FakeSocket; awaitable: AwaitableSocket } {
  const socket = new FakeSocket();
  return { socket, awaitable: new AwaitableSocket(socket.asWebSocket, timeout, sentencesIn("en")) };
}

const never = () => Promise.reject(new Error("there was nothing to explain"));

Deno.test("AwaitableSocket.opened() waits for the open event", async () => {
  const { socket, awaitable } = converse();
  const opened = awaitable.opened("host", never);
  socket.onopen?.();
  await opened;
});

Deno.test("AwaitableSocket.opened() fails with what explains the error", async () => {
  const { socket, awaitable } = converse();
  const opened = awaitable.opened(
    "host",
    (message) => Promise.resolve(new Failure(`so: ${message}`)),
  );
  socket.onerror?.(new ErrorEvent("error", { message: "refused" }));
  socket.end(1006, "", false);
  await assertRejects(() => opened, Failure, "so: refused");
});

Deno.test("AwaitableSocket.opened() names the host that does not answer in time", async () => {
  const { awaitable } = converse(TIMEOUT_MS);
  await assertRejects(
    () => awaitable.opened("a.example:8443", never),
    Failure,
    "no answer from a.example:8443 in 20 ms; raise it with --timeout",
  );
});

Deno.test("AwaitableSocket.nextMessage() returns messages in order, whether they came before the call or after", async () => {
  const { socket, awaitable } = converse();
  socket.receive("one");
  socket.receive(new Uint8Array([2]));
  assertEquals(await awaitable.nextMessage(), "one");
  assertEquals(await awaitable.nextMessage(), new Uint8Array([2]));
  const next = awaitable.nextMessage();
  socket.receive("three");
  assertEquals(await next, "three");
});

Deno.test("AwaitableSocket.nextMessage() returns what came before the close", async () => {
  const { socket, awaitable } = converse();
  socket.receive("last");
  socket.end(1000);
  assertEquals(await awaitable.nextMessage(), "last");
  await assertRejects(
    () => awaitable.nextMessage(),
    Failure,
    "the server closed the connection (code 1000) before it answered",
  );
});

Deno.test("AwaitableSocket.nextMessage() fails with how the connection ended", async () => {
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
    const { socket, awaitable } = converse();
    const next = awaitable.nextMessage();
    socket.end(code, reason, wasClean);
    await assertRejects(() => next, Failure, sentence);
  }
});

Deno.test("AwaitableSocket.nextMessage() tells which rule or limit the server broke", async () => {
  const cases: [ProtocolError, string][] = [
    [
      new ProtocolError(1009, "MESSAGE_TOO_BIG", "message is longer"),
      "the server sent a message longer than --max-message-size; raise that limit",
    ],
    [
      new ProtocolError(1002, "MASKED", "frame is masked"),
      "the client ended the connection (code 1002, frame is masked)",
    ],
  ];
  for (const [error, sentence] of cases) {
    const { socket, awaitable } = converse();
    const next = awaitable.nextMessage();
    socket.onerror?.(new ErrorEvent("error", { error }));
    socket.end(1006, "", false);
    await assertRejects(() => next, Failure, sentence);
  }
});

Deno.test("AwaitableSocket.nextMessage() fails when no message comes in time", async () => {
  const { awaitable } = converse(TIMEOUT_MS);
  await assertRejects(
    () => awaitable.nextMessage(),
    Failure,
    "no answer in 20 ms; raise it with --timeout",
  );
});

Deno.test("AwaitableSocket.close() closes with 1000 and returns how the peer closed", async () => {
  const { socket, awaitable } = converse();
  const closing = awaitable.close();
  assertEquals(socket.closes, [1000]);
  socket.end(1000, "bye");
  assertEquals(await closing, { code: 1000, reason: "bye", wasClean: true });
});

Deno.test("AwaitableSocket.close() fails when the peer does not close, or not cleanly", async () => {
  const { awaitable } = converse(TIMEOUT_MS);
  await assertRejects(
    () => awaitable.close(),
    Failure,
    "the server did not confirm the close in 20 ms; raise it with --timeout",
  );
  const { socket, awaitable: lost } = converse();
  const closing = lost.close();
  socket.end(1006, "", false);
  await assertRejects(
    () => closing,
    Failure,
    "the connection was lost without a close (code 1006)",
  );
});
