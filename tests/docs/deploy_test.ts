/** Each configuration of `docs/deploy.md` does what the document says, as far as one machine can tell. */

import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { parseAll } from "@std/yaml";
import { once as nextOf } from "node:events";
import type { IncomingMessage } from "node:http";
import { get } from "node:https";
import { connect } from "node:net";
import { generateCertificates } from "../../certs/generate.ts";
import { WebSocket } from "../../mod.ts";
import { succeeds } from "../interop/peer.ts";
import {
  HAPROXY,
  type Kind,
  NGINX,
  NGINX_STREAM_MODULE,
  nginxConfig,
  ReverseProxy,
} from "../interop/reverse_proxy.ts";
import {
  certificatesFolder,
  developmentCertificates,
  Folder,
  freePort,
  freshClone,
  listeningPort,
  once,
  Program,
  projectPath,
  RUNNABLE,
  startServer,
  stop,
} from "../programs.ts";
import { closed, next } from "../websocket/peers.ts";

const document = RUNNABLE ? await Deno.readTextFile(projectPath("docs/deploy.md")) : "";

/** The block of the document with these words behind its fence. */
function block(words: string): string {
  const found = new RegExp(`^\`\`\`${words}\n(.*?)^\`\`\`$`, "ms").exec(document)?.[1];
  assert(found !== undefined, `docs/deploy.md has no block "${words}"`);
  return found;
}

/** The text with each key replaced by its value, all of which it must have. */
function replaced(text: string, values: Record<string, string | number>): string {
  for (const [key, value] of Object.entries(values)) {
    assert(text.includes(key), `${key} is not in:\n${text}`);
    text = text.replaceAll(key, String(value));
  }
  return text;
}

/** Where the proxies listen, and the client connects from: another address than the proxies connect from. */
const CLIENT = "::1";

/** An open client of ours. */
async function open(port: number, host = "127.0.0.1"): Promise<WebSocket> {
  const socket = new WebSocket(`wss://localhost:${port}/ws`, {
    caCerts: [(await developmentCertificates()).ca],
    async connect() {
      const socket = connect({ host, port });
      await nextOf(socket, "connect");
      return socket;
    },
  });
  const opened = Promise.withResolvers<void>();
  socket.onopen = () => opened.resolve();
  socket.onerror = (event) => opened.reject((event as ErrorEvent).error);
  await opened.promise;
  return socket;
}

/** Sends a message that is worth compressing, and awaits the answer. */
async function exchange(socket: WebSocket): Promise<void> {
  assertMatch(socket.extensions, /^permessage-deflate/);
  const answer = next(socket, "message");
  socket.send("hello ".repeat(1000));
  assertEquals((await answer).data, "Retorno do servidor!");
}

/** The status of a path. */
async function status(port: number, path: string, host = "127.0.0.1"): Promise<number> {
  const { ca } = await developmentCertificates();
  const headers = { Host: `localhost:${port}` };
  const asked = get({ host, port, path, headers, servername: "localhost", ca, agent: false });
  const [response] = await nextOf(asked, "response") as [IncomingMessage];
  response.resume();
  await nextOf(response, "close");
  return response.statusCode!;
}

/** The flags that the document's table has for a proxy. */
function flagsFor(proxy: string, column: "ends" | "goes through"): string[] {
  const row = new RegExp(`^\\| ${proxy} .*$`, "m").exec(document)![0];
  const cell = row.split("|")[column === "ends" ? 2 : 3]!;
  return cell.replaceAll("`", "").trim().split(" ");
}

/** A proxy that the document configures. */
interface Proxy {
  /** Its name in the table. */
  name: string;
  tls: "ends" | "goes through";
  ignore: boolean;
  kind: Kind;
  /** A line that says that it has found the server healthy. */
  healthy?: RegExp;
  /** Whether it finds another server for a client that one refuses. */
  finds?: true;
}

const onLinux = RUNNABLE && Deno.build.os === "linux";
const hasNginx = onLinux && await succeeds(NGINX.file, ["-v"]);
const hasHaproxy = onLinux && await succeeds(HAPROXY.file, ["-v"]);
const hasCaddy = onLinux && await succeeds("caddy", ["version"]);

