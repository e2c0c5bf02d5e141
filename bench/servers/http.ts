/**
 * A page of 1 KB, and uploads that are read to their end, whose length is the answer: by `serve`, by `Deno.serve`, or
 * by `node:http` alone, as the argument behind the level says; over TLS, unless the last says `tcp`.
 *
 * @module
 */

import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { serve } from "../../mod.ts";
import { announce, LOCAL, serverArguments } from "./server.ts";

const PAGE = "p".repeat(1024);
const TEXT = { "content-type": "text/plain" };

const [server, network] = Deno.args.slice(4);
const { cert, key } = serverArguments();
const certificate = network === "tcp" ? {} : { cert, key };

async function answer(request: Request): Promise<Response> {
  if (request.body === null) return new Response(PAGE, { headers: TEXT });
  let length = 0;
  for await (const chunk of request.body) length += chunk.length;
  return new Response(String(length), { headers: TEXT });
}

async function answerNode(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let length = 0;
  for await (const chunk of request) length += chunk.length;
  const body = request.method === "POST" ? String(length) : PAGE;
  response.writeHead(200, { ...TEXT, "content-length": body.length }).end(body);
}

if (server === "node") {
  const node = network === "tcp"
    ? createHttpServer(answerNode)
    : createHttpsServer({ cert, key }, answerNode);
  node.listen(LOCAL.port, LOCAL.hostname, () => announce(node.address() as AddressInfo));
} else {
  // The load generator cuts its connections off, also in the middle of an upload.
  const onError = () => new Response(null, { status: 500 });
  const options = { ...LOCAL, ...certificate, onListen: announce, onError };
  if (server === "deno") Deno.serve(options, answer);
  else serve({ ...options, maxConnectionsPerAddress: 16_384 }, answer);
}
