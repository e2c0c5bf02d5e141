/** What Deno's own WebSocket and its HTTP client take, by its types: each is taken, or is refused and named. */

import { assertEquals } from "@std/assert";
import { WebSocket, type WebSocketOptions } from "../../mod.ts";

type DenoSocketOptions = globalThis.WebSocketOptions;
type DenoClientOptions = Deno.CreateHttpClientOptions & Deno.TlsCertifiedKeyPem;

/** Whether two types are the same. */
type Same<A, B> = [A] extends [B] ? [B] extends [A] ? true : false : false;

/** Options of Deno's that ours are, too. */
type Taken = Pick<DenoClientOptions, "caCerts" | "cert" | "key" | "proxy">;

/** Those of its HTTP client that mean nothing to one connection of HTTP/1.1, or have another way. */
type OfClient =
  | "allowHost" // A Host of one's own is always sent.
  | "http1"
  | "http2"
  | "http2MaxHeaderListSize"
  | "localAddress" // The option connect can bind one.
  | "poolIdleTimeout"
  | "poolMaxIdlePerHost"
  // Of TlsCertifiedKeyPem.
  | "keyFormat";

Deno.test("WebSocket's options are those of Deno's WebSocket and of its HTTP client", () => {
  const arguments_: Parameters<typeof constructors>[] = [
    ["ws://a/"],
    [new URL("ws://a/"), "chat"],
    ["ws://a/", ["a", "b"]],
    ["ws://a/", {} as DenoSocketOptions],
  ];
  assertEquals(arguments_.length, 4);

  const socketOptions: Same<keyof DenoSocketOptions, "protocols" | "headers" | "client"> = true;
  const clientOptions: Same<keyof DenoClientOptions, keyof Taken | OfClient> = true;
  const ours: WebSocketOptions = {} as DenoSocketOptions & Partial<Taken>;
  assertEquals([socketOptions, clientOptions, ours], [true, true, {}]);

  /** Never called: it is checked only. */
  function constructors(...given: ConstructorParameters<typeof globalThis.WebSocket>) {
    const [url, options] = given;
    if (typeof options !== "object" || Array.isArray(options)) return new WebSocket(url, options);
    const { client: _, ...others } = options;
    return new WebSocket(url, others);
  }
});
