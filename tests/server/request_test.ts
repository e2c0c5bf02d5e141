/** The body of a request, handed on as it comes. */

import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { PassThrough } from "node:stream";
import { RequestBody } from "../../server/request.ts";

Deno.test("RequestBody copies a part only if its memory is shared with others", async () => {
  const message = Object.assign(new PassThrough(), { headers: {} });
  const limits = { maxBodySize: 100, bodyTimeout: 10_000 };
  const body = new RequestBody(
    message as unknown as IncomingMessage,
    {} as ServerResponse,
    limits,
  );
  const own = Buffer.from(new ArrayBuffer(3)).fill(1);
  const shared = Buffer.from(new ArrayBuffer(5), 1, 3).fill(2);
  message.write(own);
  message.end(shared);
  const received = await Array.fromAsync(body.stream);
  assertEquals(received, [Uint8Array.of(1, 1, 1), Uint8Array.of(2, 2, 2)]);
  assertEquals([own.length, [...shared]], [0, [2, 2, 2]]);
});
