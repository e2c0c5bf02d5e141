/**
 * The one rule of HTTP's grammar that the flags of both programs need.
 *
 * @module
 */

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/**
 * Whether `text` is a token of RFC 9110 section 5.6.2: the name of a header, or of a subprotocol
 * (RFC 6455 section 4.1, item 10).
 */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}
