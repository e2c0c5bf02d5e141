import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { Page } from "../../../cli/server/page.ts";
import { LANGUAGES, sentencesIn } from "../../../cli/sentences.ts";
import {
  certificatesFolder,
  once,
  onEachTransport,
  RawPeer,
  startServer,
  stop,
} from "../../programs.ts";

const OPTIONS = {
  path: "/ws",
  hasRooms: false,
  asksToken: false,
  maxMessageSize: 1000,
  isCounting: true,
  sentences: sentencesIn("en"),
};

const FILES = {
  "/": "text/html",
  "/page.css": "text/css",
  "/page.js": "text/javascript",
  "/icon.svg": "image/svg+xml",
};

/** The page's answer to a request for a file it has. */
function answer(page: Page, path: string, headers: Record<string, string> = {}): Response {
  return page.answer(new URL(path, "https://example.com"), new Headers(headers))!;
}

Deno.test("Page has its files, with headers that let nothing else be loaded", async () => {
  const page = new Page(OPTIONS);
  for (const [path, type] of Object.entries(FILES)) {
    const response = answer(page, path);
    assertEquals(response.status, 200);
    assert((await response.text()).length > 200, path);
    const { headers } = response;
    assertEquals(headers.get("Content-Type"), `${type}; charset=utf-8`);
    assertEquals(headers.get("Content-Encoding"), null);
    assertEquals(headers.get("Cache-Control"), "no-cache");
    assertEquals(headers.get("Vary"), "Accept-Encoding");
    assertEquals(headers.get("X-Content-Type-Options"), "nosniff");
    assertEquals(headers.get("Referrer-Policy"), "no-referrer");
    const policy = headers.get("Content-Security-Policy")!.split("; ");
    for (const directive of ["default-src 'none'", "script-src 'self'", "connect-src 'self'"]) {
      assert(policy.includes(directive), directive);
    }
    assertEquals(policy.filter((directive) => directive.includes("unsafe")), []);
  }
});

Deno.test("Page leads to the figures at names of the server's own machine alone", async () => {
  const figuresUrl = "http://127.0.0.1:9090/metrics.json";
  const page = new Page({ ...OPTIONS, figuresUrl });
  const at = async (origin: string) => {
    const response = page.answer(new URL("/", origin), new Headers())!;
    const policy = response.headers.get("Content-Security-Policy")!;
    return [/connect-src ([^;]+)/.exec(policy)![1], (await response.text()).includes(figuresUrl)];
  };
  for (const host of ["localhost:8443", "127.0.0.1", "[::1]:8443"]) {
    assertEquals(await at(`https://${host}`), [`'self' ${figuresUrl}`, true], host);
  }
  for (const host of ["example.com", "192.0.2.1:8443", "localhost.example.com", "127.0.0.2"]) {
    assertEquals(await at(`https://${host}`), ["'self'", false], host);
  }
});

Deno.test("Page says that nothing is counted at names of the server's own machine alone", async () => {
  const page = new Page({ ...OPTIONS, isCounting: false });
  const says = async (origin: string) =>
    (await page.answer(new URL(origin), new Headers())!.text()).includes("isCounting&quot;:false");
  assertEquals(await says("https://localhost:8443"), true);
  assertEquals(await says("https://example.com"), false);
});

Deno.test("Page has nothing at other paths", () => {
  const page = new Page(OPTIONS);
  for (const path of ["/index.html", "/page.css/", "/PAGE.JS", "//", "/page/page.js", "/.js"]) {
    const url = new URL(`https://localhost${path}`);
    assertEquals(page.answer(url, new Headers()), undefined, path);
  }
});

Deno.test("Page comes in gzip where the client takes it, under another entity tag", async () => {
  const page = new Page(OPTIONS);
  for (const path of Object.keys(FILES)) {
    const plain = answer(page, path);
    const text = await plain.text();
    for (const accepted of ["gzip", "br, GZIP;q=0.5", "deflate,gzip ; q=1"]) {
      const response = answer(page, path, { "Accept-Encoding": accepted });
      assertEquals(response.headers.get("Content-Encoding"), "gzip", accepted);
      assertNotEquals(response.headers.get("ETag"), plain.headers.get("ETag"));
      const inflated = response.body!.pipeThrough(new DecompressionStream("gzip"));
      assertEquals(await new Response(inflated).text(), text);
    }
    for (const accepted of ["", "br", "gzip;q=0", "br, gzip; q=0.000", "*", "x-gzip2"]) {
      const response = answer(page, path, { "Accept-Encoding": accepted });
      assertEquals(response.headers.get("Content-Encoding"), null, accepted);
      assertEquals(await response.text(), text);
    }
  }
});

