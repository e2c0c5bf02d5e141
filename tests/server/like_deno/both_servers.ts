/**
 * The runtime's own server and ours: what a test of this folder expects must hold for both, so that a program
 * can change from one to the other.
 *
 * @module
 */

import { assert } from "@std/assert";
import { serve, type ServeTcpOptions } from "../../../mod.ts";
import { OLDEST_DENO } from "../../../transport/deno_version.ts";
import { developmentCertificates } from "../../programs.ts";
import { RawClient } from "../../websocket/peers.ts";

/** A handler that both servers take. */
export type Handler = (
  request: Request,
  info: Deno.ServeHandlerInfo,
) => Response | Promise<Response>;

/** A server under test. */
export interface Running extends AsyncDisposable {
  port: number;
  url: string;
  /** A new connection to it. */
  connect(): Promise<RawClient>;
}

/** Starts a server; `options` are those that both servers have. */
export type Start = (handler: Handler, options?: Options) => Promise<Running>;

type Options = Pick<ServeTcpOptions, "onError" | "signal">;

/** A test that is run with each server, over TCP and over TLS. */
export function onBoth(name: string, body: (start: Start) => Promise<void>): void {
  for (const isOurs of [false, true]) {
    for (const secure of [false, true]) {
      Deno.test({
        name: `${isOurs ? "serve()" : "Deno.serve()"} over ${secure ? "TLS" : "TCP"} ${name}`,
        // Deno's own server of an older version does some of it otherwise.
        ignore: !isOurs && Deno.version.deno === OLDEST_DENO,
        fn: () => body((handler, options) => start(isOurs, secure, handler, options)),
      });
    }
  }
}

async function start(
  isOurs: boolean,
  secure: boolean,
  handler: Handler,
  options: Options = {},
): Promise<Running> {
  const { ca, cert, key } = await developmentCertificates();
  const all = {
    port: 0,
    hostname: "127.0.0.1",
    onListen() {},
    ...(secure && { cert, key }),
    ...options,
  };
  const server = isOurs ? serve(all, handler as never) : Deno.serve(all, handler);
  const { port } = server.addr as Deno.NetAddr;
  return {
    port,
    url: `${secure ? "https" : "http"}://127.0.0.1:${port}/`,
    async connect() {
      const hostname = "127.0.0.1";
      return new RawClient(
        secure
          ? await Deno.connectTls({ hostname, port, caCerts: [ca] })
          : await Deno.connect({ hostname, port }),
      );
    },
    [Symbol.asyncDispose]: () => Promise.resolve(server[Symbol.asyncDispose]()),
  };
}

/** An answer as it came over the network. */
export interface Answer {
  status: number;
  statusText: string;
  /** Names in lower case, and values, in their order. */
  headers: [string, string][];
  /** The first value of a header. */
  header(name: string): string | undefined;
  /** What is in the chunks where it came in chunks. */
  body: string;
  /** Whether all of the body came. */
  isWhole: boolean;
}

/** Reads one answer; of `HEAD`, it has no body. */
export async function readAnswer(client: RawClient, method = "GET"): Promise<Answer> {
  const [first, ...lines] = (await client.head()).trimEnd().split("\r\n");
  const [, status, statusText] = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(first!) ?? [];
  assert(status !== undefined, `No answer: ${JSON.stringify(first)}`);
  const headers = lines.map((line): [string, string] => {
    const at = line.indexOf(":");
    return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
  });
  const header = (name: string) => headers.find((entry) => entry[0] === name)?.[1];
  const answer = { status: Number(status), statusText: statusText!, headers, header };
  const length = header("content-length");
  if (method === "HEAD" || /^(1..|204|304)$/.test(status)) {
    return { ...answer, body: "", isWhole: true };
  }
  if (header("transfer-encoding") === "chunked") return { ...answer, ...await readChunks(client) };
  if (length === undefined) return { ...answer, body: await client.rest(), isWhole: true };
  const bytes = await client.bytes(Number(length));
  return {
    ...answer,
    body: new TextDecoder().decode(bytes),
    isWhole: bytes.length === Number(length),
  };
}

async function readChunks(client: RawClient): Promise<{ body: string; isWhole: boolean }> {
  const parts: Uint8Array[] = [];
  for (let isWhole = true; isWhole;) {
    let line = "";
    while (!line.endsWith("\r\n") && isWhole) {
      const byte = await client.bytes(1);
      isWhole = byte.length === 1;
      line += new TextDecoder().decode(byte);
    }
    const size = parseInt(line, 16);
    const part = isWhole ? await client.bytes(size + 2) : new Uint8Array();
    if (!isWhole || part.length < size + 2) return { body: await textOf(parts), isWhole: false };
    if (size === 0) break;
    parts.push(part.subarray(0, size));
  }
  return { body: await textOf(parts), isWhole: true };
}

function textOf(parts: Uint8Array[]): Promise<string> {
  return new Blob(parts as BlobPart[]).text();
}

/** A request; with `Connection: close`, its answer is the last. */
export function ask(target = "/", headers: string[] = [], body = "", method = "GET"): string {
  const lines = [`${method} ${target} HTTP/1.1`, "Host: example.org", ...headers];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

/** Sends one request on a connection of its own, and reads its answer. */
export async function exchange(server: Running, request: string): Promise<Answer> {
  using client = await server.connect();
  await client.write(request);
  return await readAnswer(client, request.slice(0, request.indexOf(" ")));
}
