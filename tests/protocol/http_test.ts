import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import fc from "fast-check";
import { formatHead, HeadReader, HttpError, parseResponse } from "../../protocol/http.ts";

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

Deno.test("HeadReader and parseResponse() throw nothing but HttpError", () => {
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
  const reached = { response: 0, refused: 0 };
  fc.assert(
    fc.property(heads, fc.constantFrom(limits, LIMITS), (text, limits) => {
      try {
        parseResponse(readHead(text, limits)?.lines ?? [], limits);
        reached.response++;
      } catch (error) {
        assertInstanceOf(error, HttpError);
        assert([400, 431].includes(error.status), String(error.status));
        reached.refused++;
      }
    }),
    { numRuns: 2000 },
  );
  // Else the property says nothing.
  assert(reached.response > 0 && reached.refused > 0, JSON.stringify(reached));
});
