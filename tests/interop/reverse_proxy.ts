/**
 * nginx and haproxy as Debian has them, in front of servers of ours: as children of the test, in the foreground,
 * with a configuration in a folder of their own and on free ports.
 *
 * The proxies connect from 127.0.0.3, so that a client at 127.0.0.1 is not one of them.
 *
 * Importing this file needs no permission.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import {
  serve,
  type ServeOptions,
  upgradeWebSocket,
  type UpgradeWebSocketOptions,
  WebSocket,
} from "../../mod.ts";
import { certificatesFolder, developmentCertificates, freePort, Program } from "../programs.ts";
import { closed, next } from "../websocket/peers.ts";

/** Where the proxies connect from. */
export const PROXY_ADDRESS = "127.0.0.3";

/** What stands before the servers of a test, and which of them. */
export interface Front {
  port: number;
  /** Whether the proxy speaks TLS there. */
  secure: boolean;
  /** Where it passes connections on to. */
  to: number;
  /** Whether the server there speaks TLS. */
  toSecure: boolean;
  /** The version of the PROXY protocol that the server is spoken to in; none by default. */
  proxyProtocol?: 1 | 2;
}

/** How a kind of proxy is run. */
export interface Kind {
  name: string;
  /** Writes its configuration. */
  config(folder: string, fronts: Front[], idleMs: number): string;
  /**
   * Its program, and the arguments for a configuration.
   *
   * @param control A port where it may take orders.
   */
  command(path: string, control: number): [file: string, args: string[]];
  /** The line that tells that it listens, also after a reload. */
  ready: RegExp;
  /** Resolves when it hears signals, where that is later than {@linkcode Kind.ready}. */
  hears?(control: number): Promise<void>;
  /** The signal that makes it read its configuration again. */
  reload: Deno.Signal;
}

/** Where Debian has nginx's module for TCP. */
export const NGINX_STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";

/** How nginx is run, but for its configuration. */
export const NGINX = {
  name: "nginx",
  file: "/usr/sbin/nginx",
  command: (path) => ["/usr/sbin/nginx", ["-e", "stderr", "-c", path]],
  ready: /start worker process \d/,
  reload: "SIGHUP",
} satisfies Omit<Kind, "config"> & { file: string };

/**
 * A whole configuration of nginx, for the foreground, that writes nowhere but into the folder.
 *
 * @param http What stands in the section `http`.
 * @param stream The section `stream`, if there is one.
 */
export function nginxConfig(folder: string, http: string, stream = ""): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `  ${name}_temp_path ${folder}/${name};`).join("\n");
  return `
${stream === "" ? "" : `load_module ${NGINX_STREAM_MODULE};`}
${Deno.statSync(folder).uid === 0 ? "user root root;" : ""}
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr notice;
events {}
http {
  access_log off;
${temporary}
${http}
}
${stream}`;
}

/** How haproxy is run, but for its configuration. */
export const HAPROXY = {
  name: "haproxy",
  file: "/usr/sbin/haproxy",
  // As a service runs it: a master, which replaces its worker at a reload.
  command: (path, control) => [
    "/usr/sbin/haproxy",
    ["-W", "-db", "-S", `127.0.0.1:${control}`, "-f", path],
  ],
  ready: /Loading success/,
  // The master starts itself anew once its worker has started, and hears no signal until then.
  async hears(control) {
    for (;;) {
      try {
        using master = await Deno.connect({ hostname: "127.0.0.1", port: control });
        await master.write(new TextEncoder().encode("show version\n"));
        if (await master.read(new Uint8Array(4096)) !== null) return;
      } catch (error) {
        const { ConnectionRefused, ConnectionReset } = Deno.errors;
        if (!(error instanceof ConnectionRefused || error instanceof ConnectionReset)) {
          throw error;
        }
      }
    }
  },
  reload: "SIGUSR2",
} satisfies Omit<Kind, "config"> & { file: string };