/** The sections that stand before those of haproxy's frontends. */
function haproxyDefaults(): string {
  return block("haproxy").split(/^frontend/m)[0]!;
}

const PROXIES: Proxy[] = [
  {
    name: "nginx",
    tls: "ends",
    finds: true,
    ignore: !hasNginx,
    kind: {
      ...NGINX,
      config: (folder, [front, other]) =>
        nginxConfig(
          folder,
          replaced(block("nginx"), {
            "listen 443": `listen [${CLIENT}]:${front!.port}`,
            "127.0.0.1:8443": `127.0.0.1:${front!.to}`,
            "127.0.0.1:8444": `127.0.0.1:${other!.to}`,
            "/etc/ssl/example.com": `${folder}/certs/server`,
            "/opt/permessage-deflate": folder,
          }),
        ),
    },
  },
  {
    name: "nginx",
    tls: "goes through",
    ignore: !hasNginx || !await succeeds("/usr/bin/test", ["-e", NGINX_STREAM_MODULE]),
    kind: {
      ...NGINX,
      config: (folder, [front]) =>
        nginxConfig(
          folder,
          "",
          replaced(block("nginx stream"), {
            "listen 443": `listen [${CLIENT}]:${front!.port}`,
            "127.0.0.1:8443": `127.0.0.1:${front!.to}`,
          }),
        ),
    },
  },
  {
    name: "haproxy",
    tls: "ends",
    finds: true,
    ignore: !hasHaproxy,
    healthy: /^Health check .* succeeded.*code: 200/,
    kind: {
      ...HAPROXY,
      config: (folder, [front, other]) =>
        replaced(block("haproxy"), {
          "maxconn 20000": "maxconn 100",
          "bind :443": `bind [${CLIENT}]:${front!.port}`,
          "127.0.0.1:8443": `127.0.0.1:${front!.to}`,
          "127.0.0.1:8444": `127.0.0.1:${other!.to}`,
          "/etc/haproxy/example.com.pem": `${folder}/all.pem`,
          "/opt/permessage-deflate": folder,
        }),
    },
  },
  {
    name: "haproxy",
    tls: "goes through",
    ignore: !hasHaproxy,
    healthy: /^Health check .* succeeded.*code: 200/,
    kind: {
      ...HAPROXY,
      config: (_folder, [front, other]) =>
        replaced(haproxyDefaults() + block("haproxy tcp"), {
          "maxconn 20000": "maxconn 100",
          "bind :443": `bind [${CLIENT}]:${front!.port}`,
          "127.0.0.1:8443": `127.0.0.1:${front!.to}`,
          "127.0.0.1:8444": `127.0.0.1:${other!.to}`,
        }),
    },
  },
  {
    name: "Caddy",
    tls: "ends",
    ignore: !hasCaddy,
    kind: {
      name: "Caddy",
      config: (folder, [front, other]) =>
        `{
	admin off
	auto_https disable_redirects
	storage file_system ${folder}/caddy
}
` + replaced(block("caddyfile"), {
          "example.com {": `https://localhost:${front!.port} {`,
          "127.0.0.1:8443": `127.0.0.1:${front!.to}`,
          "127.0.0.1:8444": `127.0.0.1:${other!.to}`,
          "/etc/ssl/example.com": `${folder}/certs/server`,
          "/opt/permessage-deflate": folder,
        }),
      command: (path) => ["caddy", ["run", "--adapter=caddyfile", `--config=${path}`]],
      ready: /serving initial configuration/,
      reload: "SIGUSR1",
    },
  },
];

/** Starts a proxy in front of two servers. */
function startProxy(kind: Kind, ...servers: { port: number }[]): Promise<ReverseProxy> {
  const fronts = servers.map(({ port }) => ({ secure: true, to: port, toSecure: true }));
  return ReverseProxy.start(kind, fronts);
}

