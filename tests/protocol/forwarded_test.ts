import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { readForwarded } from "../../protocol/forwarded.ts";
import type { HeaderLines } from "../../protocol/http.ts";

/** What is read where the proxies are those of 10.0.0.0/8. */
function read(...headers: HeaderLines) {
  return readForwarded(headers, (hostname) => hostname.startsWith("10."));
}

function xff(value: string) {
  return read(["X-Forwarded-For", value]).hostname;
}

function forwarded(value: string) {
  return read(["Forwarded", value]).hostname;
}

Deno.test("readForwarded() takes the right end of X-Forwarded-For, and goes left past trusted proxies", () => {
  assertEquals(read(["X-Forwarded-For", "192.0.2.1"]), { hostname: "192.0.2.1", port: 0 });
  assertEquals(xff("192.0.2.1, 192.0.2.2"), "192.0.2.2");
  assertEquals(xff("192.0.2.1, 192.0.2.2, 10.0.0.1 ,\t10.0.0.2"), "192.0.2.2");
  assertEquals(xff("10.0.0.3, 10.0.0.1"), "10.0.0.3");
  assertEquals(xff("2001:DB8::1"), "2001:db8::1");
  assertEquals(xff("::ffff:192.0.2.1"), "192.0.2.1");
  assertEquals(xff(", 192.0.2.1, ,"), "192.0.2.1");
  assertEquals(
    read(["x-forwarded-for", "192.0.2.1"], ["A", "b"], ["X-FORWARDED-FOR", "192.0.2.2"]).hostname,
    "192.0.2.2",
  );
  assertEquals(read(["X-Forwarded-For", "192.0.2.1:80"]), { hostname: "192.0.2.1", port: 80 });
  assertEquals(read(["X-Forwarded-For", "[::1]:65535"]), { hostname: "::1", port: 65535 });
});

Deno.test("readForwarded() takes what is malformed as not there, with all to the left of it", () => {
  for (
    const value of [
      "",
      "unknown",
      "localhost",
      "192.0.2.1, unknown",
      "192.0.2.1, 1.2.3",
      "192.0.2.1, 192.0.2.2:65536",
      "192.0.2.1, [192.0.2.2",
      "192.0.2.1, 192.0.2.2 192.0.2.3",
      '"192.0.2.1"',
    ]
  ) {
    assertEquals(read(["X-Forwarded-For", value]), { port: 0 }, value);
  }
  // Said by a proxy that is trusted, which has seen no more.
  assertEquals(xff("192.0.2.1, nonsense, 10.0.0.1"), "10.0.0.1");
});

Deno.test("readForwarded() takes scheme and host from where the client's address is", () => {
  const request = (proto: string, host: string, addresses = "192.0.2.1, 192.0.2.2, 10.0.0.1") => {
    const { scheme, host: told } = read(
      ["X-Forwarded-For", addresses],
      ["X-Forwarded-Proto", proto],
      ["X-Forwarded-Host", host],
    );
    return [scheme, told];
  };
  assertEquals(request("https", "a.example:8443"), ["https", "a.example:8443"]);
  assertEquals(request("WSS", "[::1]"), ["https", "[::1]"]);
  assertEquals(request("ws", "a"), ["http", "a"]);
  assertEquals(request("x, https, http", "x, a, b"), ["https", "a"]);
  // By another count than addresses, the nearest proxy's counts.
  assertEquals(request("https, http", "a, b"), ["http", "b"]);
  assertEquals(request("https", "a", ""), ["https", "a"]);
  for (const wrong of ["ftp", "https:", "javascript"]) {
    assertEquals(request(wrong, "a")[0], undefined);
  }
  for (const wrong of ["a b", "a/b", "user@a", "a:99999", "a,b c", "%"]) {
    assertEquals(request("https", wrong)[1], undefined, wrong);
  }
});

