/**
 * What `--frames` shows: each frame that is sent or received.
 *
 * @module
 */

import type { FrameInfo } from "../../mod.ts";
import { frameText } from "../frame_text.ts";
import { fill, type Sentences } from "../sentences.ts";
import type { Report } from "./report.ts";

/** Reports a frame. */
export function showFrame(
  { direction, ...frame }: FrameInfo,
  report: Report,
  { client }: Sentences,
): void {
  const { wireLength, payloadLength } = frame;
  const text = frameText(frame);
  const mark = direction === "sent" ? ">" : "<";
  report.err(
    fill(client.frame, { mark, frame: text, wireLength, payloadLength }),
    { event: "frame", direction, frame: text, ...frame },
  );
}
