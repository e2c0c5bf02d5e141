import { assertEquals } from "@std/assert";
import { StillSending } from "../../transport/linger.ts";

Deno.test("StillSending waits for a peer that sends 8 KiB a second, for a minute at most", () => {
  const sending = new StillSending(0);
  for (let now = 2000; now < 60_000; now += 2000) {
    // In whole TLS records, of which no part is seen.
    sending.came(16 * 1024);
    assertEquals(sending.look(now), true, `at ${now} ms`);
  }
  sending.came(1024 ** 3);
  assertEquals(sending.look(60_000), false);
});

Deno.test("StillSending does not wait for a peer that sends less, or nothing", () => {
  const sending = new StillSending(0);
  sending.came(16 * 1024 - 1);
  assertEquals(sending.look(2000), false);
  sending.came(16 * 1024);
  assertEquals(sending.look(4000), true);
  assertEquals(sending.look(6000), false);
});