Deno.test("readForwarded() reads Forwarded from its right end (RFC 7239)", () => {
  assertEquals(read(["Forwarded", "for=192.0.2.1"]), { hostname: "192.0.2.1", port: 0 });
  assertEquals(
    read(["forwarded", 'By=10.0.0.9; FOR="[2001:db8::1]:4711" ;proto=https;host="a.example:8443"']),
    { hostname: "2001:db8::1", port: 4711, scheme: "https", host: "a.example:8443" },
  );
  assertEquals(forwarded("for=192.0.2.1, for=192.0.2.2"), "192.0.2.2");
  assertEquals(forwarded('for=192.0.2.1,for="192.0.2.2:1" , for=10.0.0.1;by="a, b"'), "192.0.2.2");
  assertEquals(
    read(["Forwarded", "for=192.0.2.1"], ["Forwarded", "for=192.0.2.2;proto=http"]),
    { hostname: "192.0.2.2", port: 0, scheme: "http" },
  );
  // Each says what it was asked for; one that says nothing leaves what was said nearer.
  assertEquals(
    read(["Forwarded", "for=192.0.2.1;proto=https, for=10.0.0.1;proto=http;host=a"]),
    { hostname: "192.0.2.1", port: 0, scheme: "https", host: "a" },
  );
  assertEquals(forwarded('for="192.0.2.\\1"'), "192.0.2.1");
  assertEquals(forwarded("for=192.0.2.1;"), "192.0.2.1");
});

Deno.test("readForwarded() takes what is malformed in Forwarded as not there", () => {
  for (
    const value of [
      "",
      "for",
      "for=unknown",
      "for=_hidden",
      "for=192.0.2.1;for=192.0.2.2",
      "for=192.0.2.1, for=_hidden",
      "for=192.0.2.1, x",
      'for="192.0.2.1',
      "for=192.0.2.1 proto=https",
      "proto=https",
      `for=192.0.2.1;x=${"y".repeat(2000)}`,
    ]
  ) {
    assertEquals(read(["Forwarded", value]).hostname, undefined, value);
  }
});

Deno.test("readForwarded() lets nothing that a client wrote swallow what the proxy wrote behind it", () => {
  const text = fc.string({ unit: fc.constantFrom(...'for=192.0.2.9;, "\\[]:a'), maxLength: 40 });
  const written = fc.constantFrom(
    "for=192.0.2.1",
    'for="192.0.2.1:80"',
    'for="192.0.2.1";proto=https;by="10.0.0.1:80"',
    "proto=http;for=192.0.2.1",
  );
  fc.assert(
    fc.property(text, written, (made, told) => {
      assertEquals(forwarded(`${made},${told}`), "192.0.2.1");
      assertEquals(forwarded(`${made}, ${told}`), "192.0.2.1");
      assertEquals(xff(`${made},192.0.2.1`), "192.0.2.1");
    }),
    { numRuns: 2000 },
  );
});

Deno.test("readForwarded() believes X-Forwarded-For where both kinds are there", () => {
  assertEquals(
    read(
      ["Forwarded", "for=192.0.2.1;proto=https;host=a"],
      ["X-Forwarded-For", "192.0.2.2"],
      ["X-Forwarded-Proto", "http"],
    ),
    { hostname: "192.0.2.2", port: 0, scheme: "http" },
  );
});

Deno.test("readForwarded() takes no longer than the headers are long, and ends", () => {
  const run = 16 * 1024;
  for (
    const value of [
      "for=10.0.0.1,".repeat(run / 13),
      ",".repeat(run),
      '"'.repeat(run),
      `for="${"\\".repeat(run)}`,
      `for=a${";".repeat(run)}`,
      " ".repeat(run),
      `${"a=b;".repeat(run / 4)},`,
    ]
  ) {
    const start = performance.now();
    read(["Forwarded", value]);
    read(["X-Forwarded-For", value], ["X-Forwarded-Proto", value], ["X-Forwarded-Host", value]);
    assert(performance.now() - start < 1000, value.slice(0, 20));
  }
});
