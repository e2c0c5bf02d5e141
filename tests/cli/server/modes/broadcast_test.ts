import { assertEquals } from "@std/assert";
import { openLog } from "../../../../cli/server/log.ts";
import { BroadcastMode, type BroadcastOptions } from "../../../../cli/server/modes/broadcast.ts";
import type { Endpoint, SocketLog } from "../../../../cli/server/modes/mode.ts";
import { sentencesIn } from "../../../../cli/sentences.ts";
import { FakeBackplane, FakeEngine, FakeSocket } from "../../../topics/fakes.ts";

/** A mode, and what is logged. */
class Fixture implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly mode: BroadcastMode;

  constructor(options: Partial<BroadcastOptions> = {}) {
    const write = (line: string) => void this.lines.push(line);
    this.mode = new BroadcastMode({
      maxRooms: 2,
      history: 0,
      maxMessageSize: 1000,
      backplane: undefined,
      log: openLog({ level: "info", format: "text", timestamps: false }, {
        out: write,
        err: write,
      }),
      sentences: sentencesIn("en"),
      ...options,
    });
  }

  readonly log: SocketLog = (_level, event, properties) => {
    this.lines.push(`${event} ${JSON.stringify(properties?.())}`);
  };

  /** Has somebody join the room of a path. */
  join(below: string): Member {
    return new Member(this.mode.endpoint(below)!, this.log);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mode.close();
  }
}

/** A socket in a room. */
class Member {
  readonly socket = new FakeSocket();
  readonly #endpoint: Endpoint;
  readonly #log: SocketLog;

