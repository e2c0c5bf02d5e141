import { assertEquals, assertNotMatch, assertThrows } from "@std/assert";
import { type EngineOptions, engineSettings, shownServer } from "../../topics/engine_options.ts";

const SCHEME = { schemes: ["nats", "tls"], port: 4222 } as const;

function serversOf(options: EngineOptions) {
  return engineSettings(options, SCHEME).servers;
}

Deno.test("engineSettings() reads servers, with credentials of the URL before those of the options", () => {
  const none = { user: undefined, password: undefined };
  assertEquals(serversOf({}), [{ hostname: "127.0.0.1", port: 4222, secure: false, ...none }]);
  assertEquals(serversOf({ servers: ["tls://a:1", "nats://[::1]/"], user: "u", password: "p" }), [
    { hostname: "a", port: 1, secure: true, user: "u", password: "p" },
    { hostname: "::1", port: 4222, secure: false, user: "u", password: "p" },
  ]);
  assertEquals(serversOf({ servers: "nats://x%3A:%40%2F%C3%A9@h", user: "u", password: "p" }), [
    { hostname: "h", port: 4222, secure: false, user: "x:", password: "@/é" },
  ]);
  // A user alone may be a token: the password of the options is not its own.
  assertEquals(serversOf({ servers: "nats://token@h", password: "p" })[0]!.password, undefined);
  assertEquals(serversOf({ servers: "nats://[::1]:7" }).map(shownServer), ["[::1]:7"]);
});

Deno.test("engineSettings() refuses what is malformed, and shows nothing of a URL", () => {
  const bad = [
    "",
    "s3cr3t",
    "http://u:s3cr3t@h",
    "nats:s3cr3t",
    "nats://u:s3cr3t@",
    "nats://u:s3cr3t@h/path",
    "nats://h?password=s3cr3t",
    "nats://h#s3cr3t",
    "nats://u:s3cr3t%E9@h",
    "nats://u:s3cr3t@h:65536",
  ];
  for (const url of bad) {
    const { message } = assertThrows(
      () => engineSettings({ servers: ["nats://h", url] }, SCHEME),
      SyntaxError,
      "Cannot make backplane: number 2 of servers is malformed",
    );
    assertNotMatch(message, /s3cr3t/);
  }
  assertThrows(() => engineSettings({ servers: [] }, SCHEME), RangeError, "servers has none");
  for (const prefix of ["", "a", ".", "a..", "*.", "a b.", `${"a".repeat(64)}.`]) {
    assertThrows(() => engineSettings({ prefix }, SCHEME), SyntaxError, "prefix is");
  }
  for (const name of ["pingInterval", "connectTimeout", "maxUnsent"]) {
    for (const value of [-1, NaN, "5"]) {
      assertThrows(() => engineSettings({ [name]: value }, SCHEME), RangeError, `${name} is`);
    }
  }
  assertThrows(
    () => engineSettings({ pingInterval: 0 }, SCHEME),
    RangeError,
    "must be 1 ms or more",
  );
  const tls = "tls://h";
  assertThrows(() => engineSettings({ servers: tls, cert: "c" }, SCHEME), TypeError, "together");
  assertThrows(() => engineSettings({ servers: tls, key: "k" }, SCHEME), TypeError, "together");
  assertThrows(
    () => engineSettings({ servers: [tls, "nats://h"], caCerts: [] }, SCHEME),
    TypeError,
    "a server is without TLS",
  );
});
