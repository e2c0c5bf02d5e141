/**
 * WebSockets on a server of `node:http` or `node:https` that is there already, as under express or fastify.
 *
 * @module
 */

import type { IncomingMessage, Server } from "node:http";
import { Handover } from "../transport/handover.ts";
import {
  BODY_OF_UPGRADE,
  hasBody,
  isAnswering,
  refuse,
  upgradeResponse,
} from "../transport/http_connections.ts";
import { addressOf } from "../transport/sockets.ts";
import { answer, type AnswerOptions } from "./answer.ts";
import { type ServeHandler, serveLimits, type ServeOptions } from "./options.ts";
import type { Upgrade } from "./own_request.ts";
import { schemeOf } from "./request.ts";
import { startUpgraded } from "./upgrade.ts";

/** What is attached to a server, until it is disposed of. */
export interface Attachment extends Disposable {
  /** Leaves the server as it was; sockets that are open stay open. */
  detach(): void;
}

/** Options of {@linkcode attach}. */
export type AttachOptions = Pick<ServeOptions, "onError" | "responseTimeout">;

/**
 * Answers the `upgrade` events of a server of `node:http` or `node:https` by a handler as that of
 * {@linkcode serve}: it returns the response of `upgradeWebSocket`, or one that refuses, which is sent and ends
 * the connection. A handler that throws is answered as in `serve`. All other requests stay the server's own.
 *
 * @param server The server; that of express is what `app.listen()` returns, that of fastify `app.server`.
 * @param handler Answers each request that asks for an upgrade.
 * @param options What answers for a handler that threw, and how long a client may take for an answer.
 * @returns What takes the handler off again.
 * @throws {TypeError} If `server` is no such server, or `handler` no function.
 * @throws {RangeError} If `responseTimeout` is out of its range.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createServer } from "node:http";
 * import { attach, upgradeWebSocket, WebSocket } from "@permessage/deflate";
 *
 * const server = createServer((_, response) => response.end("a page"));
 * using _attached = attach(server, (request) => {
 *   if (new URL(request.url).pathname !== "/ws") return new Response("Not found", { status: 404 });
 *   const { socket, response } = upgradeWebSocket(request);
 *   socket.onmessage = ({ data }) => socket.send(data);
 *   return response;
 * });
 * await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
 * const { port } = server.address() as { port: number };
 *
 * const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
 * socket.onopen = () => socket.send("hello");
 * const { data } = await new Promise<MessageEvent>((resolve) => socket.onmessage = resolve);
 * assertEquals(data, "hello");
 * const closed = new Promise((resolve) => socket.onclose = resolve);
 * socket.close();
 * await closed;
 * await new Promise((resolve) => server.close(resolve));
 * ```
 */
export function attach(
  server: Pick<Server, "on" | "off">,
  handler: ServeHandler,
  options: AttachOptions = {},
): Attachment {
  if (typeof server?.on !== "function" || typeof server.off !== "function") {
    throw new TypeError("Cannot attach: server must be one of node:http or node:https");
  }
  if (typeof handler !== "function") throw new TypeError("Cannot attach: no handler was given");
  const answerOptions = {
    limits: serveLimits(options),
    handler,
    onError: options.onError,
    keepsConnections: () => false,
  };
  const onUpgrade = (message: IncomingMessage, _socket: unknown, head: Uint8Array) =>
    void answerUpgrade(message, head, answerOptions);
  server.on("upgrade", onUpgrade);
  const detach = () => void server.off("upgrade", onUpgrade);
  return { detach, [Symbol.dispose]: detach };
}

/** Answers a request for an upgrade. Never rejects. */
async function answerUpgrade(
  message: IncomingMessage,
  head: Uint8Array,
  options: AnswerOptions,
): Promise<void> {
  const { socket } = message;
  // Otherwise an error would end the process; it is told by the end of the connection.
  socket.on("error", () => {});
  socket.setTimeout(0);
  if (isAnswering(socket)) return void socket.destroy();
  const response = upgradeResponse(message);
  if (hasBody(message)) return refuse(response, BODY_OF_UPGRADE);
  const handover = new Handover({ socket, source: socket }, head);
  const address = addressOf(socket);
  const upgradeTo = async (upgrade: Upgrade, accepted: Response) => {
    response.detachSocket(socket);
    await startUpgraded(handover, address, upgrade, accepted);
  };
  const client = { scheme: schemeOf(socket), authority: "localhost", address };
  await answer({ message, response, client, upgradeTo }, options);
}