  constructor(endpoint: Endpoint, log: SocketLog) {
    this.#endpoint = endpoint;
    this.#log = log;
    endpoint.accept!(this.#socket);
    endpoint.opened!(this.#socket, log, 1);
  }

  get #socket(): WebSocket {
    return this.socket as unknown as WebSocket;
  }

  get sent(): unknown[] {
    return this.socket.sent;
  }

  send(data: string | ArrayBuffer): void {
    this.#endpoint.received(this.#socket, data, this.#log);
  }

  leave(): void {
    this.socket.end();
    this.#endpoint.closed!(this.#log);
  }
}

Deno.test("BroadcastMode sends a message to the others in the room, in its type", async () => {
  await using fixture = new Fixture();
  const [one, two, three] = ["/a", "/a", "/a"].map((room) => fixture.join(room));
  const other = fixture.join("/b");
  one!.send("text");
  two!.send(new Uint8Array([1, 2]).buffer);
  assertEquals(one!.sent, [new Uint8Array([1, 2])]);
  assertEquals(two!.sent, ["text"]);
  assertEquals(three!.sent, ["text", new Uint8Array([1, 2])]);
  three!.leave();
  one!.send("more");
  assertEquals(three!.sent.length, 2);
  assertEquals(other.sent, []);
});

Deno.test("BroadcastMode names a room by one segment of the path, decoded", async () => {
  await using fixture = new Fixture({ maxRooms: 100 });
  const names = ["", "/a", "/A", "/%61", "/a.b", "/*", "/%3E", "/a%2Fb", "/%E2%82%AC", "/rooms"];
  const rooms = names.map((below) => fixture.join(below));
  rooms[1]!.send("to a");
  const heard = names.filter((_, index) => rooms[index]!.sent.length > 0);
  // The same name, written in another way.
  assertEquals(heard, ["/%61"]);
  rooms[0]!.send("to all?");
  assertEquals(rooms.map(({ sent }) => sent).flat(), ["to a"]);
  assertEquals(fixture.mode.members.size, names.length - 1);

  const euros = (count: number) => `/${"%E2%82%AC".repeat(count)}`;
  for (const below of [`/${"x".repeat(80)}`, euros(26)]) fixture.join(below).leave();
  for (const below of ["/", "/a/", "/a/b", "//", "/%", "/%ff", `/${"x".repeat(81)}`, euros(27)]) {
    assertEquals(fixture.mode.endpoint(below), undefined, below);
  }
});

Deno.test("BroadcastMode refuses a new room beyond maxRooms, but nobody who joins one", async () => {
  await using fixture = new Fixture();
  const [first] = [fixture.join("/a"), fixture.join("/b"), fixture.join("/b")];
  assertEquals(fixture.mode.endpoint("/c")!.refusal, "rooms");
  assertEquals(fixture.mode.endpoint("")!.refusal, "rooms");
  assertEquals(fixture.mode.endpoint("/b")!.refusal, undefined);
  first.leave();
  assertEquals(fixture.mode.endpoint("/c")!.refusal, undefined);
});

Deno.test("BroadcastMode counts a room from the time on when its first socket is let in", async () => {
  await using fixture = new Fixture({ maxRooms: 1 });
  const endpoint = fixture.mode.endpoint("/a")!;
  endpoint.accept!(new FakeSocket() as unknown as WebSocket);
  assertEquals(fixture.mode.endpoint("/b")!.refusal, "rooms");
  endpoint.closed!(fixture.log);
  assertEquals(fixture.mode.endpoint("/b")!.refusal, undefined);
});

Deno.test("BroadcastMode sends the history to who joins, also when nobody has been there since", async () => {
  await using fixture = new Fixture({ history: 2 });
  const first = fixture.join("/a");
  for (const text of ["1", "2", "3"]) first.send(text);
  first.leave();
  const second = fixture.join("/a");
  assertEquals(second.sent, ["2", "3"]);
  second.send("4");
  assertEquals(second.sent, ["2", "3"]);
  assertEquals(fixture.join("/a").sent, ["3", "4"]);
  assertEquals(fixture.join("/b").sent, []);
});

Deno.test("BroadcastMode joins rooms of the same name on two servers", async () => {
  const engine = new FakeEngine();
  await using here = new Fixture({ backplane: new FakeBackplane(engine), history: 9 });
  await using there = new Fixture({ backplane: new FakeBackplane(engine), history: 9 });
  const [one, two] = [here.join("/a"), there.join("/a")];
  one.send("hello");
  two.send(new Uint8Array([3]).buffer);
  assertEquals([one.sent, two.sent], [[new Uint8Array([3])], ["hello"]]);
  assertEquals(here.join("/a").sent, there.join("/a").sent);
});

Deno.test("BroadcastMode names the room in its lines", async () => {
  await using fixture = new Fixture();
  const [one] = [fixture.join("/%1b[2J"), fixture.join("/%1b[2J")];
  one.send("text");
  one.leave();
  const room = "\\\\u{1b}[2J";
  assertEquals(fixture.lines, [
    `joined {"room":"${room}"}`,
    `joined {"room":"${room}"}`,
    `published {"room":"${room}","count":1}`,
    `left {"room":"${room}"}`,
  ]);
});

Deno.test("BroadcastMode tells in one line what slow subscribers were not sent", async () => {
  const fixture = new Fixture();
  const [one, slow] = [fixture.join("/a"), fixture.join("/a")];
  slow.socket.bufferedAmount = 2 ** 21;
  fixture.lines.length = 0;
  for (let i = 0; i < 1000; i++) one.send("text");
  assertEquals(fixture.lines.filter((line) => !line.startsWith("published")), []);
  await fixture.mode.close();
  assertEquals(
    fixture.lines.at(-1),
    "Messages not sent in the last 10 s to those who read too slowly: 1000",
  );
});

Deno.test("BroadcastMode tells when the backplane is away, and serves on", async () => {
  const backplane = new FakeBackplane(new FakeEngine());
  await using fixture = new Fixture({ backplane });
  assertEquals(fixture.mode.trouble, undefined);
  backplane.isAway = true;
  backplane.listener!.onState(false, new Error("no\nanswer"));
  assertEquals(
    fixture.mode.trouble,
    "its backplane is away: messages reach the sockets of this server alone",
  );
  const [one, two] = [fixture.join("/a"), fixture.join("/a")];
  one.send("text");
  assertEquals(two.sent, ["text"]);
  backplane.listener!.onState(true);
  assertEquals(fixture.mode.trouble, undefined);
  assertEquals(fixture.lines.filter((line) => line.startsWith("Back")), [
    "Backplane away, rooms go on on this server alone: no answer",
    "Backplane connected",
  ]);
});
