/** Each rule that a peer may break, by its stable code, and the close code that tells the peer. */

import { assertEquals, assertThrows } from "@std/assert";
import { parseExtensions } from "../../protocol/extension_header.ts";
import { checkResponse } from "../../protocol/permessage_deflate/negotiation.ts";
import { Protocol, type Role } from "../../protocol/protocol.ts";
import { ProtocolError, type Violation } from "../../protocol/protocol_error.ts";
import {
  BINARY,
  CLOSE,
  closePayload,
  codec,
  concat,
  CONTINUATION,
  frame,
  hugeHeader,
  PING,
  RSV1,
  RSV2,
  TEXT,
} from "./driver.ts";

/** What of the bytes of a peer breaks the protocol. */
function violationOf(bytes: Uint8Array<ArrayBuffer>, role: Role = "server"): ProtocolError {
  using disposable = new DisposableStack();
  const deflate = codec(role);
  disposable.defer(() => deflate.close());
  const protocol = new Protocol({ role, deflate, maxMessageSize: 100, pongs: 1 });
  disposable.defer(() => protocol.release());
  protocol.receive(bytes);
  for (let event = protocol.next(); event !== undefined; event = protocol.next()) {
    if (event.type === "failure") return event.error;
  }
  throw new Error("nothing is broken");
}

const server = "server";

/** The session's own, `MESSAGE_TOO_SLOW` and `OUT_OF_MEMORY`, are tested with it. */
const CASES: [Violation, code: number, bytes: Uint8Array<ArrayBuffer>, role?: Role][] = [
  ["UNKNOWN_OPCODE", 1002, frame(server, 3)],
  ["RESERVED_BIT", 1002, frame(server, TEXT, "", { rsv: RSV2 })],
  ["FRAGMENTED_CONTROL_FRAME", 1002, frame(server, PING, "", { fin: false })],
  ["NOTHING_TO_CONTINUE", 1002, frame(server, CONTINUATION)],
  [
    "MESSAGE_INSIDE_MESSAGE",
    1002,
    concat(frame(server, TEXT, "a", { fin: false }), frame(server, TEXT, "b")),
  ],
  ["MASKED", 1002, frame("client", TEXT, "a", { masked: true }), "client"],
  ["NOT_MASKED", 1002, frame(server, TEXT, "a", { masked: false })],
  ["CONTROL_FRAME_TOO_LONG", 1002, frame(server, PING, "a".repeat(126))],
  ["LENGTH_NOT_MINIMAL", 1002, frame(server, TEXT, "a", { lengthBytes: 2 })],
  ["LENGTH_TOO_LARGE", 1002, hugeHeader(server, BINARY, 1n << 63n)],
  ["MESSAGE_TOO_BIG", 1009, frame(server, BINARY, new Uint8Array(101))],
  ["NOT_UTF8", 1007, frame(server, TEXT, [0xff])],
  ["NOT_DEFLATE", 1007, frame(server, BINARY, [0xff, 0xff], { rsv: RSV1 })],
  ["CLOSE_FRAME_TOO_SHORT", 1002, frame(server, CLOSE, [3])],
  ["CLOSE_CODE_NOT_ALLOWED", 1002, frame(server, CLOSE, closePayload(1006))],
  ["CLOSE_REASON_NOT_UTF8", 1007, frame(server, CLOSE, [...closePayload(1000), 0xff])],
];

for (const [violation, code, bytes, role] of CASES) {
  Deno.test(`ProtocolError says ${violation}, with close code ${code}`, () => {
    const error = violationOf(bytes, role);
    assertEquals([error.violation, error.code], [violation, code]);
  });
}

Deno.test("ProtocolError says EXTENSION_NOT_OFFERED, with close code 1010", () => {
  const response = parseExtensions("permessage-deflate")!;
  const error = assertThrows(() => checkResponse(response, undefined), ProtocolError);
  assertEquals([error.violation, error.code], ["EXTENSION_NOT_OFFERED", 1010]);
});
