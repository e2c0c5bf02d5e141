/**
 * A frame as both programs show it: its opcode by the name of RFC 6455 and the bits that are set.
 *
 * @module
 */

import type { FrameInfo } from "../mod.ts";
import { Opcode } from "../protocol/frame.ts";

const NAMES = new Map<number, string>(
  Object.entries(Opcode).map(([name, opcode]) => [opcode, name]),
);

/**
 * Such as `TEXT FIN RSV1`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { frameText } from "./frame_text.ts";
 *
 * assertEquals(frameText({ opcode: 0, fin: true, rsv1: false }), "CONTINUATION FIN");
 * ```
 */
export function frameText(
  { opcode, fin, rsv1 }: Pick<FrameInfo, "opcode" | "fin" | "rsv1">,
): string {
  return [NAMES.get(opcode), fin ? "FIN" : "", rsv1 ? "RSV1" : ""].filter(Boolean).join(" ");
}