for (const { name, tls, ignore, kind, healthy } of PROXIES) {
  Deno.test({
    name: `The configuration of docs/deploy.md for ${name} where TLS ${tls} serves a client`,
    ignore,
    async fn() {
      await using folder = await certificatesFolder();
      const flags = [...flagsFor(name, tls), "--log-level=debug", "--lang=en"];
      await using server = await startServer(flags, { cwd: folder.path });
      await using proxy = await startProxy(kind, server, server);
      if (healthy !== undefined) assertMatch(await proxy.line(/^Health check /), healthy);
      const { port } = new URL(proxy.url());
      const socket = await open(Number(port), CLIENT);
      assertMatch(
        await server.program.stdout.match(/ established!$/),
        /^#\d+ \[?::1\b/,
      );
      await exchange(socket);
      assertEquals(await status(Number(port), "/healthz", CLIENT), 200);
      const { code, wasClean } = await closed(socket, 4000, "enough");
      assertEquals([code, wasClean], [4000, true]);
      const { stderr } = await stop(server);
      assertEquals(stderr, []);
    },
  });
}

for (const { name, tls, ignore, kind } of PROXIES.filter(({ finds }) => finds)) {
  Deno.test({
    name:
      `The configuration of docs/deploy.md for ${name} refuses no client while one server drains`,
    ignore,
    async fn() {
      await using folder = await certificatesFolder();
      const flags = [...flagsFor(name, tls), "--drain=2s", "--log-format=json"];
      await using leaving = await startServer(flags, { cwd: folder.path });
      await using other = await startServer(flags, { cwd: folder.path });
      await using proxy = await startProxy(kind, leaving, other);
      const port = Number(new URL(proxy.url()).port);
      leaving.program.kill("SIGTERM");
      await leaving.program.stdout.match(/"event":"draining"/);
      assertEquals(await status(leaving.port, "/healthz"), 503);
      // By turns, or as the fewest are open: each second one would come to the server that drains.
      for (let count = 0; count < 6; count++) {
        const socket = await open(port, CLIENT);
        await exchange(socket);
        await closed(socket);
      }
      assertEquals((await leaving.program.end()).code, 0);
    },
  });
}

/** A unit's settings, in order, with lines that go on put together. */
function settingsOf(unit: string): [name: string, value: string][] {
  return unit.replaceAll(/ *\\\n */g, " ").split("\n").flatMap((line) => {
    const [, name, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, value!]];
  });
}

/** The value of the one setting of a name. */
function setting(unit: string, name: string): string {
  const values = settingsOf(unit).flatMap(([found, value]) => found === name ? [value] : []);
  assertEquals(values.length, 1, name);
  return values[0]!;
}

/** Seconds of a flag's value. */
function seconds(text: string | undefined): number {
  const [, value] = /^(\d+)s$/.exec(text ?? "") ?? [];
  assert(value !== undefined, text);
  return Number(value);
}

/** The seconds that a flag of the unit has. */
function flagSeconds(unit: string, flag: string): number {
  return seconds(new RegExp(` --${flag}=(\\S+)`).exec(setting(unit, "ExecStart"))?.[1] ?? "0s");
}

Deno.test({
  name: "systemd finds nothing wrong in the unit of docs/deploy.md",
  ignore: !onLinux || !await succeeds("systemd-analyze", ["--version"]),
  async fn() {
    await using folder = new Folder();
    const path = `${folder.path}/wss-server.service`;
    const unit = replaced(block("ini"), { "/usr/local/bin/deno": Deno.execPath() });
    await Deno.writeTextFile(path, unit);
    const args = ["verify", "--man=no", "--recursive-errors=no", path];
    await using analysis = new Program("systemd-analyze", args, { cwd: folder.path });
    assertEquals(await analysis.end(), { code: 0, stdout: [], stderr: [] });
  },
});

once("The unit of docs/deploy.md has the user of sysusers.d, and time enough to stop", () => {
  const unit = block("ini");
  const user = setting(unit, "User");
  assertMatch(block("ini sysusers"), new RegExp(`^u ${user} - "[^"]+" /\\S+\n$`));
  const needed = ["drain", "spread", "grace"].map((flag) => flagSeconds(unit, flag));
  assertGreater(Number(setting(unit, "TimeoutStopSec")), needed.reduce((sum, time) => sum + time));
  return Promise.resolve();
});

