/** What Deno's own `serve` and `upgradeWebSocket` take, by their types: each is taken, or is refused and named. */

import { assertEquals, assertThrows } from "@std/assert";
import {
  serve,
  type ServeTcpOptions,
  type ServeUnixOptions,
  upgradeWebSocket,
  type UpgradeWebSocketOptions,
} from "../../mod.ts";

type Same<A, B> = [A] extends [B] ? [B] extends [A] ? true : false : false;

/** What one type has and the other lacks. */
type Missing<A, B> = Exclude<keyof A, keyof B>;

Deno.test("serve() takes the options of Deno.serve, by their types", () => {
  const tcp: Same<Missing<Deno.ServeTcpOptions & Deno.TlsCertifiedKeyPem, ServeTcpOptions>, never> =
    true;
  const unix: Same<Missing<Deno.ServeUnixOptions, ServeUnixOptions>, never> = true;
  const upgrade: Same<Missing<Deno.UpgradeWebSocketOptions, UpgradeWebSocketOptions>, never> = true;
  assertEquals([tcp, unix, upgrade], [true, true, true]);

  // Never called: a program that is written for Deno's own compiles with ours.
  const programs = [
    () => serve(() => new Response()),
    () => serve({ port: 1, hostname: "a", reusePort: true, tcpBacklog: 1 }, () => new Response()),
    () => serve({ path: "a", handler: (_, { remoteAddr }) => new Response(remoteAddr.path) }),
    () => serve({ handler: (_, { remoteAddr }) => new Response(remoteAddr.hostname) }).addr.port,
    () => serve({ path: "a" }, () => new Response()).addr.path,
    (handler: Deno.ServeHandler<Deno.NetAddr>) => serve({ cert: "", key: "" }, handler),
    (request: Request, options: Deno.UpgradeWebSocketOptions) => upgradeWebSocket(request, options),
    (server: ReturnType<typeof serve>): Deno.HttpServer => server as Deno.HttpServer,
  ];
  assertEquals(programs.length, 8);
});

Deno.test("serve() refuses what it cannot keep, and names what to use", () => {
  const handler = () => new Response();
  const refused: [Record<string, unknown>, string][] = [
    [{ transport: "unix" }, 'transport is "unix", which needs a path'],
    [{ transport: "vsock", cid: 1, port: 1 }, "use port or path"],
    [{ transport: "quic" }, 'transport is "quic", must be "tcp"'],
    [{ path: "a", transport: "tcp" }, 'transport is "tcp", must be "unix"'],
    [{ path: "a", cert: "x", key: "y" }, "cert cannot be kept, leave it out beside path"],
    [{ path: "a", port: 1 }, "port cannot be kept, leave it out beside path"],
    [{ port: NaN }, "port is NaN, must be a whole number"],
    [{ port: "80.5" }, 'port is "80.5", must be a whole number'],
    [{ path: 1 }, "path is 1, must be a string"],
    [{ cid: 3, port: 1 }, "cid cannot be kept"],
    [{ certFile: "x", keyFile: "y" }, "certFile cannot be kept, use cert"],
    [{ keyFile: "y" }, "keyFile cannot be kept, use key"],
    [{ keyFormat: "der", cert: "x", key: "y" }, 'keyFormat is "der", must be "pem"'],
    [{ alpnProtocols: ["h2"] }, "alpnProtocols cannot be kept"],
    [{ automaticCompression: true }, "automaticCompression cannot be kept"],
    [{ cert: "x" }, "cert and key must be given together"],
  ];
  for (const [options, problem] of refused) {
    assertThrows(() => serve(options as ServeTcpOptions, handler), TypeError, problem);
  }
});
