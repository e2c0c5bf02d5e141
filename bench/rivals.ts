/**
 * The contestants: who takes part in which load, and how each is started.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };
import { MESSAGE } from "./command.ts";
import { prepareEngines } from "./engine.ts";
import type { Mode } from "./frames.ts";
import type { Kind, Load } from "./loads.ts";
import { capture, projectPath } from "./process.ts";
import type { Work } from "./servers/server.ts";

/** What a contestant needs from the bench. */
export interface Workshop {
  /** A folder with `ca.crt`, `server.crt` and `server.key`, for what is built too. */
  folder: string;
  /** Whether Bun may be downloaded. */
  fetchBun: boolean;
}

/** How a contestant's server is started: a command whose first line of output names the port. */
export type Start = (load: Load) => string[];

/** A contestant that is here. */
export interface Ready {
  version: string;
  start: Start;
  /** The command of a client that connects to a port, where the contestant is one. */
  client?: (load: Load, port: number) => string[];
}

/** One contestant. */
export interface Rival {
  /** Names it, on the command line too. */
  id: string;
  /** Names it in tables. */
  name: string;
  modes: Mode[];
  kinds: Kind[];
  /** Whether it speaks WebSocket: the floors do not. */
  webSocket: boolean;
  /** Finds or builds what it needs. Throws when that cannot be had. */
  prepare(workshop: Workshop): Promise<Ready>;
}

const ALL_MODES: Mode[] = ["plain", "no-context", "context"];
const PROMPTNESS: Kind[] = ["latency", "fairness"];
const SERVER_KINDS: Kind[] = ["echo", "broadcast", "idle", "handshakes", "start"];

/** The flag of V8 that the task `serve` sets; see docs/server.md. */
const SERVE_FLAGS = "--v8-flags=--max-semi-space-size=4";

/** This project; every ratio is to it. */
export const OURS = "ours";

/** NATS and Redis without topics. */
export const ENGINE = "engine";

/** Everyone, in the order of their turns. */
export const RIVALS: Rival[] = [
  {
    id: OURS,
    name: "ours",
    modes: ALL_MODES,
    kinds: [
      ...SERVER_KINDS,
      ...PROMPTNESS,
      "workers",
      "deliveries",
      "client",
      "http",
      "once",
      "pipe",
      "engine",
    ],
    webSocket: true,
    async prepare(workshop) {
      const { version, start } = await onDeno(workshop, "ours.ts", SERVE_FLAGS);
      const workers = await inWorkers(workshop, 2);
      const http = await onHttp(workshop, "ours", SERVE_FLAGS);
      const client = ({ kind }: Load, port: number) => [
        ...CLIENT,
        `wss://127.0.0.1:${port}/`,
        `--cacert=${workshop.folder}/ca.crt`,
        kind === "pipe" ? "--stdin" : `--message=${MESSAGE}`,
      ];
      const startOf = ({ kind }: Load) =>
        kind === "http" ? http : kind === "workers" || kind === "deliveries" ? workers : start;
      return { version, start: (load) => startOf(load)(load), client };
    },
  },
  {
    id: "one-worker",
    name: "ours, one worker",
    modes: ALL_MODES,
    kinds: ["workers", "deliveries"],
    webSocket: true,
    async prepare(workshop) {
      return { version: `Deno ${Deno.version.deno}`, start: await inWorkers(workshop, 1) };
    },
  },
  {
    id: "separate",
    name: "ours, in a loop",
    modes: ALL_MODES,
    kinds: ["broadcast"],
    webSocket: true,
    async prepare(workshop) {
      const { version, start } = await onDeno(workshop, "ours.ts");
      return {
        version,
        start: (load) => start(load).map((word) => word === "broadcast" ? "separate-sends" : word),
      };
    },
  },
  {
    id: "deno",
    name: "Deno's own",
    modes: ["plain"],
    kinds: ["echo", "idle", "handshakes", "start", "client", "http", ...PROMPTNESS],
    webSocket: true,
    async prepare(workshop) {
      const { version, start } = await onDeno(workshop, "deno_native.ts");
      const http = await onHttp(workshop, "deno");
      return { version, start: (load) => (load.kind === "http" ? http : start)(load) };
    },
  },
  {
    id: "ws-deno",
    name: "ws on Deno",
    modes: ALL_MODES,
    kinds: [...SERVER_KINDS, "client"],
    webSocket: true,
    async prepare(workshop) {
      const { start } = await onDeno(workshop, "ws.mjs", `--allow-env=${WS_VARIABLES}`);
      return { version: `ws ${versionOf(config.imports.ws)}, Deno ${Deno.version.deno}`, start };
    },
  },
  {
    id: "ws-node",
    name: "ws on Node",
    modes: ALL_MODES,
    kinds: [...SERVER_KINDS, ...PROMPTNESS],
    webSocket: true,
    prepare: wsOnNode,
  },
  {
    id: "gorilla",
    name: "gorilla",
    modes: ALL_MODES,
    kinds: SERVER_KINDS,
    webSocket: true,
    prepare: gorilla,
  },
  {
    id: "bun",
    name: "Bun",
    modes: ALL_MODES,
    kinds: [...SERVER_KINDS, ...PROMPTNESS],
    webSocket: true,
    prepare: bun,
  },
  {
    id: "tls",
    name: "TLS alone",
    modes: ["plain"],
    kinds: ["echo"],
    webSocket: false,
    prepare: (workshop) => onDeno(workshop, "tls_floor.ts"),
  },
  {
    id: "node-tls",
    name: "node:tls alone",
    modes: ALL_MODES,
    kinds: ["idle"],
    webSocket: false,
    prepare: (workshop) => onDeno(workshop, "node_tls.ts"),
  },
  {
    id: "bare-write",
    name: "bare write to each",
    modes: ["plain", "no-context"],
    kinds: ["broadcast"],
    webSocket: true,
    prepare: (workshop) => onDeno(workshop, "bare_write.ts"),
  },
  {
    id: "node-http",
    name: "node:http alone",
    modes: ["plain"],
    kinds: ["http"],
    webSocket: false,
    async prepare(workshop) {
      return { version: `Deno ${Deno.version.deno}`, start: await onHttp(workshop, "node") };
    },
  },
  {
    id: "connect-tls",
    name: "bare script",
    modes: ["plain"],
    kinds: ["once"],
    webSocket: true,
    prepare: ({ folder }) =>
      Promise.resolve({
        version: `Deno.startTls, Deno ${Deno.version.deno}`,
        start: noServer,
        client: (_, port) => [
          Deno.execPath(),
          "run",
          "--no-prompt",
          `--cert=${folder}/ca.crt`,
          "--allow-net",
          projectPath("bench/bare_client.ts"),
          String(port),
          MESSAGE,
        ],
      }),
  },
  {
    id: "wscat",
    name: "wscat",
    modes: ALL_MODES,
    kinds: ["once", "pipe"],
    webSocket: true,
    prepare: (workshop) => wscat(workshop, []),
  },
  {
    id: "wscat-0",
    name: "wscat -w 0",
    modes: ["plain"],
    kinds: ["once"],
    webSocket: true,
    prepare: (workshop) => wscat(workshop, ["-w", "0"]),
  },
  {
    id: "python",
    name: "python -m websockets",
    modes: ALL_MODES,
    kinds: ["pipe"],
    webSocket: true,
    prepare: python,
  },
  {
    id: ENGINE,
    name: "engine's client alone",
    modes: ["plain"],
    kinds: ["engine"],
    webSocket: false,
    prepare: async () => ({ version: await prepareEngines(), start: noServer }),
  },
  {
    id: "hello",
    name: "Deno.serve hello",
    modes: ["plain"],
    kinds: ["start"],
    webSocket: false,
    prepare: (workshop) => onDeno(workshop, "hello.ts"),
  },
];

