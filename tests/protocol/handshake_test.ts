import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  acceptOf,
  areValidProtocols,
  callerHeaders,
  checkCallerHeaders,
  checkUpgrade,
  checkUpgradeResponse,
  createKey,
  HandshakeError,
  upgradeRequest,
  VERSION,
} from "../../protocol/handshake.ts";
import type { HeaderLines } from "../../protocol/http.ts";

/** The key of RFC 6455 section 1.3, and its answer. */
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

// The server's side

const HANDSHAKE = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Key": KEY,
  "Sec-WebSocket-Version": "13",
};

/** Checks a handshake in which some headers are others; `null` leaves one out. */
function check(changes: Record<string, string | null> = {}, method = "GET") {
  const headers = new Headers(HANDSHAKE);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) headers.delete(name);
    else headers.set(name, value);
  }
  return checkUpgrade({ method, headers });
}

Deno.test("checkUpgrade() passes the handshake of RFC 6455 section 1.3", () => {
  assertEquals(
    check({ Origin: "http://example.com", "Sec-WebSocket-Protocol": "chat" }),
    undefined,
  );
});

Deno.test("checkUpgrade() compares tokens in any case, among others (RFC 6455 section 4.2.1)", () => {
  for (const upgrade of ["WebSocket", "WEBSOCKET", "h2c, websocket", "websocket\t,h2c"]) {
    assertEquals(check({ Upgrade: upgrade }), undefined, upgrade);
  }
  for (const connection of ["upgrade", "keep-alive, Upgrade", "UPGRADE,keep-alive"]) {
    assertEquals(check({ Connection: connection }), undefined, connection);
  }
});

Deno.test("checkUpgrade() refuses another method with 405 (RFC 6455 section 4.2.1, item 1)", () => {
  for (const method of ["POST", "HEAD", "OPTIONS", "get"]) {
    assertEquals(check({}, method), {
      reason: "method",
      value: method,
      status: 405,
      headers: { Allow: "GET" },
    });
  }
});

Deno.test("checkUpgrade() refuses what asks for no WebSocket with 426 (RFC 6455 section 4.2.1, items 3 and 4)", () => {
  const headers = { Upgrade: "websocket", Connection: "Upgrade" };
  for (const upgrade of [null, "", "h2c", "websockets", "web socket", "websocket/13"]) {
    assertEquals(check({ Upgrade: upgrade }), {
      reason: "upgrade",
      value: upgrade ?? "",
      status: 426,
      headers,
    });
  }
  for (const connection of [null, "", "keep-alive", "upgraded", "up grade"]) {
    const refusal = check({ Connection: connection });
    assertEquals(refusal, { reason: "upgrade", value: "websocket", status: 426, headers });
  }
});

Deno.test("checkUpgrade() refuses another version with 426, and names its own (RFC 6455 sections 4.2.2 and 4.4)", () => {
  assertEquals(VERSION, "13");
  for (const version of [null, "", "8", "12", "14", "013", "13, 8", "x"]) {
    assertEquals(check({ "Sec-WebSocket-Version": version }), {
      reason: "version",
      value: version ?? "",
      status: 426,
      headers: { "Sec-WebSocket-Version": "13", Upgrade: "websocket", Connection: "Upgrade" },
    });
  }
});

Deno.test("checkUpgrade() refuses a key that is not 16 bytes of base64 with 400 (RFC 6455 section 4.2.1, item 5)", () => {
  for (
    const key of [
      null,
      "",
      btoa("x".repeat(15)),
      btoa("x".repeat(17)),
      btoa("x".repeat(16)).slice(0, -1),
      btoa("x".repeat(16)).replace("==", ""),
      `${KEY}, ${KEY}`,
      `${KEY}=`,
      KEY.replace("d", "-"),
      KEY.replace("h", " "),
    ]
  ) {
    assertEquals(check({ "Sec-WebSocket-Key": key }), {
      reason: "key",
      value: key ?? "",
      status: 400,
      headers: {},
    });
  }
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const key = btoa(String.fromCharCode(...bytes));
      assertEquals(check({ "Sec-WebSocket-Key": key }), undefined, key);
    }),
  );
});

