/** Certificates by the name of the server that a client asks for. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connect } from "node:tls";
import { serve, type ServeTcpOptions, upgradeWebSocket, WebSocket } from "../../mod.ts";
import type { DevelopmentCertificates } from "../../certs/generate.ts";
import { brought, developmentCertificates } from "../programs.ts";
import { onEachWay } from "../transport/ends.ts";
import { closed, next } from "../websocket/peers.ts";

/** What a client that asks for a name is shown: the host names of the certificate, and the protocol. */
function shown(
  port: number,
  servername: string | undefined,
): Promise<[string, string | false | null]> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      port,
      host: "127.0.0.1",
      rejectUnauthorized: false,
      ALPNProtocols: ["h2", "http/1.1"],
      ...(servername !== undefined && { servername }),
    }, () => {
      const { subjectaltname = "" } = socket.getPeerCertificate();
      resolve([subjectaltname.replaceAll("DNS:", ""), socket.alpnProtocol]);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

function start(options: ServeTcpOptions) {
  return serve(
    { port: 0, hostname: "127.0.0.1", onListen() {}, ...options },
    (request) => {
      if (!request.headers.has("Upgrade")) return new Response(request.url);
      const { socket, response } = upgradeWebSocket(request);
      socket.onopen = () => socket.send(request.url);
      return response;
    },
  );
}

const names = ["example.org", "*.example.net", "a.example.net"] as const;
let made: Promise<DevelopmentCertificates[]> | undefined;

/** A pair for each of {@linkcode names}. */
async function pairs(): Promise<Record<string, DevelopmentCertificates>> {
  const all = await (made ??= Promise.all(names.map((name) => brought({ names: [name] }))));
  return Object.fromEntries(names.map((name, index) => [name, all[index]!]));
}

onEachWay("serve() shows the certificate of the name that a client asks for", async () => {
  const { cert, key } = await developmentCertificates();
  await using server = start({ cert, key, certificates: await pairs() });
  const { port } = server.addr;
  const main = (await shown(port, "localhost"))[0];
  for (
    const [name, expected] of [
      ["example.org", "example.org"],
      ["EXAMPLE.org", "example.org"],
      ["a.example.net", "a.example.net"],
      ["b.example.net", "*.example.net"],
      ["a.b.example.net", main],
      ["example.net", main],
      ["other.test", main],
      [undefined, main],
    ] as const
  ) {
    assertEquals(await shown(port, name), [expected, "http/1.1"], name);
  }
});

onEachWay("HttpServer.setCertificate() renews that of a name, and adds one", async () => {
  const { cert, key } = await developmentCertificates();
  const { "example.org": old } = await pairs();
  await using server = start({ cert, key, certificates: { "example.org": old! } });
  const { port } = server.addr;
  const renewed = await brought({ names: ["example.org", "www.example.org"] });
  await server.setCertificate(renewed.cert, renewed.key, { servername: "Example.org" });
  assertEquals((await shown(port, "example.org"))[0], "example.org, www.example.org");
  await server.setCertificate(renewed.cert, renewed.key, { servername: "www.example.org" });
  assertEquals((await shown(port, "www.example.org"))[0], "example.org, www.example.org");
  await assertRejects(
    () => server.setCertificate(cert, key, { servername: "example.org" }),
    Deno.errors.InvalidData,
    'must be for "example.org"',
  );
  await assertRejects(
    () => server.setCertificate(cert, key, { servername: "https://example.org" }),
    TypeError,
    'server name is "https://example.org"',
  );
  assertEquals((await shown(port, "example.org"))[0], "example.org, www.example.org");
});

Deno.test("serve() opens a WebSocket under the certificate of its name", async () => {
  const { cert, key } = await developmentCertificates();
  const own = await brought({ names: ["localhost"] });
  await using server = start({ cert, key, certificates: { localhost: own } });
  const url = `wss://localhost:${server.addr.port}/`;
  const socket = new WebSocket(url, { caCerts: [own.ca] });
  assertEquals((await next(socket, "message")).data, url.replace("wss", "https"));
  await closed(socket);
});

Deno.test("serve() refuses certificates that no client could use", async () => {
  const { cert, key } = await developmentCertificates();
  const { "example.org": pair } = await pairs();
  const { cert: otherCert } = await brought({ names: ["example.org"] });
  const refused: [ServeTcpOptions, new (message?: string) => Error, string][] = [
    [{ certificates: {} }, TypeError, "certificates need cert and key"],
    [{ cert, key, certificates: { "example.org": {} } as never }, TypeError, "a cert and a key"],
    [{ cert, key, certificates: [pair!] as never }, TypeError, 'server name is "0"'],
    [
      { cert, key, certificates: { "example.org": { cert: otherCert, key: pair!.key } } },
      Deno.errors.InvalidData,
      "example.org",
    ],
    [{ cert, key, certificates: { "other.test": pair! } }, Deno.errors.InvalidData, '"other.test"'],
  ];
  for (
    const name of ["", "127.0.0.1", "a b", "*", "a.*.org", "example.org:443", "-a.org", "é.org"]
  ) {
    refused.push([{ cert, key, certificates: { [name]: pair! } }, TypeError, "server name is"]);
  }
  for (const [options, type, message] of refused) {
    assertThrows(() => start(options), type, message);
  }
});
