/**
 * What fuzzing has found, each under a name of its own.
 */

import { assertEquals } from "@std/assert";
import {
  BINARY,
  codec,
  concat,
  deflated,
  eventsOf,
  frame,
  NO_CONTEXT,
  RSV1,
  TAIL,
} from "../protocol/driver.ts";

Deno.test("Protocol fails with 1009 on too long a message that goes on with what is not DEFLATE, however it came", () => {
  // Three bits of a block of a type that there is not, behind a thousand bytes.
  const payload = concat(deflated(new Uint8Array(1000)), TAIL, [0x07]);
  const bytes = frame("server", BINARY, payload, { rsv: RSV1 });
  for (const cuts of [[], Array.from(bytes, (_, i) => i)]) {
    const options = { deflate: codec("server", NO_CONTEXT), maxMessageSize: 100 };
    assertEquals(eventsOf("server", bytes, options, cuts), [["failure", 1009]]);
  }
});
