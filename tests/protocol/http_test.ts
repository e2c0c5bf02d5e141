import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  formatHead,
  HeadReader,
  HttpError,
  parseRequest,
  parseResponse,
  statusLine,
} from "../../protocol/http.ts";

const LIMITS = { maxHeaderBytes: 16 * 1024, maxHeaders: 100 };

/** Bytes, one for each character. */
function latin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** The lines of a head, and how many bytes follow it. */
function readHead(text: string, limits = LIMITS) {
  const reader = new HeadReader(limits);
  const bytes = latin1(text);
  const taken = reader.push(bytes);
  return taken === undefined ? undefined : { lines: reader.lines(), rest: text.slice(taken) };
}

/** The request of a head with these lines. */
function request(...lines: string[]) {
  return parseRequest(readHead(lines.join("\r\n") + "\r\n\r\n")!.lines, LIMITS);
}

function statusOf(action: () => unknown): number {
  const error = assertThrows(action, HttpError);
  assertEquals(error.name, "HttpError");
  assert(error.message.startsWith("Cannot read "), error.message);
  return error.status;
}

// The head as it comes

Deno.test("HeadReader reads a head to its empty line, and tells what follows (RFC 9112 section 2.1)", () => {
  assertEquals(readHead("GET / HTTP/1.1\r\nHost: a\r\n\r\n\x81\x00\r\n"), {
    lines: ["GET / HTTP/1.1", "Host: a"],
    rest: "\x81\x00\r\n",
  });
  assertEquals(readHead("GET / HTTP/1.1\r\n\r\n"), { lines: ["GET / HTTP/1.1"], rest: "" });
  assertEquals(readHead("a\tb: \xe9\xff\r\n\r\n")!.lines, ["a\tb: \xe9\xff"]);
  for (const part of ["", "GET", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r"]) {
    assertEquals(readHead(part), undefined, JSON.stringify(part));
  }
});

Deno.test("HeadReader passes over some empty lines before a head (RFC 9112 section 2.2)", () => {
  const head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  const limits = { ...LIMITS, maxHeaderBytes: head.length };
  for (const count of [1, 2, 8]) {
    const text = "\r\n".repeat(count) + head;
    const wanted = { lines: ["GET / HTTP/1.1", "Host: a"], rest: "rest" };
    // They do not count as a part of it.
    assertEquals(readHead(`${text}rest`, limits), wanted);
    const reader = new HeadReader(limits);
    let at = 0;
    for (const byte of latin1(text)) {
      assertEquals(reader.started, at++ > 2 * count);
      const taken = reader.push(Uint8Array.of(byte));
      assertEquals(taken, at === text.length ? 1 : undefined);
    }
    assertEquals(reader.lines(), wanted.lines);
  }
  assertEquals(statusOf(() => readHead("\r\n".repeat(9))), 400);
  assertEquals(statusOf(() => readHead("\r\n\n")), 400);
  assertEquals(
    statusOf(() => readHead("\r\nGET / HTTP/1.1\r\n\r\n", { ...LIMITS, maxHeaderBytes: 17 })),
    431,
  );
});

Deno.test("HeadReader reads a head of any size, however it is cut", () => {
  const line = fc.string({ unit: fc.constantFrom(..."ab :\t\xe9"), minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(
      fc.array(line, { minLength: 1, maxLength: 10 }),
      fc.string({ unit: "binary-ascii" }),
      fc.array(fc.nat(600)),
      (lines, rest, cuts) => {
        const bytes = latin1(lines.join("\r\n") + "\r\n\r\n" + rest);
        const headLength = bytes.length - rest.length;
        const reader = new HeadReader(LIMITS);
        let at = 0;
        for (const cut of [...cuts.sort((a, b) => a - b), bytes.length]) {
          const piece = bytes.subarray(at, cut);
          const taken = reader.push(piece);
          if (taken !== undefined) {
            assertEquals(at + taken, headLength);
            assertEquals(reader.lines(), lines);
            return;
          }
          at = Math.max(at, Math.min(cut, bytes.length));
          assert(at < headLength);
          assertEquals(reader.started, at > 0);
        }
        throw new Error("the head never ended");
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("HeadReader reads long heads", () => {
  const long = "x".repeat(10_000);
  assertEquals(readHead(`${long}\r\n${long}\r\n\r\n`, { ...LIMITS, maxHeaderBytes: 30_000 }), {
    lines: [long, long],
    rest: "",
  });
});

Deno.test("HeadReader refuses a head over the limit at the first byte beyond it, with 431", () => {
  const limits = { ...LIMITS, maxHeaderBytes: 20 };
  const exact = "GET / HTTP/1.1\r\n\r\nab";
  assertEquals(readHead(exact, limits)!.rest, "ab");
  assertEquals(readHead("a".repeat(16) + "\r\n\r\n", limits)!.lines, ["a".repeat(16)]);
  assertEquals(statusOf(() => readHead("a".repeat(17) + "\r\n\r\n", limits)), 431);
  assertEquals(readHead("a".repeat(20), limits), undefined);
  assertEquals(statusOf(() => readHead("a".repeat(21), limits)), 431);

  const reader = new HeadReader(limits);
  for (let i = 0; i < 20; i++) assertEquals(reader.push(latin1("a")), undefined);
  assertEquals(statusOf(() => reader.push(latin1("a"))), 431);
});

Deno.test("HeadReader refuses bare CR and LF, and control characters (RFC 9112 sections 2.2 and 5.5)", () => {
  for (
    const text of [
      "GET / HTTP/1.1\n",
      "\n",
      "a\rb",
      "a\r\r",
      "\r\r",
      "a\r\n\n",
      "a\r\n\r\r",
      "a\r\nb\n",
      "a\0",
      "a\x01",
      "a\x0b",
      "a\x1f",
      "a\x7f",
      "a\r\x00",
    ]
  ) {
    assertEquals(statusOf(() => readHead(text)), 400, JSON.stringify(text));
    // At that very byte.
    const reader = new HeadReader(LIMITS);
    for (const byte of latin1(text.slice(0, -1))) reader.push(Uint8Array.of(byte));
    assertEquals(statusOf(() => reader.push(latin1(text.at(-1)!))), 400, JSON.stringify(text));
  }
});

Deno.test("HeadReader.started tells whether a byte has come", () => {
  const reader = new HeadReader(LIMITS);
  assertEquals(reader.started, false);
  reader.push(new Uint8Array(0));
  assertEquals(reader.started, false);
  reader.push(latin1("G"));
  assertEquals(reader.started, true);
});

Deno.test("HeadReader.release gives the memory back", () => {
  const reader = new HeadReader(LIMITS);
  reader.push(latin1("GET"));
  reader.release();
  assertEquals(reader.started, false);
});

// Requests

Deno.test("parseRequest() reads a request (RFC 9112 sections 3 and 5)", () => {
  assertEquals(
    request(
      "GET /chat?a=1&b HTTP/1.1",
      "Host: example.com:8000",
      "upgrade:websocket",
      "X-Space: \t a  b\tc \t",
      "X-Empty:",
      "X-Spaces: \t ",
      "X-Latin: \xe9",
      "X-Twice: 1",
      "X-Twice: 2",
    ),
    {
      method: "GET",
      target: "/chat?a=1&b",
      host: "example.com:8000",
      minor: 1,
      headers: [
        ["Host", "example.com:8000"],
        ["upgrade", "websocket"],
        ["X-Space", "a  b\tc"],
        ["X-Empty", ""],
        ["X-Spaces", ""],
        ["X-Latin", "\xe9"],
        ["X-Twice", "1"],
        ["X-Twice", "2"],
      ],
    },
  );
  assertEquals(request("HEAD / HTTP/1.1", "Host: a").method, "HEAD");
  assertEquals(request("PROPFIND / HTTP/1.1", "Host: a").method, "PROPFIND");
  assertEquals(request("patch / HTTP/1.1", "Host: a").method, "patch");
  assertEquals(request("M-SEARCH / HTTP/1.1", "Host: a").method, "M-SEARCH");
});

Deno.test("parseRequest() ignores Upgrade in HTTP/1.0 (RFC 9110 section 7.8, RFC 6455 section 4.2.1)", () => {
  const { minor, headers } = request(
    "GET / HTTP/1.0",
    "Host: a",
    "UPGRADE: websocket",
    "Connection: Upgrade",
  );
  assertEquals(minor, 0);
  assertEquals(headers, [["Host", "a"], ["Connection", "Upgrade"]]);
});

Deno.test("parseRequest() refuses a malformed request line with 400 (RFC 9112 section 3)", () => {
  for (
    const line of [
      "GET",
      "GET /",
      "GET  / HTTP/1.1",
      "GET /  HTTP/1.1",
      " GET / HTTP/1.1",
      "GET / HTTP/1.1 ",
      "GET\t/ HTTP/1.1",
      "GET / a HTTP/1.1",
      "G(T / HTTP/1.1",
      "G\xcbT / HTTP/1.1",
      "GET /\xe9 HTTP/1.1",
      "GET /# HTTP/1.1",
      "GET / http/1.1",
      "GET / HTTP/1",
      "GET / HTTP/1.10",
      "GET / HTTP/11.1",
      "GET / HTTPS/1.1",
      "GET / HTTP/1,1",
      "/ HTTP/1.1",
    ]
  ) {
    assertEquals(statusOf(() => request(line, "Host: a")), 400, line);
  }
  assertEquals(statusOf(() => parseRequest([], LIMITS)), 400);
});

Deno.test("parseRequest() refuses other versions of HTTP with 505 (RFC 9110 section 15.6.6)", () => {
  for (const version of ["0.9", "2.0", "2.1", "3.1", "9.9"]) {
    assertEquals(statusOf(() => request(`GET / HTTP/${version}`, "Host: a")), 505, version);
  }
});

Deno.test("parseRequest() reads a higher minor version as HTTP/1.1 (RFC 9110 section 2.5)", () => {
  for (const version of ["1.2", "1.9"]) {
    const { minor, headers } = request(`GET / HTTP/${version}`, "Host: a", "Upgrade: websocket");
    assertEquals([minor, headers.length], [1, 2], version);
    assertEquals(statusOf(() => request(`GET / HTTP/${version}`)), 400, version);
  }
});

Deno.test("parseRequest() refuses methods that no Request has with 501 (RFC 9110 section 15.6.2)", () => {
  for (
    const line of ["CONNECT a:443", "CONNECT /", "TRACE /", "TRACK /", "Trace /", "get /", "Post /"]
  ) {
    assertEquals(statusOf(() => request(`${line} HTTP/1.1`, "Host: a")), 501, line);
  }
});

Deno.test("parseRequest() refuses malformed headers, and obsolete folding, with 400 (RFC 9112 section 5)", () => {
  for (
    const line of [
      "no colon",
      ": no name",
      " X: folded",
      "\tfolded",
      "X : space before the colon",
      "X\t: tab before the colon",
      "X(Y): not a token",
      "X\xe9: not a token",
      '"X": not a token',
    ]
  ) {
    assertEquals(statusOf(() => request("GET / HTTP/1.1", "Host: a", line)), 400, line);
  }
});

Deno.test("parseRequest() wants one valid Host (RFC 9112 section 3.2)", () => {
  for (
    const host of [
      "",
      "example.com",
      "EXAMPLE.com:443",
      "localhost:",
      "127.0.0.1:8443",
      "[::1]:8443",
      "[::ffff:127.0.0.1]",
      "a_b~c.d-e",
    ]
  ) {
    assertEquals(request("GET / HTTP/1.1", `hOsT: ${host}`).host, host);
  }
  for (
    const host of [
      "a b",
      "a/b",
      "a@b",
      "a?b",
      "a#b",
      "a\\b",
      "a:b",
      "a:1:2",
      "a:123456",
      "::1",
      "[::1",
      "[g::1]",
      "[]",
      ":80",
      "http://a",
      "\xe9",
    ]
  ) {
    assertEquals(statusOf(() => request("GET / HTTP/1.1", `Host: ${host}`)), 400, host);
  }
  assertEquals(statusOf(() => request("GET / HTTP/1.1")), 400);
  // As the checks of load balancers come.
  assertEquals(request("GET /healthz HTTP/1.0"), {
    method: "GET",
    target: "/healthz",
    host: "",
    minor: 0,
    headers: [],
  });
  assertEquals(statusOf(() => request("GET / HTTP/1.0", "Host: a b")), 400);
  assertEquals(statusOf(() => request("GET / HTTP/1.0", "Host: a", "Host: a")), 400);
  assertEquals(statusOf(() => request("GET / HTTP/1.1", "Host: a", "host: a")), 400);
});

Deno.test("parseRequest() takes the target as a path, or as a URL (RFC 9112 section 3.2)", () => {
  const target = (text: string) => request(`GET ${text} HTTP/1.1`, "Host: example.com").target;
  assertEquals(target("/"), "/");
  assertEquals(target("//other/path"), "//other/path");
  assertEquals(target("/a%20b?c=d?e"), "/a%20b?c=d?e");
  assertEquals(target("/%zz"), "/%zz");
  assertEquals(target(`/${"a".repeat(7999)}`).length, 8000);
  assertEquals(target("http://example.com/a?b"), "/a?b");
  assertEquals(target("HTTP://EXAMPLE.COM/a"), "/a");
  assertEquals(target("https://example.com"), "/");
  assertEquals(target("wss://example.com?a"), "/?a");
  for (
    const refused of [
      "ftp://example.com/",
      "http:/example.com/",
      "http://",
      "http:///a",
      "http://%/",
      "http://user@example.com/",
      "http://user:secret@example.com/",
      "http://example.com:99999/",
      "http://example.com\\@other/",
      "example.com:80",
      "example.com",
      "*",
      "?a",
      "a/b",
    ]
  ) {
    assertEquals(statusOf(() => target(refused)), 400, refused);
  }
});

Deno.test("parseRequest() takes the authority of a URL in place of Host (RFC 9112 section 3.2.2)", () => {
  const { host, target, headers } = request(
    "GET http://Other.example:8080/a HTTP/1.1",
    "A: b",
    "Host: example.com",
  );
  assertEquals([host, target], ["other.example:8080", "/a"]);
  // The handler sees no second one.
  assertEquals(headers, [["A", "b"], ["Host", "other.example:8080"]]);
  assertEquals(request("GET ws://[::1]:81/ HTTP/1.1", "Host: ").host, "[::1]:81");
  assertEquals(request("GET http://a/ HTTP/1.0").host, "a");
  assertEquals(statusOf(() => request("GET http://a/ HTTP/1.1")), 400);
});

Deno.test("parseRequest() takes OPTIONS of the server as a whole (RFC 9112 section 3.2.4)", () => {
  assertEquals(request("OPTIONS * HTTP/1.1", "Host: a").target, "/*");
  assertEquals(request("OPTIONS * HTTP/1.0").target, "/*");
});

Deno.test("parseRequest() refuses a body with 413 (RFC 9110 section 15.5.14)", () => {
  for (
    const lines of [["Content-Length: 1"], ["Transfer-Encoding: chunked"], ["content-length: 007"]]
  ) {
    assertEquals(statusOf(() => request("POST / HTTP/1.1", "Host: a", ...lines)), 413, lines[0]);
  }
  for (const length of ["0", "00"]) {
    assertEquals(
      request("GET / HTTP/1.1", "Host: a", `Content-Length: ${length}`).headers.length,
      2,
    );
  }
});

Deno.test("parseRequest() refuses an ambiguous length with 400 (RFC 9112 section 6.3)", () => {
  for (
    const lines of [
      ["Content-Length: 0", "Content-Length: 0"],
      ["Content-Length: 0", "content-length: 5"],
      ["Content-Length: 0", "Transfer-Encoding: chunked"],
      ["TRANSFER-ENCODING: identity", "Content-Length: 5"],
      ["Content-Length: 0, 0"],
      ["Content-Length: +0"],
      ["Content-Length: -1"],
      ["Content-Length: 0x0"],
      ["Content-Length: 1e1"],
      ["Content-Length:"],
    ]
  ) {
    assertEquals(statusOf(() => request("GET / HTTP/1.1", "Host: a", ...lines)), 400, lines.join());
  }
});

Deno.test("parseRequest() refuses more headers than the limit with 431 (RFC 6585 section 5)", () => {
  const parse = (count: number) =>
    parseRequest(
      ["GET / HTTP/1.1", "Host: a", ...Array.from({ length: count - 1 }, (_, i) => `X${i}: 1`)],
      LIMITS,
    );
  assertEquals(parse(100).headers.length, 100);
  assertEquals(statusOf(() => parse(101)), 431);
});

Deno.test("parseRequest() takes no longer than the head is long", () => {
  const run = 256 * 1024;
  for (
    const lines of [
      [`X: a${" ".repeat(run)}b`],
      [`X:${" ".repeat(run)}`],
      [`X: ${"\t ".repeat(run)}\0`],
      [`X: ${"a ".repeat(run)}\0`],
      [`${"X".repeat(run)}`],
      [`Content-Length: ${"0".repeat(run)}x`],
    ]
  ) {
    const start = performance.now();
    try {
      parseRequest(["GET / HTTP/1.1", "Host: a", ...lines], LIMITS);
    } catch (error) {
      assertInstanceOf(error, HttpError);
    }
    // Some milliseconds; a run over each run of characters would take a minute.
    assert(performance.now() - start < 1000, lines[0]!.slice(0, 20));
  }
});

// Responses

Deno.test("parseResponse() reads a response (RFC 9112 section 4)", () => {
  const parse = (...lines: string[]) =>
    parseResponse(readHead(lines.join("\r\n") + "\r\n\r\n")!.lines, LIMITS);
  assertEquals(parse("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket"), {
    status: 101,
    statusText: "Switching Protocols",
    headers: [["Upgrade", "websocket"]],
  });
  assertEquals(parse("HTTP/1.1 404 "), { status: 404, statusText: "", headers: [] });
  assertEquals(parse("HTTP/1.2 200 OK").status, 200);
  assertEquals(parse("HTTP/1.1 200"), { status: 200, statusText: "", headers: [] });
  assertEquals(parse("HTTP/1.0 200 \xe9t\xe9").statusText, "\xe9t\xe9");
  for (
    const line of [
      "HTTP/1.1",
      "HTTP/1.1 20",
      "HTTP/1.1 099 No",
      "HTTP/1.1 2000",
      "HTTP/1.1  200",
      "HTTP/2.0 200 OK",
      "http/1.1 200 OK",
      " HTTP/1.1 200 OK",
      "SSH-2.0-OpenSSH",
      "GET / HTTP/1.1",
    ]
  ) {
    assertEquals(statusOf(() => parse(line)), 400, line);
  }
  assertEquals(statusOf(() => parseResponse([], LIMITS)), 400);
  assertEquals(statusOf(() => parse("HTTP/1.1 101 Yes", "no colon")), 400);
  assertEquals(statusOf(() => parse("HTTP/1.1 101 Yes", ...Array(101).fill("A: b"))), 431);
});

Deno.test("parseResponse() joins folded lines with a space (RFC 9112 section 5.2)", () => {
  const parse = (...lines: string[]) =>
    parseResponse(readHead(lines.join("\r\n") + "\r\n\r\n")!.lines, LIMITS).headers;
  assertEquals(parse("HTTP/1.1 200 OK", "A: b", " c", "\t \td ", "E:", " f", "G: h", " "), [
    ["A", "b c d"],
    ["E", "f"],
    ["G", "h"],
  ]);
  assertEquals(parse("HTTP/1.1 200 OK", "A: b", " : c"), [["A", "b : c"]]);
  // There is nothing that it could continue.
  assertEquals(statusOf(() => parse("HTTP/1.1 200 OK", " A: b")), 400);
});

// What is written

Deno.test("formatHead() writes bytes that HeadReader reads", () => {
  assertEquals(
    formatHead("HTTP/1.1 200 OK", [["A", "b"], ["C", ""]]),
    latin1("HTTP/1.1 200 OK\r\nA: b\r\nC: \r\n\r\n"),
  );
  // ISO 8859-1, as Headers has it (RFC 9110 section 5.5).
  const head = formatHead("HTTP/1.1 200 \xe9", [["A", "\xff"]]);
  assertEquals(head, latin1("HTTP/1.1 200 \xe9\r\nA: \xff\r\n\r\n"));
});

Deno.test("statusLine() has the reason of RFC 9110 section 15 for each status this library answers with", () => {
  const reasons = {
    101: "Switching Protocols",
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
  };
  for (const [status, reason] of Object.entries(reasons)) {
    assertEquals(statusLine(Number(status), ""), `HTTP/1.1 ${status} ${reason}`);
  }
  assertEquals(statusLine(404, "Nowhere"), "HTTP/1.1 404 Nowhere");
  // RFC 9112 section 4: the space stays where there is no reason.
  assertEquals(statusLine(299, ""), "HTTP/1.1 299 ");
});

// Anything at all

Deno.test("HeadReader, parseRequest() and parseResponse() throw nothing but HttpError", () => {
  const piece = fc.oneof(
    fc.constantFrom(
      "GET / HTTP/1.1\r\n",
      "HTTP/1.1 101 x\r\n",
      "Host: a\r\n",
      "Host: ",
      "http://a/",
      "Content-Length: ",
      "Transfer-Encoding: x\r\n",
      "\r\n",
      "\r\n\r\n",
      ": ",
      " ",
    ),
    fc.string({ unit: fc.constantFrom(..."aA0:/.[]?#%@ \t\xa0\xff"), maxLength: 10 }),
    fc.string({ unit: "binary-ascii", maxLength: 5 }),
  );
  const start = fc.constantFrom("", "GET / HTTP/1.1\r\nHost: a\r\n", "HTTP/1.1 101 x\r\n");
  const heads = fc.tuple(start, fc.array(piece, { maxLength: 8 }))
    .map(([start, pieces]) => start + pieces.join("") + "\r\n\r\n");
  const limits = { maxHeaderBytes: 100, maxHeaders: 2 };
  const reached = { request: 0, response: 0, refused: 0 };
  fc.assert(
    fc.property(heads, fc.constantFrom(limits, LIMITS), (text, limits) => {
      const attempt = (kind: keyof typeof reached, action: () => unknown) => {
        try {
          action();
          reached[kind]++;
        } catch (error) {
          assertInstanceOf(error, HttpError);
          assert([400, 413, 431, 501, 505].includes(error.status), String(error.status));
          reached.refused++;
        }
      };
      attempt("request", () => parseRequest(readHead(text, limits)?.lines ?? [], limits));
      attempt("response", () => parseResponse(readHead(text, limits)?.lines ?? [], limits));
    }),
    { numRuns: 2000 },
  );
  // Else the property says nothing.
  assert(
    reached.request > 0 && reached.response > 0 && reached.refused > 0,
    JSON.stringify(reached),
  );
});
