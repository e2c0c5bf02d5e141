import { assertEquals } from "@std/assert";
import { clientKey } from "../../transport/address.ts";

Deno.test("clientKey() counts an IPv4 address, and an IPv6 network of 64 bits, as one", () => {
  const cases = {
    "192.0.2.1": "192.0.2.1",
    "::ffff:192.0.2.1": "192.0.2.1",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1:2",
    "2001:db8:1:2::6": "2001:db8:1:2",
    "2001:db8:1::6": "2001:db8:1:0",
    "2001:db8::5:6": "2001:db8:0:0",
    "2001:db8::3:4:5:6:7": "2001:db8:0:3",
    "::1": "0:0:0:0",
    "fe80::": "fe80:0:0:0",
  };
  for (const [hostname, key] of Object.entries(cases)) {
    assertEquals(clientKey({ transport: "tcp", hostname, port: 1 }), key, hostname);
  }
});
