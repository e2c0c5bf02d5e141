import { assertEquals } from "@std/assert";
import { LoadConnection } from "../../../../cli/client/load/connection.ts";
import { Tally } from "../../../../cli/client/load/tally.ts";
import { Refusal } from "../../../../cli/client/refusal.ts";
import { Failure } from "../../../../cli/failure.ts";
import { FakeSocket } from "../../fake_socket.ts";

/** A connection whose socket and clock the test drives. */
function connect(options: { skip?: number; isAnswered?: boolean; failure?: Failure } = {}) {
  const { skip = 0, isAnswered = true, failure = new Failure("nobody there") } = options;
  const socket = new FakeSocket();
  const tally = new Tally();
  const clock = { now: 0 };
  const heard: string[] = [];
  const dialled = {
    socket: socket.asWebSocket,
    explain: () => Promise.resolve(failure),
    [Symbol.dispose]: () => void heard.push("cut off"),
  };
  const connection = new LoadConnection(
    dialled,
    {
      timeout: 60_000,
      skip,
      isAnswered,
      isWanted: (data) => data === "yes",
      now: () => clock.now,
    },
    tally,
    { answered: () => void heard.push("answered"), ended: () => void heard.push("ended") },
  );
  return { connection, socket, tally, clock, heard };
}

async function opened(options: Parameters<typeof connect>[0] = {}) {
  const parts = connect(options);
  const opening = parts.connection.open();
  parts.clock.now = 5;
  parts.socket.onopen!();
  assertEquals(await opening, true);
  return parts;
}

Deno.test("LoadConnection counts how long it took to open", async () => {
  const { tally } = await opened();
  assertEquals([tally.connects.count, tally.connects.max], [1, 5]);
});

Deno.test("LoadConnection counts latency from when a message was due", async () => {
  const { connection, socket, tally, clock, heard } = await opened();
  clock.now = 130;
  assertEquals(connection.ask("a", 100), true);
  assertEquals(connection.ask("b", 120), true);
  assertEquals([socket.sent, connection.unanswered], [["a", "b"], 2]);
  clock.now = 150;
  socket.receive("yes");
  assertEquals(tally.latency.max, 50);
  clock.now = 190;
  socket.receive("yes");
  assertEquals([tally.latency.max, tally.latency.count], [70, 2]);
  assertEquals([heard, tally.errorCount], [["answered", "answered"], 0]);
});

Deno.test("LoadConnection counts answers that are wrong, or to no message", async () => {
  const { connection, socket, tally, heard } = await opened({ skip: 1 });
  socket.receive("hello");
  assertEquals(tally.errorCount, 0);
  connection.ask("a", 0);
  socket.receive("no");
  socket.receive("yes");
  assertEquals(tally.toJSON().errors, { unexpected: 2 });
  assertEquals([heard, tally.latency.count], [["answered"], 1]);
});

Deno.test("LoadConnection awaits no answer where there is none, and counts one that comes", async () => {
  const { connection, socket, tally } = await opened({ isAnswered: false });
  assertEquals(connection.ask("a", 0), false);
  assertEquals([connection.unanswered, tally.asked], [0, 1]);
  socket.receive("yes");
  assertEquals(tally.toJSON().errors, { unexpected: 1 });
});

Deno.test("LoadConnection sends nothing while too much is unanswered or unsent", async () => {
  const { connection, socket, tally } = await opened();
  socket.bufferedAmount = 64 * 1024 + 1;
  assertEquals(connection.ask("a", 0), false);
  socket.bufferedAmount = 0;
  for (let i = 0; i < 1024; i++) assertEquals(connection.ask("a", 0), true);
  assertEquals(connection.ask("a", 0), false);
  assertEquals([socket.sent.length, tally.asked], [1024, 1024]);
  assertEquals(tally.toJSON().errors, { unsent: 2 });
});

Deno.test("LoadConnection counts how it ended, and what was unanswered", async () => {
  for (
    const [code, wasClean, kind] of [[4001, true, "closed 4001"], [1006, false, "lost"]] as const
  ) {
    const { connection, socket, tally, heard } = await opened();
    connection.ask("a", 0);
    connection.ask("b", 0);
    socket.end(code, "", wasClean);
    await connection.closed;
    assertEquals(tally.toJSON().errors, { unanswered: 2, [kind]: 1 });
    assertEquals(heard, ["ended"]);
  }
});

Deno.test("LoadConnection.close() counts what is unanswered, and its own end as no error", async () => {
  const { connection, socket, tally, heard } = await opened();
  connection.ask("a", 0);
  connection.close();
  socket.receive("yes");
  socket.end(1000);
  await connection.closed;
  assertEquals([tally.toJSON().errors, socket.closes, heard], [{ unanswered: 1 }, [1000], []]);
});

Deno.test("LoadConnection counts why there is no connection", async () => {
  const refusal = new Refusal("full", 503, new Headers(), "");
  const cases = [[refusal, "status 503"], [new Failure("nobody there"), "connect"]] as const;
  for (const [failure, kind] of cases) {
    const { connection, socket, tally, heard } = connect({ failure });
    const opening = connection.open();
    socket.end(1006, "", false);
    assertEquals(await opening, false);
    assertEquals([tally.toJSON().errors, heard], [{ [kind]: 1 }, ["cut off"]]);
  }
});
