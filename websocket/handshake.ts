/**
 * The opening handshake (RFC 6455 section 4).
 *
 * @module
 */

/** Why a request cannot be upgraded, and the response that says so. */
export interface UpgradeRefusal {
  /** What is wrong with the request. */
  reason: "method" | "upgrade" | "version" | "key";
  /** What the request has instead. */
  value: string;
  /** The status of the response. */
  status: 400 | 405 | 426;
  /** The headers of the response that RFC 9110 and RFC 6455 ask for with that status. */
  headers: Record<string, string>;
}

/** The protocol version of RFC 6455 section 4.1, the only one spoken. */
export const VERSION = "13";

/** A `Sec-WebSocket-Key`: 16 bytes as base64 (RFC 6455 section 4.1, item 7). */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

/**
 * Checks a client's opening handshake (RFC 6455 section 4.2.1).
 *
 * @param request The request to be upgraded.
 * @returns What is wrong with it, or nothing.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { checkUpgrade } from "@permessage/deflate";
 *
 * const request = new Request("https://localhost/ws");
 * assertEquals(checkUpgrade(request)?.status, 426);
 * ```
 */
export function checkUpgrade(
  request: { method: string; headers: Headers },
): UpgradeRefusal | undefined {
  const { method, headers } = request;
  if (method !== "GET") {
    return { reason: "method", value: method, status: 405, headers: { Allow: "GET" } };
  }
  const upgrade = headers.get("Upgrade");
  if (!hasToken(upgrade, "websocket") || !hasToken(headers.get("Connection"), "upgrade")) {
    const needed = { Upgrade: "websocket", Connection: "Upgrade" };
    return { reason: "upgrade", value: upgrade ?? "", status: 426, headers: needed };
  }
  const version = headers.get("Sec-WebSocket-Version");
  if (version !== VERSION) {
    const needed = {
      "Sec-WebSocket-Version": VERSION,
      Upgrade: "websocket",
      Connection: "Upgrade",
    };
    return { reason: "version", value: version ?? "", status: 426, headers: needed };
  }
  const key = headers.get("Sec-WebSocket-Key");
  if (key === null || !KEY.test(key)) {
    return { reason: "key", value: key ?? "", status: 400, headers: {} };
  }
  return undefined;
}

/** Whether a comma-separated header holds `token`, in any case (RFC 9110 section 5.6.1). */
function hasToken(header: string | null, token: string): boolean {
  return header?.split(",").some((part) => part.trim().toLowerCase() === token) ?? false;
}
