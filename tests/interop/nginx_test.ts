import { assertEquals } from "@std/assert";
import { RUNNABLE } from "../programs.ts";
import { succeeds } from "./peer.ts";
import {
  backend,
  type Front,
  type Kind,
  NGINX,
  NGINX_STREAM_MODULE,
  nginxConfig,
  PROXY_ADDRESS,
  ReverseProxy,
  testProxy,
  testProxyProtocol,
} from "./reverse_proxy.ts";

const ignore = !RUNNABLE || Deno.build.os !== "linux" || !await succeeds(NGINX.file, ["-v"]);
const ignoreStream = ignore || !await succeeds("/usr/bin/test", ["-e", NGINX_STREAM_MODULE]);

/** As its documentation has it for WebSocket. */
function httpServer({ port, secure, to, toSecure }: Front, idleMs: number): string {
  return `
  server {
    listen 127.0.0.1:${port}${secure ? " ssl" : ""};
    location / {
      proxy_pass ${toSecure ? "https" : "http"}://127.0.0.1:${to};
      proxy_bind ${PROXY_ADDRESS};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_read_timeout ${idleMs}ms;
    }
    # Without any of this: HTTP/1.0, and the name of its backend as the host.
    location /plain/ {
      proxy_pass ${toSecure ? "https" : "http"}://127.0.0.1:${to};
      proxy_bind ${PROXY_ADDRESS};
    }
  }`;
}

/** Over TCP alone, where it can speak the PROXY protocol. */
function streamServer({ port, secure, to, toSecure }: Front): string {
  return `
  server {
    listen 127.0.0.1:${port}${secure ? " ssl" : ""};
    proxy_pass 127.0.0.1:${to};
    proxy_bind ${PROXY_ADDRESS};
    proxy_ssl ${toSecure ? "on" : "off"};
    proxy_protocol on;
  }`;
}

const nginx: Kind = {
  ...NGINX,
  config(folder, fronts, idleMs) {
    const tls = `
  ssl_certificate ${folder}/certs/server.crt;
  ssl_certificate_key ${folder}/certs/server.key;`;
    const streams = fronts.filter(({ proxyProtocol }) => proxyProtocol !== undefined);
    const https = fronts.filter(({ proxyProtocol }) => proxyProtocol === undefined);
    return nginxConfig(
      folder,
      `
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }${tls}
  proxy_ssl_verify on;
  proxy_ssl_name localhost;
  proxy_ssl_trusted_certificate ${folder}/certs/ca.crt;
${https.map((front) => httpServer(front, idleMs)).join("\n")}`,
      streams.length === 0 ? "" : `
stream {${tls}
${streams.map(streamServer).join("\n")}
}`,
    );
  },
};

testProxy(nginx, ignore);
testProxyProtocol(nginx, 1, ignoreStream);

Deno.test({
  name: "serve() behind nginx answers its HTTP/1.0",
  ignore,
  async fn() {
    await using server = await backend(false);
    const { port } = server.addr;
    await using proxy = await ReverseProxy.start(nginx, [
      { secure: false, to: port, toSecure: false },
    ]);
    const response = await fetch(`${proxy.url().replace("ws", "http")}plain/a`);
    assertEquals(
      await response.text(),
      `${PROXY_ADDRESS} GET http://127.0.0.1:${port}/plain/a`,
    );
  },
});
