import { assertEquals, assertThrows } from "@std/assert";
import { compressionFlag, PRESETS } from "../../cli/compression.ts";
import { BadValue } from "../../cli/flags.ts";

Deno.test("compressionFlag reads off, presets, and the parameters of RFC 7692 by their names", () => {
  const cases = {
    off: false,
    on: {},
    fast: PRESETS.fast,
    small: { level: 6 },
    "level=3": { level: 3 },
    "threshold=128, memLevel=5": { threshold: 128, memLevel: 5 },
    "level=3;server_no_context_takeover;client_no_context_takeover;server_max_window_bits=12;client_max_window_bits=9":
      {
        level: 3,
        serverNoContextTakeover: true,
        clientNoContextTakeover: true,
        serverMaxWindowBits: 12,
        clientMaxWindowBits: 9,
      },
  };
  for (const [text, value] of Object.entries(cases)) {
    assertEquals(compressionFlag.parse([text]), value, text);
  }
});

Deno.test("compressionFlag refuses what is unknown, repeated, malformed or out of range", () => {
  for (
    const text of [
      "",
      "gzip",
      "ON",
      "toString",
      "level",
      "level=",
      "level=0",
      "level=10",
      "level=3;",
      "level=3;level=3",
      "level=3=4",
      "level=+3",
      "level=0x3",
      "server_max_window_bits=8",
      "server_max_window_bits",
      "server_no_context_takeover=1",
      "server_no_context_takeover=",
      "small;level=3",
      "threshold=1e3",
      "threshold=9999999999",
    ]
  ) {
    const error = assertThrows(() => compressionFlag.parse([text]), BadValue);
    assertEquals(error.kind, "compression", text);
  }
});
