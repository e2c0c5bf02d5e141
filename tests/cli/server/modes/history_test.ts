import { assertEquals } from "@std/assert";
import { History, RecordingBackplane } from "../../../../cli/server/modes/history.ts";
import { Topics } from "../../../../topics.ts";
import { FakeBackplane, FakeEngine, FakeSocket } from "../../../topics/fakes.ts";

const MIB = 1024 * 1024;

function history(options: { messages?: number; rooms?: number; workers?: number } = {}) {
  const forgotten: string[] = [];
  const limits = { messages: 3, rooms: 2, workers: 1, ...options };
  const kept = new History(limits, (topic) => void forgotten.push(topic));
  const add = (topic: string, text: string, size = text.length) => kept.add(topic, text, size);
  return { kept, add, forgotten };
}

Deno.test("History keeps the latest messages of a room", () => {
  const { kept, add } = history();
  for (const text of ["1", "2", "3", "4"]) add("a", text);
  assertEquals([...kept.of("a")], ["2", "3", "4"]);
  assertEquals([kept.has("a"), kept.has("b"), [...kept.of("b")]], [true, false, []]);
});

Deno.test("History keeps no more than a MiB of a room", () => {
  const { kept, add } = history();
  add("a", "small");
  add("a", "half", MIB / 2);
  add("a", "other half", MIB / 2);
  assertEquals([...kept.of("a")], ["half", "other half"]);
  add("a", "too large", MIB + 1);
  assertEquals([...kept.of("a")], []);
  add("a", "after it");
  assertEquals([...kept.of("a")], ["after it"]);
});

Deno.test("History forgets the room that nothing was sent to for longest", () => {
  const { kept, add, forgotten } = history();
  add("a", "1");
  add("b", "1");
  add("a", "2");
  add("c", "1");
  assertEquals([...kept.of("a")], ["1", "2"]);
  assertEquals([kept.has("b"), forgotten], [false, ["b"]]);
});

Deno.test("History keeps no more than its share of 64 MiB of all rooms", () => {
  for (const [workers, rooms] of [[1, 64], [2, 32], [256, 1]] as const) {
    const { kept, add, forgotten } = history({ rooms: 1000, workers });
    for (let i = 0; i < 100; i++) add(`room${i}`, "x", MIB);
    assertEquals(forgotten.length, 100 - rooms);
    assertEquals([kept.has("room99"), kept.has("room0")], [true, false]);
  }
});

/** Two servers that an engine connects. */
function servers() {
  const engine = new FakeEngine();
  const made = [0, 1].map(() => {
    const behind = new FakeBackplane(engine);
    const recorder = new RecordingBackplane(behind, { messages: 9, rooms: 2, workers: 1 }, 100);
    return { behind, recorder, topics: new Topics({ backplane: recorder }) };
  });
  return made as [typeof made[number], typeof made[number]];
}

Deno.test("RecordingBackplane keeps what is published here and elsewhere once, in its type", async () => {
  const [here, there] = servers();
  const socket = new FakeSocket();
  here.topics.subscribe(socket, "rooms.a");
  here.topics.publish("rooms.a", "text");
  there.topics.publish("rooms.a", new Uint8Array([1, 2]));
  const expected = ["text", new Uint8Array([1, 2])];
  assertEquals(socket.sent, expected);
  assertEquals([...here.recorder.history.of("rooms.a")], expected);
  // What came to nobody there is not kept there.
  assertEquals([...there.recorder.history.of("rooms.a")], [new Uint8Array([1, 2])]);
  await here.topics.close();
  await there.topics.close();
});

Deno.test("RecordingBackplane works without another one behind it", async () => {
  const recorder = new RecordingBackplane(undefined, { messages: 2, rooms: 1, workers: 1 }, 100);
  await using topics = new Topics({ backplane: recorder });
  assertEquals(topics.stats.isConnected, true);
  topics.publish("rooms", "text");
  assertEquals([...recorder.history.of("rooms")], ["text"]);
});

Deno.test("RecordingBackplane counts the memory of messages, and not their length alone", async () => {
  // As measured on Deno 2.9.6, by the heap and what is outside of it: 90, 170, 274 and 266 bytes.
  const messages = [
    ["0123456789", 90],
    ["x".repeat(100), 180],
    ["x".repeat(99) + "\u{1f600}", 282],
    [new Uint8Array(1), 273],
  ] as const;
  for (const [message, memory] of messages) {
    const recorder = new RecordingBackplane(
      undefined,
      { messages: MIB, rooms: 1, workers: 1 },
      200,
    );
    await using topics = new Topics({ backplane: recorder });
    for (let i = 0; i < MIB / 64; i++) topics.publish("rooms", message);
    assertEquals([...recorder.history.of("rooms")].length, Math.floor(MIB / memory));
  }
});

Deno.test("RecordingBackplane stays subscribed to a room as long as it keeps something of it", async () => {
  const [here, there] = servers();
  const socket = new FakeSocket();
  const visit = (topic: string) => {
    here.topics.subscribe(socket, topic);
    here.topics.unsubscribe(socket, topic);
  };
  visit("rooms.empty");
  assertEquals(here.behind.subscriptions, []);

  here.topics.publish("rooms.a", "1");
  visit("rooms.a");
  there.topics.publish("rooms.a", "2");
  visit("rooms.a");
  assertEquals(here.behind.log.filter((call) => call.endsWith("a")), ["+rooms.a"]);
  assertEquals([...here.recorder.history.of("rooms.a")], ["1", "2"]);

  here.topics.publish("rooms.b", "1");
  here.topics.publish("rooms.c", "1");
  assertEquals(here.recorder.history.has("rooms.a"), false);
  assertEquals(here.behind.subscriptions, []);
  await here.topics.close();
  await there.topics.close();
});

Deno.test("RecordingBackplane keeps nothing that is too long or malformed", async () => {
  const [here, there] = servers();
  here.topics.subscribe(new FakeSocket(), "rooms.a");
  there.topics.publish("rooms.a", "x".repeat(101));
  there.behind.publish("rooms.a", new Uint8Array(20));
  assertEquals(here.recorder.history.has("rooms.a"), false);
  await here.topics.close();
  await there.topics.close();
});
