import { assertMatch } from "@std/assert";
import { certificatesFolder, RUNNABLE, startServer } from "../programs.ts";
import { succeeds } from "./peer.ts";
import {
  type Front,
  HAPROXY,
  type Kind,
  PROXY_ADDRESS,
  ReverseProxy,
  testProxy,
  testProxyProtocol,
} from "./reverse_proxy.ts";

const ignore = !RUNNABLE || Deno.build.os !== "linux" || !await succeeds(HAPROXY.file, ["-v"]);

function section(front: Front, index: number, folder: string, more: string): string {
  const { port, secure, to, toSecure, proxyProtocol } = front;
  const sends = { 1: "send-proxy", 2: "send-proxy-v2 proxy-v2-options unique-id,ssl" };
  return `
frontend front${index}
  bind 127.0.0.1:${port}${secure ? ` ssl crt ${folder}/all.pem` : ""}
  unique-id-format %ci:%cp
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  http-request set-header X-Forwarded-Proto http unless { ssl_fc }
  default_backend back${index}
backend back${index}
  option forwardfor
  source ${PROXY_ADDRESS}
  ${more}
  server server${index} 127.0.0.1:${to} ${
    toSecure ? `ssl verify required verifyhost localhost ca-file ${folder}/certs/ca.crt` : ""
  } ${proxyProtocol === undefined ? "" : sends[proxyProtocol]} ${
    more === "" ? "" : "check inter 1s"
  }
`;
}

/** @param more Lines of the backend that have it check the server's health. */
function haproxy(more = ""): Kind {
  return {
    ...HAPROXY,
    config: (folder, fronts, idleMs) => `
global
  log stderr format raw local0 info
defaults
  mode http
  log global
  option dontlognull
  option log-health-checks
  timeout connect 5s
  timeout check 10s
  timeout client 60s
  timeout server 60s
  timeout tunnel ${idleMs}ms
${fronts.map((front, index) => section(front, index, folder, more)).join("\n")}`,
  };
}

testProxy(haproxy(), ignore);
testProxyProtocol(haproxy(), 1, ignore);
testProxyProtocol(haproxy(), 2, ignore);

const CHECKS: [name: string, lines: string][] = [
  ["in HTTP/1.0, as it does by default", "option httpchk GET /healthz"],
  [
    "in HTTP/1.1",
    "option httpchk\n  http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host localhost",
  ],
];

for (const [name, lines] of CHECKS) {
  for (const proxyProtocol of [undefined, 1, 2] as const) {
    const over = proxyProtocol === undefined ? "" : ` over the PROXY protocol ${proxyProtocol}`;
    Deno.test({
      name: `server.ts passes the health check of haproxy ${name}${over}`,
      ignore,
      async fn() {
        await using folder = await certificatesFolder();
        const flags = proxyProtocol === undefined ? [] : ["--proxy-protocol"];
        await using server = await startServer(flags, { cwd: folder.path });
        await using proxy = await ReverseProxy.start(haproxy(lines), [
          {
            secure: false,
            to: server.port,
            toSecure: true,
            ...(proxyProtocol !== undefined && { proxyProtocol }),
          },
        ]);
        assertMatch(await proxy.line(/^Health check /), /succeeded.*code: 200/);
      },
    });
  }
}
