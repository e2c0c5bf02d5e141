import { assertEquals } from "@std/assert";
import { showHead, shownValue } from "../../../cli/client/headers.ts";
import { Report } from "../../../cli/client/report.ts";
import { sentencesIn } from "../../../cli/sentences.ts";
import type { HandshakeHead } from "../../../mod.ts";

/** What is written of a head. */
function shown(head: HandshakeHead, form: "told" | "json"): { out: string[]; err: string[] } {
  const out: string[] = [];
  const err: string[] = [];
  const output = { out: (line: string) => out.push(line), err: (line: string) => err.push(line) };
  const options = {
    quiet: false,
    timestamps: false,
    binaryFormat: "hex",
    terminator: "\n",
  } as const;
  showHead(head, new Report({ form, ...options }, output, sentencesIn("en")));
  return { out, err };
}

Deno.test("shownValue() hides secrets, and nothing else", () => {
  const cases: [name: string, value: string, shown: string][] = [
    ["Authorization", "Basic dTpw", "Basic ***"],
    ["authorization", "bearer abc def", "bearer ***"],
    ["Authorization", "abc def", "***"],
    ["Proxy-Authorization", "Basic", "***"],
    ["Cookie", "a=1; b=2", "***"],
    ["SET-COOKIE", "a=1; Path=/", "***"],
    ["X-Api-Key", "abc", "***"],
    ["x-csrf-token", "abc", "***"],
    ["X-Auth-Request-User", "abc", "***"],
    ["Session-Id", "abc", "***"],
    ["Sec-WebSocket-Protocol", "chat, bearer.abc, json", "chat, bearer.***, json"],
    ["Location", "wss://u:p@a/ws?token=abc&x=1", "wss://a/ws?token=***&x=1"],
    ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="],
    ["Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
    ["WWW-Authenticate", 'Bearer realm="a"', 'Bearer realm="a"'],
    ["Origin", "https://a", "https://a"],
    ["Keep-Alive", "timeout=5", "timeout=5"],
  ];
  for (const [name, value, expected] of cases) {
    assertEquals(shownValue(name, value), expected, `${name}: ${value}`);
  }
});

Deno.test("showHead() writes a line for each header, or one object", () => {
  const head: HandshakeHead = {
    direction: "sent",
    line: "GET /ws?token=abc HTTP/1.1",
    headers: [["Host", "a"], ["cookie", "b=c"]],
  };
  assertEquals(shown(head, "told"), {
    out: [],
    err: ["> GET /ws?token=*** HTTP/1.1", "> Host: a", "> cookie: ***", "> "],
  });
  const { out, err } = shown(head, "json");
  assertEquals(err, []);
  assertEquals(out.map((line) => JSON.parse(line)), [{
    event: "handshake",
    direction: "sent",
    line: "GET /ws?token=*** HTTP/1.1",
    headers: [["Host", "a"], ["cookie", "***"]],
  }]);
});

Deno.test("showHead() writes no control characters of a server, and long values whole", () => {
  const value = `\x9b2J${"x".repeat(1000)}`;
  const head: HandshakeHead = {
    direction: "received",
    line: "HTTP/1.1 200 me@home\x85",
    headers: [["A", value]],
  };
  assertEquals(shown(head, "told").err, [
    "< HTTP/1.1 200 me@home\\u{85}",
    `< A: \\u{9b}${value.slice(1)}`,
    "< ",
  ]);
});
