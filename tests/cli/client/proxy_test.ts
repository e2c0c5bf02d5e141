import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { checkProxy, proxyOptions, withoutCredentials } from "../../../cli/client/proxy.ts";
import { BadValue } from "../../../cli/flags.ts";
import { sentencesIn } from "../../../cli/sentences.ts";
import { freePort } from "../../programs.ts";

const SENTENCES = sentencesIn("en");

/** The connection that `--proxy` gives. */
function connectBy(proxy: string) {
  return proxyOptions(new URL("ws://server.invalid/"), proxy, SENTENCES).connect!;
}

Deno.test("checkProxy() takes http, https, socks5 and socks5h, with and without credentials", () => {
  for (
    const text of ["http://h", "https://u:p@h:1/", "h:3128", "socks5://h", "socks5h://u:p@[::1]"]
  ) {
    checkProxy(text);
  }
  for (const text of ["ftp://h", "socks4://h", "http://", "socks5://", "http://["]) {
    assertThrows(() => checkProxy(text), BadValue);
  }
});

Deno.test("withoutCredentials() hides them, also in what is malformed", () => {
  assertEquals(withoutCredentials("http://u:s3cret@h:1"), "http://***@h:1");
  assertEquals(withoutCredentials("u:s3cret@h"), "***@h");
  assertEquals(withoutCredentials("ftp://u:s3@cret@h"), "ftp://***@h");
  assertEquals(withoutCredentials("http://h"), "http://h");
});

// The library for SOCKS leaves a timer behind, which keeps no process alive: what goes on behind a connection
// to the proxy is tested in tests/client_network_test.ts, in a process of its own.

Deno.test("proxyOptions() hands a proxy of HTTP to the library", () => {
  const url = new URL("wss://a/");
  assertEquals(proxyOptions(url, "http://h", SENTENCES), { proxy: { url: "http://h" } });
});

Deno.test("proxyOptions() says that a SOCKS5 proxy is not there, and asks none when it is given up", async () => {
  const port = freePort();
  const { signal } = new AbortController();
  await assertRejects(
    () => connectBy(`socks5://127.0.0.1:${port}`)({ hostname: "a", port: 1, signal }),
    Error,
    `Cannot connect to proxy "127.0.0.1:${port}": `,
  );
  const aborted = AbortSignal.abort(new Error("enough"));
  await assertRejects(
    () => connectBy(`socks5://127.0.0.1:${port}`)({ hostname: "a", port: 1, signal: aborted }),
    Error,
    "enough",
  );
});
