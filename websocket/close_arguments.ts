/**
 * What `close()` is given, checked.
 *
 * @module
 */

import { CloseCode, isSendableCode, MAX_CLOSE_REASON } from "../protocol/frame.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { clampedShort, usvString } from "./web_idl.ts";

/**
 * The code and the reason of the Close frame that is to be sent.
 *
 * @param server Whether a server sends it, which may send all codes of RFC 6455 section 7.4.
 * @throws {InvalidAccessError} (a `DOMException`) If the code may not be sent.
 * @throws {SyntaxError} (a `DOMException`) If the reason is too long.
 */
export function parseClose(
  code: unknown,
  reason: unknown,
  server: boolean,
): { code: number; reason: string } {
  const number = code === undefined ? undefined : clampedShort(code);
  const text = usvString(reason);
  if (number !== undefined) {
    const allowed = server
      ? isSendableCode(number)
      : number === CloseCode.NORMAL || number >= 3000 && number <= 4999;
    if (!allowed) {
      throw new DOMException(
        `Cannot close WebSocket: code is ${number}, must be 1000 or from 3000 to 4999`,
        "InvalidAccessError",
      );
    }
  }
  const size = encodeUtf8(text).length;
  if (size > MAX_CLOSE_REASON) {
    throw new DOMException(
      `Cannot close WebSocket: reason has ${size} bytes, must be at most ${MAX_CLOSE_REASON}`,
      "SyntaxError",
    );
  }
  const fallback = text === "" ? CloseCode.NO_STATUS : CloseCode.NORMAL;
  return { code: number ?? fallback, reason: text };
}
