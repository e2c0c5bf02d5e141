/**
 * The subprotocol `bearer.TOKEN`: a browser cannot set headers, so it offers its token in the place of a
 * subprotocol.
 *
 * @module
 */

/** How such a subprotocol begins. */
export const BEARER_PREFIX = "bearer.";

/** Whether a subprotocol carries a token. */
export function isBearer(protocol: string): boolean {
  return protocol.startsWith(BEARER_PREFIX);
}

/** The text, with `***` in the place of a token in a subprotocol that the text names. */
export function withoutToken(text: string): string {
  return text.replaceAll(/\bbearer\.[^"]+/g, `${BEARER_PREFIX}***`);
}
