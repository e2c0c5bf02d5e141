/**
 * Heads of responses, whole and broken.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { checkUpgradeResponse, HandshakeError } from "../../protocol/handshake.ts";
import { HeadReader, HttpError, parseResponse } from "../../protocol/http.ts";
import type { Random } from "./random.ts";

const encoder = new TextEncoder();

const LIMITS = { maxHeaderBytes: 2048, maxHeaders: 20 };

const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const PIECES = [
  "\r\n",
  "\r\n\r\n",
  "\n",
  "\r",
  " ",
  "\t",
  ":",
  ",",
  "\x00",
  "Host: a\r\n",
  "Content-Length: 1\r\n",
  "Transfer-Encoding: chunked\r\n",
  " folded\r\n",
  "HTTP/1.1",
  "HTTP/2.0",
  "http://a/",
  "é",
  "%00",
  "[::1]",
  "A: ".padEnd(3000, "b"),
  "X: y\r\n".repeat(30),
];

function response(random: Random): string {
  const lines = [
    `HTTP/1.1 ${random.pick(["101", "101", "200", "503", "099"])} ${random.pick(["Yes", "", "é"])}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${random.one(8) ? "x" : ACCEPT}`,
  ];
  if (random.one(2)) lines.push("Sec-WebSocket-Extensions: permessage-deflate");
  if (random.one(4)) lines.push(`Sec-WebSocket-Protocol: ${random.pick(["chat", "other", ""])}`);
  return lines.join("\r\n");
}

/** What a head is read as, with cuts at the given places. */
function read(bytes: Uint8Array, cuts: number[]): unknown {
  const reader = new HeadReader(LIMITS);
  try {
    let at = 0;
    for (const end of [...cuts, bytes.length]) {
      const taken = reader.push(bytes.subarray(at, end));
      if (taken === undefined) {
        at = end;
        continue;
      }
      return { taken: at + taken, head: parseResponse(reader.lines(), LIMITS) };
    }
    return "unfinished";
  } catch (error) {
    if (error instanceof HttpError) return { status: error.status, message: error.message };
    throw error;
  } finally {
    reader.release();
  }
}

/**
 * A head gives the same however it is cut; nothing but an HttpError is thrown, with a status of ours;
 * and what was read holds no character with which a head could be forged.
 */
export function heads(random: Random): void {
  const before = random.one(4) ? "\r\n".repeat(random.below(10)) : "";
  const text = before + response(random) + "\r\n\r\n";
  const bytes = random.mutated(encoder.encode(text), PIECES);
  const whole = read(bytes, []);
  assertEquals(read(bytes, random.cuts(bytes.length)), whole);
  if (typeof whole !== "object") {
    // What is not refused and not whole is still within its bound, but for empty lines before it.
    assert(bytes.length <= LIMITS.maxHeaderBytes + 16);
    return;
  }
  if ("status" in whole!) return assert([400, 431].includes(whole.status as number));

  const { head, taken } = whole as {
    head: ReturnType<typeof parseResponse>;
    taken: number;
  };
  assert(taken <= LIMITS.maxHeaderBytes + 16);
  assert(head.headers.length <= LIMITS.maxHeaders);
  for (const [name, value] of head.headers) {
    assert(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name), name);
    assert(
      /^[\t\x20-\x7e\x80-\xff]*$/.test(value) && value.trim() === value || /[\xa0]/.test(value),
    );
  }
  try {
    checkUpgradeResponse(head, ACCEPT, ["chat"]);
  } catch (error) {
    if (!(error instanceof HandshakeError)) throw error;
  }
}
