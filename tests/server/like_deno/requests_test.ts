/** Requests as a handler gets them: headers, URL, body. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { ask, exchange, onBoth, readAnswer } from "./both_servers.ts";

const CLOSE = ["Connection: close"];

onBoth("gives a handler the request as it came", async (start) => {
  await using server = await start(({ method, url, headers, body }, { remoteAddr }) =>
    Response.json([
      method,
      url.replace(/^https?/, "http"),
      [...headers],
      body === null,
      (remoteAddr as Deno.NetAddr).hostname,
    ])
  );
  const { body } = await exchange(
    server,
    ask("/a%20b?c=d#", [...CLOSE, "X-A: 1", "x-a: 2", "Cookie: a=1", "Cookie: b=2", "X-L: \tv \t"]),
  );
  assertEquals(JSON.parse(body), [
    "GET",
    "http://example.org/a%20b?c=d#",
    [["connection", "close"], ["cookie", "a=1; b=2"], ["host", "example.org"], ["x-a", "1, 2"], [
      "x-l",
      "v",
    ]],
    true,
    "127.0.0.1",
  ]);
});

onBoth("takes targets of every form", async (start) => {
  await using server = await start(({ url }) => new Response(url.replace(/^https?/, "http")));
  for (
    const [target, url, method = "GET"] of [
      ["/", "http://example.org/"],
      ["//a/b", "http://example.org//a/b"],
      ["http://other.example:1234/path?q", "http://other.example:1234/path?q"],
      ["*", "http://example.org/*", "OPTIONS"],
    ] as [string, string, string?][]
  ) {
    assertEquals((await exchange(server, ask(target, CLOSE, "", method))).body, url);
  }
  for (const target of ["*", "path", "example.org:1234"]) {
    assertEquals((await exchange(server, ask(target, CLOSE))).status, 400, target);
  }
});

onBoth("takes header values in Latin-1", async (start) => {
  await using server = await start(({ headers }) => Response.json(headers.get("x-a")));
  using client = await server.connect();
  const bytes = Uint8Array.from(ask("/", [...CLOSE, "X-A: \xe9"]), (char) => char.charCodeAt(0));
  await client.write(bytes);
  assertEquals((await readAnswer(client)).body, '"\xe9"');
});

onBoth("reads bodies with a length and in chunks, and drops trailers", async (start) => {
  await using server = await start(async (request) =>
    Response.json([await request.text(), request.headers.get("x-trailer")])
  );
  const chunked = ["Transfer-Encoding: chunked"];
  for (
    const [request, text] of [
      [ask("/", ["Content-Length: 3"], "abc", "POST"), "abc"],
      [ask("/", ["Content-Length: 0"], "", "POST"), ""],
      [ask("/", [], "", "POST"), ""],
      [ask("/", ["Content-Length: 3"], "abc", "DELETE"), "abc"],
      [ask("/", chunked, "3\r\nabc\r\n1;a=b\r\nd\r\n0\r\n\r\n", "PUT"), "abcd"],
      [ask("/", chunked, "3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n", "POST"), "abc"],
      [ask("/", chunked, "0\r\n\r\n", "POST"), ""],
    ] as const
  ) {
    using client = await server.connect();
    await client.write(request);
    assertEquals(JSON.parse((await readAnswer(client)).body), [text, null]);
  }
});

onBoth("reads each kind of body, and a clone of it", async (start) => {
  await using server = await start(async (request) => {
    const copy = request.clone();
    const kinds = [
      await request.json(),
      await copy.clone().text(),
      (await copy.clone().bytes()).length,
      (await copy.clone().blob()).size,
      (await copy.arrayBuffer()).byteLength,
      request.bodyUsed,
    ];
    return Response.json(kinds);
  });
  const { body } = await exchange(
    server,
    ask("/", [...CLOSE, "Content-Length: 7"], '{"a":1}', "POST"),
  );
  assertEquals(JSON.parse(body), [{ a: 1 }, '{"a":1}', 7, 7, 7, true]);
});

onBoth("asks for a body that waits for it", async (start) => {
  await using server = await start(async (request) => new Response(await request.text()));
  using client = await server.connect();
  await client.write(ask("/", ["Expect: 100-continue", "Content-Length: 3"], "", "POST"));
  assertEquals(await client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
  await client.write("abc");
  assertEquals((await readAnswer(client)).body, "abc");
});

onBoth("answers pipelined requests in their order", async (start) => {
  await using server = await start(async (request) => {
    const { pathname } = new URL(request.url);
    for (let i = 0; pathname === "/0" && i < 100; i++) await undefined;
    return new Response(pathname + await request.text());
  });
  using client = await server.connect();
  const post = ask("/1", ["Content-Length: 3"], "abc", "POST");
  await client.write(ask("/0") + post + ask("/2", CLOSE));
  for (const body of ["/0", "/1abc", "/2"]) assertEquals((await readAnswer(client)).body, body);
  assertEquals(await client.rest(), "");
});

onBoth(
  "answers before a body has come, and takes no request from the rest of it",
  async (start) => {
    const paths: string[] = [];
    await using server = await start(({ url }) => {
      paths.push(new URL(url).pathname);
      return new Response("early");
    });
    using client = await server.connect();
    const hidden = ask("/hidden");
    await client.write(ask("/", [`Content-Length: ${5 + hidden.length}`], "12345", "POST"));
    assertEquals((await readAnswer(client)).body, "early");
    try {
      await client.write(hidden);
      await client.rest();
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    }
    assertEquals(paths, ["/"]);
  },
);

onBoth("takes no body of a GET", async (start) => {
  await using server = await start(async (request) =>
    Response.json([request.body, await request.text()])
  );
  const { body } = await exchange(server, ask("/", [...CLOSE, "Content-Length: 3"], "abc"));
  assertEquals(body, '[null,""]');
});

onBoth("ends a connection of HTTP/1.0 after the answer, without chunks", async (start) => {
  await using server = await start(() => new Response(new Blob(["a".repeat(100_000)]).stream()));
  using client = await server.connect();
  await client.write("GET / HTTP/1.0\r\n\r\n");
  const head = await client.head();
  assertStringIncludes(head, "200 OK");
  assertEquals(/transfer-encoding/i.test(head), false);
  assertEquals((await client.rest()).length, 100_000);
});
