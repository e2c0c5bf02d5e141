import { assertEquals, assertMatch } from "@std/assert";
import { Namespace } from "../../namespace.ts";
import { connected, node } from "./behaviour.ts";
import { Engine, NATS, REDIS } from "./engines.ts";

// One after the other: both use one network.
for (const kind of [NATS, REDIS]) {
  Deno.test({
    name: `Topics over ${kind.name} notices a firewall that drops all, and comes back behind it`,
    ignore: kind.ignore || !Namespace.possible,
    async fn() {
      using namespace = new Namespace(78);
      await using engine = await Engine.start(kind, { namespace });
      const watchful = { pingInterval: 500, connectTimeout: 1000 };
      await using one = await connected(kind, engine.url(), watchful);
      await using other = await connected(kind, engine.url(), watchful);
      const far = other.inbox("x");
      await far.hears(one, "x");
      namespace.drop();
      await Promise.all([one.hasTold(2), other.hasTold(2)]);
      assertMatch(one.states[1] as string, /no answer for 1000 ms/);

      // An attempt that gets no answer is given up in its time, and at once when it is closed.
      await using late = node(kind, engine.url(), watchful);
      await late.hasTold(1);
      assertMatch(late.states[0] as string, /no connection within 1000 ms/);
      const closed = node(kind, engine.url(), { connectTimeout: 60_000 });
      await new Promise((resolve) => setTimeout(resolve, 20));
      await closed.close();
      assertEquals(closed.states, []);

      namespace.pass();
      await Promise.all([one.hasTold(3), other.hasTold(3), late.hasTold(2)]);
      await far.hears(one, "x");
      one.publish("x", "after");
      late.publish("x", "that too");
      await far.has(2);
      assertEquals(far.messages.toSorted(), ["after", "that too"]);
    },
  });
}
