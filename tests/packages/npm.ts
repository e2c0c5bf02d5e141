/**
 * The archive for npm, as `deno task pack` makes it, in a project of its own.
 *
 * @module
 */

import { assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import archive from "../../npm.json" with { type: "json" };
import { Folder, Program, projectPath } from "../programs.ts";

/** A project that uses each entry of the package; the types of the last lines are wrong on purpose. */
const PROJECT = `import { serve, upgradeWebSocket, WebSocket } from "@permessage/deflate";
import { Topics } from "@permessage/deflate/topics";

const topics = new Topics();
const server = serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
  const { socket, response } = upgradeWebSocket(request);
  socket.onopen = () => topics.subscribe(socket, "all");
  socket.onmessage = ({ data }) => void topics.publish("all", data);
  return response;
});
const socket = new WebSocket(\`ws://127.0.0.1:\${server.addr.port}/\`);
socket.onopen = () => socket.send("a".repeat(2000));
socket.onmessage = async ({ data }) => {
  console.log(data.length, socket.extensions, socket.stats.received.wireBytes < 100);
  socket.close();
  await server.shutdown();
};
`;

const WRONG = `import { serve, WebSocket } from "@permessage/deflate";
import { NatsBackplane } from "@permessage/deflate/nats";
import { RedisBackplane } from "@permessage/deflate/redis";
import { Topics } from "@permessage/deflate/topics";

export const wrong: number[] = [
  serve,
  WebSocket,
  NatsBackplane,
  RedisBackplane,
  Topics,
];
`;

/** Runs a program to its end, which must be a success unless said otherwise. */
async function output(file: string, args: string[], cwd: string, success = true): Promise<string> {
  await using program = new Program(file, args, { cwd, limitMs: 120_000 });
  const { code, stdout, stderr } = await program.end();
  const text = [...stdout, ...stderr].join("\n");
  if (success) assertEquals(code, 0, text);
  else assertNotEquals(code, 0, text);
  return text;
}

/** Makes the archive, by the task's command. */
async function pack(path: string): Promise<Uint8Array> {
  const args = ["task", "pack", "--allow-dirty", `--output=${path}`];
  await output(Deno.execPath(), args, projectPath(""));
  return await Deno.readFile(path);
}

Deno.test("deno task pack makes an archive that a project installs and uses with types", async () => {
  await using folder = new Folder();
  const { path } = folder;
  const packed = await pack(`${path}/package.tgz`);
  await Deno.mkdir(`${path}/project`);
  const project = `${path}/project`;
  await Deno.writeTextFile(`${project}/package.json`, '{ "type": "module" }');
  await Deno.writeTextFile(`${project}/main.ts`, PROJECT);
  await Deno.writeTextFile(`${project}/wrong.ts`, WRONG);
  await output("npm", ["install", "--no-audit", "--no-fund", "../package.tgz"], project);

  const installed = `${project}/node_modules/@permessage/deflate`;
  const { version, license } = JSON.parse(await Deno.readTextFile(`${installed}/package.json`));
  assertEquals([version, license], [config.version, "MIT"]);

  await output(Deno.execPath(), ["check", "main.ts"], project);
  const flags = ["run", "--no-prompt", "--allow-net=127.0.0.1"];
  const told = await output(Deno.execPath(), [...flags, "main.ts"], project);
  assertEquals(told, "2000 permessage-deflate true");

  // Were an entry without types, its names would be of any type, and nothing would be wrong with them.
  const errors = await output(Deno.execPath(), ["check", "wrong.ts"], project, false);
  for (const name of ["serve", "WebSocket", "NatsBackplane", "RedisBackplane", "Topics"]) {
    assertStringIncludes(errors, `\n  ${name},\n`);
  }

  // Seconds later, the same files give the same bytes.
  assertEquals(await pack(`${path}/again.tgz`), packed);
});

Deno.test("npm.json has the exports of deno.json but the programs", () => {
  const { "./client": _client, "./server": _server, ...library } = config.exports;
  assertEquals<unknown>(archive.exports, library);
  assertEquals(archive.license, config.license);
});
