import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parseProxy, routeOf, type RouteOptions } from "../../transport/route.ts";

const connect = () => Promise.reject(new Error("unused"));

Deno.test("routeOf() takes the proxies of Deno that it can keep", () => {
  assertEquals(routeOf({}), undefined);
  assertEquals(routeOf({ proxy: null }), { kind: "direct" });
  assertEquals(routeOf({ unix: "/a" }), { kind: "unix", path: "/a" });
  assertEquals(routeOf({ proxy: { transport: "unix", path: "/a" } }), { kind: "unix", path: "/a" });
  assertEquals(routeOf({ connect }), { kind: "connect", connect });
  assertEquals(
    routeOf({ proxy: { transport: "tcp", hostname: "h", port: 1 } }),
    { kind: "tcp", hostname: "h", port: 1 },
  );
});

Deno.test("routeOf() names connect for a proxy that it cannot keep", () => {
  const cases: Deno.Proxy[] = [
    { transport: "vsock", cid: 1, port: 2 },
    { transport: "socks5", url: "socks5://u:s3cret@h" },
    { url: "socks5h://u:s3cret@h" },
  ];
  for (const proxy of cases) {
    const { message } = assertThrows(() => routeOf({ proxy }), TypeError);
    assertMatch(message, /connect can bring any other connection$/);
    assertEquals(message.includes("s3cret"), false);
  }
});

Deno.test("routeOf() refuses what is no route, and two of them, without a secret", () => {
  const url = "http://u:s3cret@h";
  const cases: [RouteOptions, RegExp][] = [
    [{ unix: "/a", proxy: { url } }, /unix and proxy are given, must be one of them/],
    [{ connect, proxy: null }, /proxy and connect are given/],
    [{ unix: "" }, /unix is not a text/],
    [{ unix: "a\0b" }, /unix is not a text/],
    [{ unix: 1 as unknown as string }, /unix is not a text/],
    [{ connect: "x" as unknown as typeof connect }, /connect is not a function/],
    [{ proxy: url as unknown as Deno.Proxy }, /proxy is not an object, must be as Deno.Proxy/],
    [{ proxy: {} as Deno.Proxy }, /proxy.url is not a text/],
    [{ proxy: { transport: "tcp", hostname: "", port: 1 } }, /proxy.hostname is not a text/],
    [{ proxy: { transport: "tcp", hostname: "h", port: 0 } }, /proxy.port is 0/],
    [{ proxy: { transport: "https", url } }, /proxy.url is http:, must be https:/],
    [{ proxy: { url: "http://u:s3cret@[" } }, /proxy.url is malformed$/],
    [{ proxy: { url: "http://h\r\nX: y\0" } }, /proxy.url is not a text/],
    [{ proxy: { url: "http://a%3As3cret@h" } }, /user with a colon/],
    [{ proxy: { url, basicAuth: { username: "s3cret" } as Deno.BasicAuth } }, /basicAuth without/],
  ];
  for (const [options, wanted] of cases) {
    const { message } = assertThrows(() => routeOf(options), TypeError);
    assertMatch(message, wanted);
    assertEquals(message.includes("s3cret"), false);
  }
});

Deno.test("parseProxy() takes a URL with and without a scheme, by their default ports", () => {
  const hostOf = (text: string) => {
    const proxy = parseProxy(text);
    if (typeof proxy === "string") throw new Error(proxy);
    return [proxy.secure, proxy.hostname, proxy.port];
  };
  assertEquals(hostOf("http://h"), [false, "h", 80]);
  assertEquals(hostOf("https://h/"), [true, "h", 443]);
  assertEquals(hostOf("h:3128"), [false, "h", 3128]);
  assertEquals(hostOf("[::1]:3128"), [false, "::1", 3128]);
  assertEquals(hostOf("HTTP://H:1"), [false, "h", 1]);
});