Deno.test("checkUpgrade() takes a key with bits beyond its 16 bytes, which is answered as it came", () => {
  for (const letter of ["R", "f", "/", "9"]) {
    const key = KEY.replace("Q==", `${letter}==`);
    assertEquals(check({ "Sec-WebSocket-Key": key }), undefined, key);
  }
  // By `printf %s KEY258EAFA5-... | openssl sha1 -binary | base64`.
  assertEquals(acceptOf("dGhlIHNhbXBsZSBub25jZR=="), "Zgw8jYXtqX5qJr7MJ1Q/MqzeSRI=");
});

Deno.test("checkUpgrade() refuses malformed extensions with 400 (RFC 6455 section 9.1)", () => {
  for (const value of ["a;", "a=1", "a b", 'permessage-deflate; x="']) {
    assertEquals(check({ "Sec-WebSocket-Extensions": value }), {
      reason: "extensions",
      value,
      status: 400,
      headers: {},
    });
  }
  // What is not known is declined, not refused.
  assertEquals(
    check({ "Sec-WebSocket-Extensions": "x-unknown; y=1, permessage-deflate" }),
    undefined,
  );
});

Deno.test("acceptOf() answers the key of RFC 6455 section 1.3 (section 4.2.2, item 5.4)", () => {
  assertEquals(acceptOf(KEY), ACCEPT);
});

// The client's side

Deno.test("createKey() makes 16 random bytes, others each time (RFC 6455 section 4.1, item 7)", () => {
  const keys = Array.from({ length: 100 }, createKey);
  for (const key of keys) {
    assertEquals(atob(key).length, 16);
    assertEquals(check({ "Sec-WebSocket-Key": key }), undefined);
  }
  assertEquals(new Set(keys).size, keys.length);
});

Deno.test("areValidProtocols() wants distinct tokens (RFC 6455 section 4.1, item 10)", () => {
  for (const valid of [[], ["chat"], ["chat", "superchat"], ["a!#$%&'*+.^_`|~-9Z"]]) {
    assertEquals(areValidProtocols(valid), true, valid.join());
  }
  for (
    const invalid of [
      [""],
      ["a b"],
      ["a,b"],
      ["a/b"],
      ["é"],
      ["a\r\nb"],
      ["a\n"],
      ["a", "a"],
      ["a", "b", "A"],
      ["a", ""],
    ]
  ) {
    assertEquals(areValidProtocols(invalid), false, invalid.join());
  }
});

/** The lines of the request to a URL. */
function requestTo(
  url: string,
  offer: { protocols?: string[]; extensions?: string; headers?: HeadersInit } = {},
): string[] {
  const { line, headers } = upgradeRequest(new URL(url), KEY, {
    protocols: offer.protocols ?? [],
    extensions: offer.extensions,
    headers: new Headers(offer.headers),
  });
  return [line, ...headers.map(([name, value]) => `${name}: ${value}`)];
}

Deno.test("upgradeRequest() writes the client's handshake (RFC 6455 section 4.1)", () => {
  const own = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Key: ${KEY}`,
    "Sec-WebSocket-Version: 13",
  ];
  assertEquals(requestTo("ws://server.example.com/chat?a=1&b"), [
    "GET /chat?a=1&b HTTP/1.1",
    "Host: server.example.com",
    ...own,
  ]);
  assertEquals(
    requestTo("ws://a/", { protocols: ["chat"] }).at(-1),
    "Sec-WebSocket-Protocol: chat",
  );
  assertEquals(
    requestTo("wss://example.com", {
      protocols: ["chat", "superchat"],
      extensions: "permessage-deflate; client_max_window_bits",
      headers: { Authorization: "Bearer x", Origin: "https://example.com", Cookie: "\xe9" },
    }),
    [
      "GET / HTTP/1.1",
      "Host: example.com",
      ...own,
      "Sec-WebSocket-Protocol: chat, superchat",
      "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
      "authorization: Bearer x",
      "cookie: \xe9",
      "origin: https://example.com",
    ],
  );
});

Deno.test("upgradeRequest() names the port unless it is the default one (RFC 6455 section 4.1, item 4)", () => {
  const hostOf = (url: string) => requestTo(url)[1];
  assertEquals(hostOf("ws://a:80/"), "Host: a");
  assertEquals(hostOf("ws://a:443/"), "Host: a:443");
  assertEquals(hostOf("wss://a:443/"), "Host: a");
  assertEquals(hostOf("wss://a:80/"), "Host: a:80");
  assertEquals(hostOf("wss://[::1]:8443/"), "Host: [::1]:8443");
  // Neither the user nor the password of the URL is shown to anybody.
  assertEquals(requestTo("ws://user:secret@a/").some((line) => /secret/.test(line)), false);
});

Deno.test("checkCallerHeaders() refuses the headers of the handshake, and says what sets them", () => {
  for (
    const name of [
      "Connection",
      "Content-Length",
      "Sec-WebSocket-Accept",
      "Sec-WebSocket-Anything",
      "SEC-WEBSOCKET-KEY",
      "Sec-WebSocket-Version",
      "Transfer-Encoding",
      "Upgrade",
    ]
  ) {
    assertThrows(
      () => checkCallerHeaders(new Headers({ [name]: "x" })),
      TypeError,
      `Cannot open WebSocket: header "${name.toLowerCase()}" is the handshake's own, must not be given`,
    );
  }
  for (const option of ["protocols", "compression"]) {
    const name = option === "protocols" ? "Sec-WebSocket-Protocol" : "Sec-WebSocket-Extensions";
    assertThrows(
      () => checkCallerHeaders(new Headers({ [name]: "x" })),
      TypeError,
      `must not be given; use option ${option}`,
    );
  }
  checkCallerHeaders(
    new Headers({ "Sec-Fetch-Mode": "x", Origin: "null", Cookie: "a=b", "User-Agent": "x" }),
  );
});

