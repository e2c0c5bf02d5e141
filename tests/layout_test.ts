/**
 * The rooms of the house: which one may import from which, and what is said in which file alone.
 */

import { assert, assertEquals } from "@std/assert";
import { granted, projectPath } from "./programs.ts";

const ignore = !await granted("read");

/** A file of the project, by its path in it. */
interface Source {
  path: string;
  /** The first folder of the path; of a file in no folder, the file's name. */
  room: string;
  /** Its text without comments. */
  code: string;
  /** What it imports, as a path in the project if it is of the project. */
  imports: string[];
}

const FOLDERS = [
  "protocol",
  "transport",
  "websocket",
  "server",
  "topics",
  "cli",
  "certs",
  "examples",
  "tests",
];
const FILES = ["mod.ts", "topics.ts", "nats.ts", "redis.ts", "server.ts", "client.ts"];

/** All files of the library and the programs. */
function sources(): Source[] {
  const paths = FOLDERS.flatMap(filesIn).filter((path) => path.endsWith(".ts"));
  return [...paths, ...FILES].map((path) => {
    const code = Deno.readTextFileSync(projectPath(path))
      .replaceAll(/\/\*[^]*?\*\//g, "")
      .replaceAll(/(^|\s)\/\/.*$/gm, "");
    const named = code.matchAll(
      /(?:\bfrom\s*|\bimport\s*\(?\s*|\bgetBuiltinModule\(\s*(?:name:\s*)?)"([^"]+)"/g,
    );
    const imports = Array.from(named, ([, name]) => resolve(path, name!));
    return { path, room: path.split("/")[0]!, code, imports };
  });
}

function filesIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(projectPath(folder)), (entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory ? filesIn(path) : [path];
  }).flat();
}

function resolve(from: string, name: string): string {
  if (!name.startsWith(".")) return name;
  return new URL(name, `file:///${from}`).pathname.slice(1);
}

/** The rooms that each room may import from, and the modules of Node's that it may use. */
const ARROWS: Record<string, { rooms: string[]; node: string[] }> = {
  "protocol": { rooms: ["protocol"], node: ["zlib"] },
  "transport": {
    rooms: ["transport", "protocol"],
    node: ["buffer", "crypto", "http", "net", "stream", "tls", "util"],
  },
  "websocket": { rooms: ["websocket", "transport", "protocol"], node: [] },
  // The types of what a program has of a `node:http` server.
  "server": {
    rooms: ["server", "websocket", "transport", "protocol"],
    node: ["http", "net", "stream"],
  },
  "topics": { rooms: ["topics", "websocket", "transport", "protocol"], node: [] },
  "topics.ts": { rooms: ["topics"], node: [] },
  "nats.ts": { rooms: ["topics"], node: [] },
  "redis.ts": { rooms: ["topics"], node: [] },
  "mod.ts": { rooms: ["server", "websocket", "transport", "protocol"], node: [] },
};

/** The clients of engines: what each may import besides, and the only file that may import it. */
const ENGINES: Record<string, { imports: string[]; entry: string }> = {
  "topics/nats.ts": { imports: ["node:net", "node:tls", "npm:@nats-io"], entry: "nats.ts" },
  "topics/redis.ts": { imports: ["node:buffer", "npm:@redis"], entry: "redis.ts" },
};

Deno.test({
  name: "Imports of the library point one way, and to npm from the engines' clients alone",
  ignore,
  fn() {
    const wrong = sources().flatMap(({ path, room, imports }) => {
      const allowed = ARROWS[room];
      if (allowed === undefined) return [];
      const may = [
        ...allowed.rooms,
        ...allowed.node.map((name) => `node:${name}`),
        ...ENGINES[path]?.imports ?? [],
      ];
      return imports.filter((name) => !may.includes(name.split("/")[0]!))
        .map((name) => `${path} imports ${name}`);
    });
    assertEquals(wrong, []);
  },
});

Deno.test({
  name: "An engine's client is loaded by its own entry alone",
  ignore,
  fn() {
    const wrong = sources().flatMap(({ path, imports }) =>
      imports.filter((name) => name in ENGINES && ENGINES[name]!.entry !== path)
        .map((name) => `${path} imports ${name}`)
    );
    assertEquals(wrong, []);
    // Every task downloads all that is in the lock file.
    for (const file of ["deno.json", "deno.lock"]) {
      const text = Deno.readTextFileSync(projectPath(file));
      for (const name of ["@nats-io", "@redis", "puppeteer-core"]) {
        assert(!text.includes(name), `${file} has ${name}`);
      }
    }
  },
});

