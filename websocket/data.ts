/**
 * What a WebSocket sends: which data is a message, and its bytes.
 *
 * @module
 */

import { PreparedMessage } from "../protocol/prepared_message.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";

/** What {@linkcode WebSocket.send} takes. */
export type SendData = string | ArrayBufferLike | ArrayBufferView | Blob | PreparedMessage;

/** Data that is sent as it is; all else is sent as text, as on the web. */
export function isMessage(data: unknown): data is Exclude<SendData, string> {
  return isBytes(data) || data instanceof Blob || data instanceof PreparedMessage;
}

/** Whether `data` is memory, or a view of some. */
export function isBytes(data: unknown): data is ArrayBufferLike | ArrayBufferView {
  return ArrayBuffer.isView(data) || data instanceof ArrayBuffer ||
    data instanceof SharedArrayBuffer;
}

/** A view of the bytes: none of memory that has been transferred away, a copy of memory that is shared. */
export function bytesOf(data: ArrayBufferLike | ArrayBufferView): Uint8Array {
  if (data instanceof ArrayBuffer && data.detached) return new Uint8Array(0);
  const view = data instanceof Uint8Array
    ? data
    : ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
  if (!(view.buffer instanceof ArrayBuffer)) return view.slice();
  return view.buffer.detached ? new Uint8Array(0) : view;
}

/** The bytes of a message. */
export function sizeOf(data: SendData): number {
  if (typeof data === "string") return encodeUtf8(data).length;
  return data instanceof Blob || data instanceof PreparedMessage ? data.size : data.byteLength;
}
