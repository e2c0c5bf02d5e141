import { assert, assertEquals } from "@std/assert";
import {
  isAllowedOrigin,
  isOrigin,
  isSameSecret,
  protocolFor,
  tokenOf,
} from "../../../cli/server/access.ts";

function request(url: string, headers: Record<string, string> = {}): Request {
  return new Request(`https://localhost${url}`, { headers });
}

/** What the engines of apps and extensions, and local pages, send as `Origin`. */
const APP_ORIGINS = [
  "capacitor://localhost",
  "ionic://localhost",
  "tauri://localhost",
  "app://obsidian.md",
  "app://.",
  "app://-",
  "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
  "moz-extension://5f3b2f0e-1d5c-4a3e-9d5e-2f6a7b8c9d0e",
  "safari-web-extension://5F3B2F0E-1D5C-4A3E-9D5E-2F6A7B8C9D0E",
  "vscode-webview://1kq7mtc7m1bqbkr3u3q2ggnp9e2qbnu0",
  "ms-appx-web://12345.app",
  "file://",
  "null",
];

Deno.test("isOrigin() takes origins of the web, of apps and of extensions", () => {
  for (
    const origin of [
      ...APP_ORIGINS,
      "https://example.com",
      "HTTP://Example.com:8080",
      "https://*.example.com",
      "http://[::1]:8080",
    ]
  ) {
    assertEquals(isOrigin(origin), true, origin);
  }
  for (
    const text of [
      "",
      "*",
      "example.com",
      "https://example.com/",
      "https://example.com:443",
      "https://*",
      "https://a.*.example.com",
      "https://user@example.com",
      "capacitor:localhost",
      "capacitor://",
      "capacitor://localhost/",
      "capacitor://localhost?a",
      "capacitor://localhost#a",
      "capacitor://user@localhost",
      "capacitor://local host",
      "capacitor://localh\xf6st",
      "chrome-extension://*",
      "app://*.example",
      "1app://a",
      "file:///",
      "file:///home",
      "nul",
    ]
  ) {
    assertEquals(isOrigin(text), false, text);
  }
});

Deno.test("isAllowedOrigin() compares the origin of an app exactly, in any case", () => {
  for (const origin of APP_ORIGINS) {
    const allowed = [origin.toLowerCase()];
    assertEquals(isAllowedOrigin(origin, allowed), true, origin);
    assertEquals(isAllowedOrigin(origin.toUpperCase(), allowed), true, origin);
    for (
      const other of [`${origin}x`, origin.slice(0, -1), `${origin}/`, `${origin}:1`, `x${origin}`]
    ) {
      assertEquals(isAllowedOrigin(other, allowed), false, other);
    }
    for (const other of APP_ORIGINS) {
      assertEquals(isAllowedOrigin(other, allowed), other === origin, other);
    }
  }
});

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