Deno.test({
  name: "Imports of the programs are by the programs and their tests alone",
  ignore,
  fn() {
    const own = ["cli", "certs", "server.ts", "client.ts"];
    const wrong = sources()
      .filter(({ room }) => ![...own, "tests"].includes(room))
      .flatMap(({ path, imports }) =>
        imports.filter((name) => own.includes(name.split("/")[0]!))
          .map((name) => `${path} imports ${name}`)
      );
    assertEquals(wrong, []);
  },
});

Deno.test({
  name: "protocol/ names nothing of Deno, no timer and no clock",
  ignore,
  fn() {
    const outside = /\bDeno\.|\bset(Timeout|Interval|Immediate)\b|\bfetch\b/;
    const wrong = sources()
      .filter(({ room, code }) => room === "protocol" && outside.test(code))
      .map(({ path }) => path);
    assertEquals(wrong, []);
  },
});

Deno.test({
  name: "mod.ts only re-exports",
  ignore,
  fn() {
    const { code } = sources().find(({ path }) => path === "mod.ts")!;
    assertEquals(code.replaceAll(/export (type )?\{[^}]*\} from "[^"]+";/g, "").trim(), "");
  },
});

/** What is nobody's public API, and the only file of the library that names it. */
const PRIVATE: [RegExp, string][] = [
  [
    /\b(binding\?*\.?\(|_listen2|_nativeTcpHandle|useUserBuffer|streamBaseState|addCACert)/,
    "transport/native_handle.ts",
  ],
  [/\b(_writeState|writeSync)\b/, "protocol/permessage_deflate/codec.ts"],
];

Deno.test({
  name: "What is nobody's public API is named in one file for sockets, and in one for zlib",
  ignore,
  fn() {
    const library = sources().filter(({ room }) => room in ARROWS);
    const naming = (pattern: RegExp) =>
      library.filter(({ code }) => pattern.test(code)).map(({ path }) => path);
    for (const [pattern, file] of PRIVATE) {
      // The shape of the global `process` is declared beside its other use.
      assertEquals(naming(pattern).filter((path) => path !== "transport/node.ts"), [file]);
    }
    assertEquals(naming(/\b_handle\b/), PRIVATE.map(([, file]) => file).sort());
  },
});

/** Exported values that no other file of the library or the programs imports, and why they are exported. */
const FOR_TESTS: Record<string, string> = {
  POOLED_SIZE: "tests of the pool's bounds",
  setContextBudget: "tests set a small budget",
  findProblem: "tests have it look at a zlib that fails",
  MemoryBudget: "tests make budgets of their own",
  chooseWay: "tests run both ways",
  afterSockets: "tests of turns",
  setLeastRate: "tests cannot wait for a slow peer",
};

Deno.test({
  name: "Exports of the library are imported somewhere, or are for a test that is named",
  ignore,
  fn() {
    const all = sources();
    const unused: string[] = [];
    const tested: string[] = [];
    for (const { path, room, code } of all) {
      if (!(room in ARROWS)) continue;
      // Types are exported for the signatures that name them.
      const values = code.matchAll(
        /^export (?:abstract )?(?:async )?(?:function\*?|class|const|let|enum) (\w+)/gm,
      );
      for (const [, name] of values) {
        const uses = all.filter((other) =>
          other.path !== path && other.imports.includes(path) &&
          new RegExp(`\\b${name}\\b`).test(other.code)
        );
        if (uses.some(({ room }) => room !== "tests")) continue;
        // The protocol's one number, named beside the codes it stands with.
        if (path === "protocol/handshake.ts" && name === "VERSION") continue;
        if (uses.length > 0 && name! in FOR_TESTS) tested.push(name!);
        else unused.push(`${name} of ${path}`);
      }
    }
    assertEquals(unused, []);
    assertEquals(tested.sort(), Object.keys(FOR_TESTS).sort(), "An exception is none any more");
  },
});

Deno.test({
  name: "Source files are found, with what they import",
  ignore,
  fn() {
    const all = sources();
    assert(all.length > 100);
    const session = all.find(({ path }) => path === "websocket/session.ts");
    assert(session!.imports.includes("protocol/protocol.ts"));
    const node = all.find(({ path }) => path === "transport/node.ts");
    assert(node!.imports.includes("node:net"));
  },
});