once("The commands of the unit of docs/deploy.md serve, reload and stop", async () => {
  await using folder = await certificatesFolder();
  const unit = replaced(block("ini"), {
    "/usr/local/bin/deno ": `${Deno.execPath()} `,
    "Environment=DENO_DIR=/opt/permessage-deflate/.deno ": "Environment=",
    "/etc/wss-server": `${folder.path}/certs`,
    "--port=443": `--port=${freePort()}`,
    "--spread=20s": "--spread=100ms",
  });
  // Once it is split, as this folder's name may have a space.
  const root = projectPath("").replace(/\/$/, "");
  const here = (text: string) => text.replaceAll("/opt/permessage-deflate", root);
  const [file, ...args] = setting(unit, "ExecStart").split(" ").map(here);
  const variables = settingsOf(unit).filter(([name]) => name === "Environment")
    .flatMap(([, value]) => value.split(" ").map((text) => text.split("=") as [string, string]));
  await using program = new Program(file!, args, {
    cwd: here(setting(unit, "WorkingDirectory")),
    env: Object.fromEntries(variables),
  });
  const port = await listeningPort(program);
  const socket = await open(port);
  await exchange(socket);

  const [kill, ...signal] = setting(unit, "ExecReload").split(" ");
  const pid = signal.map((word) => word === "$MAINPID" ? String(program.pid) : word);
  assert(await succeeds(kill!, pid));
  assertMatch(await program.stderr.next(), /"event":"certificateRenewed"/);

  const end = next<CloseEvent>(socket, "close");
  program.kill(setting(unit, "KillSignal") as Deno.Signal);
  const { code, wasClean } = await end;
  assertEquals([code, wasClean], [1001, true]);
  assertEquals((await program.end()).code, 0);
});

/** The instructions of the container file, with lines that go on put together. */
function instructions(): [name: string, rest: string][] {
  return block("dockerfile").replaceAll(/\\\n */g, "").trimEnd().split("\n")
    .map((line) => line.split(/ (.*)/s) as [string, string]);
}

/** What follows the one instruction of a name. */
function instruction(name: string): string {
  const found = instructions().filter(([instruction]) => instruction === name);
  assertEquals(found.length, 1, name);
  return found[0]![1];
}

/** The words of an instruction's list in JSON. */
function wordsOf(rest: string): string[] {
  return JSON.parse(rest.slice(rest.indexOf("[")));
}

/** What is read of the objects of Kubernetes. */
interface Deployment {
  spec: {
    selector: { matchLabels: unknown };
    template: {
      metadata: { labels: unknown };
      spec: {
        terminationGracePeriodSeconds: number;
        securityContext: { runAsUser: number };
        containers: {
          env: { name: string; value: string }[];
          ports: { name: string; containerPort: number }[];
          readinessProbe: Probe;
          livenessProbe: Probe;
          volumeMounts: { name: string; mountPath: string }[];
        }[];
        volumes: { name: string }[];
      };
    };
  };
}
interface Probe {
  httpGet: { scheme: string; path: string; port: string };
  periodSeconds: number;
  failureThreshold: number;
}
interface Service {
  spec: { selector: unknown; ports: { targetPort: string }[] };
}

/** The objects of the document's block for Kubernetes. */
function kubernetes(): { deployment: Deployment["spec"]; service: Service["spec"] } {
  const [deployment, service, ...others] = parseAll(block("yaml")) as [Deployment, Service];
  assertEquals(others, []);
  return { deployment: deployment.spec, service: service.spec };
}

once("The objects for Kubernetes of docs/deploy.md belong together", () => {
  const { deployment, service } = kubernetes();
  const { labels } = deployment.template.metadata as { labels: unknown };
  assertEquals([deployment.selector.matchLabels, service.selector], [labels, labels]);
  const { containers: [container], volumes, terminationGracePeriodSeconds, securityContext } =
    deployment.template.spec;
  const { env, ports, readinessProbe, livenessProbe, volumeMounts } = container!;
  assertEquals(ports.map(({ containerPort }) => String(containerPort)), [instruction("EXPOSE")]);
  const named = [readinessProbe, livenessProbe].map(({ httpGet }) => httpGet.port);
  for (const port of [...named, ...service.ports.map(({ targetPort }) => targetPort)]) {
    assertEquals(port, ports[0]!.name);
  }
  assertEquals(volumes.map(({ name }) => name), volumeMounts.map(({ name }) => name));
  assertMatch(document, new RegExp(`\`deno\` \\(${securityContext.runAsUser}\\)`));
  const time = (name: string) => seconds(env.find((variable) => variable.name === name)?.value);
  const drain = time("WSS_DRAIN");
  assertGreater(drain, readinessProbe.periodSeconds * readinessProbe.failureThreshold);
  assertGreater(terminationGracePeriodSeconds, drain + time("WSS_SPREAD") + 5);
  return Promise.resolve();
});

