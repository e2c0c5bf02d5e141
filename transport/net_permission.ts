/**
 * The permission to connect.
 *
 * @module
 */

/**
 * Asks for the permission to connect to the host of a `ws:` or `wss:` URL, as Deno does: the user, where
 * there is a terminal and no decision yet.
 *
 * @throws {Deno.errors.NotCapable} If the program may not.
 */
export function requireNetPermission(url: URL): void {
  const port = url.port || (url.protocol === "wss:" ? "443" : "80");
  const host = `${url.hostname}:${port}`;
  if (Deno.permissions.requestSync({ name: "net", host }).state !== "granted") {
    throw new Deno.errors.NotCapable(
      `Cannot open WebSocket: it requires net access to "${host}", run again with the --allow-net flag`,
    );
  }
}
