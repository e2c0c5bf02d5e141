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

Deno.test("protocolFor() chooses a subprotocol for a browser that offers its token as one", () => {
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
  /** The shortest of several comparisons, in milliseconds: other work of the machine can only make one longer. */
  const shortest = (given: string) =>
    Math.min(...Array.from({ length: 5 }, () => {
      const start = performance.now();
      assertEquals(isSameSecret(given, wanted), false);
      return performance.now() - start;
    }));
  const [early, late] = [shortest(`y${wanted.slice(1)}`), shortest(`${wanted.slice(1)}y`)];
  // A comparison that stops at the first difference would take almost no time.
  assert(early > late / 10, `${early} ms, ${late} ms`);
});
