/**
 * The life of a connection, with a network that the test decides on.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  BINARY,
  CLOSE,
  closePayload,
  codec,
  concat,
  deflated,
  frame,
  NO_CONTEXT,
  PING,
  RSV1,
  TEXT,
} from "../protocol/driver.ts";
import { memoryBudget } from "../../transport/memory_budget.ts";
import { socketLimits } from "../../websocket/options.ts";
import { Session } from "../../websocket/session.ts";
import { acceptedSocket } from "../../websocket/websocket.ts";
import { next } from "./peers.ts";
import { Network, opened, served, turn } from "./network.ts";

const text = (payload: string) => frame("server", TEXT, payload);

/** The codes of the Close frames that were written. */
function closeCodes(network: Network): number[] {
  return network.frames.filter(({ opcode }) => opcode === CLOSE)
    .map(({ payload }) => payload[0]! * 256 + payload[1]!);
}

/** As many turns of the event loop as it takes until `done`. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) await turn();
}

Deno.test("Session gives each message a task of its own, while a long answer is compressed", async () => {
  const { socket, network } = opened({ highWaterMark: 100_000_000 }, { compressed: true });
  const log: string[] = [];
  socket.onmessage = async ({ data }) => {
    log.push(`${data} begins`);
    for (let i = 0; i < 3; i++) await null;
    log.push(`${data} ends`);
  };
  // Compressed in steps of the scheduler, between which messages are handled too.
  const long = Array.from({ length: 100_000 }, (_, i) => `${i} `).join("");
  for (let i = 0; i < 4; i++) socket.send(long);
  const names = Array.from({ length: 300 }, (_, i) => String(i));
  network.arrive(concat(...names.map(text)));
  await until(() => log.length >= 600);
  assertEquals(log, names.flatMap((name) => [`${name} begins`, `${name} ends`]));
  socket.terminate();
  await next(socket, "close");
});

Deno.test("Session gives each message a task of its own, when several reads come in one", async () => {
  const { socket, network } = opened();
  const log: string[] = [];
  socket.onmessage = async ({ data }) => {
    log.push(`${data} begins`);
    await null;
    log.push(`${data} ends`);
  };
  for (const name of ["a", "b"]) network.arrive(text(name));
  network.arrive(concat(text("c"), text("d")));
  await until(() => log.length >= 8);
  assertEquals(log, ["a", "b", "c", "d"].flatMap((name) => [`${name} begins`, `${name} ends`]));
  socket.terminate();
  await next(socket, "close");
});

Deno.test("Session opens before the message that came with the handshake, each in its task", async () => {
  const { session, socket, network } = served();
  const log: string[] = [];
  socket.onopen = async () => {
    log.push("open begins");
    await null;
    log.push("open ends");
  };
  socket.onmessage = ({ data }) => log.push(data);
  session.start(network, text("first") as Uint8Array<ArrayBuffer>);
  network.arrive(text("second"));
  await until(() => log.length >= 4);
  assertEquals(log, ["open begins", "open ends", "first", "second"]);
  socket.terminate();
  await next(socket, "close");
});

Deno.test("Session fires drain in a task of its own", async () => {
  const { socket, network } = opened({ highWaterMark: 10 });
  const log: string[] = [];
  socket.onmessage = async () => {
    log.push("message begins");
    socket.send("more than the high-water mark");
    for (let i = 0; i < 5; i++) await null;
    log.push("message ends");
  };
  socket.ondrain = () => log.push("drain");
  network.arrive(text("x"));
  await until(() => log.length >= 3);
  assertEquals(log, ["message begins", "message ends", "drain"]);
  socket.terminate();
  await next(socket, "close");
});

Deno.test("Session reads on for handlers that wait for it, once its answers are taken", async () => {
  const { socket, network } = opened({ highWaterMark: 1000 });
  const third = Promise.withResolvers<void>();
  let count = 0;
  socket.onmessage = async () => {
    count++;
    if (count === 3) return third.resolve();
    socket.send("x".repeat(900));
    await third.promise;
  };
  network.takes = false;
  const long = "y".repeat(800);
  network.arrive(concat(text(long), text(long), text("third")));
  await until(() => count === 2);
  // Longer than handlers are waited for with answers that nobody takes.
  await new Promise((resolve) => setTimeout(resolve, 1200));
  assertEquals(count, 2);
  network.takes = true;
  network.take();
  await third.promise;
  socket.terminate();
  await next(socket, "close");
});

Deno.test("Session ends when the codec fails in an unforeseen way", async () => {
  const session = new Session("server", socketLimits({}, "server"));
  const deflate = codec("server", NO_CONTEXT);
  Object.defineProperty(deflate, "inflater", {
    get() {
      throw new Error("zlib is broken");
    },
  });
  session.agree("", "permessage-deflate", deflate);
  const socket = acceptedSocket(session, "ws://127.0.0.1/");
  const network = new Network();
  session.start(network, new Uint8Array());
  const error = next<ErrorEvent>(socket, "error");
  const close = next<CloseEvent>(socket, "close");
  network.arrive(frame("server", TEXT, "x", { rsv: 0x40 }));
  assertEquals((await error).message, "zlib is broken");
  assertEquals((await close).code, 1006);
});

Deno.test("Session takes the code of a Close that came, although writing fails after it", async () => {
  const { socket, network } = opened();
  network.takes = false;
  socket.send("never taken");
  await turn();
  network.arrive(frame("server", CLOSE, closePayload(4001, "done")));
  const close = next<CloseEvent>(socket, "close");
  network.destroy(new Error("reset by peer"));
  const { code, reason, wasClean } = await close;
  // Our own Close has not gone out, so that the closing handshake was not completed.
  assertEquals([code, reason, wasClean], [4001, "done", false]);
});

Deno.test("Session finds the Close behind what it had not handled when the connection broke", async () => {
  for (const ending of ["broken", "lost"] as const) {
    const { socket, network } = opened({ highWaterMark: 1000 });
    const messages: string[] = [];
    socket.onmessage = ({ data }) => {
      messages.push(data);
      socket.send("x".repeat(2000));
    };
    const close = next<CloseEvent>(socket, "close");
    network.takes = false;
    network.arrive(concat(text("a"), text("b"), frame("server", CLOSE, closePayload(4009, "bye"))));
    await turn();
    assertEquals([messages, network.reading], [["a"], false]);
    if (ending === "lost") network.destroy(new Error("reset by peer"));
    else network.receiver.onBroken();
    const { code, reason, wasClean } = await close;
    assertEquals([messages, code, reason, wasClean], [["a", "b"], 4009, "bye", false]);
  }
});

Deno.test("Session reads on when writing has failed, and takes the code of the Close that comes", async () => {
  const { socket, network } = opened({ highWaterMark: 1000 });
  socket.onmessage = () => socket.send("x".repeat(2000));
  const error = next<ErrorEvent>(socket, "error");
  const close = next<CloseEvent>(socket, "close");
  network.takes = false;
  network.arrive(text("ask"));
  await turn();
  assertEquals(network.reading, false);
  network.receiver.onBroken();
  await until(() => network.reading);
  network.arrive(frame("server", CLOSE, closePayload(4009, "bye")));
  const { code, reason, wasClean } = await close;
  assertEquals([code, reason, wasClean], [4009, "bye", false]);
  assertEquals((await error).message, "Connection lost");
});

Deno.test("Session hands all messages to a slow reader when the connection is lost, then the code", async () => {
  const { socket, network } = opened();
  const reader = socket.readable.getReader();
  network.arrive(concat(text("a"), text("b"), frame("server", CLOSE, closePayload(4009, "bye"))));
  const close = next<CloseEvent>(socket, "close");
  network.takes = false;
  socket.send("never taken");
  await turn();
  network.destroy(new Error("reset by peer"));
  await turn();
  assertEquals((await reader.read()).value, "a");
  assertEquals((await reader.read()).value, "b");
  await assertRejects(() => reader.read(), Error, "reset by peer");
  assertEquals((await close).code, 4009);
});

Deno.test("Session whose connection is lost ends, although nobody reads its readable", async () => {
  const { socket, network } = opened();
  const reader = socket.readable.getReader();
  network.arrive(concat(text("a"), text("b"), text("c")));
  const close = next<CloseEvent>(socket, "close");
  await turn();
  network.destroy(new Error("reset by peer"));
  assertEquals((await reader.read()).value, "a");
  assertEquals((await close).code, 1006);
});

Deno.test("Session counts a peer's context as held from its first compressed message on", async () => {
  const { socket, network } = opened({}, { compressed: true, agreed: {} });
  const received = next(socket, "message");
  network.arrive(text("plain"));
  await received;
  assertEquals(memoryBudget.used, 0);
  const inflated = next(socket, "message");
  network.arrive(frame("server", TEXT, deflated("compressed"), { rsv: RSV1 }));
  assertEquals((await inflated).data, "compressed");
  await turn();
  assertEquals(memoryBudget.used, 42 * 1024);
  socket.terminate();
  await next(socket, "close");
  assertEquals(memoryBudget.used, 0);
});

Deno.test("Session whose peer's context is one too many for the memory budget is ended with 1013", async () => {
  const before = memoryBudget.limits;
  memoryBudget.configure({ total: 100 * 1024, addressShare: 100 * 1024 });
  const peers = Array.from({ length: 3 }, () => opened({}, { compressed: true, agreed: {} }));
  try {
    const failed = next<ErrorEvent>(peers[2]!.socket, "error");
    for (const { network } of peers) {
      network.arrive(frame("server", TEXT, deflated("compressed"), { rsv: RSV1 }));
      await turn();
    }
    assertEquals((await failed).error.code, 1013);
    assertEquals(closeCodes(peers[2]!.network), [1013]);
    assertEquals(peers.map(({ socket }) => socket.readyState === socket.OPEN), [true, true, false]);
  } finally {
    memoryBudget.configure(before);
    for (const { socket } of peers) {
      if (socket.readyState === socket.CLOSED) continue;
      const close = next(socket, "close");
      socket.terminate();
      await close;
    }
  }
});

Deno.test("Session counts what the network has not taken as unsent, and as memory held", async () => {
  const { session, socket, network } = opened();
  network.takes = false;
  socket.send(new Uint8Array(100_000));
  await turn();
  assertEquals([network.isWriting, session.unsent], [true, 100_010]);
  assert(memoryBudget.used >= 100_010, `${memoryBudget.used} bytes are counted`);
  network.take();
  assertEquals([session.unsent, memoryBudget.used], [0, 0]);
  socket.terminate();
  await next(socket, "close");
});

Deno.test("Session counts a short message that is not sent yet as little, so that all sockets can be sent one at once", async () => {
  const before = memoryBudget.limits;
  const bound = 6 * 1024 * 1024;
  memoryBudget.configure({ total: bound, addressShare: bound });
  const peers = Array.from({ length: 2000 }, () => opened());
  try {
    for (const { socket, network } of peers) {
      network.takes = false;
      socket.send("short");
    }
    await turn();
    assert(peers.every(({ socket }) => socket.readyState === socket.OPEN));
    assert(memoryBudget.used > 0);
  } finally {
    memoryBudget.configure(before);
    for (const { socket } of peers) {
      const close = next(socket, "close");
      socket.terminate();
      await close;
    }
  }
});

Deno.test("WebSocket.send() bounds what waits behind a Blob", async () => {
  const { socket } = opened({ maxBufferedAmount: 1000 });
  const error = next<ErrorEvent>(socket, "error");
  const close = next<CloseEvent>(socket, "close");
  socket.send(new Blob(["first"]));
  for (let i = 0; i < 100; i++) socket.send(new Uint8Array(100));
  assertEquals(socket.readyState, socket.CLOSING);
  assertEquals(
    (await error).message,
    "Connection lost: 1005 bytes are unsent, must be 1000 at most",
  );
  assertEquals((await close).code, 1006);
});

Deno.test("Session closes with 1008 when a message does not end within messageTimeout", async () => {
  const { socket, network } = opened({ messageTimeout: 50 });
  const messages: string[] = [];
  socket.onmessage = ({ data }) => messages.push(data);
  const close = next<CloseEvent>(socket, "close");
  network.arrive(text("whole"));
  network.arrive(frame("server", TEXT, "begun", { fin: false }));
  const error = await next<ErrorEvent>(socket, "error");
  assertEquals(error.message, "Cannot receive message: it took over 50 ms");
  assertEquals(error.error.code, 1008);
  assertEquals(closeCodes(network), [1008]);
  assertEquals([(await close).code, messages], [1006, ["whole"]]);
});

Deno.test("Session lets messages take their time each, whatever messageTimeout they take together", async () => {
  const { socket, network } = opened({ messageTimeout: 200 });
  let count = 0;
  socket.onmessage = () => count++;
  // Each is begun before the one before it is a timeout old.
  for (let i = 0; i < 6; i++) {
    network.arrive(frame("server", TEXT, "a", { fin: false }));
    await new Promise((resolve) => setTimeout(resolve, 60));
    network.arrive(frame("server", 0, "b"));
  }
  assertEquals([count, socket.readyState], [6, socket.OPEN]);
  socket.terminate();
  await next(socket, "close");
});

Deno.test("Session ends the connection that holds most beyond the memory budget with 1013", async () => {
  const before = memoryBudget.limits;
  const small = opened({}, { hostname: "192.0.2.1" });
  const greedy = opened({}, { hostname: "192.0.2.2" });
  const received = next(small.socket, "message");
  const error = next<ErrorEvent>(greedy.socket, "error");
  const close = next<CloseEvent>(greedy.socket, "close");
  try {
    memoryBudget.configure({ total: 600_000, addressShare: 600_000 });
    small.network.arrive(frame("server", TEXT, "small", { fin: false }));
    for (let i = 0; i < 12; i++) {
      greedy.network.arrive(
        frame("server", i === 0 ? BINARY : 0, new Uint8Array(60_000), { fin: false }),
      );
    }
    assertEquals((await error).error.code, 1013);
    assertEquals(closeCodes(greedy.network), [1013]);
    assertEquals((await close).code, 1006);
    small.network.arrive(frame("server", 0, " but whole"));
    assertEquals((await received).data, "small but whole");
  } finally {
    memoryBudget.configure(before);
  }
  small.socket.terminate();
  await next(small.socket, "close");
  assertEquals(memoryBudget.used, 0);
});

Deno.test("Session that holds alone is bounded by its own limits, not by the memory budget", async () => {
  const before = memoryBudget.limits;
  const { socket, network } = opened();
  const received = next(socket, "message");
  try {
    memoryBudget.configure({ total: 100_000, addressShare: 100_000 });
    for (let i = 0; i < 5; i++) {
      network.arrive(
        frame("server", i === 0 ? BINARY : 0, new Uint8Array(60_000), { fin: i === 4 }),
      );
    }
    assertEquals((await received).data.byteLength, 300_000);
  } finally {
    memoryBudget.configure(before);
  }
  socket.terminate();
  await next(socket, "close");
});

Deno.test("Session with ten thousand messages in one read lets another be served between", async () => {
  const flooded = opened();
  const other = opened();
  let handled = 0;
  flooded.socket.onmessage = () => handled++;
  const seen: number[] = [];
  other.socket.onmessage = () => seen.push(handled);
  flooded.network.arrive(concat(...Array.from({ length: 9000 }, () => frame("server", TEXT))));
  let turns = 0;
  while (handled < 9000) {
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    turns++;
    other.network.arrive(text("other"));
  }
  assert(turns > 10, `all were handled in ${turns} turns`);
  const gaps = seen.map((at, i) => at - (seen[i - 1] ?? 0));
  assert(Math.max(...gaps) < 4500, `${Math.max(...gaps)} messages were handled between two`);
  for (const { socket } of [flooded, other]) {
    socket.terminate();
    await next(socket, "close");
  }
});

Deno.test("Session reads nothing more while its peer takes no answers, and goes on when it does", async () => {
  const { socket, network } = opened({ highWaterMark: 1000 });
  let count = 0;
  socket.onmessage = () => {
    count++;
    socket.send("x".repeat(600));
  };
  network.takes = false;
  network.arrive(concat(...Array.from({ length: 10 }, () => text("more"))));
  await turn();
  const before = count;
  assert(before < 10, "everything was answered");
  assertEquals(network.reading, false);
  // What TLS has read already comes all the same.
  network.arrive(text("late"));
  await turn();
  assertEquals(count, before);
  while (count < 11) {
    network.take();
    await turn();
  }
  while (network.isWriting) network.take();
  await until(() => network.reading);
  assertEquals(network.frames.length, 11);
  socket.terminate();
  await next(socket, "close");
});

Deno.test("Session answers pings that come between its answers, in order", async () => {
  const { socket, network } = opened();
  socket.onmessage = ({ data }) => socket.send(data);
  network.arrive(concat(text("a"), frame("server", PING, "1"), text("b")));
  await until(() => network.frames.length === 3);
  assertEquals(
    network.frames.map(({ payload }) => new TextDecoder().decode(payload)),
    ["a", "1", "b"],
  );
  socket.terminate();
  await next(socket, "close");
});

Deno.test("Session gives a peer up that takes no answer and says nothing", async () => {
  const { socket, network } = opened({ idleTimeout: 0.15, highWaterMark: 100 });
  socket.onmessage = () => socket.send("x".repeat(1000));
  const error = next<ErrorEvent>(socket, "error");
  const close = next<CloseEvent>(socket, "close");
  network.takes = false;
  network.arrive(text("ask"));
  await turn();
  assertEquals(network.reading, false);
  assertEquals(
    (await error).message,
    "Connection lost: peer was silent, and did not answer a ping",
  );
  assertEquals((await close).code, 1006);
});