once(
  "The container file of docs/deploy.md is for the newest Deno, and keeps keys out",
  async () => {
    const [, version] = /^DENO=.*@([\d.]+)\)$/m.exec(
      await Deno.readTextFile(projectPath(".ci/run")),
    )!;
    assertEquals(instruction("FROM"), `denoland/deno:${version}`);
    const ignored = block("dockerignore").split("\n");
    const kept = (await Deno.readTextFile(projectPath(".gitignore"))).split("\n");
    for (const line of kept.filter((line) => line.includes("certs/"))) {
      if (!line.startsWith("#")) assert(ignored.includes(line), line);
    }
  },
);

once("The container of docs/deploy.md serves, is probed, renews and leaves", async () => {
  const { containers: [container] } = kubernetes().deployment.template.spec;
  await using clone = await freshClone();
  const [file, ...build] = instruction("RUN").split(" ");
  assertEquals(file, "deno");
  assert(await succeeds(Deno.execPath(), [...build.slice(0, -1), `${clone.path}/${build.at(-1)}`]));

  // As the kubelet mounts a secret: links to links, the first of which it replaces.
  await using volume = new Folder();
  const write = async (version: string, { cert, key }: { cert: string; key: string }) => {
    await Deno.mkdir(`${volume.path}/${version}`);
    await Deno.writeTextFile(`${volume.path}/${version}/tls.crt`, cert);
    await Deno.writeTextFile(`${volume.path}/${version}/tls.key`, key);
    await Deno.symlink(version, `${volume.path}/..data_tmp`);
    await Deno.rename(`${volume.path}/..data_tmp`, `${volume.path}/..data`);
  };
  await write("..1", await developmentCertificates());
  for (const name of ["tls.crt", "tls.key"]) {
    await Deno.symlink(`..data/${name}`, `${volume.path}/${name}`);
  }

  const [mount] = container!.volumeMounts;
  const here = (word: string) =>
    word.replaceAll(instruction("WORKDIR"), clone.path).replaceAll(mount!.mountPath, volume.path);
  const port = freePort();
  const settings = instructions().filter(([name]) => name === "ENV")
    .map(([, text]) => here(text).split("=") as [string, string]);
  const words = wordsOf(instruction("CMD")).map(here);
  await using program = new Program(Deno.execPath(), words, {
    cwd: clone.path,
    env: {
      ...Object.fromEntries(settings),
      ...Object.fromEntries(container!.env.map(({ name, value }) => [name, value])),
      WSS_PORT: String(port),
      WSS_DRAIN: "1s",
      WSS_SPREAD: "100ms",
    },
  });
  assertEquals(await listeningPort(program), port);
  const socket = await open(port);
  await exchange(socket);
  for (const { httpGet } of [container!.readinessProbe, container!.livenessProbe]) {
    assertEquals(httpGet.scheme, "HTTPS");
    assertEquals(await status(port, httpGet.path), 200);
  }
  const check = wordsOf(instruction("HEALTHCHECK")).map((word) => word.replace("8443", `${port}`));
  assertEquals(check[0], "deno");
  assert(await succeeds(Deno.execPath(), check.slice(1)));

  await write("..2", await generateCertificates());
  assertMatch(await program.stderr.next(), /"event":"certificateRenewed"/);

  const end = next<CloseEvent>(socket, "close");
  program.kill("SIGTERM");
  await program.stdout.match(/"event":"draining"/);
  assert(!await succeeds(Deno.execPath(), check.slice(1)));
  const { code, wasClean } = await end;
  assertEquals([code, wasClean], [1001, true]);
  assertEquals((await program.end()).code, 0);
});
