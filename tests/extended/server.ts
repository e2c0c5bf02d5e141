/**
 * An echo server in a process of its own, to be attacked and measured: the library's, or Deno's with
 * `native`; over TLS with `cert` and `key` in the current folder with `tls`. With `parts`, a text is
 * answered in three messages, 2 ms apart; `serve=` has options of `serve` in JSON. What a socket of `/room`, or of a path
 * below, sends goes to all sockets of that path. A `POST` gets its body back.
 *
 * It prints its port, and with `tell` then `closed CODE` for each socket that has ended: somebody must
 * read that, or it stops at a full pipe. `/memory` answers with its
 * memory after a garbage collection, where the process has `--v8-flags=--expose-gc`.
 *
 * @module
 */

import { serve, type ServeTcpOptions, upgradeWebSocket } from "../../mod.ts";
import { Topics } from "../../topics.ts";

const native = Deno.args.includes("native");
const parts = Deno.args.includes("parts");
const tell = Deno.args.includes("tell");
const tls = Deno.args.includes("tls");
const idle = Deno.args.find((arg) => arg.startsWith("idle="));
const hostname = Deno.args.find((arg) => arg.startsWith("host="))?.slice(5) ?? "127.0.0.1";
const given = Deno.args.find((arg) => arg.startsWith("serve="))?.slice(6) ?? "{}";
const serveOptions: ServeTcpOptions = JSON.parse(given);
const idleTimeout = idle === undefined ? 30 : Number(idle.slice(5));

function collect(): void {
  const { gc } = globalThis as { gc?: () => void };
  for (let i = 0; i < 3; i++) gc?.();
}

const PARTS = 3;
const PART_MS = 2;

async function answerInParts(socket: Pick<WebSocket, "send">): Promise<void> {
  for (let i = 0; i < PARTS; i++) {
    if (i > 0) await new Promise((resolve) => setTimeout(resolve, PART_MS));
    socket.send(`part ${i}`);
  }
}

// As every server has one. Besides, Deno 2.9 panics when it looks for signals for the first time with all
// file descriptors in use, which would end this process for a reason of its own.
Deno.addSignalListener("SIGTERM", () => Deno.exit());

const topics = new Topics();

function handler(request: Request): Response {
  const { pathname } = new URL(request.url);
  if (pathname === "/memory") {
    collect();
    return Response.json(Deno.memoryUsage());
  }
  if (request.method === "POST") return new Response(request.body);
  const { socket, response } = native
    ? Deno.upgradeWebSocket(request, { idleTimeout })
    : upgradeWebSocket(request, { idleTimeout });
  socket.binaryType = "arraybuffer";
  const isInRoom = pathname === "/room" || pathname.startsWith("/room/");
  if (isInRoom) topics.subscribe(socket, pathname);
  socket.onmessage = ({ data }) => {
    if (isInRoom) topics.publish(pathname, data);
    else if (parts && typeof data === "string") void answerInParts(socket);
    else socket.send(data);
  };
  socket.onerror = () => {};
  if (tell) socket.onclose = ({ code }) => console.log(`closed ${code}`);
  return response;
}

const pair = tls
  ? { cert: Deno.readTextFileSync("server.crt"), key: Deno.readTextFileSync("server.key") }
  : {};
const options = {
  ...serveOptions,
  port: 0,
  hostname,
  onListen: ({ port }: Deno.NetAddr) => console.log(port),
  ...pair,
};
if (native) Deno.serve(options, handler);
else serve(options, handler);