Deno.test("checkCallerHeaders() refuses a Host that is none", () => {
  for (const host of ["a b", "a/b", "user@a", "a, b", "[::1", "a:b"]) {
    assertThrows(
      () => checkCallerHeaders(new Headers({ Host: host })),
      TypeError,
      `header "host" is "${host}", must be one host, with or without a port`,
    );
  }
  for (const host of ["a", "a:1", "[::1]:8443"]) checkCallerHeaders(new Headers({ Host: host }));
});

Deno.test("upgradeRequest() sends the caller's Host in place of its own, and other headers after them", () => {
  const [line, host, ...own] = requestTo("ws://a/");
  assertEquals(host, "Host: a");
  assertEquals(requestTo("ws://a/", { headers: { HOST: "b:1", "X-Own": "x" } }), [
    line,
    "Host: b:1",
    ...own,
    "x-own: x",
  ]);
});

Deno.test("callerHeaders() joins cookies in several lines as one must be sent (RFC 6265 section 5.4)", () => {
  const cookies = (given: HeadersInit) => callerHeaders(given).get("cookie");
  assertEquals(cookies([["Cookie", "a=b, c"], ["X", "1"], ["cookie", "d=e"]]), "a=b, c; d=e");
  assertEquals(cookies([["Cookie", "a=b, c"]]), "a=b, c");
  assertEquals(cookies({ Cookie: "a=b" }), "a=b");
  assertEquals(cookies(new Headers([["Cookie", "a=b"], ["X", "1"], ["X", "2"]])), "a=b");
  assertEquals(callerHeaders([["X", "1"], ["x", "2"]]).get("x"), "1, 2");
  assertEquals([...callerHeaders(undefined)], []);
});

/** A response in which some headers are others; `null` leaves one out. */
function response(changes: Record<string, string | null> = {}, status = 101) {
  const headers: Record<string, string | null> = {
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Accept": ACCEPT,
    ...changes,
  };
  const lines = Object.entries(headers).filter(([, value]) => value !== null) as HeaderLines;
  return { status, statusText: "", headers: lines };
}

function refusal(head: ReturnType<typeof response>, protocols: string[] = []): string {
  const error = assertThrows(() => checkUpgradeResponse(head, ACCEPT, protocols), HandshakeError);
  assertEquals([error.name, error.status], ["HandshakeError", head.status]);
  assertMatch(error.message, /^Cannot open WebSocket: /);
  return error.message.slice("Cannot open WebSocket: ".length);
}

Deno.test("checkUpgradeResponse() passes the response of RFC 6455 section 1.3", () => {
  assertEquals(checkUpgradeResponse(response(), ACCEPT, []), { protocol: "", extensions: [] });
  assertEquals(
    checkUpgradeResponse(
      response({
        Upgrade: null,
        Connection: null,
        upgrade: "h2c, WebSocket",
        CONNECTION: "keep-alive, upgrade",
        "Sec-WebSocket-Protocol": "chat",
        "Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits=10",
      }),
      ACCEPT,
      ["superchat", "chat"],
    ),
    {
      protocol: "chat",
      extensions: [{ name: "permessage-deflate", params: [["server_max_window_bits", "10"]] }],
    },
  );
});

