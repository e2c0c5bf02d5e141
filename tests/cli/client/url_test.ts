import { assertEquals, assertThrows } from "@std/assert";
import { Refusal } from "../../../cli/client/refusal.ts";
import {
  isRedirect,
  MAX_REDIRECTS,
  parseUrl,
  redirectTarget,
  withoutSecrets,
} from "../../../cli/client/url.ts";
import { Failure } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/flags.ts";
import { sentencesIn } from "../../../cli/sentences.ts";

const SENTENCES = sentencesIn("en");

function redirect(location: string, status = 302): Refusal {
  return new Refusal("no", status, new Headers({ Location: location }), "");
}

Deno.test("parseUrl() suggests the URL that may be meant", () => {
  const cases: [text: string, near: string | undefined][] = [
    ["example.com", "wss://example.com"],
    ["localhost:9312/ws", "wss://localhost:9312/ws"],
    ["[::1]:9312", "wss://[::1]:9312"],
    ["u:p@example.com/?token=s3cret", "wss://example.com/?token=***"],
    ["http://example.com/a", "ws://example.com/a"],
    ["HTTPS://u:p@example.com/", "wss://example.com/"],
    ["https://", undefined],
    ["ftp://example.com/", undefined],
    ["/ws", undefined],
    ["localhost:99999", undefined],
    ["wss://example.com/#a", undefined],
    ["two words", undefined],
    ["", undefined],
  ];
  for (const [text, near] of cases) {
    const { message } = assertThrows(() => parseUrl(text, SENTENCES), UsageError);
    assertEquals(/, perhaps (.*)$/.exec(message)?.[1], near, message);
  }
});

/** Where a redirect leads. */
function target(from: string, location: string, count = 1): string {
  return redirectTarget(new URL(from), redirect(location), count, SENTENCES).href;
}

Deno.test("isRedirect() is true of a status with the same method and a Location", () => {
  for (const status of [301, 302, 303, 307, 308]) {
    assertEquals(isRedirect(redirect("/", status)), true);
  }
  for (const status of [300, 304, 305, 401]) assertEquals(isRedirect(redirect("/", status)), false);
  assertEquals(isRedirect(new Refusal("no", 302, new Headers(), "")), false);
});

Deno.test("redirectTarget() resolves a Location, with http: for ws: and without a fragment", () => {
  assertEquals(target("ws://a/b/c", "d?e"), "ws://a/b/d?e");
  assertEquals(target("ws://a/b", "http://c/d#e"), "ws://c/d");
  assertEquals(target("ws://a/b", "https://c/d"), "wss://c/d");
  assertEquals(target("wss://a/b", "wss://c/d"), "wss://c/d");
  assertEquals(target("wss://a/b", "//c/d"), "wss://c/d");
});

Deno.test("redirectTarget() refuses to go on without TLS, to what is no WebSocket, and without end", () => {
  const cases: [from: string, location: string, count: number, message: string][] = [
    ["wss://a/", "ws://a/?token=s3cret", 1, 'redirects to "ws://a/?token=***", without TLS'],
    ["wss://a/", "http://a/", 1, 'redirects to "http://a/", without TLS'],
    ["ws://a/", "ftp://a/", 1, 'redirects to "ftp://a/", which is not the URL of a WebSocket'],
    ["ws://a/", "http://[", 1, 'redirects to "http://[", which is not the URL of a WebSocket'],
    ["ws://a/", "javascript:alert(1)", 1, "which is not the URL of a WebSocket"],
    ["ws://a/", "/", MAX_REDIRECTS + 1, "redirects more than 10 times; check the URL"],
  ];
  for (const [from, location, count, message] of cases) {
    assertThrows(() => target(from, location, count), Failure, message);
  }
  assertEquals(target("ws://a/", "/", MAX_REDIRECTS), "ws://a/");
});

Deno.test("withoutSecrets() hides a user, a password and a token", () => {
  assertEquals(withoutSecrets("wss://u:p@h/?a=b&token=c&d=e"), "wss://h/?a=b&token=***&d=e");
});
