/**
 * One request and its answer: an ordinary response, or the start of a WebSocket.
 *
 * @module
 */

import { HttpError } from "../protocol/http.ts";
import type { IncomingMessage, ServerResponse } from "node:http";
import { refuse } from "../transport/http_connections.ts";
import { Misuse, tellOnce } from "./misuse.ts";
import type { ServeHandler, ServeHandlerInfo, ServeLimits, ServeOptions } from "./options.ts";
import { type Origin, type RequestBody, requestOf } from "./request.ts";
import { checkResponse, ClientGone, sendResponse } from "./response.ts";
import { OwnRequest, type Upgrade } from "./own_request.ts";

/** How requests are answered. */
export interface AnswerOptions {
  limits: ServeLimits;
  handler: ServeHandler;
  onError: ServeOptions["onError"];
  /** Whether connections are kept after an answer now. */
  keepsConnections(): boolean;
}

/** For whom a request is answered, and what its URL begins with. */
export interface Client extends Origin {
  address: Deno.Addr;
}

/** A request to be answered. */
export interface Exchange {
  message: IncomingMessage;
  response: ServerResponse;
  client: Client;
  /**
   * Sends the response of an upgrade, and starts its session; absent where the connection cannot be taken
   * over.
   */
  upgradeTo?: (upgrade: Upgrade, response: Response) => Promise<void>;
}

/** Has the handler answer a request, and sends the answer. Never rejects. */
export async function answer(exchange: Exchange, options: AnswerOptions): Promise<void> {
  const { message, response: out, client, upgradeTo } = exchange;
  const { limits } = options;
  const completed = Promise.withResolvers<void>();
  // A handler that ignores this promise must not get an unhandled rejection.
  completed.promise.catch(() => {});
  const gone = new AbortController();
  const onGone = () => {
    if (!out.writableFinished) {
      gone.abort(new DOMException("The client has gone", "AbortError"));
    }
  };
  out.once("close", onGone);
  message.socket.once("end", onGone);
  let own: OwnRequest | undefined;
  try {
    const { request, body } = requestOf(message, out, gone.signal, client, limits);
    own = new OwnRequest(request, client.address, upgradeTo !== undefined);
    const info = { remoteAddr: client.address, completed: completed.promise };
    const response = await respond(request, info, own, body, options);
    const { upgrade } = own;
    if (upgrade !== undefined && response.status === 101) {
      await upgradeTo!(upgrade, response);
    } else {
      if (!options.keepsConnections()) out.shouldKeepAlive = false;
      await send(out, response, gone.signal, options);
    }
    completed.resolve();
  } catch (error) {
    own?.upgrade?.session.abandon(error);
    if (error instanceof HttpError && !out.headersSent) refuse(out, error);
    completed.reject(error);
  } finally {
    out.off("close", onGone);
    message.socket.off("end", onGone);
  }
}

/**
 * The response of the handler, or what is sent in its place.
 *
 * @throws {HttpError} If the handler failed as the body could not be read.
 */
async function respond(
  request: Request,
  info: ServeHandlerInfo,
  own: OwnRequest,
  body: RequestBody | undefined,
  { handler, onError = printError }: AnswerOptions,
): Promise<Response> {
  try {
    const response = await handler(request, info);
    checkResponse(response);
    own.checkAnswer(response);
    return response;
  } catch (error) {
    own.abandon(error);
    if (body?.refusal !== undefined) throw body.refusal;
    try {
      const response = await onError(error);
      checkResponse(response);
      own.checkAnswer(response);
      return response;
    } catch (second) {
      return printError(second);
    }
  } finally {
    own.end();
  }
}

/** Sends a response. A body that fails is told to `onError`, whose own response comes too late. */
async function send(
  out: ServerResponse,
  response: Response,
  signal: AbortSignal,
  { limits, onError = printError }: AnswerOptions,
): Promise<void> {
  try {
    await sendResponse(out, response, signal, limits.responseTimeout);
  } catch (error) {
    if (error instanceof ClientGone || error instanceof HttpError) throw error;
    try {
      await onError(error);
    } catch (second) {
      printError(second);
    }
    throw error;
  }
}

function printError(error: unknown): Response {
  if (error instanceof Misuse) tellOnce(error.message);
  else console.error(error);
  const headers = { "X-Content-Type-Options": "nosniff" };
  return new Response("Internal Server Error", { status: 500, headers });
}
