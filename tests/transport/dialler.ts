/**
 * Opens the WebSocket of its first argument, and prints `open` or the error: run with permissions and an
 * environment of a test's choice.
 *
 * @module
 */

import { WebSocket } from "../../mod.ts";

const [url, options = "{}"] = Deno.args;
const socket = new WebSocket(url!, JSON.parse(options));
socket.onopen = () => {
  console.log("open");
  socket.close();
};
socket.onerror = (event) => console.log((event as ErrorEvent).message);