Deno.test("checkUpgradeResponse() refuses any status but 101 (RFC 6455 section 4.1, response item 1)", () => {
  for (const status of [100, 102, 200, 301, 401, 426, 500]) {
    assertEquals(
      refusal(response({}, status)),
      `server answered with status ${status}, must be 101`,
    );
  }
});

Deno.test("checkUpgradeResponse() gives the headers and the body of a refusal", () => {
  const head = response({ "retry-after": "120", "Location": "/other" }, 503);
  const error = assertThrows(() => checkUpgradeResponse(head, ACCEPT, [], "Busy"), HandshakeError);
  assertEquals([error.status, error.body], [503, "Busy"]);
  assertEquals(error.headers.get("Retry-After"), "120");
  assertEquals(error.headers.get("Location"), "/other");
});

Deno.test("checkUpgradeResponse() refuses a wrong Upgrade or Connection (RFC 6455 section 4.1, response items 2 and 3)", () => {
  for (const value of [null, "", "h2c", "websockets"]) {
    assertEquals(refusal(response({ Upgrade: value })), "Upgrade is not websocket");
  }
  for (const value of [null, "", "close", "keep-alive"]) {
    assertEquals(refusal(response({ Connection: value })), "Connection is not Upgrade");
  }
});

Deno.test("checkUpgradeResponse() refuses a wrong Sec-WebSocket-Accept (RFC 6455 section 4.1, response item 4)", () => {
  for (const value of [null, "", KEY, ACCEPT.toLowerCase(), `${ACCEPT}=`, ACCEPT.slice(0, -1)]) {
    assertEquals(
      refusal(response({ "Sec-WebSocket-Accept": value })),
      "Sec-WebSocket-Accept is wrong",
    );
  }
  assertEquals(
    refusal(response({ "sec-websocket-accept": ACCEPT })),
    "Sec-WebSocket-Accept is wrong",
  );
});

Deno.test("checkUpgradeResponse() refuses to go on without a subprotocol where some were offered", () => {
  for (const protocols of [["chat"], ["superchat", "bearer.secret"]]) {
    assertEquals(
      refusal(response(), protocols),
      "server chose none of the subprotocols that were offered",
    );
  }
  assertEquals(checkUpgradeResponse(response(), ACCEPT, []).protocol, "");
});

Deno.test("checkUpgradeResponse() refuses a subprotocol that was not offered (RFC 6455 section 4.1, response item 6)", () => {
  for (const protocols of [[], ["superchat"], ["Chat"], ["chat2"]]) {
    assertEquals(
      refusal(response({ "Sec-WebSocket-Protocol": "chat" }), protocols),
      'server chose subprotocol "chat", which was not offered',
    );
  }
  assertEquals(
    refusal(response({ "Sec-WebSocket-Protocol": "chat, superchat" }), ["chat", "superchat"]),
    'server chose subprotocol "chat, superchat", which was not offered',
  );
  assertEquals(
    refusal(response({ "Sec-WebSocket-Protocol": "" }), ["chat"]),
    'server chose subprotocol "", which was not offered',
  );
  assertEquals(
    refusal(
      response({ "Sec-WebSocket-Protocol": "chat", "sec-websocket-protocol": "chat" }),
      ["chat"],
    ),
    "server chose more than one subprotocol",
  );
});

Deno.test("checkUpgradeResponse() refuses malformed extensions (RFC 6455 section 4.1, response item 5)", () => {
  assertEquals(
    refusal(response({ "Sec-WebSocket-Extensions": "permessage-deflate;" })),
    "Sec-WebSocket-Extensions is malformed",
  );
  // Several headers are one list (RFC 6455 section 9.1).
  assertEquals(
    checkUpgradeResponse(
      response({ "Sec-WebSocket-Extensions": "a; b=1", "sec-websocket-extensions": "c" }),
      ACCEPT,
      [],
    ).extensions,
    [{ name: "a", params: [["b", "1"]] }, { name: "c", params: [] }],
  );
});
