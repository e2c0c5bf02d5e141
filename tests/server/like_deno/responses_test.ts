/** Every kind of `Response`, and the head that goes with it. */

import { assertEquals, assertMatch } from "@std/assert";
import { ask, exchange, onBoth } from "./both_servers.ts";

const CLOSE = ["Connection: close"];

/** A response, and what the client gets: the body, and headers of which `null` is for none. */
interface Case {
  respond(): Response;
  status?: number;
  statusText?: string;
  body?: string | RegExp;
  headers?: Record<string, string | null>;
}

const bytes = (text: string) => new TextEncoder().encode(text);

/** A body of parts that take their time. */
function inParts(...parts: string[]): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      for (let i = 0; i < 100; i++) await undefined;
      const part = parts.shift();
      if (part === undefined) controller.close();
      else controller.enqueue(bytes(part));
    },
  });
}

const form = new FormData();
form.set("name", "value");

const CASES: Record<string, Case> = {
  "nothing": { respond: () => new Response(), body: "", headers: { "content-length": "0" } },
  "an empty string": {
    respond: () => new Response(""),
    body: "",
    headers: { "content-length": "0" },
  },
  "a string": {
    respond: () => new Response("Olá"),
    body: "Olá",
    headers: { "content-length": "4", "content-type": "text/plain;charset=UTF-8" },
  },
  "a Uint8Array": {
    respond: () => new Response(bytes("abc")),
    body: "abc",
    headers: { "content-length": "3", "content-type": null },
  },
  "an ArrayBuffer": { respond: () => new Response(bytes("abc").buffer), body: "abc" },
  "a DataView": { respond: () => new Response(new DataView(bytes("abc").buffer)), body: "abc" },
  "a Blob": {
    respond: () => new Response(new Blob(["abc"], { type: "image/png" })),
    body: "abc",
    headers: { "content-type": "image/png" },
  },
  "FormData": {
    respond: () => new Response(form),
    body: /name="name"\r\n\r\nvalue\r\n/,
  },
  "URLSearchParams": {
    respond: () => new Response(new URLSearchParams({ a: "b c" })),
    body: "a=b+c",
    headers: { "content-type": "application/x-www-form-urlencoded;charset=UTF-8" },
  },
  "JSON": {
    respond: () => Response.json({ a: 1 }),
    body: '{"a":1}',
    headers: { "content-type": "application/json" },
  },
  "a redirect": {
    respond: () => Response.redirect("https://example.org/a", 303),
    status: 303,
    statusText: "See Other",
    body: "",
    headers: { "location": "https://example.org/a" },
  },
  "a stream": {
    respond: () => new Response(inParts("one ", "two")),
    body: "one two",
    headers: { "transfer-encoding": "chunked", "content-length": null },
  },
  "a stream without parts": { respond: () => new Response(inParts()), body: "" },
  "a stream with empty parts": { respond: () => new Response(inParts("", "a", "")), body: "a" },
  "a stream of a known length": {
    respond: () => new Response(inParts("one ", "two"), { headers: { "content-length": "7" } }),
    body: "one two",
    headers: { "transfer-encoding": null, "content-length": "7" },
  },
  "a stream longer than its length": {
    respond: () => new Response(inParts("one ", "two"), { headers: { "content-length": "5" } }),
    body: "one t",
  },
  "a stream longer than no length at all": {
    respond: () => new Response(inParts("one"), { headers: { "content-length": "0" } }),
    body: "",
  },
  "a string with too great a length": {
    respond: () => new Response("abc", { headers: { "content-length": "6" } }),
    body: "abc",
    headers: { "content-length": "3" },
  },
  "a string with a length that is none": {
    respond: () => new Response("abc", { headers: { "content-length": "x" } }),
    body: "abc",
    headers: { "content-length": "3" },
  },
  "nothing with a length": {
    respond: () => new Response(null, { headers: { "content-length": "6" } }),
    body: "",
    headers: { "content-length": "0" },
  },
  "a big string": { respond: () => new Response("x".repeat(1_000_000)), body: /^x{1000000}$/ },
  "204": {
    respond: () => new Response(null, { status: 204, headers: { "content-length": "5" } }),
    status: 204,
    body: "",
    headers: { "content-length": null, "transfer-encoding": null },
  },
  "205": { respond: () => new Response(null, { status: 205 }), status: 205, body: "" },
  "304": {
    respond: () =>
      new Response(null, { status: 304, headers: { "content-length": "5", "etag": '"a"' } }),
    status: 304,
    body: "",
    headers: { "content-length": null, "transfer-encoding": null, "etag": '"a"' },
  },
  "a status without a reason phrase": {
    respond: () => new Response("x", { status: 299 }),
    status: 299,
    statusText: "",
    body: "x",
  },
  "a header in Latin-1": {
    respond: () => new Response("x", { headers: { "x-name": "\xe9\xff" } }),
    headers: { "x-name": "\xe9\xff" },
  },
  "a Date of its own": {
    respond: () => new Response("x", { headers: { "date": "Thu, 01 Jan 1970 00:00:00 GMT" } }),
    headers: { "date": "Thu, 01 Jan 1970 00:00:00 GMT" },
  },
};