/** Whether a contestant takes part in a load. */
export function takesPart(rival: Rival, load: Load): boolean {
  if (load.curve !== undefined && rival.id !== OURS) return false;
  return rival.kinds.includes(load.kind) && rival.modes.includes(load.mode);
}

/** Variables that `ws` asks for when it is loaded. */
export const WS_VARIABLES = "WS_NO_BUFFER_UTIL,WS_NO_UTF_8_VALIDATE";

/** The arguments that every server takes: see `servers/server.ts`. */
function serverArguments(folder: string, load: Load): string[] {
  return [folder, load.mode, workOf(load), String(load.level)];
}

/** What a server does with each message. */
function workOf({ kind, parts = 1, reply }: Load): Work {
  if (kind === "broadcast" || kind === "deliveries") return "broadcast";
  if (parts > 1) return "parts";
  return reply ? "reply" : "echo";
}

function serverPath(file: string): string {
  return projectPath(`bench/servers/${file}`);
}

function onDeno({ folder }: Workshop, file: string, ...permissions: string[]): Promise<Ready> {
  const command = [
    Deno.execPath(),
    "run",
    "--no-prompt",
    "--allow-net=127.0.0.1",
    `--allow-read=${folder}`,
    ...permissions,
    serverPath(file),
  ];
  return Promise.resolve({
    version: `Deno ${Deno.version.deno}`,
    start: (load) => [...command, ...serverArguments(folder, load)],
  });
}

/** What the task `serve` may read: the program's own code, which its workers load, and its page. */
const OWN_FILES = /--allow-read=(\S+)/.exec(config.tasks.serve.command)![1]!.split(",");

/** The server in so many workers. */
async function inWorkers(workshop: Workshop, count: number): Promise<Start> {
  const own = ["bench", ...OWN_FILES].map(projectPath);
  const { start: echo } = await onDeno(workshop, "workers.ts", `--allow-read=${own}`);
  const { start: broadcast } = await onDeno(workshop, "topic_workers.ts", `--allow-read=${own}`);
  return (load) => [...(load.kind === "workers" ? echo : broadcast)(load), String(count)];
}

/** Whether a load is for several workers, which are on both CPUs together with the load generator. */
export function isInWorkers({ kind }: Load): boolean {
  return kind === "workers" || kind === "deliveries";
}