Deno.test("Page answers 304 to a client that has the file in the same coding", async () => {
  const page = new Page(OPTIONS);
  const tagOf = (coding: string) =>
    answer(page, "/", { "Accept-Encoding": coding }).headers.get("ETag")!;
  const statusOf = (coding: string, tags: string) =>
    answer(page, "/", { "Accept-Encoding": coding, "If-None-Match": tags }).status;
  const [plain, gzip] = [tagOf("br"), tagOf("gzip")];
  assertMatch(plain, /^"[\w-]+"$/);
  assertEquals(statusOf("gzip", gzip), 304);
  assertEquals(statusOf("br", plain), 304);
  assertEquals(statusOf("br", `"other", W/${plain}`), 304);
  assertEquals(statusOf("br", "*"), 304);
  assertEquals(statusOf("br", gzip), 200);
  assertEquals(statusOf("gzip", plain), 200);
  assertEquals(statusOf("gzip", ""), 200);
  const response = answer(page, "/", { "If-None-Match": "*" });
  assertEquals([response.headers.get("ETag"), await response.text()], [plain, ""]);
  // Workers and later starts have the same tags; another page has others.
  assertEquals(answer(new Page(OPTIONS), "/").headers.get("ETag"), plain);
  const other = new Page({ ...OPTIONS, sentences: sentencesIn("pt-BR") });
  assertNotEquals(answer(other, "/").headers.get("ETag"), plain);
});

Deno.test("Page speaks the language it is given, and leaves no place of a sentence empty", async () => {
  for (const language of LANGUAGES) {
    const sentences = sentencesIn(language);
    const html = await answer(new Page({ ...OPTIONS, sentences }), "/").text();
    assertStringIncludes(html, `<html lang="${language}">`);
    assertStringIncludes(html, `<h1>${sentences.page.title}</h1>`);
    const settings = /data-settings="([^"]*)"/.exec(html)!;
    assertEquals(html.replace(settings[0], "").match(/\{\w+\}/g), null);
    const { sentences: given, ...others } = JSON.parse(settings[1]!.replaceAll("&quot;", '"'));
    assertEquals(others, {
      path: "/ws",
      hasRooms: false,
      asksToken: false,
      maxMessageSize: 1000,
      isCounting: true,
    });
    assertEquals(given.title, sentences.page.title);
  }
});

Deno.test("Page keeps what the path of the WebSocket holds within an attribute", async () => {
  const html = await answer(new Page({ ...OPTIONS, path: `/"><script>'&amp;` }), "/").text();
  assertStringIncludes(html, "/\\&quot;&gt;&lt;script&gt;'&amp;amp;");
  assertEquals(html.match(/<script/g)!.length, 1);
});

/** A request for a path, with headers besides `Host`. */
function request(path: string, headers: string[] = [], method = "GET"): string {
  return [`${method} ${path} HTTP/1.1`, "Host: localhost", ...headers, "", ""].join("\r\n");
}

onEachTransport("server.ts has a page, also for HEAD, and with workers", async ({ flags }) => {
  await using folder = await certificatesFolder();
  await using server = await startServer([...flags, "--workers=2", "--lang=en"], {
    cwd: folder.path,
  });
  const ask = async (text: string) => {
    using peer = await RawPeer.connect(server.port);
    return await peer.request(text);
  };
  const { status, headers, body } = await ask(request("/"));
  assertEquals([status, headers.get("Content-Type")], [200, "text/html; charset=utf-8"]);
  assertStringIncludes(body, `<html lang="en">`);
  const tag = headers.get("ETag")!;
  const known = await ask(request("/", [`If-None-Match: ${tag}`]));
  assertEquals([known.status, known.body], [304, ""]);
  const gzip = await ask(request("/page.js", ["Accept-Encoding: gzip"], "HEAD"));
  assertEquals([gzip.status, gzip.headers.get("Content-Encoding"), gzip.body], [200, "gzip", ""]);
  const posted = await ask(request("/", ["Content-Length: 0"], "POST"));
  assertEquals([posted.status, posted.headers.get("Allow")], [405, "GET, HEAD"]);
  const { stdout, stderr } = await stop(server);
  assertEquals([stdout.length, stderr], [1, []]);
});

once(
  "server.ts has no page with --page=off, nor where its paths are those of WebSockets",
  async () => {
    await using folder = await certificatesFolder();
    const cases: [string[], number][] = [
      [["--page=off"], 404],
      [["--path=/"], 426],
      [["--path=/", "--mode=broadcast"], 426],
    ];
    for (const [flags, status] of cases) {
      await using server = await startServer(flags, { cwd: folder.path });
      using peer = await RawPeer.connect(server.port);
      assertEquals((await peer.request(request("/"))).status, status, `${flags}`);
      await stop(server);
    }
  },
);
