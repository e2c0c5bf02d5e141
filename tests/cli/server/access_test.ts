import { assert, assertEquals } from "@std/assert";
import { isSameSecret, protocolFor, tokenOf } from "../../../cli/server/access.ts";

function request(url: string, headers: Record<string, string> = {}): Request {
  return new Request(`https://localhost${url}`, { headers });
}

Deno.test("tokenOf() prefers the header to the query to the subprotocol", () => {
  const all = {
    Authorization: "bearer  header",
    "Sec-WebSocket-Protocol": "chat, bearer.protocol",
  };
  assertEquals(tokenOf(request("/ws?token=query", all)), "header");
  assertEquals(tokenOf(request("/ws?token=query")), "query");
  assertEquals(tokenOf(request("/ws", { "Sec-WebSocket-Protocol": "chat,bearer.x" })), "x");
  assertEquals(tokenOf(request("/ws")), undefined);
});

Deno.test("protocolFor() gives a browser with a token in its subprotocols one back", () => {
  const offer = (value: string) => protocolFor(request("/ws", { "Sec-WebSocket-Protocol": value }));
  assertEquals(offer("bearer.x, chat"), "chat");
  assertEquals(offer("bearer.x"), "bearer.x");
  assertEquals(offer("chat"), undefined);
  assertEquals(offer("bearer.x, my chat"), "bearer.x");
  assertEquals(offer("my chat, bearer.x/y=, chat"), "chat");
  assertEquals(offer("bearer.x/y="), undefined);
  assertEquals(protocolFor(request("/ws")), undefined);
});

Deno.test("isSameSecret() compares whole secrets of any length", () => {
  assertEquals(isSameSecret("a", "a"), true);
  assertEquals(isSameSecret("a", "ab"), false);
  assertEquals(isSameSecret("", "a"), false);
});

Deno.test("isSameSecret() takes as long wherever the secrets begin to differ", () => {
  const wanted = "x".repeat(2 ** 22);
  /** The shortest of several comparisons, in milliseconds: what else the machine does only adds. */
  const shortest = (given: string) =>
    Math.min(...Array.from({ length: 5 }, () => {
      const start = performance.now();
      assertEquals(isSameSecret(given, wanted), false);
      return performance.now() - start;
    }));
  const [early, late] = [shortest(`y${wanted.slice(1)}`), shortest(`${wanted.slice(1)}y`)];
  // A comparison that stops at the first difference takes next to none.
  assert(early > late / 10, `${early} ms, ${late} ms`);
});
