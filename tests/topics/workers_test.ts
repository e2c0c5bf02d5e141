import { assertEquals } from "@std/assert";
import { Topics, WorkersBackplane } from "../../topics.ts";
import { FakeSocket } from "./fakes.ts";

Deno.test("WorkersBackplane carries messages between threads", async () => {
  const name = crypto.randomUUID();
  const make = () => new Topics({ backplane: new WorkersBackplane(name) });
  await using one = make();
  await using other = make();
  const [a, b] = [new FakeSocket(), new FakeSocket()];
  const came = new Promise<void>((resolve) => {
    b.send = (data) => {
      b.sent.push(data);
      if (b.sent.length === 2) resolve();
    };
  });
  one.subscribe(a, "x");
  other.subscribe(b, "x");
  assertEquals(one.publish("x", "text"), 1);
  one.publish("y", "for nobody");
  one.publish("x", Uint8Array.of(1));
  await came;
  assertEquals(b.sent, ["text", Uint8Array.of(1)]);
  assertEquals(a.sent, ["text", Uint8Array.of(1)]);
  assertEquals(one.stats.received, 0);
});
