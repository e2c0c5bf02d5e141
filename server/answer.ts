/**
 * One request and its answer: an ordinary response, or the start of a WebSocket.
 *
 * @module
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import { Refusal, refuse } from "../transport/http_connections.ts";
import type { ServeHandler, ServeLimits, ServeOptions } from "./options.ts";
import { type Origin, requestOf } from "./request.ts";
import { sendResponse, usable } from "./response.ts";
import { type OwnRequest, ownRequests, type Upgrade } from "./upgrade.ts";

/** How requests are answered. */
export interface AnswerOptions {
  origin: Origin;
  limits: ServeLimits;
  handler: ServeHandler;
  onError: ServeOptions["onError"];
}

/**
 * Has the handler answer a request, and sends the answer. Never rejects.
 *
 * @param sendUpgrade Sends the response of an upgrade, and starts its session; absent where the request
 * cannot be upgraded.
 */
export async function answer(
  message: IncomingMessage,
  out: ServerResponse,
  address: Deno.Addr,
  options: AnswerOptions,
  sendUpgrade?: (response: Response, upgrade: Upgrade) => Promise<void>,
): Promise<void> {
  const own: OwnRequest = { address };
  const completed = Promise.withResolvers<void>();
  // A handler that ignores this promise must not get an unhandled rejection.
  completed.promise.catch(() => {});
  try {
    const { request, body } = requestOf(message, out, options.origin, options.limits);
    if (sendUpgrade !== undefined) ownRequests.set(request, own);
    const info = { remoteAddr: address as Deno.NetAddr, completed: completed.promise };
    let response: Response;
    try {
      response = usable(await options.handler(request, info), own.upgrade !== undefined);
    } catch (error) {
      // A handler that could not read the body is not at fault.
      if (body?.refusal !== undefined) throw body.refusal;
      response = await failed(error, options.onError, own);
    }
    // Once it is answered, a request cannot be upgraded any more.
    ownRequests.delete(request);
    if (own.upgrade !== undefined && response.status === 101) {
      await sendUpgrade!(response, own.upgrade);
    } else {
      own.upgrade?.session.abandon(
        new Error("Cannot open WebSocket: the handler did not return the response of the upgrade"),
      );
      await sendResponse(out, message.method!, response, options.limits.responseTimeout);
    }
    completed.resolve();
  } catch (error) {
    if (error instanceof Refusal && !out.headersSent) refuse(out, error);
    own.upgrade?.session.abandon(error);
    completed.reject(error);
  }
}

/** The answer for a handler that failed. */
async function failed(
  error: unknown,
  onError: ServeOptions["onError"] = printError,
  own: OwnRequest,
): Promise<Response> {
  try {
    return usable(await onError(error), own.upgrade !== undefined);
  } catch (second) {
    return printError(second);
  }
}

function printError(error: unknown): Response {
  console.error(error);
  const headers = { "X-Content-Type-Options": "nosniff" };
  return new Response("Internal Server Error", { status: 500, headers });
}
