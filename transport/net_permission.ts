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
 * @throws {URIError} Where not all hosts are allowed, and the permissions know no such host.
 */
export function requireNetPermission(url: URL): void {
  const everywhere = Deno.permissions.querySync({ name: "net" });
  // Partly granted is what `--deny-net` leaves.
  if (everywhere.state === "granted" && !everywhere.partial) return;
  const port = url.port || (url.protocol === "wss:" ? "443" : "80");
  const host = `${url.hostname}:${port}`;
  if (Deno.permissions.requestSync({ name: "net", host }).state !== "granted") {
    throw new Deno.errors.NotCapable(
      `Cannot open WebSocket: it requires net access to "${host}", run again with the --allow-net flag`,
    );
  }
}