/** A proxy that runs. */
export class ReverseProxy implements AsyncDisposable {
  readonly #program: Program;
  readonly #kind: Kind;
  readonly #folder: AsyncDisposable & { path: string };
  readonly #fronts: Front[];
  readonly #control = freePort();

  private constructor(
    kind: Kind,
    folder: AsyncDisposable & { path: string },
    fronts: Front[],
    path: string,
  ) {
    this.#program = new Program(...kind.command(path, this.#control), { cwd: folder.path });
    this.#kind = kind;
    this.#folder = folder;
    this.#fronts = fronts;
  }

  /**
   * Starts it, and waits until it listens.
   *
   * @param idleMs How long it lets a connection be silent, in milliseconds.
   */
  static async start(kind: Kind, fronts: Omit<Front, "port">[], idleMs = 60_000) {
    const folder = await certificatesFolder();
    const { cert, key } = await developmentCertificates();
    Deno.writeTextFileSync(`${folder.path}/all.pem`, cert + key);
    const own = fronts.map((front) => ({ ...front, port: freePort() }));
    const path = `${folder.path}/proxy.conf`;
    Deno.writeTextFileSync(path, kind.config(folder.path, own, idleMs));
    const proxy = new ReverseProxy(kind, folder, own, path);
    try {
      await proxy.line(kind.ready);
      await kind.hears?.(proxy.#control);
      return proxy;
    } catch (error) {
      await proxy[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The next line it says that matches. */
  line(pattern: RegExp): Promise<string> {
    return this.#program.stderr.match(pattern);
  }

  /** Where to reach it, of the `index`th front. */
  url(index = 0): string {
    const { port, secure } = this.#fronts[index]!;
    return `${secure ? "wss" : "ws"}://127.0.0.1:${port}/`;
  }

  /** Makes it read its configuration again, and waits until it has. */
  async reload(): Promise<void> {
    this.#program.kill(this.#kind.reload);
    await this.line(this.#kind.ready);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Not SIGKILL, which its workers would not hear of.
    try {
      this.#program.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    try {
      await this.#program.end();
    } finally {
      await this.#folder[Symbol.asyncDispose]();
    }
  }
}

/** A server that sends every message back, and says what it knows of the client at `/`. */
export async function backend(
  secure: boolean,
  options: ServeOptions = {},
  upgrade: UpgradeWebSocketOptions = {},
) {
  const { cert, key } = await developmentCertificates();
  return serve(
    {
      hostname: "127.0.0.1",
      port: 0,
      onListen() {},
      ...(secure && { cert, key }),
      ...options,
    },
    (request, { remoteAddr }) => {
      const told = `${remoteAddr.hostname} ${request.method} ${request.url}`;
      if (!request.headers.has("upgrade")) return new Response(told);
      const { socket, response } = upgradeWebSocket(request, upgrade);
      socket.onopen = () => socket.send(told);
      socket.onmessage = ({ data }) => socket.send(data);
      return response;
    },
  );
}

/** An open client of ours, and what the server said first. */
export async function open(url: string): Promise<{ socket: WebSocket; told: string }> {
  const socket = new WebSocket(url, { caCerts: [(await developmentCertificates()).ca] });
  const { data } = await next(socket, "message");
  return { socket, told: data };
}

/** Sends a text and awaits it. */
export async function exchange(socket: WebSocket, text: string): Promise<void> {
  const answer = next(socket, "message");
  socket.send(text);
  assertEquals((await answer).data, text);
}

/** The tests that hold for each kind of proxy. */
export function testProxy(kind: Kind, ignore: boolean): void {
  const test = (name: string, fn: () => Promise<void>) =>
    Deno.test({ name: `serve() behind ${kind.name} ${name}`, ignore, fn });
  const trust = { trustProxy: [PROXY_ADDRESS] };

  test("speaks WebSocket with compression, plain and TLS on either side", async () => {
    for (const toSecure of [false, true]) {
      await using server = await backend(toSecure, trust);
      const to = server.addr.port;
      await using proxy = await ReverseProxy.start(kind, [
        { secure: false, to, toSecure },
        { secure: true, to, toSecure },
      ]);
      for (const index of [0, 1]) {
        const url = proxy.url(index);
        const { socket, told } = await open(url);
        assertMatch(socket.extensions, /^permessage-deflate/);
        // The client's own address and URL, and not the proxy's.
        assertEquals(told, `127.0.0.1 GET ${url.replace("ws", "http")}`);
        for (const size of [1, 1000, 1_000_000]) await exchange(socket, "text ".repeat(size));
        const { code, wasClean } = await closed(socket, 4000, "enough");
        assertEquals([code, wasClean], [4000, true]);
      }
    }
  });

  test("answers what it passes on in HTTP, whatever a client says of itself", async () => {
    await using server = await backend(false, trust);
    await using proxy = await ReverseProxy.start(kind, [
      { secure: false, to: server.addr.port, toSecure: false },
    ]);
    const url = proxy.url().replace("ws", "http");
    const response = await fetch(`${url}a?b`, {
      headers: { "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https" },
    });
    assertEquals(await response.text(), `127.0.0.1 GET ${url}a?b`);
  });

  test("keeps a silent connection that is pinged, longer than the proxy keeps others", async () => {
    await using pinging = await backend(false, trust, { idleTimeout: 0.6 });
    await using silent = await backend(false, trust, { idleTimeout: 0 });
    await using proxy = await ReverseProxy.start(
      kind,
      [pinging, silent].map(({ addr }) => ({
        secure: false,
        to: addr.port,
        toSecure: false,
      })),
      1000,
    );
    const { socket: kept } = await open(proxy.url(0));
    const { socket: lost } = await open(proxy.url(1));
    // The proxy ends it without a Close frame.
    assertEquals((await next<CloseEvent>(lost, "close")).code, 1006);
    await exchange(kept, "still there");
    await closed(kept);
  });

  test("keeps open sockets when it is reloaded, and takes new ones", async () => {
    await using server = await backend(true, trust);
    await using proxy = await ReverseProxy.start(kind, [
      { secure: true, to: server.addr.port, toSecure: true },
    ]);
    const { socket: before } = await open(proxy.url());
    await proxy.reload();
    const { socket: after } = await open(proxy.url());
    for (const socket of [before, after]) {
      await exchange(socket, "after the reload");
      assertEquals((await closed(socket)).code, 1000);
    }
  });

  test("shuts down with 1001 through it", async () => {
    await using server = await backend(false, trust);
    await using proxy = await ReverseProxy.start(kind, [
      { secure: true, to: server.addr.port, toSecure: false },
    ]);
    const { socket } = await open(proxy.url());
    const end = next<CloseEvent>(socket, "close");
    await server.shutdown();
    const { code, wasClean } = await end;
    assertEquals([code, wasClean], [1001, true]);
  });
}

/** The tests of one version of the PROXY protocol. */
export function testProxyProtocol(kind: Kind, version: 1 | 2, ignore: boolean): void {
  Deno.test({
    name: `serve() behind ${kind.name} learns the client by the PROXY protocol, version ${version}`,
    ignore,
    async fn() {
      for (const toSecure of [false, true]) {
        await using server = await backend(toSecure, { ...trustAll(), proxyProtocol: true });
        await using proxy = await ReverseProxy.start(kind, [
          { secure: false, to: server.addr.port, toSecure, proxyProtocol: version },
          { secure: true, to: server.addr.port, toSecure, proxyProtocol: version },
        ]);
        for (const index of [0, 1]) {
          const { socket, told } = await open(proxy.url(index));
          assertMatch(told, /^127\.0\.0\.1 GET /);
          await exchange(socket, "text ".repeat(100_000));
          await closed(socket);
        }
      }
    },
  });
}

function trustAll(): ServeOptions {
  return { trustProxy: [PROXY_ADDRESS] };
}
