/**
 * What a peer may do wrong: the error that fails a connection (RFC 6455 section 7.1.7).
 *
 * @module
 */

/** The rule that the peer broke: stable, for programs, where the message is for people. */
export type Violation =
  | "UNKNOWN_OPCODE"
  | "RESERVED_BIT"
  | "FRAGMENTED_CONTROL_FRAME"
  | "NOTHING_TO_CONTINUE"
  | "MESSAGE_INSIDE_MESSAGE"
  | "MASKED"
  | "NOT_MASKED"
  | "CONTROL_FRAME_TOO_LONG"
  | "LENGTH_NOT_MINIMAL"
  | "LENGTH_TOO_LARGE"
  | "MESSAGE_TOO_BIG"
  | "NOT_UTF8"
  | "NOT_DEFLATE"
  | "CLOSE_FRAME_TOO_SHORT"
  | "CLOSE_CODE_NOT_ALLOWED"
  | "CLOSE_REASON_NOT_UTF8"
  | "EXTENSION_NOT_OFFERED"
  | "MESSAGE_TOO_SLOW"
  | "OUT_OF_MEMORY";

/** The peer broke the protocol, or a limit: the connection fails with `code` (RFC 6455 section 7.1.7). */
export class ProtocolError extends Error {
  /** Tells it from other errors. */
  override name = "ProtocolError";
  /** The close code that tells the peer why. */
  readonly code: number;
  /** Which rule was broken. */
  readonly violation: Violation;
  /** Made by the library. */
  constructor(code: number, violation: Violation, message: string) {
    super(message);
    this.code = code;
    this.violation = violation;
  }
}