for (
  const [name, { respond, status = 200, statusText, body, headers = {} }] of Object.entries(CASES)
) {
  onBoth(`sends ${name}`, async (start) => {
    await using server = await start(respond);
    const answer = await exchange(server, ask("/", CLOSE));
    assertEquals(answer.status, status);
    if (statusText !== undefined) assertEquals(answer.statusText, statusText);
    if (typeof body === "string") assertEquals(answer.body, body);
    else if (body !== undefined) assertMatch(answer.body, body);
    for (const [header, value] of Object.entries(headers)) {
      assertEquals(answer.header(header) ?? null, value, header);
    }
    assertEquals(answer.isWhole, true);
    assertEquals(answer.headers.filter(([header]) => header === "date").length, 1);
  });
}

onBoth("sends no body for HEAD, and says what it would be", async (start) => {
  const bodies: Record<string, () => Response> = {
    "/text": () => new Response("abc"),
    "/told": () => new Response(null, { headers: { "content-length": "300" } }),
    "/parts": () => new Response(inParts("abc"), { headers: { "content-length": "3" } }),
  };
  await using server = await start(({ url }) => bodies[new URL(url).pathname]!());
  for (const [path, length] of [["/text", "3"], ["/told", "300"], ["/parts", "3"]] as const) {
    using client = await server.connect();
    await client.write(ask(path, CLOSE, "", "HEAD"));
    assertMatch(await client.head(), new RegExp(`\r\ncontent-length: ${length}\r\n`, "i"));
    assertEquals(await client.rest(), "");
  }
});

onBoth("sends each Set-Cookie in a line of its own", async (start) => {
  await using server = await start(() => {
    const response = new Response("x");
    response.headers.append("Set-Cookie", "a=1");
    response.headers.append("Set-Cookie", "b=2; Path=/");
    return response;
  });
  const { headers } = await exchange(server, ask("/", CLOSE));
  const cookies = headers.filter(([name]) => name === "set-cookie").map(([, value]) => value);
  assertEquals(cookies, ["a=1", "b=2; Path=/"]);
});

onBoth("does not take a kept connection's next answer for the rest of a body", async (start) => {
  await using server = await start(() =>
    new Response(inParts("one ", "HTTP/1.1 200 OK\r\n\r\n"), { headers: { "content-length": "4" } })
  );
  using client = await server.connect();
  await client.write(ask() + ask("/", CLOSE));
  const text = await client.rest();
  assertEquals(text.match(/HTTP\/1\.1 200 OK/g)?.length, 2);
  assertEquals(text.match(/\r\n\r\none (HTTP|$)/g)?.length, 2);
});