/** The server of `servers/http.ts` that stands on `which`. */
async function onHttp(workshop: Workshop, which: string, ...permissions: string[]): Promise<Start> {
  const { start } = await onDeno(workshop, "http.ts", ...permissions);
  return (load) => [...start(load), which, load.tls ? "tls" : "tcp"];
}

/** Starts the client as the task `client` does, which may read the authority's certificate too. */
const CLIENT = [
  Deno.execPath(),
  ...config.tasks.client.command.split(" ").slice(1).map((word) =>
    word.endsWith(".ts") ? projectPath(word) : word.replace(/^--allow-read=.*/, "--allow-read")
  ),
];

/** A client serves nobody. */
function noServer(): never {
  throw new Error("Cannot measure: the contestant is a client");
}

/** The release of wscat that is run. */
const WSCAT = "wscat@6.1.0";

async function wscat({ folder }: Workshop, flags: string[]): Promise<Ready> {
  const path = await capture(["npx", "-y", `--package=${WSCAT}`, "-c", "command -v wscat"]);
  return {
    version: `${WSCAT.replace("@", " ")}, Node ${(await capture(["node", "--version"])).slice(1)}`,
    start: noServer,
    client: ({ kind }, port) => [
      "node",
      path,
      "--ca",
      `${folder}/ca.crt`,
      "-c",
      `wss://127.0.0.1:${port}/`,
      ...kind === "pipe" ? [] : ["-x", MESSAGE, ...flags],
    ],
  };
}

/** Debian's Python, which has its package of websockets. */
const PYTHON = "/usr/bin/python3";

async function python(): Promise<Ready> {
  const version = await capture([
    PYTHON,
    "-c",
    "import sys, websockets; print(websockets.__version__ + ', Python', sys.version.split()[0])",
  ]);
  return {
    version: `websockets ${version}`,
    start: noServer,
    client: (_, port) => [PYTHON, "-m", "websockets", `wss://127.0.0.1:${port}/`],
  };
}

async function wsOnNode({ folder }: Workshop): Promise<Ready> {
  const node = await capture(["node", "--version"]);
  // Where there is no Node, Deno runs itself by that name.
  if (!/^v\d/.test(node)) throw new Error("node is not on the PATH");
  const ws = config.imports.ws.replace(/^npm:/, "");
  await capture([Deno.execPath(), "cache", "--no-config", "--no-lock", `npm:${ws}`]);
  const home = await cachedPackage(ws);
  return {
    version: `ws ${versionOf(ws)}, Node ${node.replace(/^v/, "")}`,
    start: (load) => [
      "node",
      serverPath("ws.mjs"),
      ...serverArguments(folder, load),
      `${home}/wrapper.mjs`,
    ],
  };
}

async function gorilla({ folder }: Workshop): Promise<Ready> {
  const version = await capture(["go", "version"]);
  const binary = `${folder}/gorilla`;
  await capture(["go", "build", "-o", binary, serverPath("gorilla/main.go")], {
    GO111MODULE: "off",
    GOPATH: "/usr/share/gocode",
  });
  const library = await capture([
    "dpkg-query",
    "--show",
    "--showformat=${Version}",
    "golang-github-gorilla-websocket-dev",
  ]).catch(() => "");
  return {
    version: `gorilla ${library}, Go ${/go(\S+)/.exec(version.replace("go version", ""))?.[1]}`,
    start: (load) => [binary, ...serverArguments(folder, load)],
  };
}

/** The release that is downloaded when there is no other. */
const BUN_VERSION = "1.4.5";

async function bun({ folder, fetchBun }: Workshop): Promise<Ready> {
  const path = await capture(["bun", "--version"]).then(() => "bun", () => cachedBun(fetchBun));
  return {
    version: `Bun ${await capture([path, "--version"])}`,
    start: (load) => [path, serverPath("bun.mjs"), ...serverArguments(folder, load)],
  };
}

async function cachedBun(fetch: boolean): Promise<string> {
  const cpu = Deno.build.arch === "x86_64" ? "x64" : Deno.build.arch;
  const name = `@oven/bun-${Deno.build.os}-${cpu}@${BUN_VERSION}`;
  if (fetch) await capture([Deno.execPath(), "cache", "--no-config", "--no-lock", `npm:${name}`]);
  try {
    return `${await cachedPackage(name)}/bin/bun`;
  } catch {
    throw new Error("neither on the PATH nor in Deno's cache; --fetch-bun gets it from npm");
  }
}

/** Where Deno keeps a package `name@version` that it has downloaded. */
async function cachedPackage(specifier: string): Promise<string> {
  const { npmCache } = JSON.parse(await capture([Deno.execPath(), "info", "--json"]));
  const at = specifier.lastIndexOf("@");
  for await (const registry of Deno.readDir(npmCache)) {
    const path = `${npmCache}/${registry.name}/${specifier.slice(0, at)}/${
      specifier.slice(at + 1)
    }`;
    if (await Deno.stat(path).then(() => true, () => false)) return path;
  }
  throw new Error(`${specifier} is not in Deno's cache`);
}

function versionOf(specifier: string): string {
  return specifier.slice(specifier.lastIndexOf("@") + 1);
}
